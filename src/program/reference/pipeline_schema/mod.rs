//! JSON Schema of pipeline.yaml, generated from the kinds: their params' structs, inputs and
//! outputs. Editors complete and check by it.
//!
//! What a schema can't say stays with the program: whether a stage exists, whether an output fits
//! an input, what numbers go together. Draft 7, with every key described.

mod definitions;
mod tidy;

use std::collections::BTreeSet;

use seedpipe_engine::{Arity, InputSlot, Kind, Registry};
use serde_json::{Map, Value, json};

use definitions::Definitions;

/// Where a stage's description is among the definitions.
const STAGE: &str = "stage";

/// The whole schema.
pub fn pipeline_schema(registry: &Registry) -> Value {
    let kinds: Vec<(&Kind, Value)> = registry
        .kinds()
        .map(|kind| (kind, tidy::tidied(kind.schema())))
        .collect();
    let mut definitions = Definitions::of(kinds.iter().map(|(kind, schema)| (kind.name(), schema)));
    let rules = kinds
        .iter()
        .map(|(kind, schema)| of_kind(kind, definitions.renamed(kind.name(), schema)));
    let stage = stage(registry, rules.collect());
    definitions.insert(STAGE, stage);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "seedpipe pipeline",
        "description": "A pipeline of cached stages: pipeline.yaml.",
        "type": "object",
        "required": ["stages"],
        "additionalProperties": false,
        "properties": {
            "seed": {
                "description": "Every random number is keyed by this seed, the stage's kind, and the image. Default: `0`.",
                "type": ["integer", "null"],
                "minimum": 0,
                "default": 0,
            },
            "precision": {
                "description": "What networks compute in, for the stages that don't say their own: `f32`, `bf16` (faster on GPUs and processors with bf16 instructions), or `f16` (GPUs). Default: each kind's own, `f32`.",
                "enum": ["f32", "bf16", "f16", null],
            },
            "cache": {
                "description": "The folder that keeps every stage's result, relative to this file. Default: SEEDPIPE_CACHE, else `.seedpipe`.",
                "type": ["string", "null"],
                "minLength": 1,
            },
            "device": {
                "description": "Where networks run: `auto` (the first GPU, else the CPU), `cpu`, `cuda` or `cuda:N`. Default: `auto`.",
                "type": ["string", "null"],
                "pattern": "^(auto|cpu|cuda(:[0-9]+)?)$",
                "default": "auto",
            },
            "remote": remote(),
            "verify": verify(registry),
            "stages": {
                "description": "The stages by name, in any order. A name is of letters, digits, `-` and `_`.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,100}$"},
                "additionalProperties": {"$ref": format!("#/definitions/{STAGE}")},
            },
        },
        "definitions": definitions.into_value(),
    })
}

fn remote() -> Value {
    let url = "s3://bucket/prefix, gs://, az://, a folder, or https:// to read only";
    json!({
        "description": format!("Where results are shared: {url}. A run fetches from there what others made. Default: SEEDPIPE_REMOTE, else none."),
        "anyOf": [
            {"type": ["string", "null"], "minLength": 1},
            {
                "type": "object",
                "required": ["url"],
                "additionalProperties": false,
                "properties": {
                    "url": {"description": format!("{url}."), "type": "string", "minLength": 1},
                    "write": {
                        "description": "Whether a run also pushes what it made. Default: `false`.",
                        "type": ["boolean", "null"],
                        "default": false,
                    },
                },
            },
        ],
    })
}

/// `verify.tolerance`: by artifact kind without its version.
fn verify(registry: &Registry) -> Value {
    let outputs = registry.kinds().flat_map(Kind::outputs);
    let names: BTreeSet<&str> = outputs
        .map(|output| output.kind.split('/').next().unwrap_or(output.kind))
        .collect();
    let bounds: Map<String, Value> = names
        .into_iter()
        .map(|name| (name.to_owned(), tolerance(name)))
        .collect();
    json!({
        "description": "What `verify --rerun` accepts between machines of different numerics classes; within a class nothing may differ.",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {"tolerance": {
            "description": "By kind of artifact, without its version. Bounds that are not written don't hold; an empty mapping asks for equality.",
            "type": "object",
            "additionalProperties": false,
            "properties": bounds,
        }},
    })
}

