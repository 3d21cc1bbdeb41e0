//! `ingest`: reads images from a folder or Parquet, checks every one by decoding it, gives each an
//! id, a split and a label.
//!
//! Every file is read twice: once to know its digest, which decides splits and subsets, once to
//! check and store it. A file that changed in between is noticed, and nothing is published.
//!
//! Version log: 1 first.

mod candidates;
mod folder;
mod listing;
pub mod survey;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use schemars::JsonSchema;
use seedpipe_artifact::{
    IMAGES, ImageRow, ImagesWriter, Metadata, REJECTED, RejectedRow, RejectedWriter,
};
use seedpipe_base::Refusal;
use seedpipe_engine::{InputKinds, InputSlot, OutputSlot, Stage, StageContext, Work};
use seedpipe_imaging::{Format, Limits, check};
use serde::{Deserialize, Serialize};

use crate::shared::invalid::{Counted, count, fraction, invalid};
use crate::shared::selection::item;
use candidates::Candidates;
use listing::{Listing, ReadCandidate};

/// Images that are checked and written together.
const CHUNK: usize = 512;
/// Rejected images that an error names.
const NAMED: usize = 10;

/// Images from a folder (`CLASS/*.jpg`, `train/CLASS/*.jpg`, or unlabelled) or from Parquet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// An image folder, a Parquet file, or a folder of Parquet files named after their splits.
    pub source: PathBuf,
    /// Parquet: the column of encoded images; default: the only one that can be.
    #[serde(default)]
    pub image_column: Option<String>,
    /// Parquet: the column of labels, numbers or names; default: unlabelled.
    #[serde(default)]
    pub label_column: Option<String>,
    /// Parquet: the column of the labels' names.
    #[serde(default)]
    pub label_name_column: Option<String>,
    /// Parquet: the column of splits; default: the file's name, else `train`.
    #[serde(default)]
    pub split_column: Option<String>,
    /// Moves a share of the `train` images into other splits by a keyed hash of their content, e.g.
    /// `{test: 0.2}`; equal images stay together.
    #[serde(default)]
    pub hash_split: BTreeMap<String, f64>,
    /// Keeps a keyed random subset of a split, e.g. `{train: 20000}`.
    #[serde(default)]
    pub take: BTreeMap<String, usize>,
    /// Unreadable images are left out and listed; more than this share of them is an error.
    #[serde(default)]
    pub max_bad_fraction: f64,
    /// An image of more pixels counts as unreadable.
    #[serde(default = "default_max_pixels")]
    pub max_pixels: u64,
}

fn default_max_pixels() -> u64 {
    Limits::default().pixels
}

impl Stage for Ingest {
    const KIND: &'static str = "ingest";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("images", IMAGES),
        OutputSlot::new("rejected", REJECTED),
    ];

    fn sources(&self) -> Vec<PathBuf> {
        vec![self.source.clone()]
    }

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        fraction("max_bad_fraction", self.max_bad_fraction)?;
        count("max_pixels", self.max_pixels, 1, Counted::Pixels)?;
        for (split, share) in &self.hash_split {
            fraction(&format!("hash_split.{split}"), *share)?;
        }
        let moved: f64 = self.hash_split.values().sum();
        if moved >= 1.0 {
            return Err(invalid(
                "hash_split",
                "shares that leave something to `train`",
                moved,
                "lower them",
            ));
        }
        if let Some((split, _)) = self.take.iter().find(|(_, count)| **count == 0) {
            return Err(invalid(
                &format!("take.{split}"),
                "at least 1",
                0,
                "leave the split out, or raise it",
            ));
        }
        Ok(())
    }
}

