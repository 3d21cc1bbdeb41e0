//! What another numerics class makes of a lock and a cache: `verify`, `verify --rerun` and
//! `run --locked`, in both directions.

use std::process::Command;

use serde_json::Value;

use crate::sandbox::{Finished, Sandbox, WHOLE_PIPELINE, contents};

/// Older instructions than any machine of today has: for libtorch's own kernels, oneDNN's and
/// MKL's.
const SWITCHES: [(&str, &str); 3] = [
    ("ATEN_CPU_CAPABILITY", "default"),
    ("ONEDNN_MAX_CPU_ISA", "SSE41"),
    ("MKL_CBWR", "COMPATIBLE"),
];

/// On 20 test images one other answer is five points.
const TOLERANCE: &str = "verify: {tolerance: {metrics: {points: 15}, predictions: {points: 15}}}\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Machine,
    Switched,
}

fn run(sandbox: &Sandbox, class: Class, arguments: &[&str]) -> Finished {
    run_with(sandbox, class, arguments, |_| {})
}

fn run_with(
    sandbox: &Sandbox,
    class: Class,
    arguments: &[&str],
    change: impl FnOnce(&mut Command),
) -> Finished {
    let mut command = sandbox.command(arguments);
    change(&mut command);
    for (variable, value) in SWITCHES {
        match class {
            Class::Machine => command.env_remove(variable),
            Class::Switched => command.env(variable, value),
        };
    }
    sandbox.finish(&mut command)
}

fn text<'json>(stage: &'json Value, key: &str) -> &'json str {
    stage[key].as_str().unwrap()
}

#[test]
fn what_one_class_made_holds_on_another_within_tolerance() {
    for (maker, checker) in [
        (Class::Machine, Class::Switched),
        (Class::Switched, Class::Machine),
    ] {
        let sandbox = Sandbox::with(&format!("{TOLERANCE}{WHOLE_PIPELINE}"));
        run(&sandbox, maker, &["run", "--quiet"]).succeeded();
        let lock = fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap();
        for (variable, value) in &SWITCHES[1..] {
            let word = format!("{variable}={value}");
            assert_eq!(lock.contains(&word), maker == Class::Switched, "{lock}");
        }

        run(&sandbox, checker, &["verify", "-q"]).succeeded();
        let rerun = run(&sandbox, checker, &["verify", "--rerun", "--json", "-q"]).succeeded();
        let json = rerun.json();
        let stages = json["stages"].as_array().unwrap();
        assert_eq!(stages.len(), 9);
        for stage in stages {
            let verdict = text(stage, "verdict");
            let is_other = text(stage, "numerics") != text(stage, "numerics_now");
            let has_tensors = text(stage, "numerics").starts_with("cpu ");
            assert_eq!(is_other, has_tensors, "{stage}");
            match is_other {
                true => assert!(["equal", "within"].contains(&verdict), "{stage}"),
                false => assert_eq!(verdict, "equal", "{stage}"),
            }
        }
        // The switches reach the arithmetic: a training leads elsewhere.
        let student = stages
            .iter()
            .find(|stage| text(stage, "stage") == "student");
        assert_eq!(text(student.unwrap(), "verdict"), "within");

        fs_err::remove_dir_all(sandbox.path(".seedpipe")).unwrap();
        let locked = run(&sandbox, checker, &["run", "--locked"]).succeeded();
        let told = "contents are not held to the lock";
        assert_eq!(locked.stderr.matches(told).count(), 1, "{}", locked.stderr);
        let after = fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap();
        assert_eq!(after, lock);
    }
}

#[test]
fn a_bound_that_another_class_breaks_is_named_with_what_differs() {
    let sandbox = Sandbox::with(&format!(
        "verify: {{tolerance: {{embeddings: {{cosine: 1}}}}}}\n{WHOLE_PIPELINE}"
    ));
    run(&sandbox, Class::Machine, &["run", "--quiet", "targets"]).succeeded();
    let rerun = run(
        &sandbox,
        Class::Switched,
        &["verify", "--rerun", "-q", "targets"],
    )
    .exited_with(1);
    assert!(rerun.stdout.contains("differs"), "{}", rerun.stdout);
    assert!(rerun.stdout.contains("cosine"), "{}", rerun.stdout);
}

/// What two classes make together would be the result of neither.
#[test]
fn unfinished_work_is_gone_on_with_in_its_own_class() {
    let pipeline = WHOLE_PIPELINE.replace(
        "training: {epochs: 1, batch: 16}",
        "training: {epochs: 3, batch: 16, checkpoint_steps: 2}",
    );
    let whole = |class| {
        let sandbox = Sandbox::with(&pipeline);
        contents(
            &run(&sandbox, class, &["run", "--json", "teacher"])
                .succeeded()
                .json_lines(),
        )
    };
    let (machine, switched) = (whole(Class::Machine), whole(Class::Switched));
    assert_ne!(machine, switched, "the switches reach the arithmetic");
    let sandbox = Sandbox::with(&pipeline);
    let interrupt = |class, fault: &str| {
        let killed = run_with(&sandbox, class, &["run", "teacher"], |command| {
            command.env("SEEDPIPE_FAULT", fault);
        });
        assert_eq!(killed.code, None, "{}", killed.stderr);
        killed.stderr
    };
    let told = "begins anew: its unfinished work was done in another numerics class, `cpu ";
    let first = interrupt(Class::Switched, "checkpoint.rename:3=kill");
    assert!(!first.contains(told), "{first}");
    let other = interrupt(Class::Machine, "checkpoint.rename:2=kill");
    assert!(other.contains(told), "{other}");
    assert!(!other.contains("goes on"), "{other}");
    // Each goes on with its own.
    let again = run(&sandbox, Class::Switched, &["run", "--json", "teacher"]).succeeded();
    assert!(!again.stderr.contains(told), "{}", again.stderr);
    assert_eq!(contents(&again.json_lines()), switched);
    assert_eq!(sandbox.cache_entries("drafts"), [""; 0]);
    let rerun = run(
        &sandbox,
        Class::Switched,
        &["verify", "--rerun", "--json", "-q", "teacher"],
    );
    assert_eq!(rerun.succeeded().json()["stages"][0]["verdict"], "equal");
}
