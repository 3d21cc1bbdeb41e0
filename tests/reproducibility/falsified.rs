//! An artifact that is not what it says is found by `verify --rerun`, however well that is hidden:
//! another recipe, other contents, other figures, and a numerics class that is claimed to excuse
//! them. What pipeline.lock says falsely `verify` finds.

use std::path::{Path, PathBuf};

use seedpipe_artifact::{WEIGHTS, WeightsReader, WeightsWriter};
use seedpipe_engine::{Digest, Manifest, Recipe};
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

/// A class of which no machine is.
const CLAIM: &str = "cpu x86_64 nobody sse, libtorch 2.11.0";

/// A teacher that learns for long enough to be told from another one, and what is made of it.
const TEACHER: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 120, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  teacher:
    kind: pretrain
    inputs: {images: images, views: views}
    params:
      network: {name: cifar_resnet8, width: 0.25, head: {hidden: [16], out: 8}}
      queue: 64
      training: {epochs: 3, batch: 16, learning_rate: 0.03}
  features: {kind: encode, inputs: {images: images, weights: teacher}, params: {batch: 32}}
  probe: {kind: probe, inputs: {images: images, features: features}}
";

fn manifest_of(folder: &Path) -> Manifest {
    let text = fs_err::read_to_string(folder.join("manifest.json")).unwrap();
    Manifest::decode(&text).unwrap()
}

/// Puts a changed manifest in an artifact's place, with every digest and name that it needs.
fn lie(folder: &Path, change: impl FnOnce(&mut Manifest)) -> PathBuf {
    let mut manifest = manifest_of(folder);
    change(&mut manifest);
    let manifest = manifest.fitted();
    fs_err::write(folder.join("manifest.json"), manifest.encode()).unwrap();
    let content = &manifest.content.to_string()[..16];
    let there = folder.with_file_name(content);
    fs_err::rename(folder, &there).unwrap();
    there
}

/// Gives an artifact an output of another one.
fn take_output(folder: &Path, other: &Path, slot: &str, claim: bool) {
    let theirs = manifest_of(other).outputs.remove(slot).unwrap();
    fs_err::remove_dir_all(folder.join(slot)).unwrap();
    fs_err::create_dir(folder.join(slot)).unwrap();
    for part in &theirs.parts {
        let below = Path::new(slot).join(&part.name);
        fs_err::copy(other.join(&below), folder.join(&below)).unwrap();
    }
    lie(folder, |manifest| {
        manifest.outputs.insert(slot.to_owned(), theirs);
        if claim {
            manifest.telemetry.numerics = CLAIM.to_owned();
        }
    });
}

/// A sandbox with the honest artifacts, and the folder of what `stage` gives with `other` settings.
fn with_other(stage: &str, other: &[&str]) -> (Sandbox, PathBuf, PathBuf) {
    let sandbox = Sandbox::with(TEACHER);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let folder = folder_of(&sandbox, stage);
    let mut arguments = vec!["run", "--quiet", stage];
    arguments.extend(other.iter().flat_map(|set| ["--set", *set]));
    let before = sandbox.cache_entries("artifacts");
    sandbox.run(&arguments).succeeded();
    let kind = manifest_of(&folder).recipe.kind;
    let made = sandbox.cache_entries("artifacts").into_iter();
    let mut made = made.filter(|entry| entry.ends_with("manifest.json") && !before.contains(entry));
    let other = made.find_map(|entry| {
        let manifest = sandbox.path(".seedpipe/v1/artifacts").join(entry);
        let folder = manifest.parent().unwrap().to_owned();
        (manifest_of(&folder).recipe.kind == kind).then_some(folder)
    });
    (sandbox, folder, other.unwrap())
}

fn rerun(sandbox: &Sandbox, stage: &str, flags: &[&str]) -> (Option<i32>, Value) {
    let mut arguments = vec!["verify", "--rerun", stage, "--json", "--quiet"];
    arguments.extend(flags);
    let finished = sandbox.run(&arguments);
    (finished.code, finished.json())
}

