//! A training that is killed in the middle of an epoch goes on from its newest sound checkpoint,
//! bit for bit.

use super::leftovers::clear;
use super::{CHECKPOINT_STEPS, LOG, REDUCED_PIPELINE, count, faulted, logged, passed};
use crate::sandbox::{Sandbox, contents, outcomes};

/// Steps of each training of the reduced pipeline: 2 epochs of 5.
const STEPS: usize = 10;

type Contents = Vec<(String, String)>;

fn uninterrupted() -> Contents {
    contents(&Sandbox::with(REDUCED_PIPELINE).run_json(&[]))
}

/// A sandbox where everything above `stage` has run, and `stage` was killed as `fault` says.
fn killed(pipeline: &str, stage: &str, before: &[&str], fault: &str) -> Sandbox {
    let sandbox = Sandbox::with(pipeline);
    let mut arguments = vec!["run", "--quiet"];
    arguments.extend(before);
    sandbox.run(&arguments).succeeded();
    let struck = faulted(&sandbox, &["run", "--quiet", stage], fault);
    assert_eq!(struck.code, None, "{}", struck.stderr);
    let _ = fs_err::remove_file(sandbox.path(LOG));
    sandbox
}

/// Runs `stage` to its end; gives the steps that were done and what was said.
fn resumed(sandbox: &Sandbox, stage: &str) -> (usize, String) {
    let finished = sandbox
        .finish(&mut logged(sandbox, &["run", stage]))
        .succeeded();
    (count(&passed(sandbox), "training.step"), finished.stderr)
}

#[test]
fn trainings_killed_in_the_middle_of_an_epoch_give_the_bits_of_an_uninterrupted_run() {
    let expected = uninterrupted();
    let trainings: [(&str, &[&str]); 3] = [
        ("teacher", &["views"]),
        ("student", &["targets"]),
        ("tuned", &["probe"]),
    ];
    for (stage, before) in trainings {
        for step in [3, 8] {
            let fault = format!("training.step:{step}=kill");
            let sandbox = killed(REDUCED_PIPELINE, stage, before, &fault);
            let (steps, _) = resumed(&sandbox, stage);
            let kept = (step - 1) / CHECKPOINT_STEPS * CHECKPOINT_STEPS;
            assert_eq!(steps, STEPS - kept, "{stage} killed at step {step}");
            let lines = sandbox.run_json(&[]);
            assert_eq!(contents(&lines), expected, "{stage} killed at step {step}");
        }
    }
}

#[test]
fn a_checkpoint_that_can_not_be_written_whole_does_not_exist() {
    let expected = uninterrupted();
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    sandbox.run(&["run", "--quiet", "views"]).succeeded();
    for step in ["create", "write", "fsync", "rename", "fsync-folder"] {
        for (action, code) in [("kill", None), ("enospc", Some(1)), ("eio", Some(1))] {
            let context = format!("{action} at {step}");
            let fault = format!("checkpoint.{step}:2={action}");
            let struck = faulted(&sandbox, &["run", "--quiet", "teacher"], &fault);
            assert_eq!(struck.code, code, "{context}: {}", struck.stderr);
            if code.is_some() {
                assert!(
                    struck.stderr.contains("writing a checkpoint: "),
                    "{context}: {}",
                    struck.stderr
                );
            }
            passed(&sandbox);
            let (steps, _) = resumed(&sandbox, "teacher");
            // The second one, after step 4, is there only when it was renamed.
            let kept = if step == "fsync-folder" { 4 } else { 2 };
            assert_eq!(steps, STEPS - kept, "{context}");
            let lines = sandbox.run_json(&["teacher"]);
            assert_eq!(contents(&lines)[..], expected[..lines.len()], "{context}");
            clear(&sandbox, &context);
            let teacher = lines.last().unwrap()["fingerprint"]
                .as_str()
                .unwrap()
                .to_owned();
            fs_err::remove_dir_all(sandbox.path(".seedpipe/v1/artifacts").join(teacher)).unwrap();
        }
    }
}

