//! A trained network as one file that other programs load, and the figures of it. No stage and no
//! command line here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use seedpipe_artifact::ImagesReader;
use seedpipe_base::Refusal;
use seedpipe_engine::{Aside, Input};
use seedpipe_learn::checkpoint_file::timm_state;
use seedpipe_learn::deployment::Deployment;
use seedpipe_learn::quantisation::Quantisation;
use seedpipe_learn::{onnx, torchscript_file, weights_file};
use serde::{Deserialize, Serialize};
use tch::Kind;

use crate::export::rounding::quantise;
use crate::judging::evaluation::load_classifier;
use crate::shared::confusion::Class;
use crate::shared::network_source::{LABELS, Loaded, NAMES, Weights};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// PyTorch's state dict.
    Safetensors,
    /// For `torch.jit.load`.
    Torchscript,
    /// Opset 17, for onnxruntime and others.
    Onnx,
}

impl Format {
    pub const ALL: [Format; 3] = [Format::Safetensors, Format::Torchscript, Format::Onnx];

    pub fn name(self) -> &'static str {
        match self {
            Format::Safetensors => "safetensors",
            Format::Torchscript => "torchscript",
            Format::Onnx => "onnx",
        }
    }

    /// Of a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Safetensors => "safetensors",
            Format::Torchscript => "pt",
            Format::Onnx => "onnx",
        }
    }
}

/// What the file's numbers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    Fp32,
    /// Half precision inside; input and outputs stay f32.
    Fp16,
    /// Weights and values in 8 bits, calibrated on images; ONNX alone.
    Int8,
}

impl Precision {
    pub const ALL: [Precision; 3] = [Precision::Fp32, Precision::Fp16, Precision::Int8];

    pub fn name(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Fp16 => "fp16",
            Precision::Int8 => "int8",
        }
    }
}

/// Whose names the tensors in safetensors have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// The network's own: torchvision's, and for families that torchvision lacks those of their
    /// authors.
    #[default]
    Torchvision,
    /// Those of timm's network of the same kind.
    Timm,
}

impl Names {
    pub const ALL: [Names; 2] = [Names::Torchvision, Names::Timm];

    pub fn name(self) -> &'static str {
        match self {
            Names::Torchvision => "torchvision",
            Names::Timm => "timm",
        }
    }

    /// Not written into files then.
    pub fn is_default(&self) -> bool {
        *self == Names::default()
    }
}

/// The images that a network in 8 bits is calibrated and judged on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sample {
    /// To calibrate on; `train` when none is named, or `all` without such a split.
    pub split: Option<String>,
    /// How many of it, evenly spread.
    pub images: usize,
    /// To compare with f32 on; `test` when none is named, or `all` without such a split.
    pub test_split: Option<String>,
    /// How many of it, without those that it was calibrated on.
    pub test_images: usize,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            split: None,
            images: 128,
            test_split: None,
            test_images: 1000,
        }
    }
}

/// How a network is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manner {
    pub format: Format,
    pub precision: Precision,
    /// Of `int8`.
    pub sample: Sample,
    /// The network takes RGB of 0–1 and subtracts mean and divides by std itself (TorchScript,
    /// ONNX).
    pub normalise: bool,
    /// Of `safetensors`.
    #[serde(default, skip_serializing_if = "Names::is_default")]
    pub names: Names,
}

/// Why a manner is impossible: key, expected, got, hint.
pub type Impossible = (&'static str, &'static str, &'static str, &'static str);