#[test]
fn a_claimed_numerics_class_excuses_no_output_of_another_recipe() {
    for (stage, slot, other) in [
        ("teacher", "weights", "teacher.training.learning_rate=0.9"),
        ("teacher", "weights", "teacher.seed=7"),
        (
            "features",
            "embeddings",
            "teacher.training.learning_rate=0.9",
        ),
        ("probe", "classifier", "teacher.training.learning_rate=0.9"),
        ("probe", "predictions", "teacher.training.learning_rate=0.9"),
    ] {
        let (sandbox, honest, false_one) = with_other(stage, &[other]);
        take_output(&honest, &false_one, slot, true);
        let (code, report) = rerun(&sandbox, stage, &[]);
        let found = &report["stages"][0];
        assert_eq!(code, Some(1), "{slot} of {other}: {found}");
        let output = &found["outputs"][slot];
        assert_eq!(output["verdict"], "differs", "{found}");
        assert_eq!(report["counts"]["differs"], 1, "{report}");
        // What a network may be excused by was asked of this machine, and doesn't lead so far.
        if slot == "weights" {
            let rounding = output["comparison"]["rounding_alike"].as_f64();
            assert!(rounding.is_some_and(|alike| alike > 0.9), "{found}");
        }
    }
}

#[test]
fn what_a_claimed_class_excuses_is_counted_apart_and_exact_excuses_nothing() {
    let sandbox = Sandbox::with(TEACHER);
    sandbox.run(&["run", "--quiet"]).succeeded();
    lie(&folder_of(&sandbox, "teacher"), |manifest| {
        manifest.telemetry.numerics = CLAIM.to_owned();
    });
    // Equal to the bit, whatever is claimed.
    let (code, report) = rerun(&sandbox, "teacher", &["--exact"]);
    assert_eq!((code, &report["counts"]["equal"]), (Some(0), &1.into()));

    // One step of another rounding in one tensor.
    let folder = folder_of(&sandbox, "teacher");
    change_weights(&folder, |name, data| {
        if name.ends_with("weight") {
            data[0] ^= 1;
        }
    });
    let (code, report) = rerun(&sandbox, "teacher", &[]);
    let found = &report["stages"][0];
    assert_eq!(
        (code, &report["counts"]["within"]),
        (Some(0), &1.into()),
        "{found}"
    );
    let alike = found["outputs"]["weights"]["comparison"]["seen_alike"].as_f64();
    assert!(alike.unwrap() > 0.999, "{found}");
    let text = sandbox
        .run(&["verify", "--rerun", "teacher", "--quiet"])
        .succeeded();
    let last = text.stdout.lines().last().unwrap();
    assert!(
        last.starts_with(
            "0 of 1 stages as stored, 1 within the tolerance between numerics classes alone, in "
        ) && last.ends_with(": not all came again to the bit"),
        "{last}"
    );
    let (code, report) = rerun(&sandbox, "teacher", &["--exact"]);
    assert_eq!((code, &report["counts"]["differs"]), (Some(1), &1.into()));
}

/// Rewrites an artifact's weights, with every digest that they need.
fn change_weights(folder: &Path, change: impl Fn(&str, &mut Vec<u8>)) {
    rewrite_weights(folder, |_, text| text.to_owned(), change);
}

fn rewrite_weights(
    folder: &Path,
    metadata: impl Fn(&str, &str) -> String,
    change: impl Fn(&str, &mut Vec<u8>),
) {
    let manifest = manifest_of(folder);
    let part = &manifest.outputs["weights"].parts[0].name;
    let path = folder.join("weights").join(part);
    let reader = WeightsReader::open(std::slice::from_ref(&path)).unwrap();
    let described = reader.metadata().iter();
    let described = described.map(|(key, text)| (key.clone(), metadata(key, text)));
    let described = described.collect();
    let mut rows = reader.read_all().unwrap();
    rows.iter_mut()
        .for_each(|row| change(&row.name, &mut row.data));
    fs_err::remove_file(&path).unwrap();
    let mut writer = WeightsWriter::create(&path, &described).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    lie(folder, |manifest| {
        let record = manifest.outputs.get_mut("weights").unwrap();
        let bytes = fs_err::read(&path).unwrap();
        record.parts[0].bytes = bytes.len() as u64;
        record.parts[0].blake3 = Digest::of(&bytes);
        let content = seedpipe_artifact::digest(WEIGHTS, std::slice::from_ref(&path)).unwrap();
        record.content = Digest(content.digest);
        manifest.telemetry.numerics = CLAIM.to_owned();
    });
}