/// Its only shard was finished then: what it told for the report must not be lost.
#[test]
fn trainings_killed_when_they_were_to_be_published_give_the_report_of_an_uninterrupted_run() {
    let expected = uninterrupted();
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    for (stage, before) in [
        ("teacher", "views"),
        ("student", "targets"),
        ("tuned", "probe"),
    ] {
        sandbox.run(&["run", "--quiet", before]).succeeded();
        let struck = faulted(&sandbox, &["run", "--quiet", stage], "publish.rename=kill");
        assert_eq!(struck.code, None, "{}", struck.stderr);
        passed(&sandbox);
        let (steps, _) = resumed(&sandbox, stage);
        assert_eq!(steps, 0, "{stage} was done");
    }
    assert_eq!(contents(&sandbox.run_json(&[])), expected);
}

#[test]
fn a_page_that_is_not_written_whole_is_written_by_the_next_run() {
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let page = fs_err::read(sandbox.path("report.html")).unwrap();
    for step in ["create", "write", "fsync", "rename"] {
        fs_err::remove_file(sandbox.path("report.html")).unwrap();
        let struck = faulted(&sandbox, &["run", "--quiet"], &format!("file.{step}=kill"));
        assert_eq!(struck.code, None, "{step}");
        assert!(!sandbox.path("report.html").exists(), "{step}");
        sandbox.run(&["run", "--quiet"]).succeeded();
        assert_eq!(fs_err::read(sandbox.path("report.html")).unwrap(), page);
        clear(&sandbox, step);
    }
}

#[test]
fn a_corrupt_newest_checkpoint_falls_back_to_the_one_before_with_a_warning() {
    let expected = uninterrupted();
    for damage in ["flip", "truncate", "empty"] {
        let sandbox = killed(
            REDUCED_PIPELINE,
            "student",
            &["targets"],
            "training.step:7=kill",
        );
        let checkpoints: Vec<String> = sandbox
            .cache_entries("drafts")
            .into_iter()
            .filter(|entry| entry.ends_with(".safetensors"))
            .collect();
        assert_eq!(
            checkpoints.len(),
            2,
            "the newest two are kept: {checkpoints:?}"
        );
        let newest = sandbox.path(".seedpipe/v1/drafts").join(&checkpoints[1]);
        let mut bytes = fs_err::read(&newest).unwrap();
        match damage {
            "flip" => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            "truncate" => bytes.truncate(bytes.len() / 2),
            _ => bytes.clear(),
        }
        fs_err::write(&newest, bytes).unwrap();
        let (steps, said) = resumed(&sandbox, "student");
        assert!(
            said.contains("000006.safetensors`: ") && said.contains("going on from the one before"),
            "{damage}: {said}"
        );
        assert_eq!(steps, STEPS - 4, "{damage}");
        assert_eq!(contents(&sandbox.run_json(&[])), expected, "{damage}");
    }
}

#[test]
fn when_checkpoints_are_written_is_no_part_of_a_result() {
    let by_time = REDUCED_PIPELINE.replace(
        "checkpoint_steps: 2",
        "checkpoint_steps: 1000, checkpoint_minutes: 1e-9",
    );
    // One is written after each step, since each takes longer than that.
    let sandbox = killed(&by_time, "teacher", &["views"], "training.step:5=kill");
    let (steps, _) = resumed(&sandbox, "teacher");
    assert_eq!(steps, STEPS - 4);
    let timed = sandbox.run_json(&[]);
    sandbox.write("pipeline.yaml", REDUCED_PIPELINE);
    let stepped = sandbox.run_json(&[]);
    assert!(
        outcomes(&stepped)
            .iter()
            .all(|outcome| outcome.ends_with("=cached")),
        "{stepped:?}"
    );
    assert_eq!(contents(&timed), contents(&stepped));
    assert_eq!(contents(&timed), uninterrupted());
    let lock = fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap();
    assert!(!lock.contains("checkpoint_"), "{lock}");
}
