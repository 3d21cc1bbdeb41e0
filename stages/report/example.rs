//! A small experiment for tests: a teacher, its student, and an untrained network, without any
//! files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::material::{EarlierState, FieldChange, From, Material, Source, SourceOutput};

fn source(stage: &str, kind: &str, params: Value, inputs: &[(&str, &str, &str)]) -> Source {
    let inputs = inputs.iter().map(|(slot, stage, output)| {
        let from = From {
            stage: (*stage).to_owned(),
            output: (*output).to_owned(),
        };
        ((*slot).to_owned(), vec![from])
    });
    let kind = crate::light_registry().known(kind).clone();
    Source {
        stage: stage.to_owned(),
        purpose: kind.purpose(&params),
        kind,
        version: 1,
        seed: 0,
        recipe: params.to_string(),
        params,
        fingerprint: "0123456789abcdef".repeat(4),
        inputs: inputs.collect(),
        outputs: BTreeMap::new(),
        parameters: None,
        making: None,
    }
}

fn with_figures(mut source: Source, figures: &[(&str, f64)]) -> Source {
    let output = SourceOutput {
        kind: "metrics/v1".to_owned(),
        rows: figures.len() as u64,
        headline: figures
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
        parts: None,
    };
    source.outputs.insert("metrics".to_owned(), output);
    source
}

/// A stage with one output, called `output`, whose one file there is not.
pub fn stored(stage: &str, kind: &str, readable: bool, inputs: &[(&str, &str, &str)]) -> Source {
    let output = SourceOutput {
        kind: kind.to_owned(),
        rows: 1,
        headline: BTreeMap::new(),
        parts: readable.then(|| vec!["part-00000.parquet".into()]),
    };
    Source {
        outputs: BTreeMap::from([("output".to_owned(), output)]),
        ..source(stage, "ingest", json!({}), inputs)
    }
}

/// A fine-tuning of the student's size, by a slot besides the images.
pub fn finetune(stage: &str, alpha: f64, inputs: &[(&str, &str, &str)]) -> Source {
    let inputs = [&[("images", "images", "images")], inputs].concat();
    let params = json!({"network": {"name": "cifar_resnet8", "width": 0.5}, "alpha": alpha});
    Source {
        parameters: Some(18_888),
        ..source(stage, "finetune", params, &inputs)
    }
}

pub fn pretrain(stage: &str, params: Value) -> Source {
    source(stage, "pretrain", params, &[("views", "views", "views")])
}

pub fn encode(stage: &str, weights: &str, parameters: u64) -> Source {
    let inputs = [
        ("images", "images", "images"),
        ("weights", weights, "weights"),
    ];
    Source {
        parameters: Some(parameters),
        ..source(stage, "encode", json!({}), &inputs)
    }
}

/// The same under another name.
pub fn copy(of: &Source, stage: &str) -> Source {
    let inputs = of.inputs.clone();
    Source {
        parameters: of.parameters,
        inputs,
        ..source(stage, of.kind.name(), of.params.clone(), &[])
    }
}

pub fn probe(stage: &str, features: &str, figures: &[(&str, f64)]) -> Source {
    let inputs = [
        ("images", "images", "images"),
        ("features", features, "embeddings"),
    ];
    with_figures(source(stage, "probe", json!({}), &inputs), figures)
}

/// Linear accuracies of 80, 75 ± 2 and 40 %.
pub fn material() -> Material {
    let images = ("images", "images", "images");
    let views = ("views", "views", "views");
    let small = json!({"name": "cifar_resnet8", "width": 0.5});
    Material {
        title: "Example".to_owned(),
        sources: vec![
            source("images", "ingest", json!({}), &[]),
            source("views", "augment", json!({"size": 28}), &[images]),
            source(
                "teacher",
                "pretrain",
                json!({"network": {"name": "cifar_resnet20"}}),
                &[images, views],
            ),
            encode("targets", "teacher", 300_000),
            with_figures(
                source(
                    "student",
                    "distill",
                    json!({"network": small, "queue": 2048}),
                    &[images, views, ("targets", "targets", "embeddings")],
                ),
                &[("train/loss", 4.5)],
            ),
            encode("teacher_features", "teacher", 269_072),
            encode("student_features", "student", 18_888),
            Source {
                parameters: Some(18_888),
                ..source(
                    "untrained",
                    "encode",
                    json!({"network": small, "preprocessing": {"size": 28, "crop_ratio": 1.0, "filter": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}),
                    &[images],
                )
            },
            probe(
                "teacher_probe",
                "teacher_features",
                &[("test/linear_top1", 0.8)],
            ),
            probe(
                "student_probe",
                "student_features",
                &[
                    ("test/linear_top1", 0.75),
                    ("test/linear_top1_low", 0.73),
                    ("test/linear_top1_high", 0.77),
                ],
            ),
            probe("untrained_probe", "untrained", &[("test/linear_top1", 0.4)]),
        ],
        environment: Vec::new(),
        against: None,
    }
}

/// The student's probe was 5 points worse, the loss the same; another stage is gone.
pub fn against() -> EarlierState {
    let figures = |figures: &[(&str, f64)]| {
        figures
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect::<BTreeMap<_, _>>()
    };
    EarlierState {
        name: "main:pipeline.lock".to_owned(),
        figures: BTreeMap::from([
            (
                "student_probe".to_owned(),
                figures(&[("test/linear_top1", 0.7), ("test/linear_top1_low", 0.6)]),
            ),
            ("student".to_owned(), figures(&[("train/loss", 4.5)])),
            ("gone".to_owned(), figures(&[("test/top1", 0.5)])),
        ]),
        changes: vec![FieldChange {
            stage: "student".to_owned(),
            field: "params.queue".to_owned(),
            old: "64".to_owned(),
            new: "2048".to_owned(),
        }],
    }
}
