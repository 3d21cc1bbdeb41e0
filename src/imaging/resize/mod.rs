//! Resampling: separable filters as torchvision has them ([`resample`]) and as Pillow rounds them
//! ([`pillow`]), each with the instructions that there are; and which part of a JPEG file a view
//! needs at which scale ([`part`]).

pub(crate) mod part;
pub(crate) mod pillow;
pub(crate) mod pillow_row;
pub(crate) mod resample;
#[cfg(target_arch = "x86_64")]
pub(crate) mod resample_beside;
pub(crate) mod resample_row;
