//! An artifact whose recipe was changed afterwards is found by `verify --rerun`, however well the
//! change is hidden.

use std::path::{Path, PathBuf};

use seedpipe_engine::{Digest, Recipe};
use serde_json::Value;

use crate::sandbox::{Sandbox, WHOLE_PIPELINE, outcomes};

/// The folder of the artifact of a stage.
fn folder_of(sandbox: &Sandbox, stage: &str) -> PathBuf {
    let lines = sandbox.run(&["status", "--json"]).succeeded().json();
    let stages = lines.as_array().unwrap();
    let line = stages.iter().find(|line| line["stage"] == stage).unwrap();
    let below = format!(
        ".seedpipe/v1/artifacts/{}/{}",
        line["fingerprint"].as_str().unwrap(),
        &line["content"].as_str().unwrap()[..16]
    );
    sandbox.path(&below)
}

/// Rewrites a manifest with a checksum that fits.
fn falsify(folder: &Path, change: impl Fn(&str) -> String) {
    let path = folder.join("manifest.json");
    let text = fs_err::read_to_string(&path).unwrap();
    let body = change(text.split(",\n  \"~checksum\"").next().unwrap());
    let checksum = Digest::of(body.as_bytes());
    let text = format!("{body},\n  \"~checksum\": \"{checksum}\"\n}}\n");
    fs_err::write(path, text).unwrap();
}

/// With another learning rate in the recipe.
fn with_other_rate(body: &str) -> String {
    let (before, after) = body.split_once("\"learning_rate\": ").unwrap();
    let rest = after.split_once(',').unwrap().1;
    format!("{before}\"learning_rate\": 0.625,{rest}")
}

fn verified(sandbox: &Sandbox) -> Value {
    let rerun = sandbox.run(&["verify", "--rerun", "student", "--json", "--quiet"]);
    rerun.exited_with(1).json()["stages"][0].clone()
}

#[test]
fn one_learning_rate_changed_in_a_manifest_is_found() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "student", "--quiet"]).succeeded();
    let rerun = sandbox
        .run(&["verify", "--rerun", "student", "--quiet"])
        .succeeded();
    assert!(rerun.stdout.contains("all came again"), "{}", rerun.stdout);
    falsify(&folder_of(&sandbox, "student"), with_other_rate);
    let stage = verified(&sandbox);
    assert_eq!(stage["verdict"], "false", "{stage}");
    let fault = stage["fault"].as_str().unwrap();
    assert!(
        fault.contains("params.training.learning_rate: 0.03 → 0.625"),
        "{fault}"
    );
    let hashed = sandbox.run(&["verify", "--quiet"]).exited_with(1);
    assert!(
        hashed.stdout.contains("expected the recipe of fingerprint"),
        "{}",
        hashed.stdout
    );
}

#[test]
fn a_learning_rate_changed_with_all_names_is_found_by_the_content_that_comes_out() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "student", "--quiet"]).succeeded();
    let folder = folder_of(&sandbox, "student");
    falsify(&folder, with_other_rate);
    let manifest: Value =
        serde_json::from_str(&fs_err::read_to_string(folder.join("manifest.json")).unwrap())
            .unwrap();
    let recipe: Recipe = serde_json::from_value(manifest["recipe"].clone()).unwrap();
    let (old, new) = (
        manifest["fingerprint"].as_str().unwrap().to_owned(),
        recipe.fingerprint().to_string(),
    );
    falsify(&folder, |body| body.replace(&old, &new));
    let named = folder.parent().unwrap();
    fs_err::rename(named, named.with_file_name(&new)).unwrap();
    let rate = "{epochs: 2, batch: 16, learning_rate: 0.625}";
    sandbox.write(
        "pipeline.yaml",
        WHOLE_PIPELINE.replace("{epochs: 2, batch: 16}", rate),
    );
    // Nothing that only reads can tell.
    assert_eq!(
        outcomes(&sandbox.run_json(&["student"])).last().unwrap(),
        "student=cached"
    );
    sandbox.run(&["verify", "--quiet"]).succeeded();
    let stage = verified(&sandbox);
    assert_eq!(stage["verdict"], "differs", "{stage}");
    assert_eq!(stage["outputs"]["weights"]["verdict"], "differs", "{stage}");
}
