//! TorchScript files from a network's graph, as `torch.jit.load` reads them in Python.
//!
//! `forward(images)` takes `[B, 3, H, W]` f32 and returns
//! `{"logits": [B, classes], "features": [B, D]}`, the former with a classifier. Tensors lie under
//! the names of the state dict; batch norms are not folded (`torch.jit.freeze` and
//! `torch.jit.optimize_for_inference` do it). The preprocessing is the extra file
//! `preprocessing.json`.

mod compile;
mod source;

use seedpipe_base::Refusal;
use tch::Kind;

use crate::deploy::deployment::Deployment;

#[derive(Clone, Debug, PartialEq)]
pub struct TorchScriptOptions {
    /// Weights in half precision; input and outputs stay f32.
    pub half: bool,
    /// The network takes RGB of 0–1 and normalises it itself; else `images` are normalised already.
    pub normalise: bool,
    /// Further extra files: name and text.
    pub extra_files: Vec<(String, String)>,
}

/// The file's bytes; equal networks give equal bytes.
pub fn to_bytes(deployment: &Deployment, options: &TorchScriptOptions) -> Result<Vec<u8>, Refusal> {
    let kind = if options.half {
        Kind::Half
    } else {
        Kind::Float
    };
    let source = source::forward(deployment, options);
    let specs = deployment.graph.state();
    let tensors: Vec<compile::NamedValue> = specs
        .iter()
        .zip(&deployment.tensors)
        .map(|(spec, tensor)| compile::NamedValue {
            name: &spec.name,
            tensor: match spec.kind {
                Kind::Float => tensor.detach().to_kind(kind).contiguous(),
                _ => tensor.detach().contiguous(),
            },
            trainable: spec.role.trainable(),
        })
        .collect();
    let json =
        |value: serde_json::Result<String>| value.expect("BUG: a description that JSON can't hold");
    let mut extra = vec![
        (
            "preprocessing.json".to_owned(),
            json(serde_json::to_string(&deployment.preprocessing)),
        ),
        (
            "architecture.json".to_owned(),
            json(serde_json::to_string(&deployment.architecture)),
        ),
    ];
    extra.extend(options.extra_files.iter().cloned());
    compile::compile(&source, &tensors, &extra).map_err(|reason| {
        Refusal::failure(format!("libtorch could not write TorchScript: {reason}"))
    })
}
