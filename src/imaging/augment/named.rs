//! The policies that have a name: the numbers of the methods that use them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::crop::Crop;
use crate::augment::operations::Policy;

/// The recipes that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecipeName {
    /// MoCo v2 (`main_moco.py --aug-plus` of facebookresearch/moco), and SEED's own: area 0.2–1,
    /// jitter .4 .4 .4 .1 with probability .8, grayscale .2, blur .1–2 with .5, flip .5.
    Mocov2,
    /// MoCo v1 (`main_moco.py`; SEED's code calls it `simclr`): area 0.2–1, grayscale .2 before
    /// jitter .4 .4 .4 .4 always, no blur, flip .5.
    Mocov1,
    /// SimCLR (`data_util.py` of google-research/simclr, strength 1): area 0.08–1, jitter .8 .8 .8
    /// .2 with probability .8, grayscale .2, blur .1–2 with .5, flip .5.
    Simclr,
    /// SwAV's large crops (`multicropdataset.py` of facebookresearch/swav): area 0.14–1, colours
    /// and blur as `simclr`.
    Swav,
    /// SwAV's small crops: as `swav`, area 0.05–0.14, 96 pixels.
    SwavSmall,
    /// SEED's small views: as `mocov2`, area 0.05–0.14, 96 pixels.
    SeedSmall,
    /// What linear classifiers are trained on (`main_lincls.py` of facebookresearch/moco and of SEED,
    /// as PyTorch's ImageNet example): area 0.08–1, flip .5, no colours, no blur.
    MocoLincls,
    /// No chance: the shorter side resized to the size / 0.875, centre crop.
    Eval,
    /// torchvision's bare random resized crop (area 0.08–1), everything else off until it is set.
    Custom,
}

impl RecipeName {
    /// Its numbers as published.
    pub(crate) fn policy(self) -> Policy {
        let custom = Policy::default();
        let mocov2 = Policy {
            crop: Crop::random(0.2, 1.0),
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.1,
            jitter_probability: 0.8,
            grayscale_probability: 0.2,
            blur_probability: 0.5,
            flip_probability: 0.5,
            ..custom.clone()
        };
        let simclr = Policy {
            crop: Crop::random(0.08, 1.0),
            brightness: 0.8,
            contrast: 0.8,
            saturation: 0.8,
            hue: 0.2,
            ..mocov2.clone()
        };
        let small = Crop::random(0.05, 0.14);
        match self {
            RecipeName::Custom => custom,
            RecipeName::Mocov2 => mocov2,
            RecipeName::Simclr => simclr,
            RecipeName::Swav => Policy {
                crop: Crop::random(0.14, 1.0),
                ..simclr
            },
            RecipeName::SwavSmall => Policy {
                size: 96,
                crop: small,
                ..simclr
            },
            RecipeName::SeedSmall => Policy {
                size: 96,
                crop: small,
                ..mocov2
            },
            RecipeName::Mocov1 => Policy {
                hue: 0.4,
                jitter_probability: 1.0,
                grayscale_first: true,
                blur_probability: 0.0,
                ..mocov2
            },
            RecipeName::MocoLincls => Policy {
                flip_probability: 0.5,
                ..custom
            },
            RecipeName::Eval => Policy {
                crop: Crop::Centre { ratio: 0.875 },
                ..custom
            },
        }
    }
}

/// All, as pipeline.yaml has them.
#[cfg(test)]
pub(crate) const NAMES: [&str; 9] = [
    "mocov2",
    "mocov1",
    "simclr",
    "swav",
    "swav_small",
    "seed_small",
    "moco_lincls",
    "eval",
    "custom",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Adjust;

    #[test]
    fn named_recipes_hold_the_published_numbers() {
        let named = |name| Policy::new(name, None, &Adjust::default()).unwrap();
        let mocov1 = named(RecipeName::Mocov1);
        assert!(mocov1.grayscale_first && mocov1.blur_probability == 0.0);
        assert_eq!((mocov1.hue, mocov1.jitter_probability), (0.4, 1.0));
        for (name, colours) in [
            (RecipeName::Mocov2, [0.4, 0.4, 0.4, 0.1]),
            (RecipeName::SeedSmall, [0.4, 0.4, 0.4, 0.1]),
            (RecipeName::Simclr, [0.8, 0.8, 0.8, 0.2]),
            (RecipeName::Swav, [0.8, 0.8, 0.8, 0.2]),
            (RecipeName::SwavSmall, [0.8, 0.8, 0.8, 0.2]),
        ] {
            let policy = named(name);
            let own = [
                policy.brightness,
                policy.contrast,
                policy.saturation,
                policy.hue,
            ];
            assert_eq!(own, colours, "{name:?}");
            let chances = [
                policy.jitter_probability,
                policy.grayscale_probability,
                policy.blur_probability,
                policy.flip_probability,
            ];
            assert_eq!(chances, [0.8, 0.2, 0.5, 0.5], "{name:?}");
        }
        let lincls = named(RecipeName::MocoLincls);
        assert_eq!(lincls.crop, Crop::random(0.08, 1.0));
        let flipped = Policy {
            flip_probability: 0.5,
            ..Policy::default()
        };
        assert_eq!(lincls, flipped);
        assert_eq!(named(RecipeName::SwavSmall).size, 96);
        assert_eq!(named(RecipeName::SwavSmall).scale(), "small");
        assert_eq!(named(RecipeName::SeedSmall).scale(), "small");
        assert_eq!(named(RecipeName::Swav).scale(), "global");
    }
}
