//! BLAKE3 digests: of bytes, of files, and as 64 hexadecimal digits.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use seedpipe_base::Refusal;
use seedpipe_base::text::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Files from this many bytes on are hashed by several threads.
const PARALLEL_FROM_BYTES: u64 = 1 << 20;
/// What is read at once.
const BUFFER_BYTES: usize = 64 << 10;
/// What several threads hash together; a power of two, which BLAKE3's tree is cut at.
const WINDOW_BYTES: u64 = 64 << 20;

/// A BLAKE3 digest; written as 64 lower-case hexadecimal digits everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of a file's bytes; large files are hashed by all of rayon's threads.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = fs_err::File::open(path)?;
        match of_read(&mut file)? {
            Some(digest) => Ok(digest),
            None => of_windows(path),
        }
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

/// The digest of all that `file` gives, read through one buffer a thread: with many small files,
/// every call to the system that is left out counts. `None`, when it turns out to be large.
fn of_read(file: &mut fs_err::File) -> io::Result<Option<Digest>> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER_BYTES]);
    }
    // Nothing in here gives the thread to another task, so nobody else finds the buffer borrowed.
    BUFFER.with_borrow_mut(|buffer| {
        let mut length = fill(file, buffer)?;
        if length < buffer.len() {
            return Ok(Some(Digest::of(&buffer[..length])));
        }
        if file.metadata()?.len() >= PARALLEL_FROM_BYTES {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        while length > 0 {
            hasher.update(&buffer[..length]);
            length = fill(file, buffer)?;
        }
        Ok(Some(Digest(*hasher.finalize().as_bytes())))
    })
}

/// Reads until the buffer is full or the file ends; how many bytes that were.
fn fill(file: &mut fs_err::File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The digest of a large file, a window at a time: a file mapped as a whole would be resident as a
/// whole.
fn of_windows(path: &Path) -> io::Result<Digest> {
    let file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = blake3::Hasher::new();
    let mut start = 0;
    while start < length {
        let window = WINDOW_BYTES.min(length - start);
        // SAFETY: the map is only read, and gone before the next one. A file that another program
        // changes meanwhile gives a digest of neither state, and one that is cut short ends this
        // program, as with any mapped file; nothing else is at stake.
        let map = unsafe {
            memmap2::MmapOptions::new()
                .offset(start)
                .len(window as usize)
                .map(file.file())
        };
        let map = map.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("failed to map `{}`: {error}", path.display()),
            )
        })?;
        hasher.update_rayon(&map);
        start += window;
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || {
            let shown: String = text.chars().take(80).collect();
            Refusal::failure(format!(
                "expected a digest of 64 hexadecimal digits, got `{shown}`"
            ))
        };
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

/// The value of one lower-case hexadecimal digit; upper case is refused so that a digest has one
/// spelling.
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
        let parallel = PARALLEL_FROM_BYTES as usize;
        for length in [
            0,
            5,
            BUFFER_BYTES - 1,
            BUFFER_BYTES,
            BUFFER_BYTES + 1,
            3 * BUFFER_BYTES,
            parallel - 1,
            parallel,
            parallel + 3,
            WINDOW_BYTES as usize + 7,
        ] {
            let bytes: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let path = folder.path().join("file");
            fs_err::write(&path, &bytes).unwrap();
            assert_eq!(Digest::of_file(&path).unwrap(), Digest::of(&bytes));
        }
    }
}
