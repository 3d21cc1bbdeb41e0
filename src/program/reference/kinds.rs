//! pipeline.yaml, its kinds and the blocks that several of them share: a page each, from the JSON
//! Schema and the registry.

use seedpipe_engine::{Kind, Registry};
use serde_json::Value;

use super::markdown::{anchor, code, heading, paragraph, plain, table};
use super::types::{Blocks, referred, title, values_of, written};

/// Where the definitions' page is, seen from a kind's page and from the page of pipeline.yaml.
const FROM_KIND: &str = "../blocks.md";
const FROM_PIPELINE: &str = "blocks.md";
/// How the definition of a stage is referred to, and where it is described.
const STAGE_BLOCK: &str = "[stage](blocks.md#stage)";
const STAGE_HERE: &str = "[stages](#a-stage)";
const KEY_TABLE: [&str; 4] = ["key", "holds", "default", "meaning"];

/// What may stand at the top of pipeline.yaml and in a stage, and the list of kinds.
pub fn pipeline(schema: &Value, registry: &Registry) -> String {
    let blocks = Blocks::new(&schema["definitions"], FROM_PIPELINE);
    let mut text = heading(1, "pipeline.yaml");
    text += &paragraph(&plain(described(schema)));
    text += &paragraph(
        "The same rules as JSON Schema: [pipeline.schema.json](../pipeline.schema.json), by which editors complete and check; \
         `seedpipe schema` prints it.",
    );
    // The stages are on this page themselves.
    text += &keys(schema, &schema["required"], &blocks).replace(STAGE_BLOCK, STAGE_HERE);
    text += &heading(2, "remote");
    text += &keys(
        &schema["properties"]["remote"]["anyOf"][1],
        &schema["properties"]["remote"]["anyOf"][1]["required"],
        &blocks,
    );
    text += &heading(2, "verify.tolerance");
    let tolerance = &schema["properties"]["verify"]["properties"]["tolerance"];
    text += &paragraph(&plain(described(tolerance)));
    let bounds = tolerance["properties"].as_object().into_iter().flatten();
    let names: Vec<String> = bounds.clone().map(|(name, _)| code(name)).collect();
    text += &paragraph(&format!(
        "Kinds of artifacts: {}. Each may have:",
        names.join(", ")
    ));
    if let Some((_, first)) = bounds.into_iter().next() {
        text += &keys(first, &Value::Null, &blocks);
    }
    let stage = &schema["definitions"]["stage"];
    text += &heading(2, "A stage");
    text += &keys(stage, &stage["required"], &blocks);
    text += &heading(2, "Kinds");
    let rows: Vec<Vec<String>> = registry
        .kinds()
        .map(|kind| {
            vec![
                format!("[{}](kinds/{}.md)", code(kind.name()), kind.name()),
                plain(described(params(schema, kind))),
            ]
        })
        .collect();
    text + &table(&["kind", "what it does"], &rows)
}

/// One kind: inputs, outputs, params.
pub fn kind(schema: &Value, kind: &Kind) -> String {
    let blocks = Blocks::new(&schema["definitions"], FROM_KIND);
    let rules = rules(schema, kind);
    let mut text = heading(1, &code(kind.name()));
    text += &paragraph(&plain(described(params(schema, kind))));
    let needs = match kind.tensors() {
        true => "needs libtorch",
        false => "needs no libtorch",
    };
    text += &paragraph(&format!("Version {}; {needs}.", kind.version()));
    text += &heading(2, "Inputs");
    let inputs = &rules["properties"]["inputs"]["properties"];
    let rows: Vec<Vec<String>> = kind
        .inputs()
        .iter()
        .map(|slot| vec![code(slot.name), plain(described(&inputs[slot.name]))])
        .collect();
    text += &match rows.is_empty() {
        true => paragraph("None: it reads what its params name."),
        false => table(&["input", "takes"], &rows),
    };
    text += &heading(2, "Outputs");
    let rows: Vec<Vec<String>> = kind
        .outputs()
        .iter()
        .map(|output| {
            let target = format!("../artifacts.md#{}", anchor(output.kind));
            vec![
                code(output.name),
                format!("[{}]({target})", code(output.kind)),
            ]
        })
        .collect();
    text += &table(&["output", "holds"], &rows);
    text += &heading(2, "Params");
    let required = &rules["then"]["properties"]["params"]["required"];
    text += &keys(params(schema, kind), required, &blocks);
    if !kind.how().is_empty() {
        let how: Vec<String> = kind.how().iter().map(|path| code(path)).collect();
        text += &paragraph(&format!(
            "Of these, {} say how the work is done and not what comes out of it: changing them runs nothing again.",
            how.join(" and ")
        ));
    }
    text
}

