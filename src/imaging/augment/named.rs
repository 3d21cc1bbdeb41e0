//! The policies that have a name: the numbers of the methods that use them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::crop::Crop;
use crate::augment::operations::Policy;

/// The recipes that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecipeName {
    /// MoCo v2: area 0.2–1, jitter .4 .4 .4 .1 with probability .8, grayscale .2, blur .1–2 with
    /// .5, flip .5.
    Mocov2,
    /// SwAV's large crops: as `mocov2`, area 0.14–1.
    Swav,
    /// SwAV's small crops: as `mocov2`, area 0.05–0.14, 96 pixels.
    SwavSmall,
    /// MoCo v1 (the `simclr` of SEED's code): area 0.2–1, grayscale .2 before jitter .4 .4 .4 .4
    /// always, no blur, flip .5.
    Mocov1,
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
        match self {
            RecipeName::Custom => custom,
            RecipeName::Mocov2 => mocov2,
            RecipeName::Swav => Policy {
                crop: Crop::random(0.14, 1.0),
                ..mocov2
            },
            RecipeName::SwavSmall => Policy {
                size: 96,
                crop: Crop::random(0.05, 0.14),
                ..mocov2
            },
            RecipeName::Mocov1 => Policy {
                hue: 0.4,
                jitter_probability: 1.0,
                grayscale_first: true,
                blur_probability: 0.0,
                ..mocov2
            },
            RecipeName::Eval => Policy {
                crop: Crop::Centre { ratio: 0.875 },
                ..custom
            },
        }
    }
}

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
        assert_eq!(named(RecipeName::SwavSmall).size, 96);
        assert_eq!(named(RecipeName::SwavSmall).scale(), "small");
        assert_eq!(named(RecipeName::Swav).scale(), "global");
    }
}
