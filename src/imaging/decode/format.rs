//! The encoded formats that are read, recognised by content and never by file name.

use std::fmt;

/// An encoded image format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Baseline and progressive JPEG.
    Jpeg,
    /// PNG of any bit depth and colour type.
    Png,
    /// Lossy and lossless WebP; of an animation the first frame.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// GIF; of an animation the first frame.
    Gif,
}

impl Format {
    /// The format that `bytes` begin like, if it is one of those that are read.
    pub fn of(bytes: &[u8]) -> Option<Format> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Format::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Format::Png),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Some(Format::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Format::Gif),
            // A bitmap's two letters begin many a text: the size of its second header must be a known one too.
            [b'B', b'M', rest @ ..]
                if matches!(
                    rest.get(12..16),
                    Some([12 | 16 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
                ) =>
            {
                Some(Format::Bmp)
            }
            _ => None,
        }
    }

    /// The format's name in lower case, as messages write it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "jpeg",
            Format::Png => "png",
            Format::WebP => "webp",
            Format::Bmp => "bmp",
            Format::Gif => "gif",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