/// Blocks and enumerations that params refer to.
pub fn blocks(schema: &Value) -> String {
    let definitions = &schema["definitions"];
    let blocks = Blocks::new(definitions, "");
    let mut text = heading(1, "Blocks");
    text += &paragraph(
        "What kinds share: mappings and lists of values that stand below a key of theirs.",
    );
    let mut named: Vec<(String, &Value)> = definitions
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "stage")
        .map(|(name, definition)| (title(name), definition))
        .collect();
    named.sort_by(|left, right| left.0.cmp(&right.0));
    for (title, definition) in named {
        text += &heading(2, &title);
        text += &paragraph(&plain(described(definition)));
        text += &block(definition, &blocks);
    }
    text
}

/// The body of a definition: values, variants, or keys.
fn block(definition: &Value, blocks: &Blocks) -> String {
    let values = values_of(definition);
    if !values.is_empty() {
        let rows: Vec<Vec<String>> = values
            .iter()
            .map(|(value, told)| vec![code(value), plain(told)])
            .collect();
        return table(&["value", "meaning"], &rows);
    }
    if let Some(variants) = definition["oneOf"].as_array() {
        return variants
            .iter()
            .map(|variant| self::variant(variant, blocks))
            .collect();
    }
    if definition.get("properties").is_some() {
        return keys(definition, &definition["required"], blocks);
    }
    paragraph(&format!("A {}.", blocks.type_of(definition)))
}

/// One of several mappings that a key `kind` tells apart.
fn variant(variant: &Value, blocks: &Blocks) -> String {
    let mut variant = variant.clone();
    let kind = variant["properties"]["kind"]["const"].clone();
    if let Some(properties) = variant["properties"].as_object_mut() {
        properties.remove("kind");
    }
    let mut text = heading(3, &code(&format!("kind: {}", written(&kind))));
    text += &paragraph(&sentence(&plain(described(&variant))));
    text + &keys(&variant, &variant["required"], blocks)
}

/// A table of a mapping's keys.
///
/// - `required`: names of keys that must be there
fn keys(schema: &Value, required: &Value, blocks: &Blocks) -> String {
    let is_required = |name: &str| {
        let mut names = required.as_array().into_iter().flatten();
        names.any(|required| required == name)
    };
    let properties = schema["properties"].as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = properties
        .map(|(name, property)| {
            let default = match property.get("default") {
                _ if is_required(name) => "required".to_owned(),
                Some(default) => code(&written(default)),
                None => String::new(),
            };
            vec![
                code(name),
                blocks.type_of(property),
                default,
                told(property, blocks),
            ]
        })
        .collect();
    table(&KEY_TABLE, &rows)
}

/// What a key means, without the default that has a column of its own.
fn told(property: &Value, blocks: &Blocks) -> String {
    let text = match described(property) {
        "" => blocks.described(referred(property)),
        text => text,
    };
    let text = match property.get("default") {
        Some(default) => text
            .strip_suffix(&format!(" Default: `{}`.", written(default)))
            .unwrap_or(text),
        None => text,
    };
    sentence(&plain(text))
}

/// With a full stop, since the texts come with and without.
fn sentence(text: &str) -> String {
    match text.is_empty() || text.ends_with(['.', '!', '?', ':']) {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}

fn described(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// What the schema says of stages of a kind.
fn rules<'a>(schema: &'a Value, kind: &Kind) -> &'a Value {
    let mut all = schema["definitions"]["stage"]["allOf"]
        .as_array()
        .into_iter()
        .flatten();
    let found = all.find(|rule| rule["if"]["properties"]["kind"]["const"] == kind.name());
    found.map_or(&Value::Null, |rule| &rule["then"])
}

fn params<'a>(schema: &'a Value, kind: &Kind) -> &'a Value {
    &rules(schema, kind)["properties"]["params"]
}
