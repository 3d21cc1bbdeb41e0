//! `kill -9` in the middle of a stage, then `run` again: what comes out is equal to an
//! uninterrupted run's.

mod pretraining;
mod stopped;
mod workers;

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::sandbox::{Sandbox, WHOLE_PIPELINE, contents, outcomes};

/// Starts a run, kills it as soon as `reached` says so, and makes sure that it was not done.
fn kill_when(sandbox: &Sandbox, arguments: &[&str], reached: impl Fn(&[String]) -> bool) {
    let mut started = sandbox.start(arguments);
    let begun = Instant::now();
    while !reached(&sandbox.cache_entries("drafts")) {
        assert!(
            !started.has_ended(),
            "the run ended before it could be killed"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "nothing to kill in 300 s"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    started.signal(Signal::KILL);
    assert_eq!(
        started.output().status.code(),
        None,
        "the run ended before it was killed"
    );
}

/// The whole pipeline with many views, so that `encode` has two shards and `distill` many steps.
fn long_pipeline() -> String {
    WHOLE_PIPELINE
        .replace("take: {train: 60,", "take: {train: 80,")
        .replace("views_per_image: 2", "views_per_image: 300")
        .replace(
            "{epochs: 2, batch: 16}",
            "{epochs: 20, batch: 16, checkpoint_steps: 1, evaluate: {every: 3}}",
        )
}

#[test]
fn killed_in_encode_and_in_distill_the_digests_are_those_of_an_uninterrupted_run() {
    let whole = Sandbox::with(&long_pipeline());
    let expected = whole.run_json(&["student"]);

    let sandbox = Sandbox::with(&long_pipeline());
    sandbox.run(&["run", "teacher", "--quiet"]).succeeded();
    kill_when(&sandbox, &["run", "student"], |drafts| {
        drafts
            .iter()
            .any(|entry| entry.ends_with("shard-00000.json"))
    });
    let resumed = sandbox.run(&["run", "targets"]).succeeded();
    assert!(
        resumed.stderr.contains("of 2 shards were finished before"),
        "{}",
        resumed.stderr
    );

    kill_when(&sandbox, &["run", "student"], |drafts| {
        drafts
            .iter()
            .filter(|entry| entry.contains("checkpoints/"))
            .count()
            > 1
    });
    let lines = sandbox.run_json(&["student"]);
    assert_eq!(contents(&lines), contents(&expected));
    assert_eq!(outcomes(&lines).last().unwrap(), "student=executed");
    sandbox.run(&["verify", "--quiet"]).succeeded();
    assert_eq!(
        sandbox.cache_entries("drafts"),
        [""; 0],
        "a finished stage leaves no draft"
    );
}
