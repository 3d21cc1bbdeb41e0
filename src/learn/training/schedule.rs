//! Learning rates over a training: pure functions of the step, so that a resumed training needs no state of it.

use std::f64::consts::PI;

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};

/// How the learning rate moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Schedule {
    /// The same throughout, after the warm-up
    Constant {
        /// Epochs of linear warm-up, fractions allowed; default 0
        #[serde(default, skip_serializing_if = "is_zero")]
        warmup_epochs: f64,
        /// Whether the warm-up rises with each `step` (default) or with each `epoch`
        #[serde(default, skip_serializing_if = "Per::is_step")]
        per: Per,
    },
    /// SEED's official code, a value per epoch: linear warm-up from the base rate to rate · batch / 256, then a cosine
    Official {
        /// Epochs of warm-up
        #[serde(default = "official_warmup")]
        warmup_epochs: u32,
    },
    /// Linear warm-up from 0, then a cosine over the whole training down to 0
    Cosine {
        /// Epochs of warm-up, fractions allowed
        #[serde(default)]
        warmup_epochs: f64,
        /// Whether the rate has a value for each `step` (default) or for each `epoch`
        #[serde(default, skip_serializing_if = "Per::is_step")]
        per: Per,
    },
    /// Multiplied by `factor` at the start of each of the epochs
    Steps {
        /// Epochs (from 0) at which the rate falls, ascending
        #[serde(default = "step_epochs")]
        epochs: Vec<u32>,
        /// What the rate is multiplied by
        #[serde(default = "step_factor")]
        factor: f64,
        /// Epochs of linear warm-up, fractions allowed; default 0
        #[serde(default, skip_serializing_if = "is_zero")]
        warmup_epochs: f64,
        /// Whether the warm-up rises with each `step` (default) or with each `epoch`
        #[serde(default, skip_serializing_if = "Per::is_step")]
        per: Per,
    },
}

/// How often the rate moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// With each update of the weights
    #[default]
    Step,
    /// At the start of each epoch
    Epoch,
}

impl Per {
    fn is_step(&self) -> bool {
        *self == Self::Step
    }
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn official_warmup() -> u32 {
    5
}

fn step_epochs() -> Vec<u32> {
    vec![60, 80]
}

fn step_factor() -> f64 {
    0.1
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Cosine {
            warmup_epochs: 0.0,
            per: Per::Step,
        }
    }
}

/// How long a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    pub epochs: u32,
    pub steps_per_epoch: u64,
}

impl Schedule {
    /// Whether it can be followed in a training of `epochs`.
    pub fn validate(&self, epochs: u32) -> Result<(), Refusal> {
        let warm_up = |warmup: f64| {
            let possible = warmup >= 0.0 && (warmup == 0.0 || warmup < f64::from(epochs));
            if possible {
                Ok(())
            } else {
                Err(Refusal::new(format!(
                    "warm-up of {warmup} epochs, expected 0 or more and fewer than the training's {epochs}"
                )))
            }
        };
        match self {
            Self::Official { warmup_epochs } => warm_up(f64::from(*warmup_epochs)),
            Self::Constant { warmup_epochs, .. } | Self::Cosine { warmup_epochs, .. } => {
                warm_up(*warmup_epochs)
            }
            Self::Steps { epochs, .. } if !epochs.is_sorted_by(|a, b| a < b) => Err(Refusal::new(
                format!("falls at epochs {epochs:?}, expected ascending ones"),
            )),
            Self::Steps { factor, .. } if !(*factor > 0.0 && *factor <= 1.0) => Err(Refusal::new(
                format!("factor {factor}, expected above 0 and at most 1"),
            )),
            Self::Steps { warmup_epochs, .. } => warm_up(*warmup_epochs),
        }
    }

