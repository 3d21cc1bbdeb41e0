//! Stored predictions joined with the images that they are of.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use seedpipe_artifact::{ImagesReader, PREDICTIONS, PredictionRow, PredictionsReader};

use super::gallery::Gallery;
use super::material::{Catalogue, Source};
use super::networks::{self, Role};
use crate::shared::confusion::Tally;
use crate::shared::selection::JUDGING;

/// The slot that predictions' images are connected to.
const IMAGES: &str = "images";
/// Stages whose predictions are shown, at most.
const SHOWN: usize = 5;
/// The split that images are learned from whose predictions nobody may read.
const LEARNED_ON: &str = "train";

/// A stage's predictions.
pub struct Judged {
    pub stage: String,
    /// The stage whose images were judged.
    pub images: String,
    /// The split that most of the judged images are of.
    pub split: String,
    /// The split that the classifier learned from or looks up.
    pub learned_on: String,
    pub rows: Vec<PredictionRow>,
    pub tally: Tally,
}

/// A wrong answer.
pub struct Miss {
    /// Row in the images.
    pub row: usize,
    pub label: i32,
    pub taken_for: i32,
    pub probability: f32,
}

/// The splits of a stage's images that sections are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splits {
    pub judged: String,
    pub learned_on: String,
}

impl Judged {
    pub fn name(&self, class: i32) -> String {
        let name = self.tally.names.get(&class);
        name.cloned().unwrap_or_else(|| class.to_string())
    }

    /// The wrong answers, the surest first; of equally sure ones the earlier image.
    pub fn misses(&self, gallery: &Gallery) -> Vec<Miss> {
        let Some(images) = gallery.images(&self.images) else {
            return Vec::new();
        };
        let wrong = self.rows.iter().filter_map(|row| {
            let (label, best) = (row.label?, *row.classes.first()?);
            (label != best).then_some(Miss {
                row: images.row_of(row.image_id)?,
                label,
                taken_for: best,
                probability: *row.probabilities.first()?,
            })
        });
        let mut misses: Vec<Miss> = wrong.collect();
        misses.sort_by(|left, right| right.probability.total_cmp(&left.probability));
        misses
    }
}

/// Those of the first predictions of a stage's images; without any, the usual ones.
pub fn splits(judged: &[Judged], images: &str) -> Splits {
    let of = judged.iter().find(|judged| judged.images == images);
    Splits {
        judged: of.map_or(JUDGING, |judged| &judged.split).to_owned(),
        learned_on: of
            .map_or(LEARNED_ON, |judged| &judged.learned_on)
            .to_owned(),
    }
}

/// The predictions that are worth showing, the students' first. Only those are read.
pub fn judged(material: &Catalogue, gallery: &Gallery) -> Result<Vec<Judged>> {
    let mut candidates: Vec<(usize, &Source, &Source, &[PathBuf])> = material
        .readable(PREDICTIONS)
        .filter_map(|(source, parts)| {
            let (images, _) = material.files(source, IMAGES)?;
            Some((rank(material, source), source, images, parts))
        })
        .collect();
    candidates.sort_by_key(|(rank, ..)| *rank);
    let mut found = Vec::new();
    for (_, source, images, parts) in candidates {
        if found.len() == SHOWN {
            break;
        }
        let rows = PredictionsReader::open(parts)
            .and_then(|reader| reader.read_all())
            .with_context(|| format!("stage `{}`", source.stage))?;
        if rows.iter().all(|row| row.label.is_none()) {
            continue;
        }
        let split = gallery
            .images(&images.stage)
            .and_then(|images| most_frequent_split(images, &rows));
        let learned_on = ["train_split", "bank_split"]
            .iter()
            .find_map(|param| source.params[*param].as_str());
        found.push(Judged {
            stage: source.stage.clone(),
            images: images.stage.clone(),
            split: split.unwrap_or_else(|| JUDGING.to_owned()),
            learned_on: learned_on.unwrap_or(LEARNED_ON).to_owned(),
            tally: Tally::of(&rows, gallery.classes(&images.stage)),
            rows,
        });
    }
    Ok(found)
}

fn rank(material: &Catalogue, source: &Source) -> usize {
    let maker = material
        .input(source, "features")
        .map(|features| material.input(features, "weights").unwrap_or(features))
        .unwrap_or(source);
    let is_main = source.kind.columns().iter().any(|column| column.is_main);
    match networks::role(material, maker) {
        Role::Student if is_main => 0,
        Role::Teacher if is_main => 1,
        _ if source.training().is_some() => 2,
        Role::Student => 3,
        Role::Teacher => 4,
        Role::Baseline => 5,
    }
}

fn most_frequent_split(images: &ImagesReader, rows: &[PredictionRow]) -> Option<String> {
    let mut splits: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter().filter_map(|row| images.row_of(row.image_id)) {
        *splits.entry(images.image(row).split).or_default() += 1;
    }
    let most = splits.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(split, _)| split.to_owned())
}
