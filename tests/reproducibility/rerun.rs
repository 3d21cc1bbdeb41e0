//! `verify --rerun`: what comes again, what doesn't, what it leaves.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::Signal;
use serde_json::Value;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, Started, WHOLE_PIPELINE};

/// (stage, verdict, rows, of) of a rerun's `--json`.
fn verdicts(json: &Value) -> Vec<(String, String, u64, u64)> {
    let stages = json["stages"].as_array().unwrap().iter();
    stages
        .map(|stage| {
            (
                stage["stage"].as_str().unwrap().to_owned(),
                stage["verdict"].as_str().unwrap().to_owned(),
                stage["rows"].as_u64().unwrap(),
                stage["rows_stored"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_stage_comes_again_and_the_cache_stays_as_it_was() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let before = sandbox.cache_entries("artifacts");
    let lock = fs_err::read(sandbox.path("pipeline.lock")).unwrap();
    let finished = sandbox
        .run(&["verify", "--rerun", "--json", "--junit", "report.xml"])
        .succeeded();
    let json = finished.json();
    let all = verdicts(&json);
    assert_eq!(all.len(), 9);
    for (stage, verdict, rows, of) in all {
        assert_eq!((verdict.as_str(), rows), ("equal", of), "{stage}");
    }
    assert!(finished.stderr.contains("student"), "{}", finished.stderr);
    assert_eq!(sandbox.cache_entries("artifacts"), before);
    assert_eq!(sandbox.cache_entries("scratch"), [""; 0]);
    assert_eq!(fs_err::read(sandbox.path("pipeline.lock")).unwrap(), lock);
    let junit = fs_err::read_to_string(sandbox.path("report.xml")).unwrap();
    assert_eq!(junit.matches("<testcase name=").count(), 9, "{junit}");
    assert!(
        junit.contains("tests=\"9\" failures=\"0\" errors=\"0\""),
        "{junit}"
    );

    let sampled = sandbox.run(&[
        "verify", "--rerun", "--sample", "10", "views", "targets", "features", "--json", "-q",
    ]);
    for (stage, verdict, rows, of) in verdicts(&sampled.succeeded().json()) {
        assert_eq!(verdict, "equal", "{stage}");
        assert!(0 < rows && rows < of, "{stage}: {rows} of {of}");
    }
}

#[test]
fn a_table_names_what_did_not_come_again_and_its_worst_row() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_snapshot!(sandbox.run(&["verify", "--rerun", "-q"]).succeeded().stable_stdout(), @r"
    stage   kind     verdict  rows   of    time
    images  ingest   equal      80   80  [time]
    views   augment  equal     120  120  [time]
    2 of 2 stages as stored, in [time]: all came again
    ");
    let sampled = sandbox
        .run(&["verify", "--rerun", "views", "-q", "--sample", "1%"])
        .succeeded();
    assert!(sampled.stdout.contains(" 120  "), "{}", sampled.stdout);
    // A store that lost its upstream has nothing to make a stage from.
    let artifacts = sandbox.path(".seedpipe/v1/artifacts");
    for entry in sandbox.cache_entries("artifacts") {
        if entry.ends_with("images/part-00000.parquet") {
            fs_err::remove_file(artifacts.join(entry)).unwrap();
        }
    }
    let missing = sandbox
        .run(&["verify", "--rerun", "views", "-q", "--junit", "j.xml"])
        .exited_with(1);
    assert_snapshot!(missing.stable_stdout(), @r"
    stage  kind     verdict  rows  of    time
    views  augment  missing     0   0  [time]
    views: expected `images` in the cache, got nothing there
    hint: run it first: `seedpipe run`
    0 of 1 stages as stored, in [time]: not all came again
    ");
    let junit = fs_err::read_to_string(sandbox.path("j.xml")).unwrap();
    assert!(junit.contains("<error type=\"missing\""), "{junit}");
}

#[test]
fn tolerances_are_checked_and_other_usage_is_refused() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    for (block, part) in [
        (
            "{tolerance: {embedings: {cosine: 0.9}}}",
            "did you mean `embeddings`?",
        ),
        (
            "{tolerance: {embeddings: {cosin: 0.9}}}",
            "unknown field `cosin`",
        ),
        (
            "{tolerance: {weights: {cosine: -2}}}",
            "expected finite bounds of 0 or more",
        ),
        ("{tolerances: {}}", "unknown field `tolerances`"),
    ] {
        sandbox.write(
            "pipeline.yaml",
            format!("verify: {block}\n{LIGHT_PIPELINE}"),
        );
        let refused = sandbox.run(&["status"]).exited_with(2);
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    sandbox.write("pipeline.yaml", format!("verify: {{tolerance: {{embeddings: {{cosine: 0.99}}, metrics: {{points: 1}}}}}}\n{LIGHT_PIPELINE}"));
    sandbox.run(&["status"]).succeeded();
    for arguments in [
        ["verify", "views", "-q"].as_slice(),
        &["verify", "--sample", "5"],
        &["verify", "--rerun", "--sample", "0"],
        &["verify", "--rerun", "view"],
    ] {
        sandbox.run(arguments).exited_with(2);
    }
}

/// A sandbox whose rerun of `views` takes a while, and that rerun as soon as it is at work.
fn at_work() -> (Sandbox, Started) {
    let sandbox =
        Sandbox::with(&LIGHT_PIPELINE.replace("views_per_image: 2", "views_per_image: 500"));
    sandbox.run(&["run", "--quiet"]).succeeded();
    let started = sandbox.start(&["verify", "--rerun", "views"]);
    let begun = Instant::now();
    while !sandbox
        .cache_entries("scratch")
        .iter()
        .any(|entry| entry.ends_with(".json"))
    {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no scratch in 60 s"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    (sandbox, started)
}

#[test]
fn ctrl_c_leaves_no_scratch() {
    let (sandbox, mut started) = at_work();
    started.signal(Signal::INT);
    assert_eq!(started.output().status.code(), Some(1));
    assert_eq!(sandbox.cache_entries("scratch"), [""; 0]);
}

#[test]
fn what_a_killed_rerun_left_is_cleared_by_gc() {
    let (sandbox, mut started) = at_work();
    started.signal(Signal::KILL);
    assert_eq!(started.output().status.code(), None);
    assert_ne!(sandbox.cache_entries("scratch"), [""; 0]);
    sandbox.run(&["gc"]).succeeded();
    assert_eq!(sandbox.cache_entries("scratch"), [""; 0]);
}
