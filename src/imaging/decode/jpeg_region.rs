//! A part of a JPEG file's pixels, whole or scaled down, by libjpeg-turbo through `shim/jpeg.c`.
//!
//! libjpeg-turbo comes vendored by `mozjpeg-sys`. Its decoder is the one that Pillow and
//! torchvision have (`islow` transform, interpolated chroma), and its SIMD gives the same bits as
//! its C. Damage in what is decoded is an error.

// The crate is linked for its C alone.
use mozjpeg_sys as _;

use std::ffi::{CStr, c_char, c_int};

use crate::decode::DecodeError;
use crate::{CropBox, Format};

/// The bytes of libjpeg's messages: its `JMSG_LENGTH_MAX`.
const MESSAGE_LENGTH: usize = 200;

/// As in `shim/jpeg.c`.
#[repr(C)]
struct Request {
    bytes: *const u8,
    length: usize,
    width: u32,
    height: u32,
    denominator: u32,
    x: u32,
    y: u32,
    region_width: u32,
    region_height: u32,
    out: *mut u8,
}

unsafe extern "C" {
    fn seedpipe_decode_jpeg(request: *const Request, message: *mut c_char) -> c_int;
}

/// The region's pixels into `out`.
///
/// `size` is what the header says of the whole stored image. With a `denominator` of 2, 4 or 8 the
/// image is scaled down by that within the inverse transform, to size / denominator rounded up, and
/// `region` is in its pixels.
///
/// # Shapes
/// - `out`: `[region.height, region.width, 3]`, resized to that
///
/// # Errors
/// When what must be read of the file for the region is no readable image.
pub(crate) fn decode_region(
    bytes: &[u8],
    size: [u32; 2],
    denominator: u32,
    region: CropBox,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    assert!(
        matches!(denominator, 1 | 2 | 4 | 8),
        "BUG: scaled by 1/{denominator}"
    );
    let length = region.width as usize * region.height as usize * 3;
    if out.capacity() < length {
        *out = vec![0; length]; // the system's zeros, which nobody writes
    } else {
        out.resize(length, 0);
    }
    let request = Request {
        bytes: bytes.as_ptr(),
        length: bytes.len(),
        width: size[0],
        height: size[1],
        denominator,
        x: region.x,
        y: region.y,
        region_width: region.width,
        region_height: region.height,
        out: out.as_mut_ptr(),
    };
    let mut message = [0 as c_char; MESSAGE_LENGTH];
    // SAFETY: the request's pointers hold for the call, `out` has room for the region, and the shim
    // checks the region against the image; it writes at most `MESSAGE_LENGTH` characters, the last
    // of them 0.
    let outcome = unsafe { seedpipe_decode_jpeg(&request, message.as_mut_ptr()) };
    let reason = || {
        // SAFETY: zeros at first, and the shim ends what it writes by one.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) };
        text.to_string_lossy().into_owned()
    };
    let format = Format::Jpeg;
    match outcome {
        0 => Ok(()),
        2 => Err(DecodeError::Truncated { format }),
        3 => Err(DecodeError::Unsupported {
            format,
            reason: reason(),
        }),
        _ => Err(DecodeError::Damaged {
            format,
            reason: reason(),
        }),
    }
}
