//! The manifest: what an artifact is, readable, with a checksum of its own as its last line.
//!
//! It is written last, so that an artifact without a whole manifest does not exist.

use std::collections::BTreeMap;
use std::fmt::Display;

use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};

use crate::base::canonical::canonical_text;
use crate::base::digest::Digest;
use crate::base::untrusted;
use crate::cache::recipe::Recipe;

/// The version of the manifest's own form.
pub(crate) const FORMAT: u32 = 1;
/// The last lines of a manifest; between them stand 64 hexadecimal digits.
const CHECKSUM_START: &str = ",\n  \"~checksum\": \"";
const CHECKSUM_END: &str = "\"\n}\n";

/// What an artifact is and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    pub fingerprint: Digest,
    /// Over (slot, kind, content) of every output.
    pub content: Digest,
    /// RFC 3339, UTC.
    pub created: String,
    /// Grows with each content that is published under one fingerprint: the largest is used.
    pub sequence: u32,
    pub recipe: Recipe,
    pub outputs: BTreeMap<String, OutputRecord>,
    pub telemetry: Telemetry,
}

/// One output: its logical content and its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRecord {
    /// The artifact kind, such as `views/v1`.
    pub kind: String,
    pub content: Digest,
    pub rows: u64,
    /// Figures for pipeline.lock; empty unless the kind holds metrics.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headline: BTreeMap<String, f64>,
    /// Sorted by name, which is the logical order of rows.
    pub parts: Vec<PartRecord>,
}

/// One file of an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRecord {
    /// File name inside the output's folder.
    pub name: String,
    pub bytes: u64,
    pub blake3: Digest,
}

/// What is worth knowing about how an artifact was made, outside every digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Wall time of the run that published; earlier, interrupted runs are not in it.
    pub seconds: f64,
    pub device: String,
    /// What decided the bits beside the recipe: `x86_64`,
    /// `cpu x86_64 amd avx512 …, libtorch 2.11.0`. Empty: unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub numerics: String,
    pub versions: BTreeMap<String, String>,
    pub values: BTreeMap<String, f64>,
}

