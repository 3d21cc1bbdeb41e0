//! Files that may come from others, through a shared cache or a remote: read up to a limit, and
//! JSON with each key once.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::OFlags;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// Manifests, drafts' records: 100,000 parts take some 15 MB.
pub(crate) const MAXIMAL_RECORD: u64 = 256 << 20;
/// Lists of a source's files: 10,000,000 files take some 2 GB.
const MAXIMAL_LISTING: u64 = 4 << 30;

/// Opens a file for reading, without waiting for anybody: of a named pipe, say, nobody may ever
/// write the other end.
pub(crate) fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(invalid(path, "expected a file, got something else")),
    }
}

/// A list of a source's files, which begins with `start`: no more is read of what doesn't.
pub(crate) fn read_listing(path: &Path, start: &[u8]) -> io::Result<Vec<u8>> {
    let mut found = vec![0; start.len()];
    open(path)?.read_exact(&mut found)?;
    match found == start {
        true => read(path, MAXIMAL_LISTING),
        false => Err(invalid(path, "expected another beginning")),
    }
}

/// A file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let too_large = || {
        let message = format!("expected at most {limit} bytes, got more");
        Err(invalid(path, &message))
    };
    // Before anything is read; and while it is, since it may grow.
    if file.metadata()?.len() > limit {
        return too_large();
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => too_large(),
        false => Ok(bytes),
    }
}

/// The text of a file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    text(read(path, limit)?, path)
}

/// As [`read_text`], of what the user names: also a pipe that is being written, `/dev/stdin`.
pub(crate) fn read_named_text(path: &Path, limit: u64) -> io::Result<String> {
    if !path.starts_with("/dev") {
        return read_text(path, limit);
    }
    let mut bytes = Vec::new();
    let pipe = fs::File::open(path)?;
    pipe.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(invalid(path, "expected a shorter text")),
        false => text(bytes, path),
    }
}

fn text(bytes: Vec<u8>, path: &Path) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| invalid(path, "expected text in UTF-8, got other bytes"))
}

fn invalid(path: &Path, message: &str) -> io::Error {
    let message = format!("`{}`: {message}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Whether `path` is a file of its own: a link could lead anywhere.
pub(crate) fn is_own_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Reads JSON in which no object has a key twice: of two values, readers may take either.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    KeysOnce.deserialize(&mut deserializer)?;
    serde_json::from_str(text)
}

/// Looks at a value and everything in it.
#[derive(Clone, Copy)]
struct KeysOnce;

impl<'de> DeserializeSeed<'de> for KeysOnce {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeysOnce {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value_seed(self)?;
            if let Some(twice) = keys.replace(key) {
                return Err(A::Error::custom(format!(
                    "expected the key `{twice}` once, got it twice"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn json_with_a_key_twice_endless_nesting_or_numbers_that_are_none_is_refused() {
        from_json::<Value>(r#"{"a": [{"b": 1}, {"b": 2.5}], "c": null, "d": "x", "e": -1}"#)
            .unwrap();
        let refused = |text: &str| from_json::<Value>(text).unwrap_err().to_string();
        assert!(
            refused(r#"{"a": {"b": 1, "b": 1}}"#)
                .contains("expected the key `b` once, got it twice")
        );
        assert!(refused(r#"{"b": 1, "\u0062": 1}"#).contains("`b` once"));
        assert!(refused(&"[".repeat(1_000_000)).contains("recursion limit"));
        for wrong in ["1e999", "NaN", "Infinity", "", "{} {}"] {
            refused(wrong);
        }
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        let message = read_text(&path, 4).unwrap_err().to_string();
        assert!(
            message.ends_with("record.json`: expected at most 4 bytes, got more"),
            "{message}"
        );
        // Sparse: 1 TB that takes no room.
        let huge = fs::File::create(folder.path().join("huge")).unwrap();
        huge.set_len(1 << 40).unwrap();
        let message = read(huge.path(), 1 << 30).unwrap_err().to_string();
        assert!(message.contains("at most 1073741824 bytes"), "{message}");
    }

    #[test]
    fn nobody_waits_for_what_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for other in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            let message = read(other, 1_000).unwrap_err().to_string();
            assert!(
                message.ends_with("expected a file, got something else"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_link_is_no_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(is_own_file(&file));
        for other in [link, folder.path().to_owned(), folder.path().join("none")] {
            assert!(!is_own_file(&other), "{other:?}");
        }
    }
}
