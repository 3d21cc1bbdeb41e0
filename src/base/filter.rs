//! How an image is resized.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows: variant, name, the filter of the same weights without rounding.
macro_rules! filters {
    ($($(#[$about:meta])* $variant:ident, $name:literal, $in_floats:ident;)+) => {
        /// How pixels are weighed when an image is resized; all widen their support when shrinking
        /// (antialiased).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
        pub enum Filter {
            $($(#[$about])* #[serde(rename = $name)] $variant,)+
        }

        impl Filter {
            pub const ALL: [Filter; [$($name),+].len()] = [$(Filter::$variant),+];

            /// As in pipelines and in a table of views.
            pub fn name(self) -> &'static str {
                match self { $(Filter::$variant => $name),+ }
            }

            /// The same weights without rounding.
            pub fn in_floats(self) -> Filter {
                match self { $(Filter::$variant => Filter::$in_floats),+ }
            }
        }
    };
}

filters! {
    /// A triangle of 1 pixel to either side, in floats, as torchvision on tensors with
    /// `antialias=True`.
    #[default]
    Bilinear, "bilinear", Bilinear;
    /// Keys' cubic with a = −0.5, of 2 pixels to either side, in floats, as torchvision on tensors
    /// with `antialias=True`.
    Bicubic, "bicubic", Bicubic;
    /// As `bilinear`, rounded to 8 bits after each direction, bit for bit as Pillow's
    /// `Image.resize`, and so torchvision and timm on PIL images.
    PillowBilinear, "pillow_bilinear", Bilinear;
    /// As `bicubic`, rounded to 8 bits after each direction, bit for bit as Pillow's
    /// `Image.resize`, and so torchvision and timm on PIL images.
    PillowBicubic, "pillow_bicubic", Bicubic;
}

impl Filter {
    /// The names, for people.
    pub const MEANING: &str = "`bilinear`, `bicubic`, `pillow_bilinear` or `pillow_bicubic`.";

    pub fn from_name(name: &str) -> Option<Filter> {
        Filter::ALL.into_iter().find(|filter| filter.name() == name)
    }

    /// Whether resizing rounds to 8 bits after each direction.
    pub fn is_pillow(self) -> bool {
        self != self.in_floats()
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
            assert!(Filter::MEANING.contains(&format!("`{}`", filter.name())));
        }
        assert_eq!(Filter::from_name("lanczos"), None);
    }
}
