//! How an image is resized.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How pixels are weighed when an image is resized; all widen their support when shrinking (antialiased).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// A triangle of 1 pixel to either side, in floats, as torchvision on tensors with `antialias=True`.
    #[default]
    Bilinear,
    /// Keys' cubic with a = −0.5, of 2 pixels to either side, in floats, as torchvision on tensors with `antialias=True`.
    Bicubic,
    /// As `bilinear`, rounded to 8 bits after each direction, bit for bit as Pillow's `Image.resize`, and so torchvision and timm on PIL images.
    PillowBilinear,
    /// As `bicubic`, rounded to 8 bits after each direction, bit for bit as Pillow's `Image.resize`, and so torchvision and timm on PIL images.
    PillowBicubic,
}

impl Filter {
    pub const ALL: [Filter; 4] = [
        Filter::Bilinear,
        Filter::Bicubic,
        Filter::PillowBilinear,
        Filter::PillowBicubic,
    ];

    /// As in pipelines and in a table of views.
    pub fn name(self) -> &'static str {
        match self {
            Filter::Bilinear => "bilinear",
            Filter::Bicubic => "bicubic",
            Filter::PillowBilinear => "pillow_bilinear",
            Filter::PillowBicubic => "pillow_bicubic",
        }
    }

    pub fn from_name(name: &str) -> Option<Filter> {
        Filter::ALL.into_iter().find(|filter| filter.name() == name)
    }

    /// Whether resizing rounds to 8 bits after each direction.
    pub fn is_pillow(self) -> bool {
        matches!(self, Filter::PillowBilinear | Filter::PillowBicubic)
    }

    /// The same weights without rounding.
    pub fn in_floats(self) -> Filter {
        match self {
            Filter::Bilinear | Filter::PillowBilinear => Filter::Bilinear,
            Filter::Bicubic | Filter::PillowBicubic => Filter::Bicubic,
        }
    }

    /// `bilinear` or `bicubic`: what Pillow, torchvision and timm call the interpolation.
    pub fn interpolation(self) -> &'static str {
        self.in_floats().name()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_is_written_by_its_name() {
        for filter in Filter::ALL {
            assert_eq!(Filter::from_name(filter.name()), Some(filter));
            let written = serde_json::to_value(filter).unwrap();
            assert_eq!(written, serde_json::json!(filter.name()));
        }
        assert_eq!(Filter::from_name("lanczos"), None);
    }
}