fn tolerance(name: &str) -> Value {
    json!({
        "description": format!("What may differ in `{name}`."),
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "max_abs": {
                "description": "Largest difference of a number with a fraction, in its own unit.",
                "type": ["number", "null"],
                "minimum": 0,
            },
            "cosine": {
                "description": "Smallest cosine between two rows' vectors, -1 to 1; of networks, between the similarities that both see among images.",
                "type": ["number", "null"],
                "minimum": -1,
                "maximum": 1,
            },
            "points": {
                "description": "Of metrics: percentage points between accuracies, and ten times as many per cent of other figures. Of predictions: per cent of the images whose best class may be another.",
                "type": ["number", "null"],
                "minimum": 0,
            },
        },
    })
}

/// An entry under `stages:`; `rules` say what each kind adds.
fn stage(registry: &Registry, rules: Vec<Value>) -> Value {
    let names: Vec<&str> = registry.kinds().map(Kind::name).collect();
    json!({
        "type": "object",
        "required": ["kind"],
        "additionalProperties": false,
        "properties": {
            "kind": {"description": "What the stage does.", "enum": names},
            "inputs": {
                "description": "Which stages' outputs it reads: `slot: stage`, or `slot: stage.output`.",
                "type": ["object", "null"],
            },
            "params": {"description": "What decides its result.", "type": ["object", "null"]},
            "seed": {
                "description": "Instead of the pipeline's seed for this stage.",
                "type": ["integer", "null"],
                "minimum": 0,
            },
            "matrix": {
                "description": "Params that take several values: a stage for each combination, as `{network.width: [1, 2], seed: [0, 1]}`, named `student[width=1,seed=0]`.",
                "type": ["object", "null"],
                "additionalProperties": axis(),
            },
        },
        "allOf": rules,
    })
}

fn axis() -> Value {
    json!({
        "description": "The values of a param, or a label with `param` and `values`.",
        "anyOf": [
            {"type": "array", "minItems": 1},
            {
                "type": "object",
                "required": ["param", "values"],
                "additionalProperties": false,
                "properties": {
                    "param": {"description": "The param's path, as `network.width`.", "type": "string", "minLength": 1},
                    "values": {
                        "description": "A list of plain values, or a mapping of names to any values.",
                        "type": ["array", "object"],
                    },
                },
            },
        ],
    })
}

/// What holds for stages of one kind.
///
/// - `params`: the schema of its params, without its definitions
fn of_kind(kind: &Kind, mut params: Value) -> Value {
    let needed: Vec<&str> = kind
        .inputs()
        .iter()
        .filter(|slot| {
            !matches!(
                slot.arity,
                Arity::Optional | Arity::AnyNumber | Arity::ListedOrNone
            )
        })
        .map(|slot| slot.name)
        .collect();
    let slots: Map<String, Value> = kind
        .inputs()
        .iter()
        .map(|slot| (slot.name.to_owned(), input(slot)))
        .collect();
    params["type"] = json!(["object", "null"]);
    // A matrix may give what is not under `params`.
    let required = params
        .as_object_mut()
        .and_then(|all| all.remove("required"));
    let mut then = json!({"properties": {
        "inputs": {
            "type": ["object", "null"],
            "additionalProperties": false,
            "properties": slots,
            "required": needed,
        },
        "params": params,
    }});
    if !needed.is_empty() {
        then["required"] = json!(["inputs"]);
    }
    if let Some(required) = required {
        then["if"] = json!({"not": {"required": ["matrix"]}});
        then["then"] = json!({
            "required": ["params"],
            "properties": {"params": {"type": "object", "required": required}},
        });
    }
    json!({
        "if": {"properties": {"kind": {"const": kind.name()}}, "required": ["kind"]},
        "then": then,
    })
}

fn input(slot: &InputSlot) -> Value {
    let kinds: Vec<String> = slot
        .accepts
        .iter()
        .map(|kind| format!("`{kind}`"))
        .collect();
    let (count, most) = match slot.arity {
        Arity::One => ("One stage", Some(1)),
        Arity::Optional => ("One stage, or none", Some(1)),
        Arity::Many => ("One stage or more", None),
        Arity::AnyNumber => ("Any number of stages, or none", None),
        Arity::Listed => ("One stage or a list of them", None),
        Arity::ListedOrNone => ("One stage or a list of them, or none", None),
    };
    let mut list =
        json!({"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}});
    if let Some(most) = most {
        list["maxItems"] = json!(most);
    }
    json!({
        "description": format!("{count}, as `stage` or `stage.output`, that holds {}.", kinds.join(" or ")),
        "anyOf": [{"type": "string", "minLength": 1}, list],
    })
}
