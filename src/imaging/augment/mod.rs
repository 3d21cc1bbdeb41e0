//! What is done to an image, as numbers: a [`recipe`], and the views that are drawn from it by key
//! ([`sample`], [`view`]).

pub(crate) mod recipe;
pub(crate) mod recipe_name;
pub(crate) mod sample;
