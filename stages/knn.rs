//! `knn`: exact cosine nearest neighbours among frozen, stored features; votes weighted by
//! exp(similarity / temperature), and plain majority. With `retrieval`, the test images also are
//! queries that rank the whole bank.
//!
//! Version log: 1 first, 2 only classes that got a vote are named, and neither ties nor intervals
//! hang on the classes' numbers, 3 balanced accuracy and macro F1, and intervals of every share.

use anyhow::{Result, bail};
use schemars::JsonSchema;
use seedpipe_artifact::{EMBEDDINGS, IMAGES, ImagesReader, METRICS, MetricRow, PREDICTIONS};
use seedpipe_base::Refusal;
use seedpipe_engine::{
    Arity, Column, Demanded, InputKinds, InputSlot, OutputSlot, Purpose, Stage, StageContext, Work,
};
use seedpipe_learn::knn::{Bank, Ranking, accuracy};
use seedpipe_learn::retrieval::retrieval;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::judging::evaluation::{Features, Judging, write_metrics};
use crate::shared::invalid::{Counted, count, invalid, temperature};
use crate::shared::selection::{Classes, by_content, judged};

/// Nearest-neighbour classification.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Knn {
    /// Numbers of neighbours; the first gives `knn_top1`, the others `knn_top1_k10` and so on.
    #[serde(default = "default_k")]
    pub k: Vec<usize>,
    /// Votes are weighted by exp(similarity / temperature): the smaller, the more the nearest
    /// count.
    #[serde(default = "default_temperature")]
    pub temperature: f64,
    /// The split whose images vote.
    #[serde(default = "crate::shared::selection::train_split")]
    pub bank_split: String,
    /// The split whose images are judged.
    #[serde(default = "crate::shared::selection::test_split")]
    pub test_split: String,
    /// Also ranks the whole bank for each test image, by cosine: the mean average precision
    /// (`retrieval_map`) and the shares of test images with one of their class among the 1, 5 and
    /// 10 first (`retrieval_recall_at_1` …), over the test images whose class is in the bank.
    /// Default: no.
    #[serde(default)]
    pub retrieval: bool,
}

/// Numbers of first images that recall is told at.
const RECALL_AT: [usize; 3] = [1, 5, 10];

fn default_k() -> Vec<usize> {
    vec![20, 10, 200]
}

fn default_temperature() -> f64 {
    0.07
}

impl Stage for Knn {
    const KIND: &'static str = "knn";
    const VERSION: u32 = 3;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("images", &[IMAGES], Arity::One),
        InputSlot::new("features", &[EMBEDDINGS], Arity::One),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("metrics", METRICS),
        OutputSlot::new("predictions", PREDICTIONS),
    ];
    const TENSORS: bool = true;
    const HEADLINE: &'static [&'static str] = &[
        "knn_top1",
        "knn_top5",
        "knn_balanced_accuracy",
        "knn_macro_f1",
        "knn_majority_top1",
        "retrieval_map",
    ];
    const COLUMNS: &'static [Column] = &[
        Column::new("knn_top1", "kNN top-1"),
        Column::new("knn_balanced_accuracy", "kNN balanced"),
        Column::new("knn_macro_f1", "kNN macro F1"),
        Column::new("retrieval_map", "retrieval mAP"),
    ];

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        if self.k.is_empty() {
            let hint = "the paper uses 10, 20 and 200";
            return Err(invalid("k", "one or more numbers", "none", hint));
        }
        for &k in &self.k {
            count("k", k as u64, 1, Counted::AtOnce)?;
        }
        if self.retrieval && self.bank_split == self.test_split {
            return Err(invalid(
                "retrieval",
                "false when the test images are the bank",
                "true",
                "each would find itself first: name another `bank_split` or `test_split`",
            ));
        }
        temperature("temperature", self.temperature, "0.07 is the usual value")
    }

    fn purpose(&self) -> Purpose {
        Purpose::Judging
    }
}

