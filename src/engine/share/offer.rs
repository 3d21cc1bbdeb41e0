//! What a remote has for a recipe, believed only after these checks: index and manifest read, names
//! stay in their folder, the recipe is the very one that is wanted, outputs are the kind's, and
//! every file is there with the length that is claimed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::base::cancel;
use crate::base::digest::Digest;
use crate::cache::manifest::{Manifest, OutputRecord, PartRecord};
use crate::cache::recipe::Recipe;
use crate::cache::remote::{
    CONTENT_DIGITS, INDEX_LIMIT, Index, MANIFEST_LIMIT, Remote, Trouble, blob_key, index_key,
    manifest_key,
};
use crate::kind::registry::Kind;

/// Requests at a time.
const AT_ONCE: usize = 8;

/// The message that an object isn't what it should be.
pub(crate) fn refused(
    remote: &dyn Remote,
    key: &str,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Trouble {
    Trouble::Refused(format!(
        "remote `{}`: object `{key}`: expected {expected}, got {found}",
        remote.name()
    ))
}

/// A small object; one that is too large is a lie, not a fault of the line.
fn read(remote: &dyn Remote, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Trouble> {
    remote
        .read(key, limit)
        .map_err(|error| match remote.length(key) {
            Ok(Some(length)) if length > limit => {
                let expected = format!("at most {limit} bytes");
                refused(remote, key, expected, format!("{length} bytes"))
            }
            _ => Trouble::Unreachable(error),
        })
}

/// The index of a fingerprint; `None` when the remote has nothing of it.
pub(crate) fn index(remote: &dyn Remote, fingerprint: Digest) -> Result<Option<Index>, Trouble> {
    let key = index_key(fingerprint);
    let Some(bytes) = read(remote, &key, INDEX_LIMIT)? else {
        return Ok(None);
    };
    match Index::decode(&bytes) {
        Ok(index) => Ok(Some(index)),
        Err(message) => Err(Trouble::Refused(format!(
            "remote `{}`: object `{key}`: {message}",
            remote.name()
        ))),
    }
}

/// A manifest that an index names.
pub(crate) fn manifest(
    remote: &dyn Remote,
    fingerprint: Digest,
    content: &str,
) -> Result<Manifest, Trouble> {
    let key = manifest_key(fingerprint, content);
    let wrong = |expected: &str, found: String| Err(refused(remote, &key, expected, found));
    let Some(bytes) = read(remote, &key, MANIFEST_LIMIT)? else {
        return wrong(
            "the manifest that the index names",
            "no such object".to_owned(),
        );
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return wrong("a manifest", "bytes that are no text".to_owned());
    };
    let read = Manifest::decode(&text).and_then(|manifest| manifest.check().map(|()| manifest));
    let manifest = match read {
        Ok(manifest) => manifest,
        Err(error) => return wrong("a whole manifest", format!("one that is none: {error}")),
    };
    if manifest.fingerprint != fingerprint || manifest.content.prefix(CONTENT_DIGITS) != content {
        let found = format!(
            "that of {}/{}",
            manifest.fingerprint.short(),
            manifest.content.prefix(CONTENT_DIGITS)
        );
        return wrong("the manifest of its name", found);
    }
    Ok(manifest)
}

/// The newest artifact of a recipe; `None` when the remote has none.
pub(crate) fn offered(
    remote: &dyn Remote,
    recipe: &Recipe,
    kind: &Kind,
) -> Result<Option<Manifest>, Trouble> {
    let fingerprint = recipe.fingerprint();
    let Some(index) = index(remote, fingerprint)? else {
        return Ok(None);
    };
    let Some(content) = index.newest() else {
        return Ok(None);
    };
    let manifest = manifest(remote, fingerprint, content)?;
    let key = manifest_key(fingerprint, content);
    if manifest.recipe != *recipe {
        return Err(refused(
            remote,
            &key,
            "the recipe that is wanted",
            "another one",
        ));
    }
    check_outputs(remote, &key, &manifest, kind)?;
    check_lengths(remote, &manifest)?;
    Ok(Some(manifest))
}

/// The kind's own outputs, each with files in order of name.
fn check_outputs(
    remote: &dyn Remote,
    key: &str,
    manifest: &Manifest,
    kind: &Kind,
) -> Result<(), Trouble> {
    let mut expected: Vec<(&str, &str)> = kind
        .outputs()
        .iter()
        .map(|slot| (slot.name, slot.kind))
        .collect();
    expected.sort_unstable();
    let found = manifest.outputs.iter();
    let found: Vec<(&str, &str)> = found
        .map(|(slot, output)| (slot.as_str(), output.kind.as_str()))
        .collect();
    if found != expected {
        let list = |outputs: &[(&str, &str)]| {
            let texts: Vec<String> = outputs
                .iter()
                .map(|(slot, kind)| format!("`{slot}` ({kind})"))
                .collect();
            texts.join(", ")
        };
        return Err(refused(
            remote,
            key,
            format!("the outputs {}", list(&expected)),
            list(&found),
        ));
    }
    for (slot, output) in &manifest.outputs {
        let is_sorted =
            |parts: &[PartRecord]| parts.windows(2).all(|pair| pair[0].name < pair[1].name);
        if output.parts.is_empty() || !is_sorted(&output.parts) {
            let found = format!("{} in another order, or twice, or none", output.parts.len());
            return Err(refused(
                remote,
                key,
                format!("files of `{slot}` in order of name"),
                found,
            ));
        }
    }
    Ok(())
}

/// Before anything is written: a file that is claimed to be longer than its object is a lie.
fn check_lengths(remote: &dyn Remote, manifest: &Manifest) -> Result<(), Trouble> {
    let files: Vec<&PartRecord> = manifest
        .outputs
        .values()
        .flat_map(|output: &OutputRecord| &output.parts)
        .collect();
    in_parallel(&files, |part| {
        let key = blob_key(part.blake3);
        let expected = format!("{} bytes", part.bytes);
        match remote.length(&key).map_err(Trouble::Unreachable)? {
            Some(length) if length == part.bytes => Ok(()),
            Some(length) => Err(refused(remote, &key, expected, format!("{length} bytes"))),
            None => Err(refused(remote, &key, expected, "no such object")),
        }
    })
}

/// Does something for every item on several threads, until one fails or the user wants to stop.
pub(crate) fn in_parallel<T: Sync>(
    items: &[T],
    work: impl Fn(&T) -> Result<(), Trouble> + Sync,
) -> Result<(), Trouble> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Trouble>> = Mutex::new(None);
    let failure = || failed.lock().unwrap_or_else(PoisonError::into_inner);
    let one_after_the_other = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failure().is_some() {
                return;
            }
            let done = cancel::check()
                .map_err(|error| Trouble::Here(error.into()))
                .and_then(|()| work(item));
            if let Err(trouble) = done {
                failure().get_or_insert(trouble);
                return;
            }
        }
    };
    if items.len() <= 1 {
        one_after_the_other();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(items.len()) {
                scope.spawn(one_after_the_other);
            }
        });
    }
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(trouble) => Err(trouble),
        None => Ok(()),
    }
}
