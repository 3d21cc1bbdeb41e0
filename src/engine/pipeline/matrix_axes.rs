//! `matrix:` as written: its axes, each with a label, the param that it sets and the values.

use seedpipe_base::Refusal;
use serde_json::Value as Json;
use serde_yaml::{Mapping, Value as Yaml};

use crate::base::canonical::canonical_text;
use crate::base::yaml::{describe, to_json};
use seedpipe_base::suggestion;

/// A param that takes several values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    /// What stands in the names of stages.
    pub label: String,
    /// Segments of the param's path; `seed` alone is the stage's seed, unless its kind has such a
    /// param.
    pub param: Vec<String>,
    pub values: Vec<AxisValue>,
}

/// One value and its text in names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AxisValue {
    pub text: String,
    pub value: Json,
}

const AXIS_KEYS: [&str; 2] = ["param", "values"];
const FORM: &str = "write `matrix: {network.width: [1, 2]}`, or with a label `matrix: {width: {param: network.width, values: [1, 2]}}`";

/// The axes of a stage, in file order; none when it has no `matrix:`.
pub(crate) fn read(stage: &Mapping) -> Result<Vec<Axis>, Refusal> {
    let entries = match stage.get("matrix") {
        None | Some(Yaml::Null) => return Ok(Vec::new()),
        Some(Yaml::Mapping(entries)) if !entries.is_empty() => entries,
        Some(other) => {
            let message = format!("expected a mapping of params, got {}", describe(other));
            return Err(Refusal::new(message).key("matrix").hint(FORM));
        }
    };
    let mut axes: Vec<Axis> = Vec::new();
    for (key, entry) in entries {
        let Some(key) = key.as_str() else {
            let message = format!("expected the name of a param, got {}", describe(key));
            return Err(Refusal::new(message).key("matrix").hint(FORM));
        };
        let axis = axis(key, entry)?;
        check_against(&axes, &axis, key)?;
        axes.push(axis);
    }
    Ok(axes)
}

fn check_against(axes: &[Axis], axis: &Axis, key: &str) -> Result<(), Refusal> {
    let key = format!("matrix.{key}");
    if let Some(other) = axes.iter().find(|other| other.label == axis.label) {
        let message = format!(
            "expected a label of its own, got `{}`, which `{}` has already",
            axis.label,
            other.param.join(".")
        );
        let hint = format!(
            "give it one: `matrix: {{LABEL: {{param: {}, values: …}}}}`",
            axis.param.join(".")
        );
        return Err(Refusal::new(message).key(key).hint(hint));
    }
    let overlaps = |other: &&Axis| {
        other.param.starts_with(&axis.param) || axis.param.starts_with(&other.param)
    };
    if let Some(other) = axes.iter().find(overlaps) {
        let message = format!(
            "expected a param of its own, got `{}`, which `{}` sets too",
            axis.param.join("."),
            other.label
        );
        return Err(Refusal::new(message).key(key).hint("remove one of them"));
    }
    Ok(())
}

fn axis(key: &str, entry: &Yaml) -> Result<Axis, Refusal> {
    let error = |message: String| {
        Refusal::new(message)
            .key(format!("matrix.{key}"))
            .hint(FORM)
    };
    let (label, param, values) = match entry {
        Yaml::Sequence(_) => (key.rsplit('.').next().unwrap_or(key), key, entry),
        Yaml::Mapping(entries) => {
            for known in entries.keys() {
                let name = known.as_str().unwrap_or_default();
                if !AXIS_KEYS.contains(&name) {
                    let message = format!(
                        "expected the keys `param` and `values`, got {}",
                        describe(known)
                    );
                    let hint = suggestion::hint_or_list(name, "known keys", &AXIS_KEYS);
                    return Err(Refusal::new(message)
                        .key(format!("matrix.{key}"))
                        .hint(hint));
                }
            }
            let param = match entries.get("param") {
                Some(Yaml::String(param)) => param.as_str(),
                Some(other) => {
                    return Err(error(format!(
                        "expected the path of a param, got {}",
                        describe(other)
                    )));
                }
                None => return Err(error("missing key `param`".to_owned())),
            };
            let values = entries
                .get("values")
                .ok_or_else(|| error("missing key `values`".to_owned()))?;
            (key, param, values)
        }
        other => {
            return Err(error(format!(
                "expected a list of values, got {}",
                describe(other)
            )));
        }
    };
    let param: Vec<String> = param.split('.').map(str::to_owned).collect();
    if param.iter().any(String::is_empty) {
        return Err(error("expected a name between the dots".to_owned()));
    }
    if !is_label(label) {
        let message = format!("expected a label of letters, digits, `-` and `_`, got `{label}`");
        return Err(error(message));
    }
    Ok(Axis {
        label: label.to_owned(),
        param,
        values: axis_values(key, values)?,
    })
}

fn is_label(label: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    !label.is_empty() && label.len() <= 60 && label.chars().all(plain)
}

/// A list of plain values, or a mapping of names to any values.
fn axis_values(key: &str, values: &Yaml) -> Result<Vec<AxisValue>, Refusal> {
    let error = |message: String, hint: &str| {
        Refusal::new(message)
            .key(format!("matrix.{key}"))
            .hint(hint)
    };
    let named = "name the values: `values: {NAME: value, …}`";
    let pairs: Vec<(Option<&Yaml>, &Yaml)> = match values {
        Yaml::Sequence(items) => items.iter().map(|item| (None, item)).collect(),
        Yaml::Mapping(entries) => entries
            .iter()
            .map(|(name, item)| (Some(name), item))
            .collect(),
        other => {
            let message = format!("expected a list of values, got {}", describe(other));
            return Err(error(message, FORM));
        }
    };
    if pairs.is_empty() {
        return Err(error(
            "expected one value or more, got none".to_owned(),
            FORM,
        ));
    }
    let mut read: Vec<AxisValue> = Vec::with_capacity(pairs.len());
    let mut texts = std::collections::BTreeSet::new();
    for (name, item) in pairs {
        let value = to_json(item).map_err(|message| error(message, FORM))?;
        let text = match name {
            Some(name) => text_of(&to_json(name).map_err(|message| error(message, FORM))?),
            None => text_of(&value),
        };
        let text = text.ok_or_else(|| {
            let message = format!(
                "expected a number, a flag, or a word of letters, digits and `_-+./:`, got {}",
                describe(name.unwrap_or(item))
            );
            error(message, named)
        })?;
        if !texts.insert(text.clone()) {
            return Err(error(
                format!("expected each value once, got `{text}` twice"),
                "remove one of them, or name the values: `values: {NAME: value, …}`",
            ));
        }
        read.push(AxisValue { text, value });
    }
    Ok(read)
}

/// A value in a name: as in pipeline.lock, words without quotes. `None` when it can't stand there.
fn text_of(value: &Json) -> Option<String> {
    let plain = |letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '+' | '.' | '/' | ':')
    };
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => {
            Some(canonical_text(value).trim_end().to_owned())
        }
        Json::String(text) if !text.is_empty() && text.len() <= 60 && text.chars().all(plain) => {
            Some(text.clone())
        }
        _ => None,
    }
}
