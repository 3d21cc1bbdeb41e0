//! How an image becomes a network's input: belongs to the network's description and travels with
//! its weights.

use schemars::JsonSchema;
use seedpipe_base::{Filter, Refusal};
use serde::{Deserialize, Serialize};

use crate::architecture::architecture_checks::impossible;

/// Which comes first, the crop or the resize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CropOrder {
    /// Resize the shorter side to `size / crop_ratio`, rounded down, then crop the central square
    /// of `size`.
    #[default]
    AfterResize,
    /// Crop the central square of `crop_ratio` of the shorter side, rounded down, margins to the
    /// left and at the top rounded up, then resize it to `size`: the padded centre crop of
    /// EfficientNet's authors.
    BeforeResize,
}

impl CropOrder {
    fn is_after(&self) -> bool {
        *self == CropOrder::AfterResize
    }
}

/// Resize and crop to a square of `size` pixels, scale to 0–1, subtract `mean`, divide by `std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocessing {
    /// Side of the square that the network sees, in pixels.
    pub size: u32,
    /// Side of the central crop relative to the shorter side (the resized one when the crop comes
    /// after), 0–1.
    pub crop_ratio: f64,
    /// `after_resize` (default) or `before_resize`.
    #[serde(skip_serializing_if = "CropOrder::is_after")]
    pub crop: CropOrder,
    /// `bilinear` or `bicubic` in floats, `pillow_bilinear` or `pillow_bicubic` rounded to 8 bits
    /// as Pillow does; antialiased.
    pub filter: Filter,
    /// Per channel (red, green, blue), of values 0–1.
    pub mean: [f32; 3],
    /// Per channel (red, green, blue), of values 0–1.
    pub std: [f32; 3],
}

impl Default for Preprocessing {
    /// ImageNet's, in floats: what a `preprocessing` block leaves out.
    fn default() -> Self {
        Self {
            size: 224,
            crop_ratio: 0.875,
            crop: CropOrder::AfterResize,
            filter: Filter::Bilinear,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}

impl Preprocessing {
    /// ImageNet's as published: torchvision's transforms on PIL images.
    pub fn imagenet() -> Self {
        Self {
            filter: Filter::PillowBilinear,
            ..Self::default()
        }
    }

    pub fn validate(&self) -> Result<(), Refusal> {
        let refuse = |key, expected, got: String| Err(impossible(key, expected, got, ""));
        if !(1..=4096).contains(&self.size) {
            return refuse("size", "1 to 4096 pixels", self.size.to_string());
        }
        if !(self.crop_ratio > 0.0 && self.crop_ratio <= 1.0) {
            return refuse(
                "crop_ratio",
                "above 0 and at most 1",
                self.crop_ratio.to_string(),
            );
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return refuse("mean", "three finite numbers", format!("{:?}", self.mean));
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return refuse("std", "three numbers above 0", format!("{:?}", self.std));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_not_written_so_that_older_weights_read_alike() {
        let usual = serde_json::to_value(Preprocessing::default()).unwrap();
        assert_eq!(usual.get("crop"), None);
        assert_eq!(usual["filter"], "bilinear");
        let own = Preprocessing {
            crop: CropOrder::BeforeResize,
            filter: Filter::PillowBicubic,
            ..Default::default()
        };
        let written = serde_json::to_value(&own).unwrap();
        assert_eq!(written["crop"], "before_resize");
        assert_eq!(written["filter"], "pillow_bicubic");
        assert_eq!(
            serde_json::from_value::<Preprocessing>(written).unwrap(),
            own
        );
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        assert_eq!(Preprocessing::default().validate(), Ok(()));
        let refused = |preprocessing: Preprocessing| {
            preprocessing.validate().unwrap_err().key.clone().unwrap()
        };
        assert_eq!(
            refused(Preprocessing {
                size: 0,
                ..Default::default()
            }),
            "size"
        );
        assert_eq!(
            refused(Preprocessing {
                crop_ratio: f64::NAN,
                ..Default::default()
            }),
            "crop_ratio"
        );
        assert_eq!(
            refused(Preprocessing {
                std: [1.0, 0.0, 1.0],
                ..Default::default()
            }),
            "std"
        );
        assert_eq!(
            refused(Preprocessing {
                mean: [f32::NAN, 0.0, 1.0],
                ..Default::default()
            }),
            "mean"
        );
    }
}
