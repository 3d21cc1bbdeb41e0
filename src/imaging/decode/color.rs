//! Other pixel kinds to 8-bit RGB, as Pillow's `convert("RGB")`: gray is repeated, alpha dropped, never composited.
//!
//! 16-bit samples become `round(value / 257)`, so that 0 stays 0, 65,535 becomes 255 and a widened byte its own byte.

use image::ColorType;

/// 8-bit RGB of `bytes` in the given layout (16-bit samples in the machine's byte order), or `None` for a layout
/// that none of the formats read here yields.
pub(crate) fn to_rgb(bytes: Vec<u8>, layout: ColorType) -> Option<Vec<u8>> {
    Some(match layout {
        ColorType::Rgb8 => bytes,
        ColorType::L8 => repeat::<1>(&bytes),
        ColorType::La8 => repeat::<2>(&bytes),
        ColorType::Rgba8 => drop_alpha(&bytes),
        ColorType::L16 => repeat::<1>(&narrow(&bytes)),
        ColorType::La16 => repeat::<2>(&narrow(&bytes)),
        ColorType::Rgb16 => narrow(&bytes),
        ColorType::Rgba16 => drop_alpha(&narrow(&bytes)),
        _ => return None,
    })
}

/// The first of every `CHANNELS` samples, three times.
fn repeat<const CHANNELS: usize>(samples: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(samples.len() / CHANNELS * 3);
    for pixel in samples.chunks_exact(CHANNELS) {
        rgb.extend_from_slice(&[pixel[0]; 3]);
    }
    rgb
}

fn drop_alpha(samples: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(samples.len() / 4 * 3);
    for pixel in samples.chunks_exact(4) {
        rgb.extend_from_slice(&pixel[..3]);
    }
    rgb
}

fn narrow(bytes: &[u8]) -> Vec<u8> {
    bytes
        .chunks_exact(2)
        .map(|pair| {
            let value = u32::from(u16::from_ne_bytes([pair[0], pair[1]]));
            ((value + 128) / 257) as u8
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_divided_by_257_and_rounded() {
        let narrowed = |value: u16| narrow(&value.to_ne_bytes())[0];
        assert_eq!(narrowed(0), 0);
        assert_eq!(narrowed(65_535), 255);
        assert_eq!(narrowed(257 * 77), 77);
        assert_eq!(narrowed(257 * 77 + 128), 77);
        assert_eq!(narrowed(257 * 77 + 129), 78);
    }

    #[test]
    fn alpha_is_dropped_and_gray_repeated() {
        assert_eq!(
            to_rgb(vec![9, 0, 8, 255], ColorType::La8),
            Some(vec![9, 9, 9, 8, 8, 8])
        );
        assert_eq!(
            to_rgb(vec![1, 2, 3, 0], ColorType::Rgba8),
            Some(vec![1, 2, 3])
        );
        assert_eq!(to_rgb(vec![0; 16], ColorType::Rgba32F), None);
    }
}
