//! How an image becomes a network's input: belongs to the network's description and travels with its weights.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::architecture::ArchitectureError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    Bilinear,
    Bicubic,
}

/// Resize the shorter side to `size / crop_ratio`, crop the central square of `size`, scale to 0–1, subtract `mean`, divide by `std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocessing {
    /// Side of the square that the network sees, in pixels.
    pub size: u32,
    /// Side of the central crop relative to the resized shorter side, 0–1.
    pub crop_ratio: f64,
    /// Filter of the resize, antialiased.
    pub filter: Filter,
    /// Per channel (red, green, blue), of values 0–1.
    pub mean: [f32; 3],
    /// Per channel (red, green, blue), of values 0–1.
    pub std: [f32; 3],
}

impl Default for Preprocessing {
    /// ImageNet's.
    fn default() -> Self {
        Self {
            size: 224,
            crop_ratio: 0.875,
            filter: Filter::Bilinear,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}

impl Preprocessing {
    pub fn validate(&self) -> Result<(), ArchitectureError> {
        let refuse =
            |key, expected: &str, got: String| Err(ArchitectureError::new(key, expected, got, ""));
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
    fn impossible_values_are_refused_by_key() {
        assert_eq!(Preprocessing::default().validate(), Ok(()));
        let refused = |preprocessing: Preprocessing| preprocessing.validate().unwrap_err().key;
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
