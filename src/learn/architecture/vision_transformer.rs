//! Vision transformers (arXiv 2010.11929) in three layouts of names: torchvision's, DINO's (also
//! timm's) and DINOv2's.
//!
//! Features are the class token after the last norm. A position embedding serves images of other
//! sizes by the interpolation of its origin.

use seedpipe_base::Filter;

use crate::architecture::families::{Choices, Family};
use crate::architecture::preprocessing::Preprocessing;
use crate::graph::graph_builder::GraphBuilder;
use crate::graph::{Activation, Convolution, Initial, Interpolation, NodeId};

const EPSILON: f64 = 1e-6;
const INITIAL: Initial = Initial::Normal { deviation: 0.02 };
/// Channels of one head.
const HEAD: i64 = 64;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum VitLayout {
    Torchvision,
    Dino,
    /// With layer scale, and with this many registers.
    Dinov2 {
        registers: i64,
    },
}

/// What tells one from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct VisionTransformer {
    pub layout: VitLayout,
    pub heads: i64,
    /// Side of a square patch, in pixels.
    pub patch: i64,
}

impl Family for VisionTransformer {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let size = choices.position_size.unwrap_or(self.position_size());
        backbone(graph, *self, choices.width, size)
    }

    fn classifier(&self) -> (&'static str, Initial) {
        let name = match self.layout {
            VitLayout::Torchvision => "heads.head",
            VitLayout::Dino | VitLayout::Dinov2 { .. } => "head",
        };
        (name, INITIAL)
    }

    fn preprocessing(&self) -> Preprocessing {
        let imagenet = Preprocessing::imagenet();
        match self.layout {
            VitLayout::Torchvision => imagenet,
            VitLayout::Dino | VitLayout::Dinov2 { .. } => Preprocessing {
                filter: Filter::PillowBicubic,
                ..imagenet
            },
        }
    }

    fn patch(&self) -> Option<i64> {
        Some(self.patch)
    }
}

impl VisionTransformer {
    /// Side in pixels of the images that its position embedding is made for, by default.
    fn position_size(self) -> i64 {
        match self.layout {
            VitLayout::Torchvision | VitLayout::Dino => 224,
            VitLayout::Dinov2 { .. } => 518,
        }
    }

    fn interpolation(self) -> Interpolation {
        match self.layout {
            VitLayout::Torchvision => Interpolation::AlignedCorners,
            VitLayout::Dino | VitLayout::Dinov2 { registers: 0 } => Interpolation::Offset,
            VitLayout::Dinov2 { .. } => Interpolation::Antialiased,
        }
    }
}

const BLOCKS: usize = 12;

/// How a layout calls the parts of a block.
struct BlockNames {
    block: &'static str,
    first_norm: &'static str,
    /// Queries, keys and values in one.
    projection: &'static str,
    attended: &'static str,
    second_norm: &'static str,
    hidden: &'static str,
    output: &'static str,
    last_norm: &'static str,
}

const TORCHVISION: BlockNames = BlockNames {
    block: "encoder.layers.encoder_layer_",
    first_norm: "ln_1",
    projection: "self_attention.in_proj_",
    attended: "self_attention.out_proj",
    second_norm: "ln_2",
    hidden: "mlp.0",
    output: "mlp.3",
    last_norm: "encoder.ln",
};

const DINO: BlockNames = BlockNames {
    block: "blocks.",
    first_norm: "norm1",
    projection: "attn.qkv",
    attended: "attn.proj",
    second_norm: "norm2",
    hidden: "mlp.fc1",
    output: "mlp.fc2",
    last_norm: "norm",
};

