//! The schema of pipeline.yaml: the committed one is the program's, the repository's pipelines fit
//! it, and mistakes don't.

use jsonschema_valid::Config;
use jsonschema_valid::schemas::Draft;
use serde_json::{Value, json};

use crate::sandbox::{LIGHT_PIPELINE, REPOSITORY, Sandbox, WHOLE_PIPELINE};

const COMMITTED: &str = "docs/pipeline.schema.json";

fn read(path: &str) -> String {
    fs_err::read_to_string(format!("{REPOSITORY}/{path}")).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&read(COMMITTED)).unwrap()
}

fn document(text: &str) -> Value {
    let mut yaml: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
    yaml.apply_merge().unwrap();
    serde_json::to_value(yaml).unwrap()
}

/// What a validator that knows nothing of seedpipe says of a document, a line a fault.
fn faults(schema: &Value, document: &Value) -> Vec<String> {
    let config = Config::from_schema(schema, Some(Draft::Draft7)).unwrap();
    match config.validate(document) {
        Ok(()) => Vec::new(),
        Err(errors) => errors
            .map(|error| format!("{}: {}", error.instance_path.join("."), error.msg))
            .collect(),
    }
}

#[test]
fn the_committed_schema_is_the_programs() {
    let printed = Sandbox::empty().run(&["schema"]).succeeded().stdout;
    assert!(
        printed == read(COMMITTED),
        "{COMMITTED} is of other code\nhint: cargo run --quiet --bin seedpipe -- schema > {COMMITTED}"
    );
}

#[test]
fn the_schema_is_one_by_its_own_rules() {
    let schema = schema();
    let config = Config::from_schema(&schema, Some(Draft::Draft7)).unwrap();
    if let Err(errors) = config.validate_schema() {
        panic!("{:?}", errors.map(|error| error.msg).collect::<Vec<_>>());
    }
}

/// Paths of the pipelines that the repository has, from its root.
fn pipelines() -> Vec<String> {
    let mut names: Vec<String> = fs_err::read_dir(format!("{REPOSITORY}/pipelines"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .map(|name| format!("pipelines/{name}"))
        .collect();
    names.push("pipeline.yaml".to_owned());
    names.sort();
    assert!(names.len() > 5, "{names:?}");
    names
}

#[test]
fn the_repositorys_pipelines_fit_and_name_the_schema() {
    let schema = schema();
    for name in pipelines() {
        let text = read(&name);
        let up = if name.contains('/') { "../" } else { "" };
        let first = format!("# yaml-language-server: $schema={up}{COMMITTED}\n");
        assert!(
            text.starts_with(&first),
            "{name}: expected the line {first}"
        );
        assert_eq!(faults(&schema, &document(&text)), [""; 0], "{name}");
    }
    for text in [LIGHT_PIPELINE, WHOLE_PIPELINE] {
        assert_eq!(faults(&schema, &document(text)), [""; 0]);
    }
}

#[test]
fn mistakes_are_refused_as_the_program_refuses_them() {
    let schema = schema();
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    for (right, wrong) in [
        ("stages:\n", "stagse:\n"),
        ("kind: pretrain", "kind: pretrian"),
        ("kind: pretrain", "kynd: pretrain"),
        ("views_per_image: 2", "views_per_images: 2"),
        ("recipe: custom", "recipe: costum"),
        ("size: 16", "size: big"),
        ("width: 0.5", "widht: 0.5"),
        ("epochs: 1, batch", "epoch: 1, batch"),
        ("views: views, weights", "view: views, weights"),
        (
            "images: images, views: views, targets: targets",
            "images: images, views: views",
        ),
        ("params: {k: [5]}", "params: {k: 5}"),
        (
            "epochs: 2",
            "epochs: 2, optimiser: {kind: sgd, momentun: 0.9}",
        ),
        ("epochs: 2", "epochs: 2, schedule: {kind: cosinus}"),
        ("source: digits.parquet, ", ""),
    ] {
        assert!(WHOLE_PIPELINE.contains(right), "{right}");
        let text = WHOLE_PIPELINE.replace(right, wrong);
        let found = faults(&schema, &document(&text));
        assert!(!found.is_empty(), "the schema accepts {wrong:?}");
        sandbox.write("pipeline.yaml", &text);
        sandbox.run(&["status"]).exited_with(2);
    }
}

#[test]
fn rules_with_conditions_accept_what_the_program_accepts() {
    let schema = schema();
    for (right, other) in [
        (
            "epochs: 2",
            "epochs: 2, optimiser: {kind: adamw, betas: [0.9, 0.95]}",
        ),
        (
            "epochs: 2",
            "epochs: 2, schedule: {kind: steps, epochs: [1], warmup_epochs: 0.5}",
        ),
        (
            "queue: 64\n      training: {epochs: 2",
            "temperature_student: {from: 0.3, to: 0.2, epochs: 1}\n      training: {epochs: 2",
        ),
        ("targets: targets", "targets: [targets]"),
        (
            "params: {recipe: custom, size: 16, views_per_image: 2}",
            "matrix: {recipe: [custom, mocov2]}, params: {size: 16}",
        ),
        ("params: {k: [5]}", "params: null, seed: 3"),
        (
            "stages:\n",
            "device: cpu\nremote: {url: s3://bucket/x, write: true}\nverify: {tolerance: {metrics: {points: 1}}}\nstages:\n",
        ),
    ] {
        assert!(WHOLE_PIPELINE.contains(right), "{right}");
        let text = WHOLE_PIPELINE.replace(right, other);
        assert_eq!(faults(&schema, &document(&text)), [""; 0], "{other}");
        let sandbox = Sandbox::with(&text);
        sandbox.run(&["status"]).succeeded();
    }
}

/// Every key below `properties`, with the path to it, that nothing describes.
fn undescribed(schema: &Value, root: &Value, path: &str, found: &mut Vec<String>) {
    match schema {
        Value::Object(entries) => {
            for (key, value) in entries {
                let below = format!("{path}/{key}");
                // Under `if` and `then` keys of another place are only restricted.
                if key == "properties" && !path.ends_with("/if") && !path.ends_with("/then") {
                    for (name, property) in value.as_object().unwrap() {
                        let refers = property["$ref"]
                            .as_str()
                            .or_else(|| property["allOf"][0]["$ref"].as_str());
                        let target = refers
                            .map(|path| &root["definitions"][path.rsplit('/').next().unwrap()]);
                        let described = [Some(property), target]
                            .into_iter()
                            .flatten()
                            .any(|schema| schema["description"].is_string());
                        if !described && property.get("const").is_none() {
                            found.push(format!("{below}/{name}"));
                        }
                    }
                }
                if key != "default" {
                    undescribed(value, root, &below, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                undescribed(item, root, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_is_described_and_defaults_are_told() {
    let schema = schema();
    let mut found = Vec::new();
    undescribed(&schema, &schema, "", &mut found);
    // The keys of a user's own graph are told at its operations, each of which has other ones.
    let own_graph = [
        "/definitions/GraphDescription/",
        "/definitions/NodeDescription/",
    ];
    found.retain(|path| !own_graph.iter().any(|start| path.starts_with(start)));
    assert_eq!(found, [""; 0]);
    let training = &schema["definitions"]["TrainingOptions"]["properties"];
    let description = training["batch"]["description"].as_str().unwrap();
    assert!(description.ends_with("Default: `256`."), "{description}");
    assert_eq!(training["batch"]["default"], json!(256));
}
