//! How the learning rate follows the size of a batch.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What the learning rate is multiplied by: `true`: by batch · accumulate / 256; `sqrt`: by the
/// square root of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Scaling {
    Linear(bool),
    Named(Named),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    Sqrt,
}

impl Scaling {
    pub const NONE: Self = Self::Linear(false);
    pub const LINEAR: Self = Self::Linear(true);
    pub const SQRT: Self = Self::Named(Named::Sqrt);

    /// - `batch`: images to an update of the weights
    pub fn factor(self, batch: u64) -> f64 {
        let share = batch as f64 / 256.0;
        match self {
            Self::Linear(false) => 1.0,
            Self::Linear(true) => share,
            Self::Named(Named::Sqrt) => share.sqrt(),
        }
    }
}

/// Not derived: of an untagged enum serde could not say what is expected.
impl<'de> Deserialize<'de> for Scaling {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Either;

        impl Visitor<'_> for Either {
            type Value = Scaling;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("`true`, `false` or `sqrt`")
            }

            fn visit_bool<E>(self, is_linear: bool) -> Result<Scaling, E> {
                Ok(Scaling::Linear(is_linear))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Scaling, E> {
                match name {
                    "sqrt" => Ok(Scaling::SQRT),
                    _ => Err(E::invalid_value(Unexpected::Str(name), &self)),
                }
            }
        }

        value.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for (value, factor) in [
            (json!(false), 1.0),
            (json!(true), 0.25),
            (json!("sqrt"), 0.5),
        ] {
            let read: Scaling = from_value(value.clone()).unwrap();
            assert_eq!(read.factor(64), factor);
            assert_eq!(to_value(read).unwrap(), value);
        }
        let refused = from_value::<Scaling>(json!("cube"))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("expected `true`, `false` or `sqrt`"),
            "{refused}"
        );
    }

    /// model_util.py: 0.075 · √batch, which at 4096 is 0.3 · batch / 256.
    #[test]
    fn simclrs_two_rules_agree_at_its_batch() {
        let by_root = 1.2 * Scaling::SQRT.factor(4096);
        assert!((by_root - 0.075 * 64.0).abs() < 1e-12);
        assert!((by_root - 0.3 * Scaling::LINEAR.factor(4096)).abs() < 1e-12);
    }
}