impl Manner {
    pub fn check(&self) -> Result<(), Impossible> {
        if self.normalise && self.format == Format::Safetensors {
            return Err((
                "normalise",
                "false, since safetensors holds weights and no computation",
                "true",
                "leave it out, or write `torchscript` or `onnx`",
            ));
        }
        if self.names != Names::Torchvision && self.format != Format::Safetensors {
            return Err((
                "names",
                "torchvision, since only safetensors is loaded by its tensors' names",
                "timm",
                "leave it out, or write `safetensors`",
            ));
        }
        if self.precision == Precision::Int8 && self.format != Format::Onnx {
            return Err((
                "precision",
                "fp32 or fp16, since only ONNX says how values are rounded",
                "int8",
                "write `onnx`",
            ));
        }
        if self.sample.images == 0 || self.sample.test_images == 0 {
            return Err((
                "sample",
                "at least one image to calibrate on and one to compare on",
                "none",
                "leave it out for 128 and 1000",
            ));
        }
        Ok(())
    }
}

/// The network, what is put on top of it, and the images that name its classes.
#[derive(Clone, Copy)]
pub struct Sources<'input> {
    pub weights: Weights<'input>,
    /// A `weights/v1` of a linear classifier.
    pub classifier: Option<&'input Input>,
    /// An `images/v1`.
    pub images: Option<&'input Input>,
}

/// A file and what can be said of it.
pub struct Deliverable {
    pub bytes: Vec<u8>,
    pub description: Description,
    /// What of the network's own file was guessed, or is not used, for people.
    pub told: Option<String>,
}

/// What a reader of the file must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    pub manner: Manner,
    /// As in `network: {name: …}`.
    pub architecture: String,
    /// JSON of the whole description.
    pub network: String,
    /// JSON.
    pub preprocessing: String,
    /// Side of the square images, in pixels.
    pub size: u32,
    /// Length of the features.
    pub features: i64,
    /// Outputs of the classifier on top.
    pub classes: Option<i64>,
    /// By output; empty when they are not known.
    pub class_names: Vec<String>,
    /// By output; empty when they are not known or the outputs' own numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_labels: Vec<i32>,
    /// Names and values for metrics.
    pub figures: BTreeMap<String, f64>,
}

/// Reads the network and writes it in that manner.
pub fn deliver(sources: &Sources, manner: &Manner) -> Result<Deliverable> {
    let _aside = Aside::begin("exporting", "", 0);
    let loaded = sources.weights.load()?;
    let (deployment, classes) = deployed(&loaded, sources)?;
    let class_names: Vec<String> = classes.iter().map(|class| class.name.clone()).collect();
    let class_labels = labels_said(&classes);
    let mut figures = BTreeMap::new();
    let mut quantisation = None;
    if manner.precision == Precision::Int8 {
        let images = sources.images.ok_or_else(|| {
            Refusal::failure("`int8` is calibrated on images, and none are connected")
                .hint("connect the input `images` of an `export` stage")
        })?;
        let (grids, cost) = quantise(&deployment, images, &manner.sample)?;
        (quantisation, figures) = (Some(grids), cost);
    }
    let bytes = write(
        &deployment,
        manner,
        quantisation,
        &class_names,
        &class_labels,
    )?;
    figures.extend([
        ("parameters".to_owned(), deployment.parameter_count() as f64),
        (
            "multiply_adds".to_owned(),
            deployment.multiply_adds() as f64,
        ),
        ("bytes".to_owned(), bytes.len() as f64),
    ]);
    Ok(Deliverable {
        told: loaded.told,
        bytes,
        description: Description {
            architecture: deployment.architecture.name.clone(),
            network: serde_json::to_string(&deployment.architecture)?,
            preprocessing: serde_json::to_string(&deployment.preprocessing)?,
            size: deployment.preprocessing.size,
            features: deployment.feature_dimension(),
            classes: deployment.classes(),
            class_names,
            class_labels,
            figures,
            manner: manner.clone(),
        },
    })
}

/// A network of these sources as it leaves, on the CPU, and its classes by output: empty when they
/// are not known.
pub(crate) fn deployed(loaded: &Loaded, sources: &Sources) -> Result<(Deployment, Vec<Class>)> {
    let prepared = &loaded.prepared;
    let deployment = Deployment::new(&prepared.network, &prepared.preprocessing)?;
    let Some(input) = sources.classifier else {
        let classes = match sources.images {
            None => loaded.classes.clone(),
            images => classes(images, deployment.classes())?,
        };
        return Ok((deployment, classes));
    };
    let deployment = deployment
        .with_classifier(&load_classifier(input)?)
        .with_context(|| {
            format!(
                "the classifier of stage `{}` on the network of {}",
                input.stage, sources.weights
            )
        })?;
    let classes = classes(sources.images, deployment.classes())?;
    Ok((deployment, classes))
}

