//! Recipes: every number that decides how views are drawn, and what may be changed of a named recipe's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Filter, RecipeName};
use seedpipe_base::{MAXIMAL_SIGMA, MAXIMAL_SIZE};

/// Which part of the image a view shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Crop {
    /// A box drawn as torchvision's `RandomResizedCrop` does, resized to the view's size.
    Random {
        /// Least and greatest part of the image's area, 0–1.
        area: [f64; 2],
        /// Least and greatest width / height, drawn log-uniformly.
        aspect: [f64; 2],
    },
    /// The shorter side resized to size / ratio, and the centre of that.
    Centre {
        /// The view's size / the resized shorter side, more than 0, at most 1.
        ratio: f64,
    },
    /// The central square of that part of the shorter side, cut out first and then resized to the view's size: EfficientNet's
    /// padded centre crop.
    CentreFirst {
        /// The square's side / the image's shorter side, more than 0, at most 1.
        ratio: f64,
    },
}

/// Every number of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Width and height of a view in pixels.
    pub size: u32,
    /// How pixels are weighed in resizing.
    pub filter: Filter,
    /// Which part of the image is shown.
    pub crop: Crop,
    /// Brightness factors lie in max(0, 1 − b)..1 + b.
    pub brightness: f64,
    /// Contrast factors lie in max(0, 1 − c)..1 + c.
    pub contrast: f64,
    /// Saturation factors lie in max(0, 1 − s)..1 + s.
    pub saturation: f64,
    /// Hue turns lie in −h..h parts of a whole turn; at most 0.5.
    pub hue: f64,
    /// The chance that brightness, contrast, saturation and hue are changed, in a random order.
    pub jitter_probability: f64,
    /// The chance of a gray view.
    pub grayscale_probability: f64,
    /// Whether grayscale comes before jitter.
    pub grayscale_first: bool,
    /// Least and greatest standard deviation of the blur, in pixels.
    pub blur_sigma: [f64; 2],
    /// The chance of a blur.
    pub blur_probability: f64,
    /// The chance of a mirrored view.
    pub flip_probability: f64,
}

/// What changes a named recipe; a key that is left out keeps the recipe's own number.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Adjust {
    /// Least and greatest part of the image's area; makes the crop a random one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_area: Option<[f64; 2]>,
    /// Least and greatest width / height of a random crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_aspect: Option<[f64; 2]>,
    /// The view's size / the resized shorter side; makes the crop the centre. 1 leaves no margin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_ratio: Option<f64>,
    /// How pixels are weighed in resizing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Strength of brightness changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brightness: Option<f64>,
    /// Strength of contrast changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contrast: Option<f64>,
    /// Strength of saturation changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<f64>,
    /// Strength of hue changes, at most 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hue: Option<f64>,
    /// The chance of all four changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_probability: Option<f64>,
    /// The chance of a gray view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grayscale_probability: Option<f64>,
    /// Whether grayscale comes before jitter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grayscale_first: Option<bool>,
    /// Least and greatest standard deviation of the blur, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blur_sigma: Option<[f64; 2]>,
    /// The chance of a blur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blur_probability: Option<f64>,
    /// The chance of a mirrored view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flip_probability: Option<f64>,
}

impl Recipe {
    /// The named recipe at the given size (or its own: 224, `swav_small` 96), changed as `adjust` says.
    ///
    /// # Errors
    /// When a number is impossible, or `adjust` asks for a random and a centre crop at once.
    pub fn new(
        name: RecipeName,
        size: Option<u32>,
        adjust: &Adjust,
    ) -> Result<Recipe, RecipeError> {
        let mut recipe = name.recipe();
        recipe.size = size.unwrap_or(recipe.size);
        recipe.crop = adjust.crop(recipe.crop)?;
        let numbers = [
            (&mut recipe.brightness, adjust.brightness),
            (&mut recipe.contrast, adjust.contrast),
            (&mut recipe.saturation, adjust.saturation),
            (&mut recipe.hue, adjust.hue),
            (&mut recipe.jitter_probability, adjust.jitter_probability),
            (
                &mut recipe.grayscale_probability,
                adjust.grayscale_probability,
            ),
            (&mut recipe.blur_probability, adjust.blur_probability),
            (&mut recipe.flip_probability, adjust.flip_probability),
        ];
        for (number, adjusted) in numbers {
            *number = adjusted.unwrap_or(*number);
        }
        recipe.filter = adjust.filter.unwrap_or(recipe.filter);
        recipe.grayscale_first = adjust.grayscale_first.unwrap_or(recipe.grayscale_first);
        recipe.blur_sigma = adjust.blur_sigma.unwrap_or(recipe.blur_sigma);
        recipe.check()?;
        Ok(recipe)
    }