    /// The learning rate of `step`, an update of the weights, counted from 0 over the whole training.
    ///
    /// `base` is the rate as configured; `multiplier` scales it to the batch (batch / 256, or 1).
    pub fn learning_rate(&self, base: f64, multiplier: f64, step: u64, length: Length) -> f64 {
        let peak = base * multiplier;
        let per_epoch = length.steps_per_epoch.max(1);
        let epoch = u32::try_from(step / per_epoch).unwrap_or(u32::MAX);
        let (warmup_epochs, per) = match self {
            Self::Official { warmup_epochs } => {
                return official(base, multiplier, length.epochs, *warmup_epochs, epoch);
            }
            Self::Constant { warmup_epochs, per }
            | Self::Cosine { warmup_epochs, per }
            | Self::Steps {
                warmup_epochs, per, ..
            } => (*warmup_epochs, *per),
        };
        // Where the training is, in the unit in which the rate moves.
        let (place, in_an_epoch) = match per {
            Per::Step => (step, per_epoch),
            Per::Epoch => (u64::from(epoch), 1),
        };
        let warm_up = warmup_epochs * in_an_epoch as f64;
        if ((place + 1) as f64) < warm_up {
            return peak * (place + 1) as f64 / warm_up;
        }
        match self {
            Self::Cosine { .. } => cosine(peak, u64::from(length.epochs) * in_an_epoch, place),
            Self::Steps { epochs, factor, .. } => {
                let falls = epochs.iter().filter(|&&at| at <= epoch).count();
                (0..falls).fold(peak, |rate, _| rate * factor)
            }
            Self::Constant { .. } | Self::Official { .. } => peak,
        }
    }
}

/// The rate of one epoch in SEED's official code: linear from `base` to `base · multiplier` in the warm-up, then
/// `base · multiplier · (1 + cos(pi · epoch / epochs)) / 2`.
pub fn official(base: f64, multiplier: f64, epochs: u32, warmup_epochs: u32, epoch: u32) -> f64 {
    if epoch < warmup_epochs {
        return base + (base * multiplier - base) * f64::from(epoch) / f64::from(warmup_epochs);
    }
    base * multiplier * (1.0 + (PI * f64::from(epoch) / f64::from(epochs)).cos()) / 2.0
}

