//! What the engine asks of a remote: bytes under keys. Which keys there are is decided here; how
//! they travel is the remote's own business.
//!
//! Blobs are written first, then the manifest, then the index: whoever dies midway leaves nothing
//! that counts.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;

/// The keys' common start; another layout would have another number.
const ROOT: &str = "seedpipe/v1";
/// Index and manifest are small; what is larger is none.
pub(crate) const INDEX_LIMIT: u64 = 1 << 20;
pub(crate) const MANIFEST_LIMIT: u64 = 64 << 20;
/// The version of the index's form.
const INDEX_FORMAT: u32 = 1;
/// Hexadecimal digits of a content that name its manifest, as in the cache.
pub(crate) const CONTENT_DIGITS: usize = 16;
/// In [`Engine::handover`](crate::Engine::handover): the remote can't be reached.
const UNREACHABLE: &str = "unreachable";

/// Bytes under keys that several machines share. Calls block and come from several threads; an
/// error means that the remote can't be reached or refuses, and its text holds no credentials.
pub trait Remote: Send + Sync {
    /// For messages, without credentials.
    fn name(&self) -> String;
    fn is_writable(&self) -> bool;
    /// An object's length in bytes; `None` when it isn't there.
    fn length(&self, key: &str) -> Result<Option<u64>>;
    /// A small object; `None` when it isn't there, an error when it has more than `limit` bytes.
    fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>>;
    /// Passes an object's bytes on until its end or until `sink` answers `false`; gives `false`
    /// when it isn't there.
    fn fetch(&self, key: &str, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool>;
    /// Writes an object of `length` bytes; nothing is there when `source` fails.
    fn write(&self, key: &str, length: u64, source: &mut dyn Read) -> Result<()>;
    /// Changes a small object so that no change of somebody else is lost. `change` may be called
    /// several times; it gets `None` when the object isn't there and gives `None` when nothing is
    /// to be written.
    fn change(
        &self,
        key: &str,
        limit: u64,
        change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>,
    ) -> Result<()>;
    /// Names of the objects right under a folder of keys.
    fn names(&self, folder: &str) -> Result<Vec<String>>;
}

/// A remote and what became of it in this process.
pub(crate) struct SharedRemote {
    pub remote: Box<dyn Remote>,
    /// Whether a run pushes what it executed.
    pub write_back: bool,
    is_down: AtomicBool,
    /// Starts of the fingerprints that this run fetched before it began.
    fetched: Mutex<BTreeSet<String>>,
}

impl SharedRemote {
    pub fn new(remote: Box<dyn Remote>, write_back: bool) -> Self {
        SharedRemote {
            remote,
            write_back,
            is_down: AtomicBool::new(false),
            fetched: Mutex::new(BTreeSet::new()),
        }
    }

    /// From now on the run does without it. Whether that is new.
    pub fn give_up(&self) -> bool {
        !self.is_down.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn is_up(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed)
    }

    pub(crate) fn note_fetched(&self, fingerprint: Digest) {
        self.fetched().insert(fingerprint.prefix(CONTENT_DIGITS));
    }

    pub(crate) fn was_fetched(&self, fingerprint: Digest) -> bool {
        self.fetched().contains(&fingerprint.prefix(CONTENT_DIGITS))
    }

    /// What another process needs to go on with the same run.
    pub fn handover(&self) -> String {
        let mut words: Vec<String> = self.fetched().iter().cloned().collect();
        if !self.is_up() {
            words.push(UNREACHABLE.to_owned());
        }
        words.join(",")
    }

    pub fn take_over(&self, handover: &str) {
        for word in handover.split(',').filter(|word| !word.is_empty()) {
            if word == UNREACHABLE {
                self.give_up();
            } else {
                self.fetched().insert(word.to_owned());
            }
        }
    }

    fn fetched(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.fetched
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Why something could not be fetched.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The remote can't be reached, or refuses.
    Unreachable(anyhow::Error),
    /// The remote holds something that isn't what it says: which object, expected and found.
    Refused(String),
    /// Something on this machine: a full disk, an interrupt.
    Here(anyhow::Error),
}

impl Trouble {
    /// What is told to somebody who asked for the remote.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Trouble::Unreachable(error) => Refusal::failure(format!("{error:#}"))
                .hint("check the address, the connection, and the credentials in the environment")
                .into(),
            Trouble::Refused(message) => Refusal::failure(format!(
                "{message}; it is refused, and nothing of it is kept"
            ))
            .hint("push it again from a machine that has it, or run the stage here with `--no-remote`")
            .into(),
            Trouble::Here(error) => error,
        }
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Trouble::Here(error)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Trouble::Here(error.into())
    }
}

