//! `brightness`: how bright a split's images are. A kind of a program's own, shown in
//! docs/extending.md.
//!
//! Version log: 1 first.

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use seedpipe_artifact::{IMAGES, ImagesReader, METRICS, Metadata, MetricRow, MetricsWriter};
use seedpipe_base::Refusal;
use seedpipe_engine::{Arity, InputKinds, InputSlot, OutputSlot, Stage, StageContext, Work};
use seedpipe_imaging::{Limits, decode};
use serde::{Deserialize, Serialize};

/// How bright a split's images are.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brightness {
    /// The split whose images are measured.
    #[serde(default = "train")]
    pub split: String,
    /// An image counts as dark when its mean is below this: 0 is black, 1 is white.
    #[serde(default = "a_quarter")]
    pub dark_below: f64,
}

fn train() -> String {
    "train".to_owned()
}

fn a_quarter() -> f64 {
    0.25
}

impl Stage for Brightness {
    const KIND: &'static str = "brightness";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[InputSlot::new("images", &[IMAGES], Arity::One)];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot::new("metrics", METRICS)];
    const HEADLINE: &'static [&'static str] = &["brightness_mean"];

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        if (0.0..=1.0).contains(&self.dark_below) {
            return Ok(());
        }
        Err(
            Refusal::expected("a number from 0 to 1", self.dark_below.to_string())
                .key("dark_below")
                .hint("divide by 255"),
        )
    }
}

impl Work for Brightness {
    fn run(&self, context: &StageContext) -> Result<()> {
        let images = ImagesReader::open(&context.input("images").parts)?;
        let rows = images.rows_in(&self.split);
        ensure!(
            !rows.is_empty(),
            Refusal::expected(
                format!("one of {:?}", images.splits()),
                format!("`{}`", self.split)
            )
            .failed()
            .key("split")
            .hint("name one of those, or let `ingest` make the split")
        );
        context.shards(1, |shard| {
            let progress = context.progress();
            progress.begin(context.stage(), "images", rows.len() as u64, 0);
            let mut means = Vec::new();
            for &row in &rows {
                context.check_cancelled()?;
                means.push(mean(&images.bytes(row)?).with_context(|| format!("image {row}"))?);
                progress.advance(1);
            }
            progress.finish();
            let dark = means.iter().filter(|mean| **mean < self.dark_below).count();
            let figures = [
                ("brightness_mean", means.iter().sum::<f64>()),
                ("brightness_dark", dark as f64),
            ];
            let metrics = figures.map(|(name, sum)| MetricRow {
                step: 0,
                split: self.split.clone(),
                name: name.to_owned(),
                value: sum / means.len() as f64,
            });
            let part = shard.output("metrics", "part-00000");
            let mut writer = MetricsWriter::create(&part, &Metadata::new())?;
            writer.write(&metrics)?;
            writer.finish()?;
            Ok(())
        })
    }
}

/// The mean of all samples, 0 to 1.
fn mean(encoded: &[u8]) -> Result<f64> {
    let image = decode(encoded, &Limits::default())?;
    let sum: u64 = image.pixels.iter().map(|&sample| u64::from(sample)).sum();
    Ok(sum as f64 / (255.0 * image.pixels.len() as f64))
}
