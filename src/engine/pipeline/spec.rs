//! pipeline.yaml as written: its own keys are checked here, what stages mean in `project`.

use std::path::PathBuf;

use seedpipe_base::Refusal;
use serde_json::Value;
use serde_yaml::{Mapping, Value as Yaml};

use crate::base::yaml::{self, describe, to_json};
use crate::pipeline::matrix_axes::{self, Axis};
use crate::pipeline::remote_spec::{self, RemoteSpec};
use seedpipe_base::suggestion;

const TOP_KEYS: [&str; 7] = [
    "seed",
    "precision",
    "cache",
    "device",
    "remote",
    "verify",
    "stages",
];
/// What `precision` may be, at the top and in stages.
pub(crate) const PRECISIONS: [&str; 3] = ["f32", "bf16", "f16"];
const STAGE_KEYS: [&str; 5] = ["kind", "inputs", "params", "seed", "matrix"];

/// Slot → references (`stage` or `stage.output`), in file order.
type SlotReferences = Vec<(String, Vec<String>)>;

/// A key and what is to be said of it.
pub(crate) type KeyedMessage = (String, String);

/// pipeline.yaml, stages in file order.
#[derive(Debug, PartialEq)]
pub(crate) struct Spec {
    pub seed: u64,
    /// One of [`PRECISIONS`].
    pub precision: Option<String>,
    pub cache: Option<PathBuf>,
    pub device: Option<String>,
    pub remote: Option<RemoteSpec>,
    pub stages: Vec<StageSpec>,
}

/// An entry under `stages:`, or one combination of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StageSpec {
    /// `base`, with the combination if it is one: `student[width=2,lr=0.3]`.
    pub name: String,
    /// As in the file.
    pub base: String,
    /// (label, value's text); empty until the matrix is expanded.
    pub combination: Vec<(String, String)>,
    /// Axes; empty after the matrix is expanded.
    pub matrix: Vec<Axis>,
    pub kind: String,
    pub seed: Option<u64>,
    pub inputs: SlotReferences,
    pub params: Value,
}

/// The document's keys and shapes.
pub(crate) fn read(place: &str, document: &Yaml) -> Result<Spec, Refusal> {
    let top = mapping(document).ok_or_else(|| {
        Refusal::new(format!(
            "expected a mapping with the key `stages`, got {}",
            describe(document)
        ))
        .place(place)
        .hint("start with `stages:` and one entry a stage")
    })?;
    check_keys(top, &TOP_KEYS)
        .map_err(|(key, hint)| Refusal::new("unknown key").place(place).key(key).hint(hint))?;
    let stages = match top.get("stages") {
        Some(stages) => mapping(stages)
            .filter(|stages| !stages.is_empty())
            .ok_or_else(|| {
                Refusal::new(format!(
                    "expected one stage or more, got {}",
                    describe(stages)
                ))
                .place(place)
                .key("stages")
                .hint("write `NAME: {kind: …, inputs: …, params: …}` under it")
            })?,
        None => {
            return Err(Refusal::new("missing key")
                .place(place)
                .key("stages")
                .hint("add `stages:` with one entry a stage"));
        }
    };
    Ok(Spec {
        seed: seed(top)
            .map_err(|refusal| refusal.place(place).key("seed"))?
            .unwrap_or(0),
        precision: precision(top).map_err(|message| {
            Refusal::new(message)
                .place(place)
                .key("precision")
                .hint("`f32` is fast on every processor")
        })?,
        cache: text(top, "cache")
            .map_err(|error| Refusal::new(error).place(place).key("cache"))?
            .map(PathBuf::from),
        device: text(top, "device")
            .map_err(|error| Refusal::new(error).place(place).key("device"))?,
        remote: remote_spec::read(place, top)?,
        stages: stages
            .iter()
            .map(|(name, stage)| read_stage(place, name, stage))
            .collect::<Result<_, _>>()?,
    })
}

