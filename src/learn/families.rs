//! The networks that are known by name: how each is built, what its classifier is called, how it looks at an image.

use crate::architecture::{Shortcut, Stem};
use crate::efficientnet::{self, EfficientNet};
use crate::efficientnet_lite::{self, EfficientNetLite};
use crate::graph::{Initial, NodeId};
use crate::graph_builder::GraphBuilder;
use crate::preprocessing::{Crop, Filter, Preprocessing};
use crate::resnet::{self, ResNet};
use crate::vision_transformer::{self, Layout, VisionTransformer};
use crate::{cifar_resnet, mobilenet_v2, mobilenet_v3};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Family {
    CifarResNet { blocks_per_stage: usize },
    ResNet(ResNet),
    MobileNetV2,
    MobileNetV3(mobilenet_v3::Size),
    EfficientNet(EfficientNet),
    EfficientNetLite(EfficientNetLite),
    VisionTransformer(VisionTransformer),
}

const fn torchvision(blocks: [usize; 4], bottleneck: bool, inner_width: i64) -> Family {
    Family::ResNet(ResNet {
        blocks,
        bottleneck,
        inner_width,
        widen: 1.0,
    })
}

/// SwAV's wide ResNet-50: every channel count times `widen`.
const fn swav(widen: i64) -> Family {
    Family::ResNet(ResNet {
        blocks: [3, 4, 6, 3],
        bottleneck: true,
        inner_width: 1,
        widen: widen as f64,
    })
}

const fn efficientnet(width: f64, depth: f64, size: u32, resize: u32) -> Family {
    Family::EfficientNet(EfficientNet {
        width,
        depth,
        size,
        resize,
    })
}

const fn efficientnet_lite(width: f64, depth: f64, size: u32) -> Family {
    Family::EfficientNetLite(EfficientNetLite { width, depth, size })
}

const fn vision(layout: Layout, heads: i64, patch: i64) -> Family {
    Family::VisionTransformer(VisionTransformer {
        layout,
        heads,
        patch,
    })
}

pub(crate) const FAMILIES: [(&str, Family); 41] = [
    (
        "cifar_resnet8",
        Family::CifarResNet {
            blocks_per_stage: 1,
        },
    ),
    (
        "cifar_resnet14",
        Family::CifarResNet {
            blocks_per_stage: 2,
        },
    ),
    (
        "cifar_resnet20",
        Family::CifarResNet {
            blocks_per_stage: 3,
        },
    ),
    (
        "cifar_resnet32",
        Family::CifarResNet {
            blocks_per_stage: 5,
        },
    ),
    (
        "cifar_resnet44",
        Family::CifarResNet {
            blocks_per_stage: 7,
        },
    ),
    (
        "cifar_resnet56",
        Family::CifarResNet {
            blocks_per_stage: 9,
        },
    ),
    (
        "cifar_resnet110",
        Family::CifarResNet {
            blocks_per_stage: 18,
        },
    ),
    ("resnet18", torchvision([2, 2, 2, 2], false, 1)),
    ("resnet34", torchvision([3, 4, 6, 3], false, 1)),
    ("resnet50", torchvision([3, 4, 6, 3], true, 1)),
    ("resnet101", torchvision([3, 4, 23, 3], true, 1)),
    ("resnet152", torchvision([3, 8, 36, 3], true, 1)),
    ("wide_resnet50_2", torchvision([3, 4, 6, 3], true, 2)),
    ("swav_resnet50w2", swav(2)),
    ("swav_resnet50w4", swav(4)),
    ("swav_resnet50w5", swav(5)),
    ("mobilenet_v2", Family::MobileNetV2),
    (
        "mobilenet_v3_small",
        Family::MobileNetV3(mobilenet_v3::Size::Small),
    ),
    (
        "mobilenet_v3_large",
        Family::MobileNetV3(mobilenet_v3::Size::Large),
    ),
    ("efficientnet_b0", efficientnet(1.0, 1.0, 224, 256)),
    ("efficientnet_b1", efficientnet(1.0, 1.1, 240, 256)),
    ("efficientnet_b2", efficientnet(1.1, 1.2, 288, 288)),
    ("efficientnet_b3", efficientnet(1.2, 1.4, 300, 320)),
    ("efficientnet_lite0", efficientnet_lite(1.0, 1.0, 224)),
    ("efficientnet_lite1", efficientnet_lite(1.0, 1.1, 240)),
    ("efficientnet_lite2", efficientnet_lite(1.1, 1.2, 260)),
    ("vit_t_16", vision(Layout::Torchvision, 3, 16)),
    ("vit_s_16", vision(Layout::Torchvision, 6, 16)),
    ("vit_b_16", vision(Layout::Torchvision, 12, 16)),
    ("vit_b_32", vision(Layout::Torchvision, 12, 32)),
    ("dino_vitt16", vision(Layout::Dino, 3, 16)),
    ("dino_vits16", vision(Layout::Dino, 6, 16)),
    ("dino_vits8", vision(Layout::Dino, 6, 8)),
    ("dino_vitb16", vision(Layout::Dino, 12, 16)),
    ("dino_vitb8", vision(Layout::Dino, 12, 8)),
    (
        "dinov2_vitt14",
        vision(Layout::Dinov2 { registers: 0 }, 3, 14),
    ),
    (
        "dinov2_vits14",
        vision(Layout::Dinov2 { registers: 0 }, 6, 14),
    ),
    (
        "dinov2_vitb14",
        vision(Layout::Dinov2 { registers: 0 }, 12, 14),
    ),
    (
        "dinov2_vitt14_reg",
        vision(Layout::Dinov2 { registers: 4 }, 3, 14),
    ),
    (
        "dinov2_vits14_reg",
        vision(Layout::Dinov2 { registers: 4 }, 6, 14),
    ),
    (
        "dinov2_vitb14_reg",
        vision(Layout::Dinov2 { registers: 4 }, 12, 14),
    ),
];

