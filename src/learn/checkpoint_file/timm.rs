//! timm's names of MobileNets and EfficientNets, beside torchvision's and
//! `efficientnet-lite-pytorch`'s.
//!
//! timm counts blocks by stage and calls a block's parts by their place: `conv_pw`, `conv_dw`,
//! `conv_pwl`, `bn1` to `bn3`.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;

use crate::architecture::Architecture;
use crate::graph::{Graph, Operation};

/// Our name of each tensor → timm's; none for families that timm spells as we do.
pub(super) fn names(
    architecture: &Architecture,
) -> Result<Option<BTreeMap<String, String>>, Refusal> {
    let plain = architecture.without_head();
    let (stages, nests): (&[usize], Nesting) = match plain.name.as_str() {
        "mobilenet_v2" => (&[1, 2, 3, 4, 3, 3, 1], Nesting::Flat),
        "mobilenet_v3_large" => (&[1, 2, 3, 4, 2, 3, 1], Nesting::Flat),
        "mobilenet_v3_small" => (&[1, 2, 3, 2, 3, 1], Nesting::Flat),
        name if name.starts_with("efficientnet_b") => (&[], Nesting::Staged),
        name if name.starts_with("efficientnet_lite") => (&[], Nesting::Lite),
        _ => return Ok(None),
    };
    let graph = plain.graph()?;
    let places = places(&graph, stages, nests);
    let mut found = BTreeMap::new();
    for node in graph.nodes() {
        let Some(timm) = places.get(&node.name) else {
            continue;
        };
        for spec in node.state() {
            let last = &spec.name[node.name.len()..];
            found.insert(spec.name.clone(), format!("{timm}{last}"));
        }
    }
    Ok(Some(found))
}

#[derive(Clone, Copy, PartialEq)]
enum Nesting {
    /// `features.4.…`: blocks in one row.
    Flat,
    /// `features.2.1.…`: stages and blocks.
    Staged,
    /// `_blocks.3.…`: blocks in one row from 0, stages by stride and width.
    Lite,
}

/// The layers of one block, in order.
#[derive(Default)]
struct BlockLayers {
    name: String,
    convolutions: Vec<(String, bool)>,
    norms: Vec<String>,
}

/// Our name of each layer → timm's.
fn places(graph: &Graph, stages: &[usize], nesting: Nesting) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut blocks: Vec<BlockLayers> = vec![];
    let mut outer: Vec<(String, bool)> = vec![];
    for node in graph.nodes().iter().filter(|node| !node.name.is_empty()) {
        let norm = matches!(node.operation, Operation::BatchNorm { .. });
        let Some(block) = block_of(&node.name, nesting) else {
            outer.push((node.name.clone(), norm));
            continue;
        };
        if blocks.last().is_none_or(|last| last.name != block) {
            blocks.push(BlockLayers {
                name: block,
                ..BlockLayers::default()
            });
        }
        let current = blocks.last_mut().expect("BUG: a block was just added");
        if let Some(squeeze) = squeeze(&node.name) {
            found.insert(node.name.clone(), format!("{}|{squeeze}", current.name));
        } else if norm {
            current.norms.push(node.name.clone());
        } else {
            let depthwise = matches!(&node.operation, Operation::Convolution(convolution) if convolution.groups > 1);
            current.convolutions.push((node.name.clone(), depthwise));
        }
    }
    let indices = stage_indices(&blocks, stages, nesting);
    let mut prefixes = BTreeMap::new();
    for (block, (stage, index)) in blocks.iter().zip(indices) {
        let prefix = format!("blocks.{stage}.{index}");
        prefixes.insert(block.name.clone(), prefix.clone());
        let expanded = block
            .convolutions
            .first()
            .is_some_and(|(_, depthwise)| !depthwise);
        let parts: &[&str] = match expanded {
            true => &["conv_pw", "conv_dw", "conv_pwl"],
            false => &["conv_dw", "conv_pw"],
        };
        for ((name, _), part) in block.convolutions.iter().zip(parts) {
            found.insert(name.clone(), format!("{prefix}.{part}"));
        }
        for (index, name) in block.norms.iter().enumerate() {
            found.insert(name.clone(), format!("{prefix}.bn{}", index + 1));
        }
    }
    for place in found.values_mut() {
        if let Some((block, part)) = place.split_once('|') {
            *place = format!("{}.{part}", prefixes[block]);
        }
    }
    let last_stage = stages.len().saturating_sub(1);
    // The stem and its norm, the last convolution and its norm, one or two classifiers.
    let names: Vec<&str> = match nesting {
        Nesting::Flat if outer.len() == 6 => vec![
            "conv_stem",
            "bn1",
            "LAST.0.conv",
            "LAST.0.bn1",
            "conv_head",
            "classifier",
        ],
        _ => vec!["conv_stem", "bn1", "conv_head", "bn2", "classifier"],
    };
    for ((name, _), timm) in outer.iter().zip(names) {
        found.insert(
            name.clone(),
            timm.replace("LAST", &format!("blocks.{last_stage}")),
        );
    }
    found
}

/// The block that a layer lies in, such as `features.2.1`; none for stem, head and classifier.
fn block_of(name: &str, nesting: Nesting) -> Option<String> {
    let segments: Vec<&str> = name.split('.').collect();
    match (nesting, segments.as_slice()) {
        (Nesting::Flat, ["features", index, "conv" | "block", ..]) => {
            Some(format!("features.{index}"))
        }
        (Nesting::Staged, ["features", stage, index, "block", ..]) => {
            Some(format!("features.{stage}.{index}"))
        }
        (Nesting::Lite, ["_blocks", index, ..]) => Some(format!("_blocks.{index}")),
        _ => None,
    }
}

fn squeeze(name: &str) -> Option<&'static str> {
    match name.rsplit('.').next() {
        Some("fc1") => Some("se.conv_reduce"),
        Some("fc2") => Some("se.conv_expand"),
        _ => None,
    }
}

/// Stage and index within it of each block.
fn stage_indices(
    blocks: &[BlockLayers],
    stages: &[usize],
    nesting: Nesting,
) -> Vec<(usize, usize)> {
    let counted: Vec<usize> = match nesting {
        Nesting::Flat => stages.to_vec(),
        Nesting::Staged => {
            let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
            for block in blocks {
                let stage = block
                    .name
                    .split('.')
                    .nth(1)
                    .and_then(|stage| stage.parse().ok());
                *counts.entry(stage.unwrap_or_default()).or_default() += 1;
            }
            counts.into_values().collect()
        }
        Nesting::Lite => lite_stages(blocks.len()),
    };
    let mut found = vec![];
    for (stage, count) in counted.into_iter().enumerate() {
        found.extend((0..count).map(|index| (stage, index)));
    }
    found
}

/// Blocks per stage of EfficientNet-Lite0, and of Lite1 and Lite2, told by how many there are.
fn lite_stages(count: usize) -> Vec<usize> {
    match count {
        16 => vec![1, 2, 2, 3, 3, 4, 1],
        _ => vec![1, 3, 3, 4, 4, 5, 1],
    }
}
