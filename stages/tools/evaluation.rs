//! A finished network on a labelled source outside a pipeline: what its answers are worth, with
//! classes joined by name.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use seedpipe_base::{Refusal, neutral};
use seedpipe_engine::{Aside, keyed_rng};

use crate::ingest::labelled::{LabelledImage, LabelledSource, SourceClass};
use crate::judging::scores::{JudgedImage, Scores, scores};
use crate::shared::confusion::Class;
use crate::tools::predictor::{Prediction, Predictor, best_outputs};

/// Images that are read at once.
const CHUNK: usize = 128;
/// Classes that a message names.
const NAMED: usize = 10;

/// Where the labelled images are.
pub struct Labelled<'a> {
    /// A folder, or tables, as `ingest` takes them.
    pub path: &'a Path,
    /// A table's column of labels, where it is named.
    pub label_column: Option<&'a str>,
    /// That split alone.
    pub split: Option<&'a str>,
}

/// What a network is worth on them.
pub struct Evaluated {
    /// Images that were judged.
    pub images: usize,
    /// Top-1, top-5, balanced accuracy, macro F1.
    pub figures: Vec<EvaluatedFigure>,
    /// How many times as many images the largest class has as the smallest, where classes are
    /// imbalanced.
    pub imbalance: Option<f64>,
    /// The network's classes, in the order of its outputs.
    pub classes: Vec<EvaluatedClass>,
    /// Classes that the network doesn't know, with their images, which are left out.
    pub unknown: Vec<(String, usize)>,
    /// Images without a label, which are left out.
    pub unlabelled: usize,
    /// Images that could not be read, which are left out.
    pub unread: usize,
    /// What people should know.
    pub remarks: Vec<String>,
}

/// A share from 0 to 1.
pub struct EvaluatedFigure {
    pub name: &'static str,
    pub value: f64,
    /// The ends of the 95 % interval.
    pub interval: [f64; 2],
}

/// How a class was named; shares are none where they divide by nothing.
pub struct EvaluatedClass {
    pub label: i32,
    pub name: String,
    pub images: u64,
    /// Images that were taken for it.
    pub predicted: u64,
    /// Of its images those that were named rightly: its top-1.
    pub recall: Option<f64>,
    /// Of those that were taken for it.
    pub precision: Option<f64>,
    pub f1: Option<f64>,
}

/// [`evaluate`].
pub type Evaluate =
    fn(&dyn Predictor, &Labelled, &mut dyn FnMut(&anyhow::Error)) -> Result<Evaluated>;

/// - `unread`: takes each image that can't be judged, with the reason
///
/// # Errors
/// When the source can't be read, no class of it is known to the network, or none of the images can
/// be read.
pub fn evaluate(
    predictor: &dyn Predictor,
    labelled: &Labelled,
    unread: &mut dyn FnMut(&anyhow::Error),
) -> Result<Evaluated> {
    let known = predictor.classes();
    let source = LabelledSource::open(labelled.path, labelled.label_column, labelled.split)?;
    let classes = source.classes();
    let joined = joined(&classes, known);
    if joined.is_empty() {
        return Err(strangers(labelled.path, &classes, known).into());
    }
    let unknown: Vec<(String, usize)> = classes
        .iter()
        .filter(|(class, _)| !joined.contains_key(class))
        .map(|(class, images)| (name_of(class), *images))
        .collect();
    let (mut judged, mut failed) = (Vec::new(), 0);
    let count = joined.keys().map(|class| classes[class] as u64).sum();
    let aside = Aside::begin("looking", "images", count);
    source.chunks(CHUNK, &mut |chunk: Vec<LabelledImage>| {
        let chunk = chunk.into_iter();
        let chunk = chunk.filter_map(|image| Some((*joined.get(&image.class)?, image)));
        let (mut of, mut images) = (Vec::new(), Vec::new());
        for (class, image) in chunk {
            of.push((class, image.digest));
            images.push((image.name, image.bytes));
        }
        let mut of = of.into_iter();
        predictor.predict_read(images, &mut |_, seen: Result<Prediction>| {
            aside.advance(1);
            let Some((class, digest)) = of.next() else {
                bail!("BUG: more predictions than images");
            };
            match seen {
                Ok(seen) => {
                    let best = best_outputs(&probabilities(seen, known)?, 5);
                    judged.push(JudgedImage {
                        digest,
                        class,
                        ranked: best.into_iter().map(|output| output as u32).collect(),
                    });
                }
                Err(error) => {
                    failed += 1;
                    unread(&error);
                }
            }
            Ok(())
        })
    })?;
    if judged.is_empty() {
        let got = format!("expected images, got none of {failed} that can be read");
        bail!(Refusal::failure(got).place(format!("`{}`", labelled.path.display())));
    }
    let places: Vec<u32> = (0..known.len() as u32).collect();
    let images = judged.len();
    let scores = scores(judged, &places, &keyed_rng(0, "evaluate", "bootstrap", &[]));
    Ok(Evaluated {
        images,
        imbalance: scores.evaluation.imbalance,
        classes: of_classes(&scores, known),
        figures: scores
            .figures
            .into_iter()
            .map(|figure| EvaluatedFigure {
                name: figure.name,
                value: figure.value,
                interval: [figure.interval.low, figure.interval.high],
            })
            .collect(),
        unknown,
        unlabelled: source.unlabelled,
        unread: failed,
        remarks: source.remarks,
    })
}