/// What a description may choose about a family's backbone.
pub(crate) struct Choices {
    pub width: f64,
    pub stem: Option<Stem>,
    pub shortcut: Option<Shortcut>,
    /// Side in pixels of the images that a vision transformer's positions are for.
    pub position_size: Option<i64>,
}

impl Family {
    /// Writes the backbone down; returns the features `[B, D]` and their length `D`.
    pub(crate) fn backbone(self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let width = choices.width;
        let (last, channels) = match self {
            Family::CifarResNet { blocks_per_stage } => {
                let shortcut = choices.shortcut.unwrap_or(Shortcut::A);
                cifar_resnet::backbone(graph, blocks_per_stage, shortcut, width)
            }
            Family::ResNet(network) => {
                let stem = choices.stem.unwrap_or(Stem::Imagenet);
                resnet::backbone(graph, network, stem, width)
            }
            Family::MobileNetV2 => mobilenet_v2::backbone(graph, width),
            Family::MobileNetV3(size) => mobilenet_v3::backbone(graph, size, width),
            Family::EfficientNet(network) => efficientnet::backbone(graph, network, width),
            Family::EfficientNetLite(network) => efficientnet_lite::backbone(graph, network, width),
            Family::VisionTransformer(network) => {
                let size = choices.position_size.unwrap_or(network.position_size());
                return vision_transformer::backbone(graph, network, width, size);
            }
        };
        (graph.pooled(last), channels)
    }

    /// Writes the classifier on the features down.
    pub(crate) fn classifier(
        self,
        graph: &mut GraphBuilder,
        features: NodeId,
        inputs: i64,
        width: f64,
        classes: i64,
    ) -> NodeId {
        let initial = match self {
            // The CIFAR reproduction draws its classifier like its convolutions.
            Family::CifarResNet { .. } => Initial::KaimingNormalFanIn,
            Family::ResNet(_) => Initial::Uniform,
            Family::MobileNetV2 => Initial::Normal { deviation: 0.01 },
            Family::MobileNetV3(size) => {
                return mobilenet_v3::classifier(graph, size, width, features, inputs, classes);
            }
            Family::EfficientNet(_) | Family::EfficientNetLite(_) => Initial::UniformFanOut,
            Family::VisionTransformer(_) => Initial::Normal { deviation: 0.02 },
        };
        let name = match self {
            Family::CifarResNet { .. } => "linear",
            Family::ResNet(_) => "fc",
            Family::MobileNetV2 | Family::MobileNetV3(_) | Family::EfficientNet(_) => {
                "classifier.1"
            }
            Family::EfficientNetLite(_) => "_fc",
            Family::VisionTransformer(VisionTransformer {
                layout: Layout::Torchvision,
                ..
            }) => "heads.head",
            Family::VisionTransformer(_) => "head",
        };
        graph.linear(name, features, inputs, classes, initial)
    }

    /// How the family's published weights look at an image: through Pillow, whose rounding their accuracies were measured with.
    /// CIFAR's are not resized.
    pub(crate) fn preprocessing(self) -> Preprocessing {
        let imagenet = Preprocessing::imagenet();
        match self {
            Family::CifarResNet { .. } => small_images(),
            Family::ResNet(_) | Family::MobileNetV2 | Family::MobileNetV3(_) => imagenet,
            Family::EfficientNet(EfficientNet { size, resize, .. }) => Preprocessing {
                size,
                crop_ratio: f64::from(size) / f64::from(resize),
                filter: Filter::PillowBicubic,
                ..imagenet
            },
            // The middle size / (size + 32) of the image, cut out before it is resized, and (x − 127) / 128.
            Family::EfficientNetLite(EfficientNetLite { size, .. }) => Preprocessing {
                size,
                crop_ratio: f64::from(size) / f64::from(size + 32),
                crop: Crop::BeforeResize,
                filter: Filter::PillowBicubic,
                mean: [127.0 / 255.0; 3],
                std: [128.0 / 255.0; 3],
            },
            Family::VisionTransformer(VisionTransformer {
                layout: Layout::Torchvision,
                ..
            }) => imagenet,
            Family::VisionTransformer(_) => Preprocessing {
                filter: Filter::PillowBicubic,
                ..imagenet
            },
        }
    }
}

/// ImageNet's colours at 32 pixels, uncropped.
pub(crate) fn small_images() -> Preprocessing {
    Preprocessing {
        size: 32,
        crop_ratio: 1.0,
        ..Preprocessing::default()
    }
}

/// Every name that an [`Architecture`] can have.
pub fn names() -> Vec<&'static str> {
    FAMILIES.iter().map(|(name, _)| *name).collect()
}

/// The known name that takes the fewest edits, when that is few enough to be a slip.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "");
    names()
        .into_iter()
        .map(|candidate| (edits(&name, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 6)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