#[test]
fn a_claimed_class_excuses_no_other_preparation_of_images() {
    let other_mean = |key: &str, text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        if key == "preprocessing" {
            value["mean"][0] = 0.25.into();
        }
        value.to_string()
    };
    let sandbox = Sandbox::with(TEACHER);
    sandbox.run(&["run", "teacher", "--quiet"]).succeeded();
    rewrite_weights(&folder_of(&sandbox, "teacher"), other_mean, |_, _| {});
    let (code, report) = rerun(&sandbox, "teacher", &[]);
    let found = &report["stages"][0];
    assert_eq!(code, Some(1), "{found}");
    assert_eq!(found["outputs"]["weights"]["verdict"], "differs", "{found}");
}

#[test]
fn every_field_of_a_manifest_that_says_something_else_is_found() {
    type Lie = fn(&mut Manifest);
    let lies: [(&str, Lie); 6] = [
        (" rows, got content ", |manifest| {
            manifest.outputs.get_mut("metrics").unwrap().rows += 1;
        }),
        ("the figures ", |manifest| {
            let metrics = manifest.outputs.get_mut("metrics").unwrap();
            *metrics.headline.values_mut().next().unwrap() = 0.999;
        }),
        ("the figures ", |manifest| {
            let metrics = manifest.outputs.get_mut("metrics").unwrap();
            metrics.headline.insert("test/top1".to_owned(), 0.999);
        }),
        ("the figures ", |manifest| {
            manifest
                .outputs
                .get_mut("metrics")
                .unwrap()
                .headline
                .clear();
        }),
        ("expected content ", |manifest| {
            manifest.outputs.get_mut("weights").unwrap().content = Digest::of(b"other");
        }),
        ("output `metrics`: ", |manifest| {
            let metrics = manifest.outputs.get_mut("metrics").unwrap();
            metrics.kind = "weights/v1".to_owned();
        }),
    ];
    let sandbox = Sandbox::with(TEACHER);
    sandbox.run(&["run", "--quiet", "teacher"]).succeeded();
    let mut folder = folder_of(&sandbox, "teacher");
    let honest = manifest_of(&folder);
    for (fault, falsify) in lies {
        folder = lie(&folder, |manifest| {
            falsify(manifest);
            manifest.telemetry.numerics = CLAIM.to_owned();
        });
        let (code, report) = rerun(&sandbox, "teacher", &[]);
        let found = &report["stages"][0];
        assert_eq!(
            (code, &found["verdict"]),
            (Some(1), &"false".into()),
            "{found}"
        );
        assert!(found["fault"].as_str().unwrap().contains(fault), "{found}");
        folder = lie(&folder, |manifest| *manifest = honest.clone());
    }
}

#[test]
fn every_fact_of_a_lock_that_is_not_so_is_found() {
    let sandbox = Sandbox::with(TEACHER);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let lock = fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap();
    sandbox.run(&["verify", "--locked", "--quiet"]).succeeded();
    let (head, teacher) = lock.split_once("  teacher:\n").unwrap();
    for (fact, now) in [
        ("seed: 0", "seed: 1"),
        ("version: ", "version: 9"),
        ("rows.weights: ", "rows.weights: 7"),
        ("metrics.train/loss: ", "metrics.train/loss: 1"),
        (
            "params.training.learning_rate: 0.03",
            "params.training.learning_rate: 0.06",
        ),
    ] {
        assert!(teacher.contains(fact), "{fact}: {teacher}");
        let false_one = format!("{head}  teacher:\n{}", teacher.replacen(fact, now, 1));
        sandbox.write("pipeline.lock", false_one);
        let found = sandbox.run(&["verify", "--quiet"]).exited_with(1).stdout;
        let key = fact.split(':').next().unwrap();
        assert!(
            found.starts_with(&format!("pipeline.lock: stage `teacher`: {key}: ")),
            "{found}"
        );
    }
    for digest in ["fingerprint: \"", "content: \""] {
        let (before, after) = teacher.split_once(digest).unwrap();
        let other = format!(
            "{head}  teacher:\n{before}{digest}{}{}",
            "0".repeat(64),
            &after[64..]
        );
        sandbox.write("pipeline.lock", other);
        let told = sandbox.run(&["verify", "--quiet"]).succeeded().stdout;
        assert!(
            told.contains("4 of 5 artifacts of pipeline.lock are here; absent: teacher"),
            "{told}"
        );
        sandbox
            .run(&["verify", "--quiet", "--locked"])
            .exited_with(1);
    }
}
