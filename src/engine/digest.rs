//! BLAKE3 digests: of bytes, of files, and as 64 hexadecimal digits.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Files from this many bytes on are mapped into memory and hashed by several threads.
const PARALLEL_FROM_BYTES: u64 = 1 << 20;

/// A BLAKE3 digest; written as 64 lower-case hexadecimal digits everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("expected a digest of 64 hexadecimal digits, got `{0}`")]
pub struct DigestError(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of a file's bytes; large files are hashed by all of rayon's threads.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let length = fs_err::metadata(path)?.len();
        if length < PARALLEL_FROM_BYTES {
            return Ok(Digest::of(&fs_err::read(path)?));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_mmap_rayon(path).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("failed to hash `{}`: {error}", path.display()),
            )
        })?;
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.prefix(12)
    }

    /// The first `digits` hexadecimal digits.
    pub(crate) fn prefix(&self, digits: usize) -> String {
        let mut text = self.to_string();
        text.truncate(digits);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError(text.chars().take(80).collect());
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(wrong());
            };
            *byte = high << 4 | low;
        }
        Ok(Digest(bytes))
    }
}

/// The value of one lower-case hexadecimal digit; upper case is refused so that a digest has one spelling.
fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_blake3s_published_one() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
        assert_eq!(digest.short(), "af1349b9f5f9");
    }

    #[test]
    fn text_and_digest_convert_both_ways_and_wrong_texts_are_refused() {
        let digest = Digest::of(b"a");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        for wrong in [
            "",
            "12",
            &"g".repeat(64),
            &digest.to_string().to_uppercase(),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn small_and_large_files_hash_like_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 5, PARALLEL_FROM_BYTES as usize + 3] {
            let bytes: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let path = folder.path().join("file");
            fs_err::write(&path, &bytes).unwrap();
            assert_eq!(Digest::of_file(&path).unwrap(), Digest::of(&bytes));
        }
    }
}
