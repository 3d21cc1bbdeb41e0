//! `agreement`: how far a network sees images as its teacher does, without labels: the same nearest
//! neighbours, the same order of similarities, the same clusters.
//!
//! Version log: 1 first.

use std::collections::HashSet;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use seedpipe_artifact::{EMBEDDINGS, IMAGES, ImagesReader, METRICS, MetricRow};
use seedpipe_base::Refusal;
use seedpipe_engine::{
    Arity, Column, InputKinds, InputSlot, OutputSlot, Purpose, Stage, StageContext, Work,
};
use seedpipe_learn::agreement::{
    adjusted_mutual_information, clusters, common_neighbours, cosines, pairs, rank_correlation,
};
use seedpipe_learn::bootstrap::{Interval, Statistic, intervals};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::judging::evaluation::{Features, write_metrics};
use crate::shared::invalid::{Counted, count};
use crate::shared::selection::{keyed_sample, rows_of_split};

/// Fewer images than these have no neighbours to speak of.
const FEWEST: usize = 4;

/// Agreement with a teacher, without labels: `neighbours_in_common`, the share of each image's k
/// nearest neighbours that both networks name (mutual k-NN alignment, arXiv 2405.07987; by chance
/// `neighbours_in_common_by_chance`); `rank_correlation`, Spearman's, of the cosines of pairs of
/// images (by chance 0); `clusters_found`, the adjusted mutual information of k-means clusters (by
/// chance 0). Of images with equal bytes one is looked at.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Nearest neighbours of an image; of fewer than 2k + 1 images half of the others, rounded down.
    #[serde(default = "default_k")]
    pub k: usize,
    /// Clusters of each network's features; of fewer than twice as many images half as many as
    /// images.
    #[serde(default = "default_clusters")]
    pub clusters: usize,
    /// Images that are looked at, at most: a keyed draw.
    #[serde(default = "default_sample")]
    pub sample: usize,
    /// Pairs of images whose similarities are ranked, at most: a keyed draw.
    #[serde(default = "default_pairs")]
    pub pairs: usize,
    /// The split whose images are looked at.
    #[serde(default = "crate::shared::selection::test_split")]
    pub split: String,
}

fn default_k() -> usize {
    10
}

fn default_clusters() -> usize {
    20
}

fn default_sample() -> usize {
    5_000
}

fn default_pairs() -> usize {
    100_000
}

impl Stage for Agreement {
    const KIND: &'static str = "agreement";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("images", &[IMAGES], Arity::One),
        InputSlot::new("features", &[EMBEDDINGS], Arity::One),
        InputSlot::new("teacher", &[EMBEDDINGS], Arity::One),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot::new("metrics", METRICS)];
    const TENSORS: bool = true;
    const HEADLINE: &'static [&'static str] = &[
        "neighbours_in_common",
        "neighbours_in_common_by_chance",
        "rank_correlation",
        "clusters_found",
    ];
    const COLUMNS: &'static [Column] = &[
        Column::new("neighbours_in_common", "teacher's neighbours"),
        Column::new("rank_correlation", "rank correlation"),
        Column::new("clusters_found", "teacher's clusters"),
    ];

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        count("k", self.k as u64, 1, Counted::AtOnce)?;
        count("clusters", self.clusters as u64, 2, Counted::AtOnce)?;
        count("sample", self.sample as u64, FEWEST as u64, Counted::Rows)?;
        count("pairs", self.pairs as u64, 2, Counted::Rows)
    }

    fn purpose(&self) -> Purpose {
        Purpose::Judging
    }
}

impl Work for Agreement {
    fn run(&self, context: &StageContext) -> Result<()> {
        let images = ImagesReader::open(&context.input("images").parts)?;
        let rows = self.looked_at(context, &images)?;
        let found = [
            Features::open(context)?,
            Features::of_slot(context, "teacher")?,
        ];
        let [student, teacher] = found.map(|features| features.of(&images, &rows));
        let (student, teacher) = (student?, teacher?);
        for (slot, features) in [("features", &student), ("teacher", &teacher)] {
            finite(context, slot, features, &images, &rows)?;
        }
        context.shards(1, |shard| {
            let rows = self.figures(context, rows.len(), &student, &teacher)?;
            write_metrics(&shard.output("metrics", "part-00000"), &rows)
        })
    }
}

