//! Dynamic scaling of the loss for training in f16, as `torch.amp.GradScaler`: gradients too small
//! for f16 are lifted into its range by a factor on the loss, which is halved when one overflows
//! (and that update left out) and doubled after a while without.

use serde::{Deserialize, Serialize};

/// The factor at the start.
const FIRST: f64 = 65536.0;
/// Good updates after which it doubles.
const INTERVAL: u32 = 2000;
/// Updates in a row that may overflow: then the factor is 2⁻¹⁶, and it is not the factor that makes
/// them overflow.
const PATIENCE: u32 = 32;

/// The factor of the loss, and what moves it: part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    factor: f64,
    /// Good updates since the factor changed.
    good: u32,
    /// Updates in a row that overflowed.
    overflown: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            factor: FIRST,
            good: 0,
            overflown: 0,
        }
    }
}

impl LossScale {
    /// What the loss is multiplied by, and its gradients are to be divided by.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// After an update with finite gradients.
    pub fn went_well(&mut self) {
        self.went_well_of(INTERVAL);
    }

    fn went_well_of(&mut self, interval: u32) {
        self.overflown = 0;
        self.good += 1;
        if self.good == interval {
            self.factor *= 2.0;
            self.good = 0;
        }
    }

    /// After gradients that are not finite. Whether a smaller factor may still help.
    #[must_use]
    pub fn overflowed(&mut self) -> bool {
        self.good = 0;
        self.overflown += 1;
        self.factor /= 2.0;
        self.overflown < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::Fixture;

    #[test]
    fn golden_scales_of_pytorch() {
        let golden = &Fixture::of_testdata("optimisers").json["loss_scale"];
        let interval = golden["interval"].as_u64().unwrap() as u32;
        let mut scale = LossScale::default();
        let scales = golden["scales"].as_array().unwrap();
        for (finite, expected) in golden["finite"].as_array().unwrap().iter().zip(scales) {
            if finite.as_bool().unwrap() {
                scale.went_well_of(interval);
            } else {
                assert!(scale.overflowed());
            }
            assert_eq!(scale.factor(), expected.as_f64().unwrap());
        }
    }

    #[test]
    fn what_never_fits_is_given_up() {
        let mut scale = LossScale::default();
        assert_eq!((1..100).find(|_| !scale.overflowed()), Some(32));
    }
}
