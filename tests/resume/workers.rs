//! Stages at once, each in a worker of its own: contents are those of one process, whoever of them is
//! killed, and nobody works on when the run is gone.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Finished, Sandbox, Started, contents_by_name};

/// Three trainings that need nothing of each other.
const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 60, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  alone:
    kind: pretrain
    inputs: {images: images, views: views}
    matrix: {seed: [0, 1, 2]}
    params:
      network: {name: cifar_resnet8, width: 0.5}
      queue: 64
      training: {epochs: 4, batch: 16, threads: 1, checkpoint_steps: 1}
  features: {kind: encode, inputs: {images: images, weights: alone}, params: {batch: 32}}
  neighbours: {kind: knn, inputs: {images: images, features: features}, params: {k: [5]}}
";
const TOGETHER: [&str; 3] = ["run", "--jobs", "3"];

fn expected() -> Vec<(String, String)> {
    contents_by_name(&Sandbox::with(PIPELINE).run_json(&["--jobs", "1"]))
}

/// Contents of every stage once the same command has run to its end.
fn gone_on(sandbox: &Sandbox) -> Vec<(String, String)> {
    let contents = contents_by_name(&sandbox.run_json(&["--jobs", "3"]));
    assert_eq!(sandbox.cache_entries("drafts"), [""; 0]);
    sandbox.run(&["verify", "--quiet"]).succeeded();
    contents
}

/// Processes that a run has started and that have not ended.
fn workers(started: &Started) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", started.pid());
    let tasks = fs_err::read_dir(tasks).into_iter().flatten();
    let children = tasks.map(|task| {
        let children = task.unwrap().path().join("children");
        std::fs::read_to_string(children).unwrap_or_default()
    });
    let children: Vec<String> = children.collect();
    let pids = children.iter().flat_map(|text| text.split_whitespace());
    pids.filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .collect()
}

fn is_at_work(worker: Pid) -> bool {
    let stat = format!("/proc/{}/stat", worker.as_raw_nonzero());
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

/// Starts the pipeline, and gives it with its workers when all have written a checkpoint.
fn started(sandbox: &Sandbox) -> (Started, Vec<Pid>) {
    sandbox.run(&["run", "views", "--quiet"]).succeeded();
    let mut started = sandbox.start(&TOGETHER);
    let begun = Instant::now();
    loop {
        let drafts = sandbox.cache_entries("drafts");
        let is_checkpoint = |entry: &&String| entry.contains("checkpoints/step-");
        let workers = workers(&started);
        let begun_on: std::collections::BTreeSet<&str> = drafts
            .iter()
            .filter(is_checkpoint)
            .filter_map(|entry| entry.split('/').next())
            .collect();
        if begun_on.len() == 3 && workers.len() == 3 {
            return (started, workers);
        }
        assert!(
            !started.has_ended(),
            "it ended before it could be disturbed"
        );
        assert!(begun.elapsed() < Duration::from_secs(300), "{drafts:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ends(workers: &[Pid]) {
    let begun = Instant::now();
    while workers.iter().copied().any(is_at_work) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "a worker works on"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn stages_at_once_have_the_contents_of_stages_in_turn() {
    assert_eq!(gone_on(&Sandbox::with(PIPELINE)), expected());
}

#[test]
fn a_worker_that_is_killed_is_told_of_and_the_others_end() {
    let sandbox = Sandbox::with(PIPELINE);
    let (started, workers) = started(&sandbox);
    kill_process(workers[0], Signal::KILL).unwrap();
    let ended = Finished::of(started.output(), &sandbox.path(".")).exited_with(1);
    let told = "its worker was killed (signal 9), which is how a system ends what needs too much memory\nhint: finished shards and checkpoints are kept: run again";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    let executed = "2 executed";
    assert!(ended.stderr.contains(executed), "{}", ended.stderr);
    assert_eq!(gone_on(&sandbox), expected());
}

#[test]
fn a_run_that_is_killed_takes_its_workers_with_it() {
    let sandbox = Sandbox::with(PIPELINE);
    let (mut started, workers) = started(&sandbox);
    started.signal(Signal::KILL);
    assert_eq!(started.output().status.code(), None);
    ends(&workers);
    assert_eq!(gone_on(&sandbox), expected());
}

#[test]
fn a_wish_to_stop_reaches_every_worker() {
    let sandbox = Sandbox::with(PIPELINE);
    let (mut started, workers) = started(&sandbox);
    started.signal(Signal::INT);
    let ended = Finished::of(started.output(), &sandbox.path(".")).exited_with(1);
    assert!(
        ended
            .stderr
            .contains("\ninterrupted; the same command goes on with `alone[seed="),
        "{}",
        ended.stderr
    );
    assert!(!workers.iter().copied().any(is_at_work));
    assert_eq!(gone_on(&sandbox), expected());
}

/// `encode` has no checkpoint: its finished shards are all that there is to keep.
#[test]
fn what_a_worker_had_finished_when_it_failed_is_kept_and_the_remedy_told() {
    let pipeline = super::long_pipeline();
    let sandbox = Sandbox::with(&pipeline);
    sandbox.run(&["run", "teacher", "--quiet"]).succeeded();
    let full = "free space, for example by `seedpipe gc`, and run again: finished shards are kept";
    for (action, told) in [
        ("enospc", full),
        ("kill", "its worker was killed (signal 9)"),
    ] {
        let mut run = sandbox.command(&["run", "targets", "--jobs", "2"]);
        let fault = format!("shard.begin:2={action}");
        let struck = sandbox
            .finish(run.env("SEEDPIPE_FAULT", fault))
            .exited_with(1);
        assert!(struck.stderr.contains(told), "{}", struck.stderr);
        let gone_on = sandbox.run(&["run", "targets", "--jobs", "2"]).succeeded();
        let kept = "1 of 2 shards were finished before";
        assert!(gone_on.stderr.contains(kept), "{}", gone_on.stderr);
        let targets = sandbox.run_json(&["targets"]).pop().unwrap();
        let fingerprint = targets["fingerprint"].as_str().unwrap();
        let artifact = sandbox.path(".seedpipe/v1/artifacts").join(fingerprint);
        fs_err::remove_dir_all(artifact).unwrap();
    }
}