/// The content digest of an artifact: over slot, kind and content of every output, in order of
/// slots.
pub(crate) fn content_of(outputs: &BTreeMap<String, OutputRecord>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("seedpipe content of an artifact, version 1");
    for (slot, output) in outputs {
        for text in [slot, &output.kind] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&output.content.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// Whether a part or a slot may be called that: nothing that leads out of the artifact's folder.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 200 && !name.starts_with('.') && name.chars().all(plain)
}

/// What a manifest should say, and what it says.
fn wrong(expected: impl Display, got: impl Display) -> Refusal {
    Refusal::failure(format!("expected {expected}, got {got}"))
}

impl Manifest {
    /// The text of manifest.json.
    pub fn encode(&self) -> String {
        let value = serde_json::to_value(self).expect("BUG: a manifest is always JSON");
        let mut text = canonical_text(&value);
        text.truncate(text.len() - "\n}\n".len());
        Manifest::sealed(&text)
    }

    /// A manifest's text without its last brace, with the checksum that it needs: what someone who
    /// lies would write.
    #[doc(hidden)]
    pub fn sealed(body: &str) -> String {
        let checksum = Digest::of(body.as_bytes());
        format!("{body}{CHECKSUM_START}{checksum}{CHECKSUM_END}")
    }

    /// With the fingerprint and the content that the rest of it has: what someone who lies would
    /// write.
    #[doc(hidden)]
    #[must_use]
    pub fn fitted(mut self) -> Manifest {
        self.fingerprint = self.recipe.fingerprint();
        self.content = content_of(&self.outputs);
        self
    }

    /// Reads and checks a manifest: checksum, form, and names that stay inside the folder. Says
    /// nothing of its files.
    pub fn decode(text: &str) -> Result<Manifest, Refusal> {
        let (body, checksum) = text
            .strip_suffix(CHECKSUM_END)
            .and_then(|text| text.rsplit_once(CHECKSUM_START))
            .ok_or_else(|| wrong("a checksum at its end", "none"))?;
        let found = Digest::of(body.as_bytes());
        if checksum != found.to_string() {
            let expected: String = checksum.chars().take(12).collect();
            return Err(wrong(format!("the checksum {expected}"), found.short()));
        }
        let manifest: Manifest = untrusted::from_json(&format!("{body}\n}}"))
            .map_err(|error| Refusal::failure(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(wrong(format!("format {FORMAT}"), manifest.format));
        }
        let slots = manifest.outputs.keys();
        let parts = manifest.outputs.values().flat_map(|output| &output.parts);
        let mut names = slots.chain(parts.map(|part| &part.name));
        if let Some(name) = names.find(|name| !is_plain_name(name)) {
            return Err(wrong("a plain file name", format!("`{name}`")));
        }
        for output in manifest.outputs.values() {
            let mut pairs = output.parts.iter().zip(output.parts.iter().skip(1));
            if let Some((left, right)) = pairs.find(|(left, right)| left.name >= right.name) {
                return Err(wrong(
                    "parts sorted by name, each once",
                    format!("`{}` before `{}`", left.name, right.name),
                ));
            }
        }
        Ok(manifest)
    }

    /// The thorough check that `verify` makes: the recipe has the fingerprint, the outputs have the
    /// content.
    pub fn check(&self) -> Result<(), Refusal> {
        let recipe = self.recipe.fingerprint();
        if recipe != self.fingerprint {
            return Err(wrong(
                format!("the recipe of fingerprint {}", self.fingerprint.short()),
                format!("that of {}", recipe.short()),
            ));
        }
        let content = content_of(&self.outputs);
        if content != self.content {
            return Err(wrong(
                format!("content {}", self.content.short()),
                content.short(),
            ));
        }
        Ok(())
    }

    /// Bytes of all parts.
    pub(crate) fn bytes(&self) -> u64 {
        let parts = self.outputs.values().flat_map(|output| &output.parts);
        parts.fold(0, |sum: u64, part| sum.saturating_add(part.bytes))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn example() -> Manifest {
        let recipe = Recipe {
            kind: "augment".into(),
            version: 1,
            seed: 0,
            params: json!({"size": 32, "area": 0.1}),
            inputs: BTreeMap::new(),
            sources: BTreeMap::new(),
            lineage: BTreeMap::new(),
        };
        let part = PartRecord {
            name: "v0.parquet".into(),
            bytes: 3,
            blake3: Digest::of(b"abc"),
        };
        let output = OutputRecord {
            kind: "views/v1".into(),
            content: Digest::of(b"rows"),
            rows: 2,
            headline: BTreeMap::new(),
            parts: vec![part],
        };
        let outputs = BTreeMap::from([("views".to_owned(), output)]);
        Manifest {
            format: FORMAT,
            fingerprint: recipe.fingerprint(),
            content: content_of(&outputs),
            created: "2025-01-01T00:00:00Z".into(),
            sequence: 0,
            recipe,
            outputs,
            telemetry: Telemetry {
                seconds: 1.5,
                ..Telemetry::default()
            },
        }
    }

    #[test]
    fn a_manifest_is_json_and_reads_back() {
        let manifest = example();
        let text = manifest.encode();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let read = Manifest::decode(&text).unwrap();
        assert_eq!(read, manifest);
        read.check().unwrap();
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let text = example().encode();
        for position in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            let Ok(flipped) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(Manifest::decode(&flipped).is_err(), "byte {position}");
        }
        for length in 0..text.len() {
            assert!(
                Manifest::decode(&text[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused() {
        for name in [
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            "a/b",
            "",
            ".hidden",
            "a\\b",
        ] {
            let mut manifest = example();
            manifest.outputs.get_mut("views").unwrap().parts[0].name = name.into();
            let refused = Manifest::decode(&manifest.encode()).unwrap_err();
            assert_eq!(
                refused.message,
                format!("expected a plain file name, got `{name}`")
            );
        }
    }

    #[test]
    fn parts_are_sorted_and_there_once() {
        for names in [["a", "a"], ["b", "a"]] {
            let mut manifest = example();
            let parts = &mut manifest.outputs.get_mut("views").unwrap().parts;
            parts.push(parts[0].clone());
            for (part, name) in parts.iter_mut().zip(names) {
                part.name = name.into();
            }
            let refused = Manifest::decode(&manifest.encode())
                .unwrap_err()
                .to_string();
            assert!(
                refused.starts_with("expected parts sorted by name, each once, got `"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_whatever_the_checksum_says() {
        let text = example().encode();
        let (body, _) = text.rsplit_once(CHECKSUM_START).unwrap();
        let body = body.replace("\"size\": 32", "\"size\": 32,\n      \"size\": 31");
        let message = Manifest::decode(&Manifest::sealed(&body))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("expected the key `size` once"),
            "{message}"
        );
    }

    #[test]
    fn lengths_that_no_disk_has_do_not_overflow() {
        let mut manifest = example();
        let parts = &mut manifest.outputs.get_mut("views").unwrap().parts;
        parts[0].bytes = u64::MAX;
        parts.push(PartRecord {
            name: "w".into(),
            ..parts[0].clone()
        });
        assert_eq!(manifest.bytes(), u64::MAX);
        Manifest::decode(&manifest.encode()).unwrap();
    }

    #[test]
    fn a_falsified_recipe_or_content_is_found() {
        let mut manifest = example();
        manifest.recipe.seed = 1;
        let refused = manifest.check().unwrap_err().to_string();
        assert!(
            refused.starts_with("expected the recipe of fingerprint "),
            "{refused}"
        );
        let mut manifest = example();
        manifest.outputs.get_mut("views").unwrap().content = Digest::of(b"other");
        let refused = manifest.check().unwrap_err().to_string();
        assert!(refused.starts_with("expected content "), "{refused}");
    }
}