/// The classes by output, when the images have as many; none without images.
fn classes(images: Option<&Input>, classes: Option<i64>) -> Result<Vec<Class>> {
    let (Some(images), Some(classes)) = (images, classes) else {
        return Ok(Vec::new());
    };
    let reader = ImagesReader::open(&images.parts)?;
    let known = reader.classes().iter();
    let known: Vec<Class> = known
        .map(|(&label, name)| Class {
            label,
            name: name.clone(),
        })
        .collect();
    if known.len() as i64 != classes {
        bail!(
            Refusal::failure(format!(
                "the network tells {classes} classes apart, the images of stage `{}` have {}",
                images.stage,
                known.len()
            ))
            .hint("connect the images that it was trained on")
        );
    }
    Ok(known)
}

/// What a file says of labels beside the names: nothing where they count the outputs.
fn labels_said(classes: &[Class]) -> Vec<i32> {
    let labels: Vec<i32> = classes.iter().map(|class| class.label).collect();
    let counts = (0..).zip(&labels).all(|(output, label)| output == *label);
    if counts { Vec::new() } else { labels }
}

fn write(
    deployment: &Deployment,
    manner: &Manner,
    quantisation: Option<Quantisation>,
    class_names: &[String],
    class_labels: &[i32],
) -> Result<Vec<u8>> {
    let mut named = Vec::new();
    if !class_names.is_empty() {
        named.push((NAMES.to_owned(), serde_json::to_string(class_names)?));
    }
    if !class_labels.is_empty() {
        named.push((LABELS.to_owned(), serde_json::to_string(class_labels)?));
    }
    let half = manner.precision == Precision::Fp16;
    deployment.check_finite(if half { Kind::Half } else { Kind::Float })?;
    Ok(match manner.format {
        Format::Safetensors => {
            let mut metadata: BTreeMap<String, String> = named.into_iter().collect();
            metadata.extend([
                ("format".to_owned(), "pt".to_owned()),
                (
                    "architecture".to_owned(),
                    serde_json::to_string(&deployment.architecture)?,
                ),
                (
                    "preprocessing".to_owned(),
                    serde_json::to_string(&deployment.preprocessing)?,
                ),
            ]);
            let mut state = match manner.names {
                Names::Torchvision => deployment.state(),
                Names::Timm => timm_state(deployment)?,
            };
            for (_, tensor) in state
                .iter_mut()
                .filter(|(_, tensor)| half && tensor.kind() == Kind::Float)
            {
                *tensor = tensor.to_kind(Kind::Half);
            }
            weights_file::to_bytes(&state, &metadata)
        }
        Format::Torchscript => {
            let extra_files = named
                .into_iter()
                .map(|(name, text)| (format!("{name}.json"), text))
                .collect();
            let options = torchscript_file::TorchScriptOptions {
                half,
                normalise: manner.normalise,
                extra_files,
            };
            torchscript_file::to_bytes(deployment, &options)?
        }
        Format::Onnx => {
            let options = onnx::OnnxOptions {
                element: if half {
                    onnx::Element::F16
                } else {
                    onnx::Element::F32
                },
                normalise: manner.normalise,
                quantisation,
                metadata: named,
            };
            onnx::to_bytes(deployment, &options)?
        }
    })
}

/// Name of the [`Description`] as JSON in an `export` stage's artifact.
pub const DESCRIPTION: &str = "description.json";

/// Name of the file in an `export` stage's artifact.
pub fn file_name(format: Format) -> PathBuf {
    PathBuf::from("network").with_extension(format.extension())
}
