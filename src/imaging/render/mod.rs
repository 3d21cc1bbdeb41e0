//! Views to values: resample, operate, write.
//!
//! Everything is computed in f32 on planes of 0–1 and clamped after each operation, with no
//! rounding to 8 bits between: torchvision's float path. Only the resizing of a filter that is
//! Pillow's rounds, within itself. On x86-64 the same code is compiled three times, for SSE2, AVX2
//! and AVX-512, and [`Instructions`] chooses. No operation is fused or reordered, so all give the
//! same bits.

#[cfg(test)]
pub(crate) mod golden_tests;
pub(crate) mod interleave;
#[cfg(test)]
pub(crate) mod recorded_tests;

use seedpipe_base::{Refusal, View};

use crate::augment::blur::BlurScratch;
use crate::augment::operations::apply;
use crate::instructions::{Instructions, Level};
use crate::render::interleave::interleave;
use crate::resize::part::Pixels;
use crate::resize::pillow::{self, PillowScratch};
use crate::resize::resample::{ResampleScratch, resample};

/// Grows by 1 whenever equal views of equal images would give other values.
///
/// - 1: the first
pub const RENDERING_VERSION: u32 = 1;

/// The order of a rendered view's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[3, size, size]`
    Chw,
    /// `[size, size, 3]`
    Hwc,
}

/// Subtracts `mean` and divides by `std`, channel by channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalise {
    /// Mean of each channel, of values 0–1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
}

/// Buffers that are reused from view to view, so that rendering allocates nothing once they have
/// grown. One a thread. Also says by which instructions a view is rendered, which changes none of
/// its bits.
#[derive(Debug, Default)]
pub struct Scratch {
    instructions: Instructions,
    resample: ResampleScratch,
    pillow: PillowScratch,
    blur: BlurScratch,
    /// `[3, size, size]`
    planes: Vec<f32>,
}

impl Scratch {
    /// Of rendering by these instructions, whatever the environment says.
    pub fn with(instructions: Instructions) -> Scratch {
        Scratch {
            instructions,
            ..Scratch::default()
        }
    }

    /// By which a view is rendered.
    pub fn instructions(&self) -> Instructions {
        self.instructions
    }
}

/// Writes the view's values: 0–1, or normalised.
///
/// # Shapes
/// - `out`: `[3, size, size]` or `[size, size, 3]`, all of it overwritten
///
/// # Errors
/// When the view does not fit the image or was not decoded for; `out` is untouched then.
///
/// # Panics
/// When `out` does not hold `3 * size * size` values.
pub fn render<'pixels>(
    image: impl Into<Pixels<'pixels>>,
    view: &View,
    scratch: &mut Scratch,
    out: &mut [f32],
    layout: Layout,
    normalise: Option<&Normalise>,
) -> Result<(), Refusal> {
    let image = &image.into();
    view.check(image.whole[0], image.whole[1])?;
    if !image.hold(view) {
        return Err(Refusal::new(format!(
            "crop of {}, expected one of the views that the image was decoded for",
            view.crop
        )));
    }
    let values = 3 * view.size as usize * view.size as usize;
    assert_eq!(
        out.len(),
        values,
        "BUG: values of a view of {0} × {0}",
        view.size
    );
    let normalise = normalise.unwrap_or(&Normalise {
        mean: [0.0; 3],
        std: [1.0; 3],
    });
    match scratch.instructions.level() {
        Level::Portable => {
            let portable = Instructions::PORTABLE;
            render_by(portable, image, view, scratch, out, layout, normalise);
        }
        // SAFETY: `Instructions` of this level exist only where the processor has all that the
        // function asks for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { render_avx2(image, view, scratch, out, layout, normalise) },
        // SAFETY: the same.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { render_avx512(image, view, scratch, out, layout, normalise) },
    }
    Ok(())
}

/// [`render_by`] compiled for AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2")]
fn render_avx512(
    image: &Pixels,
    view: &View,
    scratch: &mut Scratch,
    out: &mut [f32],
    layout: Layout,
    normalise: &Normalise,
) {
    // SAFETY: this function is called only where the processor has them.
    let here = unsafe { Instructions::assumed(Level::Avx512) };
    render_by(here, image, view, scratch, out, layout, normalise);
}

/// [`render_by`] compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn render_avx2(
    image: &Pixels,
    view: &View,
    scratch: &mut Scratch,
    out: &mut [f32],
    layout: Layout,
    normalise: &Normalise,
) {
    // SAFETY: this function is called only where the processor has them.
    let here = unsafe { Instructions::assumed(Level::Avx2) };
    render_by(here, image, view, scratch, out, layout, normalise);
}

#[inline(always)]
fn render_by(
    instructions: Instructions,
    image: &Pixels,
    view: &View,
    scratch: &mut Scratch,
    out: &mut [f32],
    layout: Layout,
    normalise: &Normalise,
) {
    let size = view.size as usize;
    let planes = &mut scratch.planes;
    planes.resize(3 * size * size, 0.0);
    if view.filter.is_pillow() {
        pillow::resample(instructions, image, view, &mut scratch.pillow, planes);
    } else {
        resample(instructions, image, view, &mut scratch.resample, planes);
    }

    let flipped = apply(
        instructions,
        planes,
        size,
        &view.operations,
        &mut scratch.blur,
    );
    match layout {
        Layout::Chw => write_planes(planes, size, flipped, normalise, out),
        Layout::Hwc => write_pixels(instructions, planes, size, flipped, normalise, out),
    }
}

#[inline(always)]
fn write_planes(
    planes: &[f32],
    size: usize,
    flipped: bool,
    normalise: &Normalise,
    out: &mut [f32],
) {
    let outputs = out.chunks_exact_mut(size * size);
    for (channel, (plane, out)) in planes.chunks_exact(size * size).zip(outputs).enumerate() {
        let mean = normalise.mean[channel];
        let reciprocal = 1.0 / normalise.std[channel];
        for (row, out) in plane.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            if flipped {
                for (out, value) in out.iter_mut().zip(row.iter().rev()) {
                    *out = (value - mean) * reciprocal;
                }
            } else {
                for (out, value) in out.iter_mut().zip(row) {
                    *out = (value - mean) * reciprocal;
                }
            }
        }
    }
}

#[inline(always)]
fn write_pixels(
    instructions: Instructions,
    planes: &[f32],
    size: usize,
    flipped: bool,
    normalise: &Normalise,
    out: &mut [f32],
) {
    let (red, rest) = planes.split_at(size * size);
    let (green, blue) = rest.split_at(size * size);
    let [red_std, green_std, blue_std] = normalise.std;
    let reciprocal = [1.0 / red_std, 1.0 / green_std, 1.0 / blue_std];
    for (y, out) in out.chunks_exact_mut(3 * size).enumerate() {
        let row = y * size..(y + 1) * size;
        let rows = [&red[row.clone()], &green[row.clone()], &blue[row]];
        interleave(instructions, rows, flipped, normalise.mean, reciprocal, out);
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
