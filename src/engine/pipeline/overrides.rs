//! `--set stage.key=value`: changes the YAML document before it is read, so that every check sees
//! the result.

use seedpipe_base::Refusal;
use serde_yaml::{Mapping, Value as Yaml};

use crate::base::yaml::{self, describe};
use seedpipe_base::suggestion;

/// One `--set`, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Override {
    /// As given, for messages.
    pub argument: String,
    /// `None` for a key of the pipeline's own: `seed` or `precision`.
    pub stage: Option<String>,
    /// The key's segments, inside the params of a stage.
    pub key: Vec<String>,
    pub value: Yaml,
}

impl Override {
    /// The place that a message names.
    pub fn place(&self) -> String {
        format!("--set {}", self.argument)
    }

    /// Whether the key of the params `dotted` is this override's doing.
    pub(crate) fn sets(&self, stage: &str, dotted: &str) -> bool {
        self.stage.as_deref() == Some(stage)
            && (dotted.starts_with(&self.key.join(".")) || self.key.join(".").starts_with(dotted))
            && !dotted.is_empty()
    }
}

/// Takes one argument apart; the value is YAML.
pub(crate) fn parse(argument: &str) -> Result<Override, Refusal> {
    let wrong = |message: &str| {
        Refusal::new(message).place(format!("--set {argument}")).hint(
            "write `--set stage.key=value`, such as `--set student.queue=1024`, or `--set seed=1` or `--set precision=bf16` for the whole pipeline",
        )
    };
    if let Some(open) = argument
        .find('[')
        .filter(|&open| !argument[..open].contains(['.', '=']))
    {
        return Err(
            Refusal::new("expected a stage without `[…]`, got a combination of a matrix")
                .place(format!("--set {argument}"))
                .hint(format!(
                    "`--set {}.key=value` sets it for all its combinations",
                    &argument[..open]
                )),
        );
    }
    let (path, value) = argument
        .split_once('=')
        .ok_or_else(|| wrong("expected `stage.key=value`, got no `=`"))?;
    let value = yaml::document(value, yaml::PIPELINE)
        .map_err(|error| wrong(&format!("expected a YAML value after `=`: {error}")))?;
    let mut segments = path.split('.').map(str::to_owned);
    let stage = segments.next().unwrap_or_default();
    let key: Vec<String> = segments.collect();
    let override_of = |stage, key| Override {
        argument: argument.to_owned(),
        stage,
        key,
        value,
    };
    match (stage.as_str(), key.as_slice()) {
        ("seed" | "precision", []) => Ok(override_of(None, vec![stage])),
        ("", _) | (_, []) => Err(wrong("expected a stage and a key before `=`")),
        (_, key) if key.iter().any(String::is_empty) => {
            Err(wrong("expected a name between the dots"))
        }
        _ => Ok(override_of(Some(stage), key)),
    }
}

/// Changes the document. `has_param(stage's kind, key)` tells whether that kind has such a param:
/// when it has no `seed`, `stage.seed` is the stage's own seed.
pub(crate) fn apply(
    document: &mut Yaml,
    change: &Override,
    has_param: impl Fn(&str, &str) -> bool,
) -> Result<(), Refusal> {
    let Yaml::Mapping(top) = document else {
        return Ok(()); // reading it says what is wrong with it
    };
    let Some(stage) = &change.stage else {
        top.insert(change.key[0].as_str().into(), change.value.clone());
        return Ok(());
    };
    let Some(Yaml::Mapping(stages)) = top.get_mut("stages") else {
        return Ok(());
    };
    let names: Vec<String> = stages
        .keys()
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect();
    let Some(entry) = stages.get_mut(stage.as_str()) else {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let message = format!("expected the name of a stage, got `{stage}`, which is unknown");
        return Err(Refusal::new(message)
            .place(change.place())
            .hint(suggestion::hint_or_list(stage, "stages", &names)));
    };
    let Yaml::Mapping(entry) = entry else {
        return Ok(());
    };
    let kind = entry.get("kind").and_then(Yaml::as_str).unwrap_or_default();
    if change.key == ["seed"] && !has_param(kind, "seed") {
        entry.insert("seed".into(), change.value.clone());
        return Ok(());
    }
    let params = entry
        .entry("params".into())
        .or_insert_with(|| Yaml::Mapping(Mapping::new()));
    if params.is_null() {
        *params = Yaml::Mapping(Mapping::new());
    }
    set(params, &change.key, &change.value).map_err(|message| {
        Refusal::new(message)
            .place(change.place())
            .stage(stage)
            .key(format!("params.{}", change.key.join(".")))
            .hint("name a key that holds a mapping, or an index within a list")
    })
}