    /// Checks that every number is possible.
    ///
    /// # Errors
    /// Names the first key whose number is not.
    pub fn check(&self) -> Result<(), RecipeError> {
        if !(1..=MAXIMAL_SIZE).contains(&self.size) {
            let expected = format!("1 to {MAXIMAL_SIZE} pixels");
            return Err(RecipeError::new("size", expected, self.size));
        }
        match &self.crop {
            Crop::Random { area, aspect } => {
                check_range("crop_area", *area, 1.0)?;
                check_range("crop_aspect", *aspect, 1e6)?;
            }
            Crop::Centre { ratio } | Crop::CentreFirst { ratio } => {
                check_number("crop_ratio", *ratio, 0.01, 1.0)?;
            }
        }
        check_number("brightness", self.brightness, 0.0, 1e6)?;
        check_number("contrast", self.contrast, 0.0, 1e6)?;
        check_number("saturation", self.saturation, 0.0, 1e6)?;
        check_number("hue", self.hue, 0.0, 0.5)?;
        check_number("jitter_probability", self.jitter_probability, 0.0, 1.0)?;
        check_number(
            "grayscale_probability",
            self.grayscale_probability,
            0.0,
            1.0,
        )?;
        check_range("blur_sigma", self.blur_sigma, f64::from(MAXIMAL_SIGMA))?;
        check_number("blur_probability", self.blur_probability, 0.0, 1.0)?;
        check_number("flip_probability", self.flip_probability, 0.0, 1.0)
    }

    /// `small` for crops of less than 0.15 of the area (`swav_small`), else `global`.
    pub fn scale(&self) -> &'static str {
        match self.crop {
            Crop::Random {
                area: [_, greatest],
                ..
            } if greatest < 0.15 => "small",
            _ => "global",
        }
    }
}

impl Adjust {
    fn crop(&self, own: Crop) -> Result<Crop, RecipeError> {
        let random = self.crop_area.is_some() || self.crop_aspect.is_some();
        match (self.crop_ratio, own) {
            (Some(ratio), _) if random => Err(RecipeError::new(
                "crop_ratio",
                "either `crop_ratio` (centre crop) or `crop_area` and `crop_aspect` (random crop)",
                format!("{ratio} beside a random crop"),
            )),
            (Some(ratio), _) => Ok(Crop::Centre { ratio }),
            (None, Crop::Random { area, aspect }) => Ok(Crop::Random {
                area: self.crop_area.unwrap_or(area),
                aspect: self.crop_aspect.unwrap_or(aspect),
            }),
            (None, centre) if !random => Ok(centre),
            (None, _) => Ok(Crop::Random {
                area: self.crop_area.unwrap_or([0.08, 1.0]),
                aspect: self.crop_aspect.unwrap_or([3.0 / 4.0, 4.0 / 3.0]),
            }),
        }
    }
}

/// A number that a recipe cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: expected {expected}, got {got}")]
pub struct RecipeError {
    /// The key as it is written in params.
    pub key: &'static str,
    /// What is possible.
    pub expected: String,
    /// What was given.
    pub got: String,
}

impl RecipeError {
    pub(crate) fn new(
        key: &'static str,
        expected: impl Into<String>,
        got: impl ToString,
    ) -> RecipeError {
        RecipeError {
            key,
            expected: expected.into(),
            got: got.to_string(),
        }
    }
}

fn check_number(
    key: &'static str,
    number: f64,
    least: f64,
    greatest: f64,
) -> Result<(), RecipeError> {
    if (least..=greatest).contains(&number) {
        return Ok(());
    }
    let expected = format!("a number from {least} to {greatest}");
    Err(RecipeError::new(key, expected, number))
}

/// Checks for 0 < least ≤ greatest ≤ `bound`.
fn check_range(
    key: &'static str,
    [least, greatest]: [f64; 2],
    bound: f64,
) -> Result<(), RecipeError> {
    if least > 0.0 && least <= greatest && greatest <= bound {
        return Ok(());
    }
    let expected = format!("[least, greatest] with 0 < least ≤ greatest ≤ {bound}");
    Err(RecipeError::new(
        key,
        expected,
        format!("[{least}, {greatest}]"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adjusted_key_changes_that_number_alone() {
        let adjust = Adjust {
            blur_probability: Some(0.0),
            ..Adjust::default()
        };
        let adjusted = Recipe::new(RecipeName::Mocov2, Some(32), &adjust).unwrap();
        let own = Recipe::new(RecipeName::Mocov2, Some(32), &Adjust::default()).unwrap();
        assert_eq!(
            adjusted,
            Recipe {
                blur_probability: 0.0,
                ..own
            }
        );
    }

    #[test]
    fn impossible_numbers_name_their_key() {
        let refused = |adjust: Adjust| {
            Recipe::new(RecipeName::Mocov2, None, &adjust)
                .unwrap_err()
                .key
        };
        let none = Adjust::default;
        assert_eq!(
            refused(Adjust {
                hue: Some(0.7),
                ..none()
            }),
            "hue"
        );
        assert_eq!(
            refused(Adjust {
                crop_area: Some([0.5, 0.2]),
                ..none()
            }),
            "crop_area"
        );
        assert_eq!(
            refused(Adjust {
                flip_probability: Some(f64::NAN),
                ..none()
            }),
            "flip_probability"
        );
        let both = Adjust {
            crop_area: Some([0.2, 1.0]),
            crop_ratio: Some(1.0),
            ..none()
        };
        assert_eq!(refused(both), "crop_ratio");
        assert_eq!(
            Recipe::new(RecipeName::Eval, Some(0), &none())
                .unwrap_err()
                .key,
            "size"
        );
        assert!(serde_json::from_str::<Adjust>(r#"{"crop_ara": [0.2, 1]}"#).is_err());
    }
}