impl Work for Knn {
    fn run(&self, context: &StageContext) -> Result<()> {
        let images = ImagesReader::open(&context.input("images").parts)?;
        let features = Features::open(context)?;
        let classes = Classes::of(&images)?;
        // Of rows as near as each other the earlier one votes.
        let bank_rows = classes.labelled(&images, &self.bank_split)?;
        let bank_rows = by_content(&images, &classes, bank_rows);
        let test = classes.labelled(&images, &self.test_split)?;
        let labels = |rows: &[(usize, usize)]| {
            rows.iter()
                .map(|&(_, class)| class as i64)
                .collect::<Vec<_>>()
        };
        let bank = Bank::new(
            &features.of(&images, &bank_rows)?,
            &labels(&bank_rows),
            classes.len(),
        );
        let test_labels = labels(&test);

        context.shards(1, |shard| {
            let queries = features.of(&images, &test)?;
            let neighbours = bank.classify(&queries, &self.k, self.temperature);
            let mut judged = test.iter().zip(&neighbours[0].weighted);
            if let Some(((row, _), _)) = judged.find(|(_, best)| best.classes.is_empty()) {
                bail!(
                    Refusal::failure(format!(
                        "input `features`: expected numbers, got none of image {}",
                        images.image(*row).image_id
                    ))
                    .stage(context.stage())
                    .hint("the network's training diverged: lower its `learning_rate`")
                );
            }
            let judging = Judging {
                context,
                images: &images,
                classes: &classes,
                labelled: &test,
                split: &self.test_split,
                step: 0,
            };
            let mut rows = Vec::new();
            for (index, of_k) in neighbours.iter().enumerate() {
                let suffix = if index == 0 {
                    String::new()
                } else {
                    format!("_k{}", self.k[index])
                };
                rows.extend(judging.rows("knn_", &suffix, &ranked(&of_k.weighted)).1);
                let majority = accuracy(&of_k.majority, &test_labels, 1);
                rows.push(judging.row(format!("knn_majority_top1{suffix}"), majority));
            }
            if self.retrieval {
                rows.extend(self.retrieval_rows(context, &bank, &queries, &test_labels)?);
            }
            write_metrics(&shard.output("metrics", "part-00000"), &rows)?;
            let best = ranked(&neighbours[0].weighted);
            judging.write_predictions(&shard.output("predictions", "part-00000"), &best)
        })
    }

    fn rows(&self, context: &StageContext) -> Result<Demanded> {
        judged(context, &self.test_split)
    }
}

/// The classes with their shares.
fn ranked(rankings: &[Ranking]) -> Vec<Vec<(u32, f32)>> {
    let of = |ranking: &Ranking| {
        let shares = ranking.shares.iter().map(|&share| share as f32);
        ranking.classes.iter().copied().zip(shares).collect()
    };
    rankings.iter().map(of).collect()
}

impl Knn {
    fn retrieval_rows(
        &self,
        context: &StageContext,
        bank: &Bank,
        queries: &Tensor,
        labels: &[i64],
    ) -> Result<Vec<MetricRow>> {
        let found = retrieval(bank, queries, labels, &RECALL_AT).ok_or_else(|| {
            Refusal::failure(format!(
                "expected test images of a class that split `{}` holds, got none",
                self.bank_split
            ))
            .stage(context.stage())
            .key("retrieval")
            .hint("name another `bank_split`")
        })?;
        let row = |name: String, value: f64| MetricRow {
            step: 0,
            split: self.test_split.clone(),
            name,
            value,
        };
        let precision = row("retrieval_map".to_owned(), found.mean_average_precision);
        let recall = RECALL_AT.iter().zip(&found.recall);
        let recall = recall.map(|(k, &value)| row(format!("retrieval_recall_at_{k}"), value));
        Ok([precision].into_iter().chain(recall).collect())
    }
}
