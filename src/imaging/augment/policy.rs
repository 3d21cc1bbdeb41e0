//! A policy: a named recipe's numbers and what a user says; and the views that are drawn from it.

use rand_chacha::rand_core::Rng;
use seedpipe_base::{MAXIMAL_SIZE, Refusal, View};

use crate::augment::crop::Crop;
use crate::augment::named::RecipeName;
use crate::augment::operations::{Adjust, Policy};

impl Policy {
    /// The named recipe at the given size (or its own: 224, `swav_small` 96), changed as `adjust`
    /// says.
    ///
    /// # Errors
    /// When a number is impossible, or `adjust` asks for a random and a centre crop at once.
    pub fn new(name: RecipeName, size: Option<u32>, adjust: &Adjust) -> Result<Policy, Refusal> {
        let mut policy = name.policy();
        policy.size = size.unwrap_or(policy.size);
        policy.filter = adjust.filter.unwrap_or(policy.filter);
        policy.crop = adjust.crop(policy.crop)?;
        policy.adjust(adjust);
        if !(1..=MAXIMAL_SIZE).contains(&policy.size) {
            let expected = format!("1 to {MAXIMAL_SIZE} pixels");
            return Err(Refusal::expected(expected, policy.size).key("size"));
        }
        policy.crop.check()?;
        policy.check_numbers()?;
        Ok(policy)
    }

    /// A view of an image of `width` × `height` pixels (each at least 1). It lies within the image
    /// always. All chance comes from the caller's generator: first the crop, then the operations.
    ///
    /// # Panics
    /// When the image is empty.
    pub fn sample<R: Rng + ?Sized>(&self, random: &mut R, width: u32, height: u32) -> View {
        assert!(width > 0 && height > 0, "BUG: a view of an empty image");
        let mut view = self.crop.draw(random, width, height, self.size);
        view.filter = self.filter;
        self.draw_operations(random, &mut view.operations);
        view
    }

    /// `small` for crops of less than 0.15 of the area (`swav_small`), else `global`.
    pub fn scale(&self) -> &'static str {
        match self.crop {
            Crop::Random {
                area: [_, greatest],
                ..
            } if greatest < 0.15 => "small",
            _ => "global",
        }
    }
}

impl Adjust {
    fn crop(&self, own: Crop) -> Result<Crop, Refusal> {
        let random = self.crop_area.is_some() || self.crop_aspect.is_some();
        match (self.crop_ratio, own) {
            (Some(ratio), _) if random => Err(Refusal::expected(
                "either `crop_ratio` (centre crop) or `crop_area` and `crop_aspect` (random crop)",
                format!("{ratio} beside a random crop"),
            )
            .key("crop_ratio")),
            (Some(ratio), _) => Ok(Crop::Centre { ratio }),
            (None, Crop::Random { area, aspect }) => Ok(Crop::Random {
                area: self.crop_area.unwrap_or(area),
                aspect: self.crop_aspect.unwrap_or(aspect),
            }),
            (None, centre) if !random => Ok(centre),
            (None, _) => self.crop(Policy::default().crop),
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
