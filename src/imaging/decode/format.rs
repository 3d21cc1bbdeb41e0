//! The encoded formats that are read, recognised by content and never by file name.

use std::fmt;
use std::path::Path;

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
    /// TIFF of whole numbers; of several pages the first.
    Tiff,
}

impl Format {
    /// The names of all, for messages.
    pub const KNOWN: &str = "JPEG, PNG, WebP, BMP, GIF or TIFF";

    /// What names of image files end in, in lower case.
    pub const ENDINGS: [&str; 10] = [
        "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff",
    ];

    /// Whether a file of that name is taken for an image where a whole folder is asked for.
    pub fn is_ending_of(path: &Path) -> bool {
        let mut endings = Format::ENDINGS.iter();
        path.extension()
            .is_some_and(|ending| endings.any(|known| ending.eq_ignore_ascii_case(known)))
    }

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
            // 42, and 43 for files beyond 4 GB.
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Format::Tiff),
            // A bitmap's two letters begin many a text: the size of its second header must be a
            // known one too.
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
            Format::Tiff => "tiff",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_by_the_ending_of_their_name() {
        for name in ["a/b.JPG", "a.tiff", "a.b.TIF", "a.jfif"] {
            assert!(Format::is_ending_of(Path::new(name)), "{name}");
        }
        for name in ["a/notes.txt", "jpg", ".png", "a.png/b"] {
            assert!(!Format::is_ending_of(Path::new(name)), "{name}");
        }
    }
}