fn read_stage(place: &str, name: &Yaml, stage: &Yaml) -> Result<StageSpec, Refusal> {
    let name = name
        .as_str()
        .filter(|name| is_stage_name(name))
        .ok_or_else(|| {
            let got = match name.as_str() {
                Some(name) => format!("`{name}`"),
                None => describe(name),
            };
            Refusal::new(format!(
                "expected a stage name of letters, digits, `-` and `_`, got {got}"
            ))
            .place(place)
            .key("stages")
            .hint("rename the stage; a dot separates a stage from its output")
        })?;
    let error =
        |key: &str, message: String| Refusal::new(message).place(place).stage(name).key(key);
    let entries = mapping(stage).ok_or_else(|| {
        Refusal::new(format!(
            "expected a mapping with the key `kind`, got {}",
            describe(stage)
        ))
        .place(place)
        .stage(name)
        .hint("write `{kind: …, inputs: …, params: …}`")
    })?;
    check_keys(entries, &STAGE_KEYS)
        .map_err(|(key, hint)| error(&key, "unknown key".to_owned()).hint(hint))?;
    let kind = text(entries, "kind").map_err(|message| error("kind", message))?;
    Ok(StageSpec {
        name: name.to_owned(),
        base: name.to_owned(),
        combination: Vec::new(),
        matrix: matrix_axes::read(entries).map_err(|refusal| refusal.place(place).stage(name))?,
        kind: kind.ok_or_else(|| {
            error("kind", "missing key".to_owned()).hint("add `kind:` with the name of a kind")
        })?,
        seed: seed(entries).map_err(|refusal| refusal.place(place).stage(name).key("seed"))?,
        inputs: inputs(entries).map_err(|(key, message)| {
            error(&key, message)
                .hint("write `slot: stage` or `slot: stage.output`, or a list of those")
        })?,
        params: params(entries)
            .map_err(|message| error("params", message).hint("write `params: {key: value, …}`"))?,
    })
}

/// Letters, digits, `-` and `_`: a dot would be the separator of `stage.output`.
fn is_stage_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    !name.is_empty() && name.len() <= 100 && name.chars().all(plain)
}

fn seed(entries: &Mapping) -> Result<Option<u64>, Refusal> {
    entries.get("seed").map_or(Ok(None), yaml::read)
}

fn precision(top: &Mapping) -> Result<Option<String>, String> {
    match text(top, "precision")? {
        Some(other) if !PRECISIONS.contains(&other.as_str()) => Err(format!(
            "expected one of {}, got `{other}`",
            suggestion::list(&PRECISIONS)
        )),
        known => Ok(known),
    }
}

