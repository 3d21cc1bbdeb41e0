//! The networks that are known by name.

use crate::resnet::ResNet;

#[derive(Clone, Copy)]
pub(crate) enum Family {
    CifarResNet { blocks_per_stage: usize },
    ResNet(ResNet),
}

const fn torchvision(blocks: [usize; 4], bottleneck: bool, inner_width: i64) -> Family {
    Family::ResNet(ResNet {
        blocks,
        bottleneck,
        inner_width,
    })
}

pub(crate) const FAMILIES: [(&str, Family); 13] = [
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
];

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