/// From images to the class token `[B, C]`; returns it with its length `C`. `width` scales the
/// count of heads; positions are for images of `position_size` pixels.
fn backbone(
    graph: &mut GraphBuilder,
    network: VisionTransformer,
    width: f64,
    position_size: i64,
) -> (NodeId, i64) {
    let heads = ((network.heads as f64 * width).round() as i64).max(1);
    let length = heads * HEAD;
    let grid = position_size / network.patch;
    let mut tokens = embed(graph, network, length, grid);
    let names = match network.layout {
        VitLayout::Torchvision => TORCHVISION,
        VitLayout::Dino | VitLayout::Dinov2 { .. } => DINO,
    };
    let scaled = matches!(network.layout, VitLayout::Dinov2 { .. });
    for index in 0..BLOCKS {
        tokens = block(
            graph,
            &names,
            index,
            tokens,
            heads,
            scaled.then_some(["ls1", "ls2"]),
        );
    }
    tokens = graph.layer_norm(names.last_norm, tokens, length, EPSILON);
    (graph.select_token(tokens, 0), length)
}

/// The patches' tokens with class token, positions and registers.
fn embed(graph: &mut GraphBuilder, network: VisionTransformer, length: i64, grid: i64) -> NodeId {
    let image = graph.image();
    let patch = Convolution {
        padding: 0,
        ..Convolution::new(3, length, network.patch, network.patch, INITIAL).with_bias()
    };
    let positions = [1, 1 + grid * grid, length];
    let interpolation = network.interpolation();
    if network.layout == VitLayout::Torchvision {
        let class = graph.parameter("class_token", &[1, 1, length], Initial::Constant(0.0));
        let patches = graph.convolution("conv_proj", image, patch);
        let positions = graph.parameter("encoder.pos_embedding", &positions, INITIAL);
        let tokens = graph.tokens(patches);
        let tokens = graph.concatenate_tokens(&[class, tokens]);
        return graph.add_positions([tokens, positions, patches], 1, grid, interpolation);
    }
    let class = graph.parameter("cls_token", &[1, 1, length], INITIAL);
    let positions = graph.parameter("pos_embed", &positions, INITIAL);
    let mut registers = None;
    if let VitLayout::Dinov2 { registers: count } = network.layout {
        let begin = Initial::Normal { deviation: 1e-6 };
        if count > 0 {
            registers = Some(graph.parameter("register_tokens", &[1, count, length], begin));
        }
        // Part of the training by masking; nothing here reads it.
        graph.unread("mask_token", &[1, length]);
    }
    let patches = graph.convolution("patch_embed.proj", image, patch);
    let tokens = graph.tokens(patches);
    let tokens = graph.concatenate_tokens(&[class, tokens]);
    let tokens = graph.add_positions([tokens, positions, patches], 1, grid, interpolation);
    match registers {
        // Behind the patches instead of before them: attention knows no order, and the class token
        // stays the first.
        Some(registers) => graph.concatenate_tokens(&[tokens, registers]),
        None => tokens,
    }
}

fn block(
    graph: &mut GraphBuilder,
    names: &BlockNames,
    index: usize,
    input: NodeId,
    heads: i64,
    scales: Option<[&str; 2]>,
) -> NodeId {
    let length = heads * HEAD;
    let name = |part: &str| format!("{}{index}.{part}", names.block);
    let mut value = graph.layer_norm(&name(names.first_norm), input, length, EPSILON);
    value = graph.linear(&name(names.projection), value, length, 3 * length, INITIAL);
    value = graph.attention(value, heads);
    value = graph.linear(&name(names.attended), value, length, length, INITIAL);
    if let Some([first, _]) = scales {
        value = graph.layer_scale(&name(first), value, length, 1.0);
    }
    let attended = graph.add(value, input);
    value = graph.layer_norm(&name(names.second_norm), attended, length, EPSILON);
    value = graph.linear(&name(names.hidden), value, length, 4 * length, INITIAL);
    value = graph.activation(value, Activation::Gelu);
    value = graph.linear(&name(names.output), value, 4 * length, length, INITIAL);
    if let Some([_, second]) = scales {
        value = graph.layer_scale(&name(second), value, length, 1.0);
    }
    graph.add(value, attended)
}