pub(crate) fn text(entries: &Mapping, key: &str) -> Result<Option<String>, String> {
    match entries.get(key) {
        None | Some(Yaml::Null) => Ok(None),
        Some(Yaml::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(value) => Err(format!("expected a text, got {}", describe(value))),
    }
}

fn inputs(entries: &Mapping) -> Result<SlotReferences, KeyedMessage> {
    let slots = match entries.get("inputs") {
        None | Some(Yaml::Null) => return Ok(Vec::new()),
        Some(Yaml::Mapping(slots)) => slots,
        Some(value) => {
            return Err((
                "inputs".to_owned(),
                format!("expected a mapping of slots, got {}", describe(value)),
            ));
        }
    };
    let mut read = Vec::new();
    for (slot, references) in slots {
        let Some(slot) = slot.as_str() else {
            return Err((
                "inputs".to_owned(),
                format!("expected the name of a slot, got {}", describe(slot)),
            ));
        };
        let list = match references {
            Yaml::Sequence(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let list = list.iter().map(|reference| match reference {
            Yaml::String(reference) => Ok(reference.clone()),
            other => Err((
                format!("inputs.{slot}"),
                format!("expected the name of a stage, got {}", describe(other)),
            )),
        });
        read.push((slot.to_owned(), list.collect::<Result<_, _>>()?));
    }
    Ok(read)
}

fn params(entries: &Mapping) -> Result<Value, String> {
    match entries.get("params") {
        None | Some(Yaml::Null) => Ok(Value::Object(serde_json::Map::new())),
        Some(params @ Yaml::Mapping(_)) => to_json(params),
        Some(value) => Err(format!("expected a mapping, got {}", describe(value))),
    }
}

fn mapping(value: &Yaml) -> Option<&Mapping> {
    match value {
        Yaml::Mapping(mapping) => Some(mapping),
        _ => None,
    }
}

/// The first unknown key and what may have been meant.
pub(crate) fn check_keys(entries: &Mapping, known: &[&str]) -> Result<(), KeyedMessage> {
    for key in entries.keys() {
        match key.as_str() {
            Some(name) if known.contains(&name) => {}
            Some(name) => {
                return Err((
                    name.to_owned(),
                    suggestion::hint_or_list(name, "known keys", known),
                ));
            }
            None => {
                return Err((
                    describe(key),
                    format!("known keys: {}", suggestion::list(known)),
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::yaml::parse;

    fn refused(text: &str) -> String {
        let parsed =
            parse("pipeline.yaml", text).and_then(|document| read("pipeline.yaml", &document));
        parsed.unwrap_err().to_string()
    }

    #[test]
    fn a_whole_pipeline_is_read_in_file_order() {
        let text = "seed: 3\ncache: /tmp/x\nstages:\n  b: {kind: ingest, params: {source: d}}\n  a: {kind: augment, seed: 4, inputs: {images: b, more: [b.x, b]}}\n";
        let spec = read("p", &parse("p", text).unwrap()).unwrap();
        assert_eq!(
            (spec.seed, spec.cache, spec.device),
            (3, Some("/tmp/x".into()), None)
        );
        let names: Vec<_> = spec
            .stages
            .iter()
            .map(|stage| stage.name.as_str())
            .collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(spec.stages[1].seed, Some(4));
        let more = ("more".to_owned(), vec!["b.x".to_owned(), "b".to_owned()]);
        assert_eq!(spec.stages[1].inputs[1], more);
    }

    #[test]
    fn a_stage_that_is_there_twice_is_named_with_its_line() {
        let text = "stages:\n  a: {kind: x}\n  b: {kind: x}\n  a: {kind: y}\n";
        let expected = "pipeline.yaml:2: stage `a`: expected one stage of that name, got two\nhint: rename one of them";
        assert_eq!(refused(text), expected);
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        let text = "stages:\n  a:\n    kind: x\n    params: {size: 1, size: 2}\n";
        let message = refused(text);
        assert!(
            message.contains("key `stages.a.params.size`: expected the key once"),
            "{message}"
        );
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        assert_eq!(
            refused("stage: {}\n"),
            "pipeline.yaml: key `stage`: unknown key\nhint: did you mean `stages`?"
        );
        assert_eq!(
            refused("stages: {a: {kind: x, parms: {}}}\n"),
            "pipeline.yaml: stage `a`: key `parms`: unknown key\nhint: did you mean `params`?"
        );
    }

    #[test]
    fn shapes_are_checked() {
        for (text, part) in [
            ("", "got nothing"),
            ("[1]", "got a list of 1"),
            ("seed: 1\n", "key `stages`: missing key"),
            (
                "stages: {}\n",
                "expected one stage or more, got an empty mapping",
            ),
            (
                "stages: {a.b: {kind: x}}\n",
                "expected a stage name of letters",
            ),
            ("stages: {a: {}}\n", "stage `a`: key `kind`: missing key"),
            (
                "stages: {a: 3}\n",
                "expected a mapping with the key `kind`, got `3`",
            ),
            (
                "stages: {a: {kind: x, seed: -1}}\n",
                "expected a whole number from 0, got -1",
            ),
            (
                "precision: auto\nstages: {a: {kind: x}}\n",
                "key `precision`: expected one of `f32`, `bf16`, `f16`, got `auto`",
            ),
            (
                "stages: {a: {kind: x, inputs: b}}\n",
                "key `inputs`: expected a mapping of slots",
            ),
            (
                "stages: {a: {kind: x, inputs: {i: [1]}}}\n",
                "key `inputs.i`: expected the name of a stage",
            ),
            (
                "stages: {a: {kind: x, params: [1]}}\n",
                "key `params`: expected a mapping, got a list of 1",
            ),
            ("stages: {a: {kind: x\n", "expected YAML"),
        ] {
            let message = refused(text);
            assert!(
                message.contains(part),
                "{text:?} gave {message:?}, expected {part:?}"
            );
        }
    }
}
