//! `export`: a trained network as a file that other programs load, without the head of its
//! distillation.
//!
//! The file is the artifact, so that it is cached and hashed; `seedpipe export STAGE` puts it
//! beside the pipeline.
//!
//! Version log: 1 first, 2 labels that are not 0, 1, 2 are said beside names, and ties of the
//! accuracy in 8 bits don't hang on the classes' numbers, 3 logits come before features.

pub mod deliverable;
pub(crate) mod rounding;

use anyhow::Result;
use schemars::JsonSchema;
use seedpipe_artifact::{
    FILES, FileRow, FilesWriter, IMAGES, METRICS, Metadata, MetricRow, WEIGHTS,
};
use seedpipe_base::Refusal;
use seedpipe_engine::{Arity, InputKinds, InputSlot, OutputSlot, Stage, StageContext, Work};
use serde::{Deserialize, Serialize};

use crate::export::deliverable::{DESCRIPTION, Format, Manner, Names, Precision, Sample, Sources};
use crate::judging::evaluation::write_metrics;
use crate::shared::invalid::{Counted, count, invalid};
use crate::shared::network_source::Weights;

/// A network as a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// `safetensors`, `torchscript` or `onnx`.
    pub format: Format,
    /// `fp32`, `fp16` or `int8`; the last in ONNX alone, calibrated on the input `images`.
    #[serde(default)]
    pub precision: Precision,
    /// The network takes RGB of 0–1 and normalises it itself; not in safetensors.
    #[serde(default)]
    pub normalise: bool,
    /// Of `safetensors`: `torchvision` (default) or `timm`.
    #[serde(default)]
    pub names: Names,
    /// Of `int8`: what it is calibrated and judged on.
    #[serde(default)]
    pub sample: Sample,
}

impl Export {
    fn manner(&self) -> Manner {
        Manner {
            format: self.format,
            precision: self.precision,
            sample: self.sample.clone(),
            normalise: self.normalise,
            names: self.names,
        }
    }
}

impl Stage for Export {
    const KIND: &'static str = "export";
    const VERSION: u32 = 3;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("weights", &[WEIGHTS], Arity::One),
        InputSlot::new("classifier", &[WEIGHTS], Arity::Optional),
        InputSlot::new("images", &[IMAGES], Arity::Optional),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("file", FILES),
        OutputSlot::new("metrics", METRICS),
    ];
    const TENSORS: bool = true;

    fn validate(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        if self.precision == Precision::Int8 && !inputs.connected("images") {
            return Err(invalid(
                "precision",
                "`fp32` or `fp16` without the input `images`",
                "int8",
                "connect `images: STAGE`: 8 bits are calibrated on them",
            ));
        }
        for (key, images) in [
            ("sample.images", self.sample.images),
            ("sample.test_images", self.sample.test_images),
        ] {
            count(key, images as u64, 1, Counted::Rows)?;
        }
        self.manner()
            .check()
            .map_err(|(key, expected, got, hint)| invalid(key, expected, got, hint))
    }
}

impl Work for Export {
    fn run(&self, context: &StageContext) -> Result<()> {
        let sources = Sources {
            weights: Weights::Stage(context.input("weights")),
            classifier: context.optional_input("classifier"),
            images: context.optional_input("images"),
        };
        let delivered = deliverable::deliver(&sources, &self.manner())?;
        context.shards(1, |shard| {
            let path = shard.output("file", "part-00000");
            let mut file = FilesWriter::create(&path, &Metadata::new())?;
            file.write(&[
                FileRow {
                    name: deliverable::file_name(self.format).display().to_string(),
                    bytes: delivered.bytes.clone(),
                },
                FileRow {
                    name: DESCRIPTION.to_owned(),
                    bytes: serde_json::to_vec(&delivered.description)?,
                },
            ])?;
            file.finish()?;
            let rows: Vec<MetricRow> = delivered
                .description
                .figures
                .iter()
                .map(|(name, value)| MetricRow {
                    step: 0,
                    split: "export".to_owned(),
                    name: name.clone(),
                    value: *value,
                })
                .collect();
            write_metrics(&shard.output("metrics", "part-00000"), &rows)
        })
    }
}