/// Where a file's bytes lie.
pub(crate) fn blob_key(blake3: Digest) -> String {
    format!("{ROOT}/blobs/{}/{blake3}", blake3.prefix(2))
}

/// The folder of a fingerprint's manifests and index.
pub(crate) fn artifact_folder(fingerprint: Digest) -> String {
    format!("{ROOT}/artifacts/{fingerprint}")
}

pub(crate) fn index_key(fingerprint: Digest) -> String {
    format!("{}/index.json", artifact_folder(fingerprint))
}

/// - `content`: the first 16 digits
pub(crate) fn manifest_key(fingerprint: Digest, content: &str) -> String {
    format!("{}/{content}.json", artifact_folder(fingerprint))
}

/// The contents that one fingerprint gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    format: u32,
    /// First 16 digits of each content, newest last.
    contents: Vec<String>,
}

impl Index {
    pub fn new() -> Self {
        Index {
            format: INDEX_FORMAT,
            contents: Vec::new(),
        }
    }

    /// Reads and checks an index; the error says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Index, String> {
        let index: Index = serde_json::from_slice(bytes)
            .map_err(|error| format!("expected an index, got other text: {error}"))?;
        if index.format != INDEX_FORMAT {
            return Err(format!(
                "expected an index of format {INDEX_FORMAT}, got {}",
                index.format
            ));
        }
        match index.contents.iter().find(|content| !is_content(content)) {
            Some(content) => {
                let shown: String = content.chars().take(60).collect();
                Err(format!(
                    "expected contents of {CONTENT_DIGITS} hexadecimal digits, got `{shown}`"
                ))
            }
            None => Ok(index),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).expect("BUG: an index is JSON");
        text.push('\n');
        text.into_bytes()
    }

    pub fn contents(&self) -> &[String] {
        &self.contents
    }

    pub fn newest(&self) -> Option<&str> {
        self.contents.last().map(String::as_str)
    }

    /// Adds a content as the newest, unless it is there.
    pub fn add(&mut self, content: &str) {
        if is_content(content) && !self.contents.iter().any(|known| known == content) {
            self.contents.push(content.to_owned());
        }
    }
}

fn is_content(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == CONTENT_DIGITS && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_reads_back_and_keeps_its_order() {
        let mut index = Index::new();
        for content in [
            "00000000000000ff",
            "00000000000000aa",
            "00000000000000ff",
            "../../etc/passwd",
        ] {
            index.add(content);
        }
        assert_eq!(index.contents(), ["00000000000000ff", "00000000000000aa"]);
        let read = Index::decode(&index.encode()).unwrap();
        assert_eq!((read.newest(), &read), (Some("00000000000000aa"), &index));
    }

    #[test]
    fn an_index_that_leads_out_of_its_folder_is_refused() {
        for content in [
            "../../../etc/pas",
            "/etc/passwd00000",
            "0123456789ABCDEF",
            "",
            "0123",
        ] {
            let text = format!("{{\"format\": 1, \"contents\": [\"{content}\"]}}");
            let message = Index::decode(text.as_bytes()).unwrap_err();
            assert!(message.contains("16 hexadecimal digits"), "{message}");
        }
        assert!(Index::decode(b"{\"format\": 2, \"contents\": []}").is_err());
        assert!(Index::decode(b"[").is_err());
    }

    #[test]
    fn what_a_process_found_out_can_be_handed_over() {
        struct Nothing;
        impl Remote for Nothing {
            fn name(&self) -> String {
                "nothing".to_owned()
            }
            fn is_writable(&self) -> bool {
                false
            }
            fn length(&self, _: &str) -> Result<Option<u64>> {
                Ok(None)
            }
            fn read(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>> {
                Ok(None)
            }
            fn fetch(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
                Ok(false)
            }
            fn write(&self, _: &str, _: u64, _: &mut dyn Read) -> Result<()> {
                Ok(())
            }
            fn change(
                &self,
                _: &str,
                _: u64,
                _: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>,
            ) -> Result<()> {
                Ok(())
            }
            fn names(&self, _: &str) -> Result<Vec<String>> {
                Ok(Vec::new())
            }
        }
        let (first, second) = (
            SharedRemote::new(Box::new(Nothing), false),
            SharedRemote::new(Box::new(Nothing), false),
        );
        first.note_fetched(Digest::of(b"a"));
        assert!(first.give_up() && !first.give_up());
        second.take_over(&first.handover());
        assert!(second.was_fetched(Digest::of(b"a")) && !second.was_fetched(Digest::of(b"b")));
        assert!(!second.is_up());
    }
}