/// `peak · (1 + cos(pi · step / steps)) / 2`: from `peak` at step 0 to 0 after the last.
pub fn cosine(peak: f64, steps: u64, step: u64) -> f64 {
    peak * 0.5 * (1.0 + (PI * step as f64 / steps as f64).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::golden::{Fixture, assert_close};
    use proptest::prelude::*;

    #[test]
    fn golden_lr_schedule() {
        let fixture = Fixture::load("lr_schedule");
        for case in fixture.cases() {
            let number = |key: &str| case[key].as_f64().unwrap();
            let (base, multiplier) = (number("base_lr"), number("batch_over_256"));
            let (epochs, warmup_epochs) = (number("epochs") as u32, number("warmup_epochs") as u32);
            let expected = case["lr"].as_array().unwrap();
            assert_eq!(expected.len(), epochs as usize);
            let schedule = Schedule::Official { warmup_epochs };
            let length = Length {
                epochs,
                steps_per_epoch: 7,
            };
            for (epoch, value) in (0u32..).zip(expected) {
                let value = value.as_f64().unwrap();
                let place = format!("epoch {epoch}");
                assert_close(
                    &place,
                    official(base, multiplier, epochs, warmup_epochs, epoch),
                    value,
                    1e-12,
                );
                for step in [0, 6] {
                    let rate = schedule.learning_rate(
                        base,
                        multiplier,
                        u64::from(epoch) * 7 + step,
                        length,
                    );
                    assert_close(&place, rate, value, 1e-12);
                }
            }
        }
    }

    fn cosine_after(warmup_epochs: f64) -> Schedule {
        Schedule::Cosine {
            warmup_epochs,
            per: Per::Step,
        }
    }

    #[test]
    fn golden_schedules_of_pytorch() {
        let golden = &crate::training::optimiser_fixture::json()["schedules"];
        let whole = |key: &str| golden[key].as_u64().unwrap();
        let (epochs, steps_per_epoch) = (whole("epochs"), whole("steps_per_epoch"));
        let length = Length {
            epochs: epochs as u32,
            steps_per_epoch,
        };
        let base = golden["base"].as_f64().unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() >= 9);
        for case in cases {
            let schedule: Schedule = serde_json::from_value(case["schedule"].clone()).unwrap();
            schedule.validate(length.epochs).unwrap();
            let expected = case["rates"].as_array().unwrap();
            // A value for each step, or for each epoch.
            let steps = epochs * steps_per_epoch / expected.len() as u64;
            assert!(steps == 1 || steps == steps_per_epoch);
            for step in 0..epochs * steps_per_epoch {
                let rate = schedule.learning_rate(base, 1.0, step, length);
                let expected = expected[(step / steps) as usize].as_f64().unwrap();
                assert_close(&format!("{schedule:?}, step {step}"), rate, expected, 1e-12);
            }
        }
    }

    #[test]
    fn the_cosine_halves_at_half_time_and_ends_near_zero() {
        assert_eq!(cosine(0.4, 100, 0), 0.4);
        assert!((cosine(0.4, 100, 50) - 0.2).abs() < 1e-15);
        assert!(cosine(0.4, 100, 100).abs() < 1e-15);
    }

    #[test]
    fn warm_up_by_steps_rises_to_the_cosine() {
        let length = Length {
            epochs: 10,
            steps_per_epoch: 8,
        };
        let schedule = cosine_after(0.5);
        let rate = |step| schedule.learning_rate(1.0, 2.0, step, length);
        assert_eq!([rate(0), rate(1), rate(2)], [0.5, 1.0, 1.5]);
        assert_eq!(rate(3), cosine(2.0, 80, 3));
        assert_eq!(rate(40), cosine(2.0, 80, 40));
    }

    #[test]
    fn the_probes_rate_falls_at_60_and_80() {
        let schedule: Schedule = serde_json::from_str(r#"{"kind": "steps"}"#).unwrap();
        let rate = |epoch: u64| {
            schedule.learning_rate(
                30.0,
                1.0,
                epoch,
                Length {
                    epochs: 100,
                    steps_per_epoch: 1,
                },
            )
        };
        assert_eq!(
            [rate(0), rate(59), rate(60), rate(79)],
            [30.0, 30.0, 3.0, 3.0]
        );
        assert!((rate(80) - 0.3).abs() < 1e-15 && rate(80) == rate(99));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let parse = |text: &str| serde_json::from_str::<Schedule>(text);
        assert!(parse(r#"{"kind": "cosine", "warmup": 1}"#).is_err());
        assert!(parse(r#"{"kind": "linear"}"#).is_err());
        assert!(Schedule::Official { warmup_epochs: 5 }.validate(5).is_err());
        assert!(Schedule::Official { warmup_epochs: 5 }.validate(6).is_ok());
        assert!(parse(r#"{"kind": "constant", "per": "batch"}"#).is_err());
        for (text, epochs) in [
            (r#"{"kind": "cosine", "warmup_epochs": -1}"#, 6),
            (r#"{"kind": "constant", "warmup_epochs": 6}"#, 6),
            (r#"{"kind": "steps", "warmup_epochs": 6}"#, 6),
            (r#"{"kind": "steps", "epochs": [8, 6]}"#, 10),
            (r#"{"kind": "steps", "epochs": [6, 8], "factor": 0}"#, 10),
        ] {
            assert!(parse(text).unwrap().validate(epochs).is_err(), "{text}");
        }
        assert!(cosine_after(f64::NAN).validate(6).is_err());
        assert!(Schedule::default().validate(1).is_ok());
    }

    proptest! {
        #[test]
        fn rates_stay_between_zero_and_the_peak(
            step in 0u64..500, warmup in 0.0f64..9.0, base in 1e-3f64..10.0, multiplier in 1.0f64..16.0,
        ) {
            let length = Length { epochs: 10, steps_per_epoch: 50 };
            for schedule in [
                cosine_after(warmup),
                Schedule::Cosine { warmup_epochs: warmup, per: Per::Epoch },
                Schedule::Official { warmup_epochs: warmup as u32 },
                Schedule::Steps { epochs: vec![3, 6], factor: 0.1, warmup_epochs: warmup, per: Per::Step },
                Schedule::Constant { warmup_epochs: warmup, per: Per::Epoch },
            ] {
                let rate = schedule.learning_rate(base, multiplier, step, length);
                prop_assert!(rate >= 0.0 && rate <= base * multiplier * (1.0 + 1e-12), "{} {:?}", rate, schedule);
            }
        }
    }
}
