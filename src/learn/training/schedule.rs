//! Learning rates over a training: pure functions of the step, so that a resumed training needs no
//! state of it.

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
        #[serde(default)]
        warmup_epochs: f64,
        /// Whether the warm-up rises with each `step` (default) or with each `epoch`
        #[serde(default)]
        per: Per,
    },
    /// SEED's official code, a value per epoch: linear warm-up from the base rate to rate · batch /
    /// 256, then a cosine
    Official {
        /// Epochs of warm-up
        #[serde(default = "official_warmup")]
        warmup_epochs: u32,
    },
    /// Linear warm-up from 0, then a cosine down to 0, or to `end`
    Cosine {
        /// Epochs of warm-up, fractions allowed
        #[serde(default)]
        warmup_epochs: f64,
        /// Whether the rate has a value for each `step` (default) or for each `epoch`
        #[serde(default)]
        per: Per,
        /// The cosine begins after the warm-up, as in SimCLR and SwAV; by default it is one over
        /// the whole training, whose first part the warm-up takes
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        after_warmup: bool,
        /// Share of the rate that is left in the end, 0 to 1; default 0
        #[serde(default, skip_serializing_if = "is_zero")]
        end: f64,
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
        #[serde(default)]
        warmup_epochs: f64,
        /// Whether the warm-up rises with each `step` (default) or with each `epoch`
        #[serde(default)]
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

fn official_warmup() -> u32 {
    5
}

fn step_epochs() -> Vec<u32> {
    vec![60, 80]
}

fn step_factor() -> f64 {
    0.1
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

impl Default for Schedule {
    fn default() -> Self {
        Self::cosine(0.0)
    }
}

/// How long a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    pub epochs: u32,
    pub steps_per_epoch: u64,
}

impl Schedule {
    /// A cosine by steps over the whole training down to 0.
    pub const fn cosine(warmup_epochs: f64) -> Self {
        Self::Cosine {
            warmup_epochs,
            per: Per::Step,
            after_warmup: false,
            end: 0.0,
        }
    }

    /// Multiplied by `factor` at the start of each of the epochs, without warm-up.
    pub fn steps(epochs: &[u32], factor: f64) -> Self {
        Self::Steps {
            epochs: epochs.to_vec(),
            factor,
            warmup_epochs: 0.0,
            per: Per::Step,
        }
    }

    /// The same for a training of another length: it falls at the same shares of it, and the
    /// warm-up is as long as it was, or in a shorter training the same share of that.
    #[must_use]
    pub fn scaled(mut self, from: u32, to: u32) -> Self {
        let scaled = |epochs: f64| epochs * f64::from(to) / f64::from(from);
        match &mut self {
            Self::Official { .. } => {}
            Self::Constant { warmup_epochs, .. }
            | Self::Cosine { warmup_epochs, .. }
            | Self::Steps { warmup_epochs, .. } => {
                *warmup_epochs = scaled(*warmup_epochs).min(*warmup_epochs);
            }
        }
        if let Self::Steps { epochs, .. } = &mut self {
            let falls = epochs.iter().map(|&at| scaled(at.into()).round() as u32);
            *epochs = falls.filter(|&at| at > 0 && at < to).collect();
            epochs.dedup();
        }
        self
    }

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
            Self::Cosine { end, .. } if !(0.0..=1.0).contains(end) => Err(Refusal::new(format!(
                "end at {end} of the rate, expected 0 to 1"
            ))),
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

    /// The learning rate of `step`, an update of the weights, counted from 0 over the whole
    /// training.
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
            | Self::Cosine {
                warmup_epochs, per, ..
            }
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
            Self::Cosine {
                after_warmup, end, ..
            } => {
                let begins = if *after_warmup { warm_up } else { 0.0 };
                let all = (u64::from(length.epochs) * in_an_epoch) as f64 - begins;
                let done = (place as f64 - begins).max(0.0);
                peak * end + cosine(peak * (1.0 - end), all, done)
            }
            Self::Steps { epochs, factor, .. } => {
                let falls = epochs.iter().filter(|&&at| at <= epoch).count();
                (0..falls).fold(peak, |rate, _| rate * factor)
            }
            Self::Constant { .. } | Self::Official { .. } => peak,
        }
    }
}

/// The rate of one epoch in SEED's official code: linear from `base` to `base · multiplier` in the
/// warm-up, then `base · multiplier · (1 + cos(pi · epoch / epochs)) / 2`.
pub fn official(base: f64, multiplier: f64, epochs: u32, warmup_epochs: u32, epoch: u32) -> f64 {
    if epoch < warmup_epochs {
        return base + (base * multiplier - base) * f64::from(epoch) / f64::from(warmup_epochs);
    }
    base * multiplier * (1.0 + (PI * f64::from(epoch) / f64::from(epochs)).cos()) / 2.0
}

/// `peak · (1 + cos(pi · step / steps)) / 2`: from `peak` at step 0 to 0 after the last.
pub fn cosine(peak: f64, steps: f64, step: f64) -> f64 {
    peak * 0.5 * (1.0 + (PI * step / steps).cos())
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