/// Sets a nested key; mappings on the way are made when they are not there.
fn set(target: &mut Yaml, key: &[String], value: &Yaml) -> Result<(), String> {
    let Some((first, rest)) = key.split_first() else {
        *target = value.clone();
        return Ok(());
    };
    match target {
        Yaml::Mapping(entries) => {
            let entry = entries
                .entry(first.as_str().into())
                .or_insert_with(|| Yaml::Mapping(Mapping::new()));
            if entry.is_null() && !rest.is_empty() {
                *entry = Yaml::Mapping(Mapping::new());
            }
            set(entry, rest, value)
        }
        Yaml::Sequence(items) => {
            let length = items.len();
            let index = first.parse::<usize>().ok();
            match index.and_then(|index| items.get_mut(index)) {
                Some(item) => set(item, rest, value),
                None => Err(format!("expected an index below {length}, got `{first}`")),
            }
        }
        other => Err(format!(
            "expected a mapping above `{first}`, got {}",
            describe(other)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, argument: &str) -> Result<Yaml, Refusal> {
        let mut document = serde_yaml::from_str(text).unwrap();
        apply(&mut document, &parse(argument)?, |kind, key| {
            kind == "seeded" && key == "seed"
        })?;
        Ok(document)
    }

    #[test]
    fn values_are_yaml_and_keys_nest() {
        let text = "stages: {s: {kind: x, params: {a: 1, list: [1, {b: 2}]}}}";
        for (argument, expected) in [
            ("s.a=2", "{a: 2, list: [1, {b: 2}]}"),
            ("s.a=[1, x]", "{a: [1, x], list: [1, {b: 2}]}"),
            (
                "s.new.deep=1e-3",
                "{a: 1, list: [1, {b: 2}], new: {deep: 0.001}}",
            ),
            ("s.list.1.b=true", "{a: 1, list: [1, {b: true}]}"),
        ] {
            let document = changed(text, argument).unwrap();
            let expected: Yaml = serde_yaml::from_str(expected).unwrap();
            assert_eq!(document["stages"]["s"]["params"], expected, "{argument}");
        }
    }

    #[test]
    fn seeds_are_set_where_they_belong() {
        let text = "stages: {s: {kind: x}, t: {kind: seeded}}";
        assert_eq!(changed(text, "seed=3").unwrap()["seed"], Yaml::from(3));
        assert_eq!(
            changed(text, "precision=bf16").unwrap()["precision"],
            Yaml::from("bf16")
        );
        assert_eq!(
            changed(text, "s.seed=3").unwrap()["stages"]["s"]["seed"],
            Yaml::from(3)
        );
        assert_eq!(
            changed(text, "t.seed=3").unwrap()["stages"]["t"]["params"]["seed"],
            Yaml::from(3)
        );
    }

    #[test]
    fn wrong_arguments_say_what_was_expected() {
        let text = "stages: {views: {kind: x, params: {a: 1, list: [1]}}}";
        for (argument, part) in [
            ("views.a", "got no `=`"),
            ("views=1", "expected a stage and a key"),
            ("views..a=1", "expected a name between the dots"),
            ("view.a=1", "did you mean `views`?"),
            ("views.a.b=1", "expected a mapping above `b`, got `1`"),
            ("views.list.7=1", "expected an index below 1, got `7`"),
            ("views.a=[", "expected a YAML value"),
        ] {
            let message = changed(text, argument).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("--set {argument}: ")),
                "{message}"
            );
            assert!(message.contains(part), "{message}");
        }
    }
}
