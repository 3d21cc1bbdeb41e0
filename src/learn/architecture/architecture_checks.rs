//! What a description of a network may not say, and how that is told.

use std::fmt::Display;

use seedpipe_base::{Refusal, suggestion};

use crate::architecture::Architecture;
use crate::architecture::families::{Family, find, names};

/// An impossible value under `key`, a field of the description; `hint` may be empty.
pub(crate) fn impossible(
    key: &str,
    expected: impl Display,
    got: impl Display,
    hint: impl Into<String>,
) -> Refusal {
    Refusal::failure(format!("expected {expected}, got {got}"))
        .key(key)
        .hint_if(Some(hint.into()))
}

/// Largest length of any layer that a description may ask for.
const LARGEST_LENGTH: i64 = 1 << 20;

impl Architecture {
    pub fn validate(&self) -> Result<(), Refusal> {
        match self.graph {
            Some(_) => self.graph().map(|_| ()),
            None => self.checked_family().map(|_| ()),
        }
    }

    pub(crate) fn checked_family(&self) -> Result<&'static dyn Family, Refusal> {
        let Some(family) = find(&self.name) else {
            let hint = suggestion::hint(&self.name, names()).unwrap_or_default();
            let expected = format!("one of {}", names().join(", "));
            return Err(impossible(
                "name",
                expected,
                format!("`{}`", self.name),
                hint,
            ));
        };
        if !(self.width > 0.0 && self.width <= 16.0) {
            return Err(impossible(
                "width",
                "a factor above 0 and at most 16",
                self.width,
                "",
            ));
        }
        self.check_choices(family)?;
        self.check_ends()?;
        Ok(family)
    }

    /// Refuses impossible lengths of classifier and head.
    pub(crate) fn check_ends(&self) -> Result<(), Refusal> {
        let length = |key, length: i64| {
            if (1..=LARGEST_LENGTH).contains(&length) {
                return Ok(());
            }
            Err(impossible(
                key,
                format!("1 to {LARGEST_LENGTH}"),
                length,
                "",
            ))
        };
        if let Some(classes) = self.classes {
            length("classes", classes)?;
        }
        if let Some(head) = &self.head {
            length("head.out", head.out)?;
            for &hidden in &head.hidden {
                length("head.hidden", hidden)?;
            }
        }
        Ok(())
    }

    /// Refuses what a family does not leave to choose.
    fn check_choices(&self, family: &dyn Family) -> Result<(), Refusal> {
        let refused = |key, got: &str, what: &str| {
            let hint = format!("`{}` has {what}; leave `{key}` out", self.name);
            Err(impossible(key, "none", got, hint))
        };
        if self.stem.is_some() && !family.offers_stems() {
            return refused("stem", "a stem", "one stem");
        }
        if self.shortcut.is_some() && !family.offers_shortcuts() {
            return refused("shortcut", "a shortcut", "one kind of shortcut");
        }
        let Some(size) = self.position_size else {
            return Ok(());
        };
        let Some(patch) = family.patch() else {
            return refused("position_size", "a size", "no position embedding");
        };
        if !(patch..=4096).contains(&size) || size % patch != 0 {
            return Err(impossible(
                "position_size",
                format!("a multiple of the patch, {patch}, up to 4096"),
                size,
                "",
            ));
        }
        Ok(())
    }
}
