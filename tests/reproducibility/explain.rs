//! `explain --against`, and why a cached stage is still good.

use std::process::Command;

use insta::assert_snapshot;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox};

fn git(sandbox: &Sandbox, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@example.org"])
        .args(arguments)
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn against_a_lock_file_names_the_causes_down_to_the_source() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    fs_err::copy(sandbox.path("pipeline.lock"), sandbox.path("old.lock")).unwrap();
    let same = sandbox
        .run(&["explain", "views", "--against", "old.lock"])
        .succeeded();
    assert_snapshot!(same.stable_stdout(), @r"
    views (augment): cached
      its content is that of `old.lock`: [short]
      nothing of its own differs from `old.lock`
    ");
    sandbox.write(
        "pipeline.yaml",
        LIGHT_PIPELINE
            .replace("train: 60", "train: 50")
            .replace("size: 16", "size: 20"),
    );
    let mut digits = fs_err::read(sandbox.path("digits.parquet")).unwrap();
    let last = digits.len() - 1;
    let before = digits.clone();
    digits.extend_from_slice(&before[last..]);
    let cold = sandbox
        .run(&["explain", "views", "--against", "old.lock"])
        .succeeded();
    assert_snapshot!(cold.stable_stdout(), @r"
    views (augment): may run, depends on `images`
      its content is not known: it is not cached
      its own facts differ from those of `old.lock`:
      params.size: 16 → 20
      because of
        images (ingest): will run
          its content is not known: it is not cached
          its own facts differ from those of `old.lock`:
          params.take.train: 60 → 50
    ");
    sandbox.run(&["run", "--quiet"]).succeeded();
    sandbox.write("digits.parquet", digits);
    let json = sandbox
        .run(&["explain", "views", "--against", "old.lock", "--json"])
        .succeeded()
        .json();
    assert_eq!(json["against"], "old.lock", "{json}");
    let source = &json["causes"][0]["changes"][1];
    assert_eq!(source["field"], "sources.digits.parquet", "{json}");
    assert_ne!(source["old"], source["new"], "{json}");
}

#[test]
fn against_a_revision_tells_what_came_of_a_change() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    for arguments in [
        ["init", "-q"].as_slice(),
        &["add", "pipeline.lock"],
        &["commit", "-qm", "first"],
    ] {
        git(&sandbox, arguments);
    }
    sandbox.write(
        "pipeline.yaml",
        LIGHT_PIPELINE.replace("train: 60", "train: 50"),
    );
    sandbox.run(&["run", "--quiet"]).succeeded();
    let explained = sandbox
        .run(&["explain", "views", "--against", "HEAD"])
        .succeeded();
    assert_snapshot!(explained.stable_stdout(), @r"
    views (augment): cached
      its content is [short], in `HEAD:pipeline.lock` [short]
      nothing of its own differs from `HEAD:pipeline.lock`
      rows.views: 120 → 100
      because of
        images (ingest): cached
          its content is [short], in `HEAD:pipeline.lock` [short]
          its own facts differ from those of `HEAD:pipeline.lock`:
          params.take.train: 60 → 50
          rows.images: 80 → 70
    ");
}

#[test]
fn a_reference_that_leads_nowhere_is_refused() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.write("no.lock", "nothing");
    let mut command = sandbox.command(&["explain", "views", "--against", "HEAD"]);
    // The repository of whoever runs the tests may lie above the temporary folder.
    command.env(
        "GIT_CEILING_DIRECTORIES",
        sandbox.path("").parent().unwrap(),
    );
    let refused = sandbox.finish(&mut command).exited_with(2);
    assert!(
        refused.stderr.contains("git says: not a git repository"),
        "{}",
        refused.stderr
    );
    let mut command = sandbox.command(&["explain", "views", "--against", "HEAD"]);
    let refused = sandbox.finish(command.env("PATH", "")).exited_with(2);
    assert!(
        refused.stderr.contains("git can't be asked"),
        "{}",
        refused.stderr
    );
    for reference in ["--output=x", ""] {
        let argument = format!("--against={reference}");
        sandbox.run(&["explain", "views", &argument]).exited_with(2);
    }
    let other = sandbox
        .run(&["explain", "views", "--against", "no.lock"])
        .exited_with(1);
    assert!(
        other
            .stderr
            .contains("expected a pipeline.lock, got another text"),
        "{}",
        other.stderr
    );
}

#[test]
fn a_cached_stage_says_why_it_is_still_good() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_snapshot!(sandbox.run(&["explain", "images"]).succeeded().stable_stdout(), @r"
    images (ingest): cached
      its recipe is the last run's
      artifact [short] of content [short], made [date] in the numerics class `[architecture]`, is whole: 3 files, [size]
      source `digits.parquet` is unchanged since: [short]
    ");
}

#[test]
fn files_of_a_folder_source_that_changed_are_named() {
    let sandbox = Sandbox::with("stages:\n  photos: {kind: ingest, params: {source: photos}}\n");
    let sample = |name: &str| {
        let folder = format!("{}/src/imaging/testdata/images", crate::sandbox::REPOSITORY);
        fs_err::read(format!("{folder}/{name}")).unwrap()
    };
    for name in ["rgb.png", "gray.png", "gray.jpg"] {
        sandbox.write(&format!("photos/{name}"), sample(name));
    }
    sandbox.run(&["run", "--quiet"]).succeeded();
    fs_err::copy(sandbox.path("pipeline.lock"), sandbox.path("old.lock")).unwrap();
    sandbox.write("photos/gray.png", sample("gray_16.png"));
    sandbox.write("photos/new/gray.bmp", sample("gray.bmp"));
    fs_err::remove_file(sandbox.path("photos/rgb.png")).unwrap();
    assert_snapshot!(sandbox.run(&["explain", "photos"]).succeeded().stable_stdout(), @r"
    photos (ingest): will run
      no artifact of its recipe is in the cache
      its recipe differs from the last run's:
      sources.photos: [short] → [short]
      sources.photos: `gray.png` changed
      sources.photos: `new/gray.bmp` added
      sources.photos: `rgb.png` removed
    ");
    let json = sandbox
        .run(&["explain", "photos", "--against", "old.lock", "--json"])
        .succeeded()
        .json();
    assert_eq!(json["files"].as_array().unwrap().len(), 3, "{json}");
}
