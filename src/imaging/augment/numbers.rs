//! The numbers of a policy from one table: their keys, which are possible, how they are written.

use std::ops::RangeInclusive;

use seedpipe_base::Refusal;

/// A number or a range that a policy holds.
pub(crate) trait Number {
    /// # Errors
    /// When it is none of the `possible`; the error names the key as it is written in params.
    fn check(&self, key: &'static str, possible: RangeInclusive<f64>) -> Result<(), Refusal>;
}

impl Number for f64 {
    fn check(&self, key: &'static str, possible: RangeInclusive<f64>) -> Result<(), Refusal> {
        if possible.contains(self) {
            return Ok(());
        }
        let (least, greatest) = possible.into_inner();
        let expected = format!("a number from {least} to {greatest}");
        Err(Refusal::expected(expected, self).key(key))
    }
}

/// Least and greatest, above the `possible`'s start.
impl Number for [f64; 2] {
    fn check(&self, key: &'static str, possible: RangeInclusive<f64>) -> Result<(), Refusal> {
        let [least, greatest] = *self;
        let (start, end) = possible.into_inner();
        if least > start && least <= greatest && greatest <= end {
            return Ok(());
        }
        let expected = format!("[least, greatest] with {start} < least ≤ greatest ≤ {end}");
        Err(Refusal::expected(expected, format!("[{least}, {greatest}]")).key(key))
    }
}

/// Makes `Policy` and `Adjust`. Rows: meaning, key, type, value with which nothing is done, whether
/// it is `always` written or `unless_neutral`, which are possible.
///
/// The policy is part of its views' content digest. So a number that comes later is written only
/// where it is not neutral: views that it does nothing to keep their digest.
macro_rules! policy {
    (@written always) => { true };
    (@written unless_neutral) => { false };
    ($($(#[doc = $about:literal])+ $key:ident: $type:ty = $neutral:expr, $written:ident $(, $possible:expr)?;)+) => {
        /// Every number that decides how views are drawn.
        #[derive(Debug, Clone, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Policy {
            /// Width and height of a view in pixels.
            pub size: u32,
            /// How pixels are weighed in resizing.
            pub filter: Filter,
            /// Which part of the image is shown.
            pub crop: Crop,
            $($(#[doc = $about])+ pub $key: $type,)+
        }

        /// What changes a named recipe; a key that is left out keeps the recipe's own number.
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Adjust {
            /// Least and greatest part of the image's area; makes the crop a random one.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub crop_area: Option<[f64; 2]>,
            /// Least and greatest width / height of a random crop.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub crop_aspect: Option<[f64; 2]>,
            /// The view's size / the resized shorter side; makes the crop the centre. 1 leaves no
            /// margin.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub crop_ratio: Option<f64>,
            /// How pixels are weighed in resizing.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub filter: Option<Filter>,
            $($(#[doc = $about])+ #[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<$type>,)+
        }

        impl Default for Policy {
            /// torchvision's bare random resized crop to 224 pixels.
            fn default() -> Policy {
                Policy {
                    size: 224,
                    filter: Filter::Bilinear,
                    crop: Crop::random(0.08, 1.0),
                    $($key: $neutral,)+
                }
            }
        }

        impl serde::Serialize for Policy {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("size", &self.size)?;
                map.serialize_entry("filter", &self.filter)?;
                map.serialize_entry("crop", &self.crop)?;
                $(if $crate::augment::numbers::policy!(@written $written) || self.$key != $neutral {
                    map.serialize_entry(stringify!($key), &self.$key)?;
                })+
                map.end()
            }
        }

        impl Policy {
            /// Takes what `adjust` says of the table's numbers.
            pub(crate) fn adjust(&mut self, adjust: &Adjust) {
                $(self.$key = adjust.$key.unwrap_or(self.$key);)+
            }

            /// Checks that the table's numbers are possible.
            ///
            /// # Errors
            /// Names the first key whose number is not.
            pub(crate) fn check_numbers(&self) -> Result<(), Refusal> {
                $($(self.$key.check(stringify!($key), $possible)?;)?)+
                Ok(())
            }
        }
    };
}
pub(crate) use policy;

#[cfg(test)]
mod tests {
    use seedpipe_base::Filter;

    use super::*;
    use crate::augment::crop::Crop;

    policy! {
        /// One that was always there.
        early: f64 = 0.0, always, 0.0..=1.0;
        /// One that came later.
        late: [f64; 2] = [1.0, 2.0], unless_neutral, 0.5..=3.0;
    }

    #[test]
    fn a_number_that_came_later_is_written_only_where_it_does_something() {
        let mut policy = Policy::default();
        let read = |text: &str| serde_json::from_str::<Policy>(text).unwrap();
        let before = serde_json::to_string(&policy).unwrap();
        assert!(before.ends_with(r#","early":0.0}"#), "{before}");
        assert_eq!(read(&before), policy);

        policy.adjust(&serde_json::from_str(r#"{"late": [1.0, 3.0]}"#).unwrap());
        let after = serde_json::to_string(&policy).unwrap();
        assert!(
            after.ends_with(r#","early":0.0,"late":[1.0,3.0]}"#),
            "{after}"
        );
        assert_eq!(read(&after), policy);
        assert_eq!(policy.check_numbers(), Ok(()));

        policy.late = [0.5, 3.0];
        assert_eq!(
            policy.check_numbers().unwrap_err().to_string(),
            "key `late`: expected [least, greatest] with 0.5 < least ≤ greatest ≤ 3, got [0.5, 3]"
        );
    }
}
