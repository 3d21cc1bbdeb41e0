//! The numerics class of each kind's work: what decides floating-point bits beside the recipe.
//!
//! A kind without tensors has the architecture alone: no pixel of the AVX2 renderer is in its
//! content, and what `augment` computes by the C library's `exp` and `ln`, whose variants for FMA
//! may differ in a last bit, is rounded to whole pixels (compared once by hand, with glibc's FMA
//! variants off: equal). A kind with tensors asks libtorch's side.

use std::env::consts::ARCH;

use seedpipe_engine::NumericsOf;

/// Tells the class of tensor work on a device by name.
type TensorNumerics = fn(&str) -> anyhow::Result<String>;

/// What the engine asks.
///
/// - `tensors`: `None` in the program without libtorch, which runs no tensor work
pub fn classes(tensors: Option<TensorNumerics>) -> NumericsOf {
    Box::new(move |kind, device| match (kind.tensors(), tensors) {
        (false, _) => Ok(ARCH.to_owned()),
        (true, Some(class)) => class(device),
        (true, None) => Ok(String::new()),
    })
}