/// The output of each class that the network knows: by name, or by number where the source has no
/// names. A name that several outputs have says none.
fn joined(classes: &BTreeMap<SourceClass, usize>, known: &[Class]) -> BTreeMap<SourceClass, u32> {
    let output = |class: &SourceClass| {
        let mut outputs = known
            .iter()
            .enumerate()
            .filter(|(_, known)| match &class.1 {
                Some(name) => known.name == *name,
                None => known.label == class.0,
            });
        let (output, _) = outputs.next()?;
        outputs.next().is_none().then_some(output)
    };
    let classes = classes.keys();
    classes
        .filter_map(|class| Some((class.clone(), output(class)? as u32)))
        .collect()
}

fn name_of(class: &SourceClass) -> String {
    class.1.clone().unwrap_or_else(|| class.0.to_string())
}

/// Some names, for a message.
pub fn some<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let named = names
        .take(NAMED)
        .map(|name| format!("`{}`", neutral::line(name)));
    let named = named.collect::<Vec<_>>().join(", ");
    match more {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn strangers(path: &Path, classes: &BTreeMap<SourceClass, usize>, known: &[Class]) -> Refusal {
    let place = format!("`{}`", path.display());
    if known.is_empty() {
        let got = "expected a network that knows the names of its classes, got one that says none";
        return Refusal::new(got).hint(
            "name a `finetune` stage, one with `--with-head STAGE`, or a file that was exported from them",
        );
    }
    let names: Vec<String> = classes.keys().map(name_of).collect();
    let got = format!(
        "expected classes of the network ({}), got {}",
        some(known.iter().map(|class| class.name.as_str())),
        some(names.iter().map(String::as_str))
    );
    Refusal::new(got).place(place).hint(
        "call the folders as the network's classes are called; `--split` where the first folders are splits",
    )
}

fn probabilities(seen: Prediction, known: &[Class]) -> Result<Vec<f32>> {
    match seen.probabilities {
        Some(probabilities) if probabilities.len() == known.len() => Ok(probabilities),
        Some(probabilities) => bail!(Refusal::new(format!(
            "expected a class for each of the network's {} outputs, got {}",
            probabilities.len(),
            known.len()
        ))),
        None => bail!(
            Refusal::new("expected a network with a classifier, got none")
                .hint("add `--with-head STAGE` with a `probe` stage, or name a `finetune` stage")
        ),
    }
}

fn of_classes(scores: &Scores, known: &[Class]) -> Vec<EvaluatedClass> {
    let confusion = &scores.evaluation.confusion;
    let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
    let classes = known.iter().enumerate().map(|(output, class)| {
        let images = confusion[output].iter().sum();
        let predicted = confusion.iter().map(|row| row[output]).sum();
        let right = confusion[output][output];
        EvaluatedClass {
            label: class.label,
            name: class.name.clone(),
            images,
            predicted,
            recall: share(right, images),
            precision: share(right, predicted),
            f1: share(2 * right, images + predicted),
        }
    });
    classes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_joined_by_name_whatever_their_numbers() {
        let known = [(7, "cat"), (3, "dog"), (5, "crane"), (6, "crane")];
        let known = known.map(|(label, name)| Class {
            label,
            name: name.to_owned(),
        });
        let class = |number, name: Option<&str>| (number, name.map(str::to_owned));
        let classes = [
            class(0, Some("dog")),
            class(1, Some("cow")),
            class(7, None),
            class(2, Some("crane")),
        ];
        let joined = joined(&classes.clone().map(|class| (class, 1)).into(), &known);
        assert_eq!(
            joined,
            BTreeMap::from([(classes[0].clone(), 1), (classes[2].clone(), 0)])
        );
    }
}
