//! The recipes that have a name: the numbers of the methods that use them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Crop, Filter, Recipe, RecipeError};

/// The recipes that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecipeName {
    /// MoCo v2: area 0.2–1, jitter .4 .4 .4 .1 with probability .8, grayscale .2, blur .1–2 with .5, flip .5.
    Mocov2,
    /// SwAV's large crops: as `mocov2`, area 0.14–1.
    Swav,
    /// SwAV's small crops: as `mocov2`, area 0.05–0.14, 96 pixels.
    SwavSmall,
    /// MoCo v1 (the `simclr` of SEED's code): area 0.2–1, grayscale .2 before jitter .4 .4 .4 .4 always, no blur, flip .5.
    Mocov1,
    /// No chance: the shorter side resized to the size / 0.875, centre crop.
    Eval,
    /// torchvision's bare random resized crop (area 0.08–1), everything else off until it is set.
    Custom,
}

impl RecipeName {
    const ALL: [RecipeName; 6] = [
        RecipeName::Mocov2,
        RecipeName::Swav,
        RecipeName::SwavSmall,
        RecipeName::Mocov1,
        RecipeName::Eval,
        RecipeName::Custom,
    ];

    /// The name as it is written in params.
    pub fn name(self) -> &'static str {
        match self {
            RecipeName::Mocov2 => "mocov2",
            RecipeName::Swav => "swav",
            RecipeName::SwavSmall => "swav_small",
            RecipeName::Mocov1 => "mocov1",
            RecipeName::Eval => "eval",
            RecipeName::Custom => "custom",
        }
    }

    /// The recipe as published.
    pub(crate) fn recipe(self) -> Recipe {
        let custom = Recipe {
            size: 224,
            filter: Filter::Bilinear,
            crop: random_crop(0.08, 1.0),
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            jitter_probability: 1.0,
            grayscale_probability: 0.0,
            grayscale_first: false,
            blur_sigma: [0.1, 2.0],
            blur_probability: 0.0,
            flip_probability: 0.0,
        };
        let mocov2 = Recipe {
            crop: random_crop(0.2, 1.0),
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
            RecipeName::Swav => Recipe {
                crop: random_crop(0.14, 1.0),
                ..mocov2
            },
            RecipeName::SwavSmall => Recipe {
                size: 96,
                crop: random_crop(0.05, 0.14),
                ..mocov2
            },
            RecipeName::Mocov1 => Recipe {
                hue: 0.4,
                jitter_probability: 1.0,
                grayscale_first: true,
                blur_probability: 0.0,
                ..mocov2
            },
            RecipeName::Eval => Recipe {
                crop: Crop::Centre { ratio: 0.875 },
                ..custom
            },
        }
    }
}

fn random_crop(least: f64, greatest: f64) -> Crop {
    Crop::Random {
        area: [least, greatest],
        aspect: [3.0 / 4.0, 4.0 / 3.0],
    }
}

impl fmt::Display for RecipeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for RecipeName {
    type Err = RecipeError;

    fn from_str(name: &str) -> Result<RecipeName, RecipeError> {
        let known = RecipeName::ALL.into_iter();
        known
            .clone()
            .find(|known| known.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = known.map(RecipeName::name).collect();
                RecipeError::new("recipe", names.join(", "), name)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Adjust;

    #[test]
    fn named_recipes_hold_the_published_numbers() {
        let named = |name| Recipe::new(name, None, &Adjust::default()).unwrap();
        let mocov1 = named(RecipeName::Mocov1);
        assert!(mocov1.grayscale_first && mocov1.blur_probability == 0.0);
        assert_eq!((mocov1.hue, mocov1.jitter_probability), (0.4, 1.0));
        assert_eq!(named(RecipeName::SwavSmall).size, 96);
        assert_eq!(named(RecipeName::SwavSmall).scale(), "small");
        assert_eq!(named(RecipeName::Swav).scale(), "global");
        for name in RecipeName::ALL {
            assert_eq!(name.name().parse(), Ok(name));
            let recipe = named(name);
            let text = serde_json::to_string(&recipe).unwrap();
            assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
        }
    }
}
