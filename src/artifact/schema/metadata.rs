//! The declared metadata of an output: text by key, stored as canonical JSON under one key of the
//! Parquet footer, equal in all parts. It is part of the content digest. The key `kind` is written
//! here, and readers check it.

use std::collections::BTreeMap;
use std::path::Path;

use parquet::file::metadata::{FileMetaData, KeyValue};

use crate::schema::KINDS;
use crate::schema::failure::{self, Result};

/// Declared metadata without the reserved key `kind`.
pub type Metadata = BTreeMap<String, String>;

/// The key in the Parquet footer.
const FOOTER_KEY: &str = "seedpipe";
/// The reserved key inside.
const KIND: &str = "kind";

/// The footer entry for `kind` and `metadata`.
pub(crate) fn to_footer(path: &Path, kind: &str, metadata: &Metadata) -> Result<KeyValue> {
    if metadata.contains_key(KIND) {
        return Err(failure::new(
            path,
            "metadata key `kind` is reserved for the artifact's kind",
        ));
    }
    Ok(KeyValue::new(
        FOOTER_KEY.to_string(),
        canonical(kind, metadata),
    ))
}

/// Canonical JSON: keys sorted by their bytes, no white space.
pub(crate) fn canonical(kind: &str, metadata: &Metadata) -> String {
    let mut all = metadata.clone();
    all.insert(KIND.to_string(), kind.to_string());
    serde_json::to_string(&all).expect("BUG: a map of strings is always JSON")
}

/// The kind and the metadata that a footer holds.
pub(crate) fn from_footer(path: &Path, footer: &FileMetaData) -> Result<(&'static str, Metadata)> {
    let mut entries = footer
        .key_value_metadata()
        .into_iter()
        .flatten()
        .filter(|entry| entry.key == FOOTER_KEY);
    let entry = match (entries.next(), entries.next()) {
        (Some(entry), None) => entry.value.as_deref().unwrap_or_default(),
        (None, _) => {
            return Err(failure::unexpected(
                path,
                "footer metadata",
                "an entry `seedpipe`",
                "none: not an artifact of this program",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(failure::unexpected(
                path,
                "footer metadata",
                "one entry `seedpipe`",
                "several",
            ));
        }
    };
    let mut metadata: Metadata = serde_json::from_str(entry).map_err(|error| {
        failure::unexpected(
            path,
            "footer metadata `seedpipe`",
            "a JSON object of strings",
            error,
        )
    })?;
    let named = metadata
        .remove(KIND)
        .ok_or_else(|| failure::unexpected(path, "footer metadata", "a key `kind`", "none"))?;
    let kind = KINDS.iter().find(|kind| **kind == named).ok_or_else(|| {
        failure::unexpected(
            path,
            "artifact kind",
            format!("one of {}", KINDS.join(", ")),
            format!("`{named}`"),
        )
    })?;
    Ok((kind, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_is_sorted_and_holds_the_kind() {
        let metadata = Metadata::from([("z".into(), "1".into()), ("a".into(), "\"".into())]);
        assert_eq!(
            canonical("files/v1", &metadata),
            r#"{"a":"\"","kind":"files/v1","z":"1"}"#
        );
    }

    #[test]
    fn the_key_kind_is_reserved() {
        let metadata = Metadata::from([("kind".into(), "x".into())]);
        assert!(to_footer(Path::new("p"), "files/v1", &metadata).is_err());
    }
}