impl Work for Ingest {
    fn run(&self, context: &StageContext) -> Result<()> {
        let path = context.resolve(&self.source);
        let listing = Listing::open(self, &path).context("key `params.source`")?;
        self.warn_of_columns(context, &listing);
        let progress = context.progress();
        progress.begin("hashing", "images", listing.len() as u64, 0);
        let mut candidates = listing.candidates(&|count| {
            progress.advance(count);
            context.check_cancelled()
        })?;
        progress.finish();
        if candidates.all.is_empty() {
            bail!(
                Refusal::failure(format!(
                    "`{}`: expected images ({}), got none",
                    path.display(),
                    Format::KNOWN
                ))
                .key("params.source")
                .hint(format!("check `source`; {}", listing.expectation()))
            );
        }
        candidates.number_occurrences();
        self.split(context, &mut candidates);
        self.subset(context, &mut candidates)?;
        let classes = candidates.class_numbers(listing.class_names());

        let total = candidates.all.len();
        progress.begin("checking", "images", total as u64, 0);
        context.shards(1, |shard| {
            let mut images =
                ImagesWriter::create(&shard.output("images", "part-00000"), &Metadata::new())?;
            let mut rejected =
                RejectedWriter::create(&shard.output("rejected", "part-00000"), &Metadata::new())?;
            let (mut image_id, mut refused) = (0u32, Vec::new());
            listing.chunks(&candidates.all, CHUNK, &mut |chunk: Vec<ReadCandidate>| {
                context.check_cancelled()?;
                let count = chunk.len() as u64;
                let checked: Vec<Result<ImageRow, RejectedRow>> = chunk
                    .into_par_iter()
                    .map(|found| self.check(&candidates, found, &classes))
                    .collect::<Result<_>>()?;
                for outcome in checked {
                    match outcome {
                        Ok(mut row) => {
                            row.image_id = image_id;
                            image_id += 1;
                            images.write(&[row])?;
                        }
                        Err(row) => {
                            rejected.write(std::slice::from_ref(&row))?;
                            refused.push(row);
                        }
                    }
                }
                progress.advance(count);
                Ok(())
            })?;
            images.finish()?;
            rejected.finish()?;
            self.judge(context, &refused, total)
        })?;
        progress.finish();
        Ok(())
    }
}

impl Ingest {
    /// Columns mean nothing to an image folder, whose classes are its folders.
    fn warn_of_columns(&self, context: &StageContext, listing: &Listing) {
        let columns = [
            ("image_column", &self.image_column),
            ("label_column", &self.label_column),
            ("label_name_column", &self.label_name_column),
            ("split_column", &self.split_column),
        ];
        let named: Vec<&str> = columns
            .iter()
            .filter(|(_, column)| column.is_some())
            .map(|(key, _)| *key)
            .collect();
        if matches!(listing, Listing::Folder(_)) && !named.is_empty() {
            context.warn(format!(
                "`{}` holds image files, so {} has no effect: classes and splits are its folders",
                self.source.display(),
                named.join(", ")
            ));
        }
    }

    fn check(
        &self,
        candidates: &Candidates,
        found: ReadCandidate,
        classes: &HashMap<String, i32>,
    ) -> Result<Result<ImageRow, RejectedRow>> {
        let ReadCandidate {
            candidate,
            source,
            bytes,
        } = found;
        if *blake3::hash(&bytes).as_bytes() != candidate.digest {
            bail!(
                Refusal::failure(format!("`{source}` changed while it was read"))
                    .hint("run again when nothing writes to the source")
            );
        }
        let limits = Limits {
            pixels: self.max_pixels,
        };
        let header = match check(&bytes, &limits) {
            Ok(header) => header,
            Err(error) => {
                return Ok(Err(RejectedRow {
                    source,
                    reason: error.to_string(),
                }));
            }
        };
        let class = candidates.class(candidate);
        let number = |label: &String| {
            if class.named {
                classes.get(label).copied()
            } else {
                label.parse().ok()
            }
        };
        let label = match &class.label {
            None => None,
            Some(label) => Some(number(label).with_context(|| {
                format!(
                    "`{source}`: label `{label}` is none of the classes that the source declares"
                )
            })?),
        };
        Ok(Ok(ImageRow {
            image_id: 0,
            digest: candidate.digest,
            occurrence: candidate.occurrence,
            bytes,
            width: header.width,
            height: header.height,
            label,
            label_name: class.label_name.clone(),
            split: candidates.split(candidate).to_owned(),
            source,
        }))
    }

