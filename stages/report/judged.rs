//! Stored predictions joined with the images that they are of.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use seedpipe_artifact::{PREDICTIONS, PredictionRow, PredictionsReader};

use super::gallery::Gallery;
use super::material::Material;
use super::networks::{self, Role};
use crate::confusion::Confusion;

/// The slot that predictions' images are connected to.
const IMAGES: &str = "images";
/// Stages whose predictions are shown, at most.
const SHOWN: usize = 5;

/// A stage's predictions.
pub struct Judged {
    pub stage: String,
    /// The stage whose images were judged.
    pub images: String,
    pub rows: Vec<PredictionRow>,
    pub confusion: Confusion,
    names: BTreeMap<i32, String>,
}

/// A wrong answer.
pub struct Miss {
    /// Row in the images.
    pub row: usize,
    pub label: i32,
    pub taken_for: i32,
    pub probability: f32,
}

impl Judged {
    pub fn name(&self, class: i32) -> String {
        let name = self.names.get(&class);
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

/// The predictions that are worth showing, the students' first.
pub fn judged(material: &Material, gallery: &Gallery) -> Result<Vec<Judged>> {
    let mut found: Vec<(usize, Judged)> = Vec::new();
    for (source, parts) in material.readable(PREDICTIONS) {
        let Some((images, _)) = material.files(source, IMAGES) else {
            continue;
        };
        let names = gallery
            .images(&images.stage)
            .map(|images| images.classes().clone())
            .unwrap_or_default();
        let rows = PredictionsReader::open(parts)
            .and_then(|reader| reader.read_all())
            .with_context(|| format!("stage `{}`", source.stage))?;
        if rows.iter().all(|row| row.label.is_none()) {
            continue;
        }
        let maker = material
            .input(source, "features")
            .map(|features| material.input(features, "weights").unwrap_or(features))
            .unwrap_or(source);
        let rank = match (networks::role(material, maker), source.kind.as_str()) {
            (Role::Student, "probe") => 0,
            (Role::Teacher, "probe") => 1,
            (_, "finetune") => 2,
            (Role::Student, _) => 3,
            (Role::Teacher, _) => 4,
            _ => 5,
        };
        found.push((
            rank,
            Judged {
                stage: source.stage.clone(),
                images: images.stage.clone(),
                confusion: Confusion::of(&rows, &names),
                rows,
                names,
            },
        ));
    }
    found.sort_by_key(|(rank, _)| *rank);
    Ok(found
        .into_iter()
        .map(|(_, judged)| judged)
        .take(SHOWN)
        .collect())
}
