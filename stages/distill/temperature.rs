//! A temperature: a number, or one that moves over the first epochs. A pure function of the step,
//! so that a resumed training needs no state.

use std::fmt;

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use crate::shared::invalid::{positive, temperature};

/// A divisor of similarities: `0.04`, or `{from: 0.1, to: 0.04, epochs: 5}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Temperature {
    Fixed(f64),
    Ramp(Ramp),
}

/// Linear in the steps, then constant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// At the first step.
    pub from: f64,
    /// After `epochs`, and from then on.
    pub to: f64,
    /// How long it moves; fractions allowed.
    pub epochs: f64,
}

impl Temperature {
    /// - `step`: batches before this one
    pub fn at(self, step: u64, batches_per_epoch: u64) -> f64 {
        match self {
            Temperature::Fixed(value) => value,
            Temperature::Ramp(Ramp { from, to, epochs }) => {
                let share = step as f64 / (epochs * batches_per_epoch as f64);
                if share >= 1.0 {
                    to
                } else {
                    from + (to - from) * share
                }
            }
        }
    }

    pub fn moves(self) -> bool {
        matches!(self, Temperature::Ramp(_))
    }

    /// Refuses what is no temperature; `hint` names the usual value.
    pub fn validate(self, key: &str, hint: &str) -> Result<(), Refusal> {
        match self {
            Temperature::Fixed(value) => temperature(key, value, hint),
            Temperature::Ramp(Ramp { from, to, epochs }) => {
                temperature(&format!("{key}.from"), from, hint)?;
                temperature(&format!("{key}.to"), to, hint)?;
                positive(&format!("{key}.epochs"), epochs)
            }
        }
    }
}

/// Not derived: of an untagged enum serde could not say what is wrong in the map.
impl<'de> Deserialize<'de> for Temperature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Temperature;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a number or {{from: …, to: …, epochs: …}}")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Temperature, E> {
                Ok(Temperature::Fixed(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Temperature, E> {
                Ok(Temperature::Fixed(value as f64))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Temperature, E> {
                Ok(Temperature::Fixed(value as f64))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Temperature, A::Error> {
                Ramp::deserialize(MapAccessDeserializer::new(map)).map(Temperature::Ramp)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_ramp_is_linear_in_the_steps_then_constant() {
        let read = |value| serde_json::from_value::<Temperature>(value).unwrap();
        let ramp = read(json!({"from": 0.1, "to": 0.02, "epochs": 2}));
        let at = |step| ramp.at(step, 10);
        assert_eq!((at(0), at(20), at(1000)), (0.1, 0.02, 0.02));
        assert!((at(5) - 0.08).abs() < 1e-15 && (at(15) - 0.04).abs() < 1e-15);
        assert_eq!(read(json!(0.3)).at(7, 10), 0.3);
        assert_eq!(read(json!(1)), Temperature::Fixed(1.0));
    }

    #[test]
    fn it_is_written_as_it_is_read_and_wrong_maps_are_told() {
        for value in [json!(0.04), json!({"from": 0.1, "to": 0.04, "epochs": 5.0})] {
            let read: Temperature = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(serde_json::to_value(read).unwrap(), value);
        }
        let refused = |value| {
            serde_json::from_value::<Temperature>(value)
                .unwrap_err()
                .to_string()
        };
        assert!(refused(json!({"from": 0.1, "till": 1})).contains("unknown field `till`"));
        assert!(refused(json!({"from": 0.1, "to": 1})).contains("missing field `epochs`"));
        assert!(refused(json!("hot")).contains("expected a number or {from: …"));
    }
}
