//! The networks that are known by name, and what a family of them is: a type with [`Family`] in a
//! file of its own, and a line a name in the table here (docs/extending.md).

use std::sync::{PoisonError, RwLock};

use crate::architecture::cifar_resnet::CifarResNet;
use crate::architecture::efficientnet::EfficientNet;
use crate::architecture::efficientnet_lite::EfficientNetLite;
use crate::architecture::mobilenet_v2::MobileNetV2;
use crate::architecture::mobilenet_v3::MobileNetV3;
use crate::architecture::preprocessing::Preprocessing;
use crate::architecture::resnet::ResNet;
use crate::architecture::vision_transformer::{VisionTransformer, VitLayout};
use crate::architecture::{Shortcut, Stem};
use crate::graph::graph_builder::GraphBuilder;
use crate::graph::{Initial, NodeId};

/// How the networks of one kind are built, what their classifier is called, how they look at an
/// image. A value is one network.
pub trait Family: Sync {
    /// Writes the backbone down; returns the features `[B, D]` and their length `D`.
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64);

    /// What the family's checkpoints call the classifier, and how its weight begins.
    fn classifier(&self) -> (&'static str, Initial) {
        ("classifier", Initial::Uniform)
    }

    /// Writes down what lies between the features and the classifier: nothing by default.
    ///
    /// - `features`: `[B, D]` and its length `D`; so is what is returned
    /// - `width`: the factor on every channel count
    fn before_classifier(
        &self,
        _graph: &mut GraphBuilder,
        features: (NodeId, i64),
        _width: f64,
    ) -> (NodeId, i64) {
        features
    }

    /// How the family's published weights look at an image: through Pillow, whose rounding their
    /// accuracies were measured with.
    fn preprocessing(&self) -> Preprocessing {
        Preprocessing::imagenet()
    }

    /// Whether users may choose the first layers, by `stem`.
    fn offers_stems(&self) -> bool {
        false
    }

    /// Whether users may choose how a block of other width passes its input on, by `shortcut`.
    fn offers_shortcuts(&self) -> bool {
        false
    }

    /// Of networks with a position embedding: the side of a square patch in pixels, of which
    /// `position_size` is a multiple.
    fn patch(&self) -> Option<i64> {
        None
    }
}

/// What a description may choose about a family's backbone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choices {
    /// Factor on every channel count, above 0 and at most 16.
    pub width: f64,
    /// Set only where the family offers stems.
    pub stem: Option<Stem>,
    /// Set only where the family offers shortcuts.
    pub shortcut: Option<Shortcut>,
    /// Side in pixels of the images that positions are for; set only where the family has a patch.
    pub position_size: Option<i64>,
}

type NamedFamily = (&'static str, &'static dyn Family);

const fn cifar(blocks_per_stage: usize) -> CifarResNet {
    CifarResNet { blocks_per_stage }
}

const fn torchvision(blocks: [usize; 4], bottleneck: bool, inner_width: i64) -> ResNet {
    ResNet {
        blocks,
        bottleneck,
        inner_width,
        widen: 1.0,
    }
}

/// SwAV's wide ResNet-50: every channel count times `widen`.
const fn swav(widen: i64) -> ResNet {
    ResNet {
        blocks: [3, 4, 6, 3],
        bottleneck: true,
        inner_width: 1,
        widen: widen as f64,
    }
}

const fn efficientnet(width: f64, depth: f64, size: u32, resize: u32) -> EfficientNet {
    EfficientNet {
        width,
        depth,
        size,
        resize,
    }
}

const fn efficientnet_lite(width: f64, depth: f64, size: u32) -> EfficientNetLite {
    EfficientNetLite { width, depth, size }
}

const fn vision(layout: VitLayout, heads: i64, patch: i64) -> VisionTransformer {
    VisionTransformer {
        layout,
        heads,
        patch,
    }
}

