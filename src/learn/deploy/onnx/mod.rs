//! ONNX files from a network's graph: opset 17, any number of images at once, batch norms folded,
//! names as in the state dict.
//!
//! Input `images` `[batch, 3, size, size]` f32 of the preprocessing's size; outputs, with a
//! classifier, `logits` `[batch, classes]`, then `features` `[batch, D]`, f32. Preprocessing lies in
//! the metadata. Equal networks give equal bytes.

mod lower;
mod model;
mod wire;

use seedpipe_base::Refusal;

use crate::architecture::CropOrder;
use crate::deploy::deployment::Deployment;
use crate::deploy::quantisation::Quantisation;
use crate::graph::folding::fold;
use lower::Lowering;

/// What the written weights and values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    F32,
    /// Weights and values in half precision; input and outputs stay f32.
    F16,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OnnxOptions {
    pub element: Element,
    /// The graph takes RGB of 0–1 and normalises it itself; else `images` are normalised already.
    pub normalise: bool,
    /// Weights and values in 8 bits, by the grids of this very network; the other numbers are f32.
    pub quantisation: Option<Quantisation>,
    /// Further entries of the metadata, such as class names.
    pub metadata: Vec<(String, String)>,
}

/// Protocol buffers end at 2 GiB.
const LARGEST: usize = (1 << 31) - (1 << 20);

/// The file's bytes.
pub fn to_bytes(deployment: &Deployment, options: &OnnxOptions) -> Result<Vec<u8>, Refusal> {
    let folded = fold(&deployment.graph, &deployment.tensors);
    let lowering = Lowering::new(&folded, &deployment.preprocessing, options);
    let graph = lowering.run();
    if graph.len() > LARGEST {
        return Err(Refusal::failure(format!(
            "an ONNX file holds at most 2 GB, and this network takes {} bytes",
            graph.len()
        ))
        .hint("write it as `safetensors`, or with `--precision fp16`"));
    }
    let mut metadata = metadata(deployment, options.normalise);
    metadata.extend(options.metadata.iter().cloned());
    Ok(graph.finish(&deployment.architecture.name, &metadata))
}

/// The preprocessing and the architecture, as JSON values under plain keys.
fn metadata(deployment: &Deployment, normalised_inside: bool) -> Vec<(String, String)> {
    let preprocessing = &deployment.preprocessing;
    let numbers = |values: &[f32; 3]| {
        serde_json::to_string(values).expect("BUG: three numbers that JSON can't hold")
    };
    let interpolation = preprocessing.filter.interpolation();
    let architecture = serde_json::to_string(&deployment.architecture)
        .expect("BUG: an architecture that JSON can't hold");
    let input = if normalised_inside {
        "RGB, 0 to 1"
    } else {
        "RGB, (x - mean) / std of 0 to 1"
    };
    let mut metadata = vec![
        ("architecture", architecture),
        ("size", preprocessing.size.to_string()),
        ("crop_ratio", preprocessing.crop_ratio.to_string()),
        ("interpolation", interpolation.to_owned()),
        ("mean", numbers(&preprocessing.mean)),
        ("std", numbers(&preprocessing.std)),
        ("input", input.to_owned()),
    ];
    // Said only where it is unusual.
    if preprocessing.filter.is_pillow() {
        metadata.push(("resize", "of a PIL image, rounded to 8 bits".to_owned()));
    }
    if preprocessing.crop == CropOrder::BeforeResize {
        metadata.push(("crop", "before_resize".to_owned()));
    }
    metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
