//! A network's state dict as timm's network of the same kind loads it: what reading a file of
//! timm's does, backwards.
//!
//! The tensors compute the same there: where timm keeps a tensor in another shape, counts positions
//! without the class token, or has another epsilon in its batch norms, the values are changed to
//! fit.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;
use tch::{Tensor, no_grad};

use super::spellings;
use crate::deploy::deployment::Deployment;
use crate::graph::{Graph, Operation};

/// Every tensor under timm's name, in the network's own order.
pub fn timm_state(deployment: &Deployment) -> Result<Vec<(String, Tensor)>, Refusal> {
    let architecture = &deployment.architecture;
    let unknown = || {
        let name = match architecture.graph {
            Some(_) => "graph",
            None => &architecture.name,
        };
        Refusal::failure(format!(
            "timm has no network like `{name}`, so it has no names for its tensors"
        ))
        .hint("leave `names` out for the network's own")
    };
    let spelling = spellings::timm(architecture).map_err(|_| unknown())?;
    let spelling = spelling.ok_or_else(unknown)?;
    let theirs: BTreeMap<&str, &str> = spelling
        .names
        .iter()
        .map(|(theirs, own)| (own.as_str(), theirs.as_str()))
        .collect();
    let mut state: BTreeMap<String, Tensor> = deployment.state().into_iter().collect();
    if let Some(epsilon) = spelling.epsilon {
        move_epsilon(&deployment.graph, &mut state, epsilon, -1.0);
    }
    no_grad(|| without_class_position(&mut state, &theirs));
    let order = deployment.graph.state().into_iter().map(|spec| spec.name);
    let found = order.filter_map(|own| {
        let tensor = state.remove(&own)?;
        // A part of DINOv2's training that timm leaves out, and a probe's classifier, which is
        // called so there too.
        let name = match theirs.get(own.as_str()) {
            _ if own == "mask_token" => return None,
            Some(name) => (*name).to_owned(),
            None => own,
        };
        let tensor = match (name.as_str(), &tensor.size()[..]) {
            ("conv_head.weight", &[outputs, inputs]) => tensor.reshape([outputs, inputs, 1, 1]),
            _ => tensor,
        };
        Some((name, tensor))
    });
    Ok(found.collect())
}

/// With registers, timm adds positions to the patches alone: the class token's own is added to the
/// token itself.
fn without_class_position(state: &mut BTreeMap<String, Tensor>, theirs: &BTreeMap<&str, &str>) {
    if theirs.get("register_tokens") != Some(&"reg_token") {
        return;
    }
    let (Some(class), Some(positions)) = (state.remove("cls_token"), state.remove("pos_embed"))
    else {
        return;
    };
    let count = positions.size()[1];
    let class = class + positions.narrow(1, 0, 1);
    state.insert("cls_token".to_owned(), class);
    let patches = positions.narrow(1, 1, count - 1).contiguous();
    state.insert("pos_embed".to_owned(), patches);
}

/// Batch norms of another epsilon compute the same with their running variances moved by the
/// difference: from that origin to us with `sign` 1, back with −1.
pub(super) fn move_epsilon(
    graph: &Graph,
    weights: &mut BTreeMap<String, Tensor>,
    theirs: f64,
    sign: f64,
) {
    for node in graph.nodes() {
        if let Operation::BatchNorm { epsilon, .. } = node.operation
            && let Some(variance) = weights.get_mut(&format!("{}.running_var", node.name))
        {
            *variance = tch::no_grad(|| &*variance + sign * (theirs - epsilon));
        }
    }
}