impl Agreement {
    /// Rows of the images, each of other bytes, in the order of their digests.
    fn looked_at(
        &self,
        context: &StageContext,
        images: &ImagesReader,
    ) -> Result<Vec<(usize, usize)>> {
        let mut seen = HashSet::new();
        let rows = rows_of_split(images, &self.split)?.into_iter();
        let distinct = rows.filter(|&row| seen.insert(*images.image(row).digest));
        let distinct = distinct.map(|row| (row, 0)).collect();
        let mut rows = keyed_sample(images, distinct, self.sample, context.seed());
        if rows.len() < FEWEST {
            bail!(
                Refusal::failure(format!(
                    "expected at least {FEWEST} different images in split `{}`, got {}",
                    self.split,
                    rows.len()
                ))
                .key("params.split")
                .hint("name another split")
            );
        }
        rows.sort_by_key(|&(row, _)| images.image(row).digest);
        Ok(rows)
    }

    fn figures(
        &self,
        context: &StageContext,
        count: usize,
        student: &Tensor,
        teacher: &Tensor,
    ) -> Result<Vec<MetricRow>> {
        let rng = |label| context.rng(label, &[]);
        let k = self.k.min((count - 1) / 2).max(1);
        let common = common_neighbours(student, teacher, k);
        let share: Statistic = Box::new(|times| {
            let common = common.iter().zip(times);
            let sum: u64 = common
                .map(|(&common, &times)| u64::from(common * times))
                .sum();
            sum as f64 / (count * k) as f64
        });
        let neighbours = share(&vec![1; count]);
        let interval = intervals(count, &[share], &rng("bootstrap"));
        let by_chance = k as f64 / (count - 1) as f64;
        let mut rows = vec![
            ("neighbours_in_common", neighbours, Some(interval[0])),
            ("neighbours_in_common_by_chance", by_chance, None),
        ];
        let pairs = pairs(count as u32, self.pairs, &mut rng("pairs"));
        let [one, other] = [student, teacher].map(|features| cosines(features, &pairs));
        match rank_correlation(&pairs, count, &one, &other, &rng("bootstrap")) {
            Some((value, interval)) => rows.push(("rank_correlation", value, Some(interval))),
            None => context.warn(
                "a network sees all images as equally similar: there is no rank correlation"
                    .to_owned(),
            ),
        }
        let number = self.clusters.min(count / 2);
        let found = [student, teacher].map(|features| clusters(features, number, &rng("clusters")));
        let [one, other] = found;
        let information = adjusted_mutual_information(&one?, &other?);
        rows.push(("clusters_found", information, None));
        let row = |name: String, value: f64| MetricRow {
            step: 0,
            split: self.split.clone(),
            name,
            value,
        };
        let rows = rows.into_iter().flat_map(|(name, value, interval)| {
            let ends = interval.map(|Interval { low, high }| {
                [
                    row(format!("{name}_low"), low),
                    row(format!("{name}_high"), high),
                ]
            });
            [row(name.to_owned(), value)]
                .into_iter()
                .chain(ends.into_iter().flatten())
        });
        Ok(rows.collect())
    }
}

/// Refuses features that are no numbers.
fn finite(
    context: &StageContext,
    slot: &str,
    features: &Tensor,
    images: &ImagesReader,
    rows: &[(usize, usize)],
) -> Result<()> {
    let sums = Vec::<f64>::try_from(
        features
            .to_kind(tch::Kind::Double)
            .sum_dim_intlist(1, false, None),
    )?;
    let Some(row) = sums.iter().position(|sum| !sum.is_finite()) else {
        return Ok(());
    };
    bail!(
        Refusal::failure(format!(
            "input `{slot}`: expected numbers, got none of image {}",
            images.image(rows[row].0).image_id
        ))
        .stage(context.stage())
        .hint("the network's training diverged: lower its `learning_rate`")
    )
}
