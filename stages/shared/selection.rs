//! Which images a stage looks at: splits, classes, and keyed subsets of the labelled ones.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use seedpipe_artifact::ImagesReader;
use seedpipe_base::Refusal;
use seedpipe_engine::{Demanded, StageContext};

use crate::shared::confusion::told_apart;

/// Default of the params that name the split to learn from.
pub fn train_split() -> String {
    "train".into()
}

/// The split whose figures choose: rates, epochs, networks.
pub const CHOOSING: &str = "val";
/// The split whose figures are told of what was chosen.
pub const JUDGING: &str = "test";

/// Default of the params that name the split to judge by.
pub fn test_split() -> String {
    JUDGING.into()
}

/// Default of `label_fraction`: every label.
pub fn all_labels() -> f64 {
    1.0
}

/// What random draws about an image are keyed by: its digest and occurrence, so that other images
/// don't matter.
pub fn item(digest: &[u8; 32], occurrence: u32) -> [u8; 36] {
    let mut item = [0; 36];
    item[..32].copy_from_slice(digest);
    item[32..].copy_from_slice(&occurrence.to_le_bytes());
    item
}

/// The rows of a split, or all of them when it is `all`; ascending.
pub fn rows_of_split(images: &ImagesReader, split: &str) -> Result<Vec<usize>> {
    let rows = if split == "all" {
        (0..images.rows()).collect()
    } else {
        images.rows_in(split)
    };
    if rows.is_empty() {
        bail!(
            Refusal::failure(format!(
                "split `{split}`: expected one that holds images ({}, or `all`), got one without any",
                images
                .splits()
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
            ))
            .hint("name one of those, or let `ingest` make the split")
        );
    }
    Ok(rows)
}

/// The classes of an images artifact. Networks have an output for each, counted from 0 in the order
/// of the labels; everything that leaves says the label, which is the user's own number.
pub struct Classes {
    labels: Vec<i32>,
    /// No two alike.
    names: Vec<String>,
    places: Vec<u32>,
}

impl Classes {
    pub fn of(images: &ImagesReader) -> Result<Classes> {
        let (labels, names): (Vec<i32>, Vec<String>) =
            told_apart(images.classes()).into_iter().unzip();
        if labels.len() < 2 {
            bail!(
                Refusal::failure(format!(
                    "the images have {} labelled classes, expected at least 2",
                    labels.len()
                ))
                .hint("give `ingest` a `label_column`, or a folder for each class")
            );
        }
        let places = places(images, &labels);
        Ok(Classes {
            labels,
            names,
            places,
        })
    }

    /// Each class's place among those that are judged equal: by the images that it has, whatever
    /// it is called.
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    pub fn name(&self, class: usize) -> &str {
        &self.names[class]
    }

    /// The user's label of a class.
    pub fn label(&self, class: usize) -> i32 {
        self.labels[class]
    }

    /// The class of a user's label.
    pub fn class(&self, label: i32) -> Option<usize> {
        self.labels.binary_search(&label).ok()
    }

    /// The split that is looked at while something is still to be chosen: the one that judges only
    /// where no image of another has a label.
    pub fn choosing_split(&self, images: &ImagesReader) -> &'static str {
        match self.labelled(images, CHOOSING) {
            Ok(_) => CHOOSING,
            Err(_) => JUDGING,
        }
    }

    /// The labelled rows of a split with their classes.
    pub fn labelled(&self, images: &ImagesReader, split: &str) -> Result<Vec<(usize, usize)>> {
        let labelled: Vec<_> = rows_of_split(images, split)?
            .into_iter()
            .filter_map(|row| Some((row, self.class(images.image(row).label?)?)))
            .collect();
        if labelled.is_empty() {
            bail!(
                Refusal::failure(format!("split `{split}` holds no labelled image"))
                    .hint("give `ingest` a `label_column`, or a folder for each class")
            );
        }
        Ok(labelled)
    }
}

/// The sum of each class's digests decides, which no other order of the images changes.
fn places(images: &ImagesReader, labels: &[i32]) -> Vec<u32> {
    let mut sums = vec![[0u64; 4]; labels.len()];
    for row in 0..images.rows() {
        let image = images.image(row);
        let class = image
            .label
            .and_then(|label| labels.binary_search(&label).ok());
        if let Some(class) = class {
            for (sum, word) in sums[class].iter_mut().zip(image.digest.as_chunks::<8>().0) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*word));
            }
        }
    }
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|&class| sums[class]);
    let mut places = vec![0; labels.len()];
    for (place, class) in (0..).zip(order) {
        places[class] = place;
    }
    places
}

/// Some labelled rows in an order that hangs on what the images are, not on where they lie or what
/// their classes are called.
pub fn by_content(
    images: &ImagesReader,
    classes: &Classes,
    mut labelled: Vec<(usize, usize)>,
) -> Vec<(usize, usize)> {
    labelled.sort_by_key(|&(row, class)| (images.image(row).digest, classes.places[class], row));
    labelled
}

/// Rows that predictions must have: one for each labelled image of the split that is judged.
pub fn judged(context: &StageContext, split: &str) -> Result<Demanded> {
    let images = ImagesReader::open(&context.input("images").parts)?;
    let rows = Classes::of(&images)?.labelled(&images, split)?.len();
    Ok(vec![("predictions", rows as u64)])
}

/// A class-balanced share of the labelled rows: of each class the images with the smallest keys, at
/// least one.
///
/// The key is of the seed and the image alone, so that every stage with the same seed sees the same
/// labels.
pub fn label_subset(
    images: &ImagesReader,
    labelled: Vec<(usize, usize)>,
    label_fraction: f64,
    seed: u64,
) -> Vec<(usize, usize)> {
    if label_fraction >= 1.0 {
        return labelled;
    }
    let mut by_class: BTreeMap<usize, Vec<([u8; 32], usize)>> = BTreeMap::new();
    for (row, class) in labelled {
        let key = key("seedpipe label subset v1", images, row, seed);
        by_class.entry(class).or_default().push((key, row));
    }
    let mut chosen = Vec::new();
    for (class, mut rows) in by_class {
        rows.sort_unstable();
        let count = ((rows.len() as f64 * label_fraction).round() as usize).max(1);
        chosen.extend(rows.into_iter().take(count).map(|(_, row)| (row, class)));
    }
    chosen.sort_unstable();
    chosen
}

/// At most `count` of the labelled rows, those with the smallest keys; ascending. The key is of the
/// seed and the image alone.
pub fn keyed_sample(
    images: &ImagesReader,
    mut labelled: Vec<(usize, usize)>,
    count: usize,
    seed: u64,
) -> Vec<(usize, usize)> {
    if labelled.len() > count {
        labelled.sort_by_cached_key(|&(row, _)| {
            (key("seedpipe evaluated sample v1", images, row, seed), row)
        });
        labelled.truncate(count);
        labelled.sort_unstable();
    }
    labelled
}

/// - `purpose`: keys of different purposes have nothing in common
fn key(purpose: &str, images: &ImagesReader, row: usize, seed: u64) -> [u8; 32] {
    let image = images.image(row);
    let mut hasher = blake3::Hasher::new_derive_key(purpose);
    hasher
        .update(&seed.to_le_bytes())
        .update(&item(image.digest, image.occurrence));
    *hasher.finalize().as_bytes()
}