    /// Fails when too many images were refused; else says how many were.
    fn judge(&self, context: &StageContext, refused: &[RejectedRow], total: usize) -> Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let mut list: Vec<String> = refused
            .iter()
            .take(NAMED)
            .map(|row| format!("  {}: {}", row.source, row.reason))
            .collect();
        if refused.len() > NAMED {
            list.push(format!("  and {} more", refused.len() - NAMED));
        }
        let list = list.join("\n");
        if refused.len() == total {
            bail!(
                Refusal::failure(format!("none of the {total} images can be read:\n{list}"))
                    .key("params.source")
                    .hint("check `source`")
            );
        }
        if refused.len() as f64 > self.max_bad_fraction * total as f64 {
            bail!(
                Refusal::failure(format!(
                    "{} of {total} images cannot be read, expected at most a share of {}:\n{list}",
                    refused.len(),
                    self.max_bad_fraction
                ))
                .key("params.max_bad_fraction")
                .hint(format!(
                    "repair or remove them, or raise `max_bad_fraction` to {:.4} to leave them out",
                    (refused.len() as f64 / total as f64 * 1e4).ceil() / 1e4
                ))
            );
        }
        context.warn(format!(
            "{} of {total} images cannot be read and are left out (see output `rejected`):\n{list}",
            refused.len()
        ));
        Ok(())
    }

    /// The keyed hash split of the `train` images.
    fn split(&self, context: &StageContext, candidates: &mut Candidates) {
        if self.hash_split.is_empty() {
            return;
        }
        let train = candidates.splits.index("train");
        let shares: Vec<(u32, f64)> = self
            .hash_split
            .iter()
            .map(|(split, share)| (candidates.splits.index(split.as_str()), *share))
            .collect();
        candidates
            .all
            .par_iter_mut()
            .filter(|candidate| candidate.split == train)
            .for_each(|candidate| {
                // 53 bits: uniform in 0..1, exactly representable.
                let draw =
                    (draw(context, "split", &candidate.digest) >> 11) as f64 / (1u64 << 53) as f64;
                let mut bound = 0.0;
                for &(split, share) in &shares {
                    bound += share;
                    if draw < bound {
                        candidate.split = split;
                        return;
                    }
                }
            });
    }

    /// The keyed random subset of each split in `take`, in the listing's order.
    fn subset(&self, context: &StageContext, candidates: &mut Candidates) -> Result<()> {
        if self.take.is_empty() {
            return Ok(());
        }
        let mut keep = vec![true; candidates.all.len()];
        for (split, &count) in &self.take {
            let mut drawn: Vec<(u64, usize)> = candidates
                .all
                .iter()
                .enumerate()
                .filter(|(_, candidate)| candidates.split(candidate) == split)
                .map(|(index, candidate)| {
                    (
                        draw(
                            context,
                            "take",
                            &item(&candidate.digest, candidate.occurrence),
                        ),
                        index,
                    )
                })
                .collect();
            if drawn.is_empty() {
                let splits: BTreeSet<String> = candidates
                    .all
                    .iter()
                    .map(|candidate| format!("`{}`", candidates.split(candidate)))
                    .collect();
                let splits: Vec<String> = splits.into_iter().collect();
                bail!(
                    Refusal::failure(format!(
                        "expected a split that holds images ({}), got one without any",
                        splits.join(", ")
                    ))
                    .key(format!("params.take.{split}"))
                    .hint("name one of those")
                );
            }
            if drawn.len() < count {
                bail!(
                    Refusal::failure(format!(
                        "expected at most the {} images of the split, got {count}",
                        drawn.len()
                    ))
                    .key(format!("params.take.{split}"))
                    .hint("lower it")
                );
            }
            drawn.sort_unstable();
            for &(_, index) in &drawn[count..] {
                keep[index] = false;
            }
        }
        let mut keep = keep.into_iter();
        candidates.all.retain(|_| keep.next().unwrap_or(true));
        candidates.all.shrink_to_fit();
        Ok(())
    }
}

fn draw(context: &StageContext, label: &str, item: &[u8]) -> u64 {
    use rand_chacha::rand_core::Rng;
    context.rng(label, item).next_u64()
}
