//! Params that only some objectives have: left out of a recipe while they are not used, and told of when they are refused.

use serde::Serialize;

/// Keeps a param that has its default out of the recipe, so that recipes from before it was there stay the same.
pub fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A param as it is written, when it is there.
pub fn told(value: &Option<impl Serialize>) -> Option<String> {
    let value = value.as_ref()?;
    Some(serde_json::to_string(value).unwrap_or_default())
}