static FAMILIES: [NamedFamily; 41] = [
    ("cifar_resnet8", &cifar(1)),
    ("cifar_resnet14", &cifar(2)),
    ("cifar_resnet20", &cifar(3)),
    ("cifar_resnet32", &cifar(5)),
    ("cifar_resnet44", &cifar(7)),
    ("cifar_resnet56", &cifar(9)),
    ("cifar_resnet110", &cifar(18)),
    ("resnet18", &torchvision([2, 2, 2, 2], false, 1)),
    ("resnet34", &torchvision([3, 4, 6, 3], false, 1)),
    ("resnet50", &torchvision([3, 4, 6, 3], true, 1)),
    ("resnet101", &torchvision([3, 4, 23, 3], true, 1)),
    ("resnet152", &torchvision([3, 8, 36, 3], true, 1)),
    ("wide_resnet50_2", &torchvision([3, 4, 6, 3], true, 2)),
    ("swav_resnet50w2", &swav(2)),
    ("swav_resnet50w4", &swav(4)),
    ("swav_resnet50w5", &swav(5)),
    ("mobilenet_v2", &MobileNetV2),
    ("mobilenet_v3_small", &MobileNetV3::Small),
    ("mobilenet_v3_large", &MobileNetV3::Large),
    ("efficientnet_b0", &efficientnet(1.0, 1.0, 224, 256)),
    ("efficientnet_b1", &efficientnet(1.0, 1.1, 240, 256)),
    ("efficientnet_b2", &efficientnet(1.1, 1.2, 288, 288)),
    ("efficientnet_b3", &efficientnet(1.2, 1.4, 300, 320)),
    ("efficientnet_lite0", &efficientnet_lite(1.0, 1.0, 224)),
    ("efficientnet_lite1", &efficientnet_lite(1.0, 1.1, 240)),
    ("efficientnet_lite2", &efficientnet_lite(1.1, 1.2, 260)),
    ("vit_t_16", &vision(VitLayout::Torchvision, 3, 16)),
    ("vit_s_16", &vision(VitLayout::Torchvision, 6, 16)),
    ("vit_b_16", &vision(VitLayout::Torchvision, 12, 16)),
    ("vit_b_32", &vision(VitLayout::Torchvision, 12, 32)),
    ("dino_vitt16", &vision(VitLayout::Dino, 3, 16)),
    ("dino_vits16", &vision(VitLayout::Dino, 6, 16)),
    ("dino_vits8", &vision(VitLayout::Dino, 6, 8)),
    ("dino_vitb16", &vision(VitLayout::Dino, 12, 16)),
    ("dino_vitb8", &vision(VitLayout::Dino, 12, 8)),
    (
        "dinov2_vitt14",
        &vision(VitLayout::Dinov2 { registers: 0 }, 3, 14),
    ),
    (
        "dinov2_vits14",
        &vision(VitLayout::Dinov2 { registers: 0 }, 6, 14),
    ),
    (
        "dinov2_vitb14",
        &vision(VitLayout::Dinov2 { registers: 0 }, 12, 14),
    ),
    (
        "dinov2_vitt14_reg",
        &vision(VitLayout::Dinov2 { registers: 4 }, 3, 14),
    ),
    (
        "dinov2_vits14_reg",
        &vision(VitLayout::Dinov2 { registers: 4 }, 6, 14),
    ),
    (
        "dinov2_vitb14_reg",
        &vision(VitLayout::Dinov2 { registers: 4 }, 12, 14),
    ),
];

/// Those that a program brings itself.
static ADDED: RwLock<Vec<NamedFamily>> = RwLock::new(Vec::new());

/// Makes a network of a program's own known by name, before any pipeline is read.
///
/// # Panics
/// When the name is taken: a mistake in the program.
pub fn add(name: &'static str, family: &'static dyn Family) {
    assert!(
        find(name).is_none(),
        "BUG: two networks are called `{name}`"
    );
    ADDED
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .push((name, family));
}

fn all() -> Vec<NamedFamily> {
    let added = ADDED.read().unwrap_or_else(PoisonError::into_inner);
    FAMILIES.iter().chain(added.iter()).copied().collect()
}

/// The network of that name.
pub(crate) fn find(name: &str) -> Option<&'static dyn Family> {
    all()
        .into_iter()
        .find(|(known, _)| *known == name)
        .map(|(_, family)| family)
}

/// ImageNet's colours at 32 pixels, uncropped.
pub(crate) fn small_images() -> Preprocessing {
    Preprocessing {
        size: 32,
        crop_ratio: 1.0,
        ..Preprocessing::default()
    }
}

/// Every name that a network can have.
pub fn names() -> Vec<&'static str> {
    all().into_iter().map(|(name, _)| name).collect()
}
