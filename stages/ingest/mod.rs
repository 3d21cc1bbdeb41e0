//! `ingest`: reads images from a folder or Parquet, checks every one by decoding it, gives each an
//! id, a split and a label.
//!
//! Every file is read twice: once to know its digest, which decides splits and subsets, once to
//! check and store it. A file that changed in between is noticed, and nothing is published.
//!
//! Version log: 1 first; 2 one rule for words of splits, one vocabulary for all tables, names as
//! keys, -1 and empty text are no labels.

mod candidates;
pub mod counts;
mod folder;
pub(crate) mod labelled;
mod listing;
mod names;
mod splits;
mod storing;
pub mod survey;
mod table;
mod table_files;
mod vocabulary;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use schemars::JsonSchema;
use seedpipe_artifact::{IMAGES, ImageRow, Metadata, REJECTED, RejectedRow, RejectedWriter};
use seedpipe_base::{Refusal, neutral};
use seedpipe_engine::{InputKinds, InputSlot, OutputSlot, Stage, StageContext, Work};
use seedpipe_imaging::{Format, Limits, check};
use serde::{Deserialize, Serialize};

use crate::shared::invalid::{Counted, count, fraction, invalid};
use crate::shared::selection::item;
use candidates::Candidates;
use listing::{Held, Listing, ReadCandidate, digest_of};
use splits::Splits;
use storing::Storing;
pub use table_files::is_table;
use vocabulary::Vocabulary;

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
    /// Whether names say splits. Default: the first folders do where each is called `train`,
    /// `test`, `val` or alike, and so do the names of Parquet files. `folders`: each first folder
    /// is a split; `none`: no name says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    splits: Option<Splits>,
    /// Parquet: the column of encoded images, or of their paths below the table's folder; default:
    /// the only one that can hold images.
    #[serde(default)]
    pub image_column: Option<String>,
    /// Parquet: the column of labels, numbers or names; empty or -1 where there is none. Default:
    /// unlabelled.
    #[serde(default)]
    pub label_column: Option<String>,
    /// Parquet: the column of the labels' names.
    #[serde(default)]
    pub label_name_column: Option<String>,
    /// Parquet: the column of splits: `train`, `test`, `val` or alike, or other names; default: the
    /// file's name, else `train`.
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
    const VERSION: u32 = 2;
    const INPUTS: &'static [InputSlot] = &[];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("images", IMAGES),
        OutputSlot::new("rejected", REJECTED),
    ];

    fn sources(&self) -> Vec<PathBuf> {
        vec![self.source.clone()]
    }

    fn counts(file: &Path) -> bool {
        Format::is_ending_of(file) || is_table(file)
    }

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        fraction("max_bad_fraction", self.max_bad_fraction)?;
        if let (Some(_), Some(column)) = (self.splits, &self.split_column) {
            return Err(invalid(
                "splits",
                "one key that says the splits",
                format!("`split_column: {column}` too"),
                "leave one of them out",
            ));
        }
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
        let source = "key `params.source`";
        let held = Held::at(&path, self.image_column.as_deref()).context(source)?;
        for remark in &held.remarks {
            context.warn(remark.clone());
        }
        let listing = held.open(self, &path).context(source)?;
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
        for remark in &candidates.remarks {
            context.warn(remark.clone());
        }
        candidates.number_occurrences();
        self.split(context, &mut candidates);
        self.subset(context, &mut candidates)?;
        let vocabulary = listing.vocabulary(&candidates);

        let total = candidates.all.len();
        progress.begin("checking", "images", total as u64, 0);
        context.shards(1, |shard| {
            let mut images = Storing::begin(context, shard, &candidates)?;
            let mut rejected =
                RejectedWriter::create(&shard.output("rejected", "part-00000"), &Metadata::new())?;
            let (mut image_id, mut refused) = (0u32, Vec::new());
            let mut bad = HashSet::new();
            listing.chunks(&candidates.all, CHUNK, &mut |chunk: Vec<ReadCandidate>| {
                context.check_cancelled()?;
                let count = chunk.len() as u64;
                let digests: Vec<_> = chunk.iter().map(|found| found.candidate.digest).collect();
                let checked: Vec<Result<ImageRow, RejectedRow>> = chunk
                    .into_par_iter()
                    .map(|found| self.check(&candidates, found, &vocabulary))
                    .collect::<Result<_>>()?;
                for (outcome, digest) in checked.into_iter().zip(digests) {
                    match outcome {
                        Ok(mut row) => {
                            row.image_id = image_id;
                            image_id += 1;
                            images.write(row)?;
                        }
                        Err(row) => {
                            rejected.write(std::slice::from_ref(&row))?;
                            refused.push(row);
                            bad.insert(digest);
                        }
                    }
                }
                progress.advance(count);
                Ok(())
            })?;
            images.finish()?;
            rejected.finish()?;
            self.judge(context, &refused, total)?;
            for remark in
                listing.copies(&candidates, &vocabulary, |digest| !bad.contains(digest))?
            {
                context.warn(remark);
            }
            Ok(())
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
        vocabulary: &Vocabulary,
    ) -> Result<Result<ImageRow, RejectedRow>> {
        if digest_of(&found.bytes) != found.candidate.digest {
            bail!(
                Refusal::failure(format!("`{}` changed while it was read", found.source)).hint(
                    format!(
                        "run again when nothing writes to `{}`",
                        self.source.display()
                    )
                )
            );
        }
        let limits = Limits {
            pixels: self.max_pixels,
        };
        let ReadCandidate { candidate, .. } = found;
        let header = match found.header(|bytes| check(bytes, &limits)) {
            Ok(header) => header,
            Err(reason) => {
                let source = found.source;
                return Ok(Err(RejectedRow { source, reason }));
            }
        };
        let (label, label_name) = vocabulary.class(candidate).clone();
        Ok(Ok(ImageRow {
            image_id: 0,
            digest: candidate.digest,
            occurrence: candidate.occurrence,
            bytes: found.bytes.unwrap_or_default(),
            width: header.width,
            height: header.height,
            label,
            label_name,
            split: candidates.split(candidate).to_owned(),
            source: found.source,
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
            .map(|row| format!("  {}: {}", neutral::line(&row.source), row.reason))
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
