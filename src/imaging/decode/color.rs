//! Other pixel kinds to 8-bit RGB, as Pillow's `convert("RGB")`: gray is repeated, alpha dropped,
//! never composited.

/// 8-bit RGB of interleaved 8-bit samples: gray, gray and alpha, RGB, or RGB and alpha, by their
/// number of channels.
pub(crate) fn to_rgb(samples: Vec<u8>, channels: usize) -> Vec<u8> {
    match channels {
        1 => repeat::<1>(&samples),
        2 => repeat::<2>(&samples),
        3 => samples,
        4 => drop_alpha(&samples),
        _ => unreachable!("BUG: pixels of {channels} channels"),
    }
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

/// 8-bit samples of 16-bit ones in the byte order of `read`: `round(value / 257)`, so that 0 stays
/// 0, 65,535 becomes 255 and a widened byte its own byte.
pub(crate) fn narrow(bytes: &[u8], read: impl Fn([u8; 2]) -> u16) -> Vec<u8> {
    let (pairs, _) = bytes.as_chunks();
    pairs
        .iter()
        .map(|pair| ((u32::from(read(*pair)) + 128) / 257) as u8)
        .collect()
}

/// 8-bit RGB of inks, by Pillow's formula.
pub(crate) fn from_cmyk([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let white = 255 - u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(ink) * white + 128;
        let ink = (product + (product >> 8)) >> 8;
        white.saturating_sub(ink) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_divided_by_257_and_rounded() {
        let narrowed = |value: u16| narrow(&value.to_be_bytes(), u16::from_be_bytes)[0];
        assert_eq!(narrowed(0), 0);
        assert_eq!(narrowed(65_535), 255);
        assert_eq!(narrowed(257 * 77), 77);
        assert_eq!(narrowed(257 * 77 + 128), 77);
        assert_eq!(narrowed(257 * 77 + 129), 78);
    }

    #[test]
    fn alpha_is_dropped_and_gray_repeated() {
        assert_eq!(to_rgb(vec![9, 0, 8, 255], 2), vec![9, 9, 9, 8, 8, 8]);
        assert_eq!(to_rgb(vec![1, 2, 3, 0], 4), vec![1, 2, 3]);
    }
}
