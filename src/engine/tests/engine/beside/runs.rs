//! Several runs on one cache, and being stopped.

use std::time::Duration;

use fs_err as fs;
use seedpipe_engine::*;

use crate::toy::*;
use crate::world::*;

#[test]
fn eight_runs_at_once_run_each_stage_once() {
    let world = World::new(CHAIN);
    world.write("slow", "30");
    let contents: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| world.run())).collect();
        runs.into_iter()
            .map(|run| run.join().unwrap().stages.pop().unwrap().content)
            .collect()
    });
    assert!(contents.iter().all(|content| *content == contents[0]));
    let mut log = world.log();
    log.sort();
    assert_eq!(
        log,
        ["clean 0", "long 0", "long 1", "long 2", "raw 0", "sum 0"]
    );
    assert!(
        world
            .engine()
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good()
    );
}

#[test]
fn a_waiting_run_says_for_whom_and_finds_the_artifact() {
    let world = World::new(CHAIN);
    world.write("slow", "2600");
    let recorder = Recorder::default();
    std::thread::scope(|scope| {
        scope.spawn(|| world.run_with(&targets(&["raw"]), &Silent));
        std::thread::sleep(Duration::from_millis(300));
        let report = world.run_with(&targets(&["raw"]), &recorder);
        assert_eq!(outcomes(&report), ["raw cached"]);
    });
    let lines = recorder.lines();
    let expected = format!("raw: waiting for pid {} on ", std::process::id());
    assert!(
        lines[0].starts_with(&expected) && lines[0].contains("stage `raw`, since 2"),
        "{lines:?}"
    );
}

/// Not a test of its own: what the next one starts as another process and kills.
#[test]
fn child_process_that_runs_the_project_named_by_the_environment() {
    let Some(folder) = std::env::var_os("SEEDPIPE_TOY_PROJECT") else {
        return;
    };
    let path = std::path::PathBuf::from(folder).join("pipeline.yaml");
    let project = Project::open(&path, &registry(), &[]).unwrap();
    Engine::new(project, registry(), Box::new(ToyCodec))
        .unwrap()
        .run(&RunOptions::default(), &Silent)
        .unwrap();
}

/// A test of this file, as the test program calls it.
fn here(test: &str) -> String {
    let (_crate, path) = module_path!().split_once("::").unwrap();
    format!("{path}::{test}")
}

#[test]
fn a_killed_process_is_taken_over_from_and_at_most_one_shard_is_done_again() {
    let world = World::new(CHAIN);
    world.write("slow", "150");
    for kill_after in [50_u64, 250, 420, 560, 700] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &here("child_process_that_runs_the_project_named_by_the_environment"),
            ])
            .env("SEEDPIPE_TOY_PROJECT", world.folder.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(kill_after));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let before = world.log();
    assert!(
        !before.is_empty(),
        "no process came to work before it was killed"
    );
    let report = world.run();
    let after = world.log();
    assert_eq!(
        report.stages[3].content,
        World::new(CHAIN).run().stages[3].content
    );
    let shards = before.iter().chain(&after).collect::<Vec<_>>();
    for shard in &shards {
        // A shard that was written and not yet recorded when its process died is done again: once a
        // kill.
        let times = shards.iter().filter(|other| other == &shard).count();
        assert!(times <= 6, "{shard} ran {times} times");
    }
    assert!(
        shards.len() <= 6 + 5,
        "five kills cost at most five shards: {shards:?}"
    );
    let left = world
        .engine()
        .gc(&GcOptions {
            dry_run: false,
            grace: Duration::ZERO,
            ..GcOptions::default()
        })
        .unwrap();
    assert_eq!(left.kept_artifacts, 4, "{left}");
    assert!(
        world
            .engine()
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good()
    );
    assert_eq!(
        fs::read_dir(world.path(".seedpipe/v1/drafts"))
            .unwrap()
            .count(),
        0
    );
    let mut locks: Vec<_> = fs::read_dir(world.path(".seedpipe/v1/locks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    locks.sort();
    assert_eq!(locks, ["gc.gate"]);
}

/// Asks to be stopped as soon as one shard is done.
struct Impatient;

impl Observer for Impatient {
    fn event(&self, event: &Event) {
        if matches!(event, Event::WorkAdvanced { .. }) {
            cancel::request();
        }
    }
}

/// Not a test of its own: the wish to stop is process-wide, so the next one needs another process
/// for it.
#[test]
fn child_process_that_is_stopped() {
    let Some(folder) = std::env::var_os("SEEDPIPE_TOY_STOPPED") else {
        return;
    };
    let path = std::path::PathBuf::from(folder).join("pipeline.yaml");
    let project = Project::open(&path, &registry(), &[]).unwrap();
    let engine = Engine::new(project, registry(), Box::new(ToyCodec)).unwrap();
    let report = engine.run(&RunOptions::default(), &Impatient).unwrap();
    assert!(report.cancelled());
    assert_eq!(
        outcomes(&report),
        ["raw executed", "clean executed", "long failed"]
    );
    assert!(
        engine
            .run(&RunOptions::default(), &Impatient)
            .unwrap()
            .cancelled()
    );
    cancel::reset();
    assert!(!cancel::requested());
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let world = World::new(CHAIN);
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &here("child_process_that_is_stopped")])
        .env("SEEDPIPE_TOY_STOPPED", world.folder.path())
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
    assert_eq!(world.log(), ["raw 0", "clean 0", "long 0"]);
    world.run();
    assert_eq!(world.log(), ["long 1", "long 2", "sum 0"]);
}

#[test]
fn gc_beside_running_pipelines_removes_nothing_that_they_need() {
    let world = World::new(CHAIN);
    world.write("slow", "20");
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|number| {
                let world = &world;
                scope.spawn(move || {
                    for round in 0..4 {
                        let times = format!("long.times={}", 10 * number + round + 1);
                        let report = world
                            .open(&[&times])
                            .unwrap()
                            .run(&RunOptions::default(), &Silent)
                            .unwrap();
                        assert!(report.failed().is_none(), "{:?}", report.failed());
                    }
                })
            })
            .collect();
        while runs.iter().any(|run| !run.is_finished()) {
            world
                .engine()
                .gc(&GcOptions {
                    dry_run: false,
                    grace: Duration::ZERO,
                    ..GcOptions::default()
                })
                .unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    world.run();
    assert!(
        world
            .engine()
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good()
    );
}
