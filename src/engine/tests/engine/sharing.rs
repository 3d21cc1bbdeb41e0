//! `push`, `pull` and a run's look into the remote: what travels, what is refused, what a death in
//! the middle leaves.

use fs_err as fs;
use seedpipe_base::Refusal;
use seedpipe_engine::*;

use crate::shelf::Shelf;
use crate::world::{CHAIN, Recorder, World, outcomes, targets};

pub const ARTIFACTS: &str = "seedpipe/v1/artifacts/";

pub fn with(world: &World, shelf: &Shelf) -> Engine {
    world.engine().with_remote(Box::new(shelf.clone()), false)
}

fn push(world: &World, shelf: &Shelf) -> PushReport {
    with(world, shelf)
        .push(&PushOptions::default(), &Silent)
        .unwrap()
}

pub fn pull(world: &World, shelf: &Shelf) -> anyhow::Result<PullReport> {
    with(world, shelf).pull(&[], &Silent)
}

fn pulled(report: &PullReport) -> Vec<String> {
    report
        .stages
        .iter()
        .map(|stage| format!("{} {:?}", stage.stage, stage.outcome))
        .collect()
}

/// A world that has run and a shelf that has everything of it.
pub fn shared() -> (World, Shelf) {
    let (world, shelf) = (World::new(CHAIN), Shelf::default());
    world.run();
    push(&world, &shelf);
    (world, shelf)
}

#[test]
fn a_pull_into_an_empty_cache_leaves_nothing_to_run() {
    let (here, shelf) = shared();
    let there = World::new(CHAIN);
    let report = pull(&there, &shelf).unwrap();
    assert_eq!(
        pulled(&report),
        [
            "raw Fetched",
            "clean Fetched",
            "long Fetched",
            "sum Fetched"
        ]
    );
    assert_eq!(there.run().count(Outcome::Cached), 4);
    assert!(there.log().is_empty());
    assert_eq!(
        there.artifact("long").manifest.telemetry,
        here.artifact("long").manifest.telemetry
    );
    let again = pull(&there, &shelf).unwrap();
    assert_eq!((again.count(&PullOutcome::Local), again.bytes), (4, 0));
}

#[test]
fn a_second_push_sends_nothing() {
    let (here, shelf) = shared();
    let before = shelf.keys();
    let report = push(&here, &shelf);
    assert_eq!(
        (report.files, report.bytes, report.artifacts.len()),
        (0, 0, 4)
    );
    assert!(report.files_there > 0);
    assert_eq!(shelf.keys(), before);
}

#[test]
fn a_named_stage_brings_what_it_needs_and_no_more() {
    let (world, shelf) = (World::new(CHAIN), Shelf::default());
    world.run();
    let options = PushOptions {
        targets: vec!["clean".to_owned()],
        all: false,
    };
    let report = with(&world, &shelf).push(&options, &Silent).unwrap();
    assert_eq!(report.artifacts.len(), 2);
    let there = World::new(CHAIN);
    let report = pull(&there, &shelf).unwrap();
    assert_eq!(
        pulled(&report),
        ["raw Fetched", "clean Fetched", "long Absent", "sum Unknown"]
    );
}

#[test]
fn a_stage_that_is_not_cached_can_not_be_pushed_by_name() {
    let (world, shelf) = (World::new(CHAIN), Shelf::default());
    let options = PushOptions {
        targets: vec!["clean".to_owned()],
        all: false,
    };
    let error = with(&world, &shelf).push(&options, &Silent).unwrap_err();
    assert!(
        error.is::<Refusal>() && error.to_string().contains("got nothing there"),
        "{error}"
    );
    assert_eq!(
        push(&world, &shelf).not_cached,
        ["raw", "clean", "long", "sum"]
    );
}

#[test]
fn all_of_a_cache_can_be_pushed() {
    let (world, shelf) = (World::new(CHAIN), Shelf::default());
    world.run();
    world.write("pipeline.yaml", &CHAIN.replace("times: 3", "times: 2"));
    world.run();
    let options = PushOptions {
        all: true,
        ..PushOptions::default()
    };
    let report = with(&world, &shelf).push(&options, &Silent).unwrap();
    assert_eq!(report.artifacts.len(), 6);
    let there = World::new(CHAIN);
    assert_eq!(
        pull(&there, &shelf).unwrap().count(&PullOutcome::Fetched),
        4
    );
}

#[test]
fn a_run_fetches_instead_of_executing() {
    let (_, shelf) = shared();
    let there = World::new(CHAIN);
    let report = with(&there, &shelf)
        .run(&RunOptions::default(), &Silent)
        .unwrap();
    assert_eq!(
        outcomes(&report),
        [
            "raw fetched",
            "clean fetched",
            "long fetched",
            "sum fetched"
        ]
    );
    assert!(there.log().is_empty());
    let requests = shelf.requests();
    let cached = with(&there, &shelf)
        .run(&RunOptions::default(), &Silent)
        .unwrap();
    assert_eq!(
        (cached.count(Outcome::Cached), shelf.requests()),
        (4, requests)
    );
}

#[test]
fn forced_stages_are_not_fetched() {
    let (_, shelf) = shared();
    let there = World::new(CHAIN);
    let force = RunOptions {
        force: true,
        ..targets(&["clean"])
    };
    let report = with(&there, &shelf).run(&force, &Silent).unwrap();
    assert_eq!(outcomes(&report), ["raw fetched", "clean executed"]);
}

#[test]
fn what_is_fetched_ahead_is_told_as_fetched_by_the_run_of_another_process() {
    let (_, shelf) = shared();
    let there = World::new(CHAIN);
    let first = with(&there, &shelf);
    first.fetch_ahead(&RunOptions::default(), &Silent).unwrap();
    let second = with(&there, &shelf);
    second.take_over(&first.handover());
    let report = second.run(&RunOptions::default(), &Silent).unwrap();
    assert_eq!(report.count(Outcome::Fetched), 4);
}

#[test]
fn a_run_goes_on_without_a_remote_that_is_gone_and_says_so_once() {
    let (_, shelf) = shared();
    shelf.go_down(true);
    let there = World::new(CHAIN);
    let recorder = Recorder::default();
    let report = with(&there, &shelf)
        .run(&RunOptions::default(), &recorder)
        .unwrap();
    assert_eq!(report.count(Outcome::Executed), 4);
    let lines = recorder.lines();
    let warnings: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("warning"))
        .collect();
    assert_eq!(
        warnings,
        ["-: warning: remote `shelf`: connecting: no answer; this run goes on without it"]
    );
    let error = format!("{:#}", pull(&World::new(CHAIN), &shelf).unwrap_err());
    assert!(
        error.contains("no answer\nhint: check the address"),
        "{error}"
    );
}

#[test]
fn looking_asks_the_remote_nothing() {
    let (here, shelf) = shared();
    let requests = shelf.requests();
    let engine = with(&here, &shelf);
    engine.status().unwrap();
    engine.explain("long").unwrap();
    engine.dry_run(&RunOptions::default()).unwrap();
    assert_eq!(shelf.requests(), requests);
}

#[test]
fn what_a_run_executes_is_written_back_when_that_is_wanted() {
    let (world, shelf) = (World::new(CHAIN), Shelf::default());
    let engine = world.engine().with_remote(Box::new(shelf.clone()), true);
    engine.run(&RunOptions::default(), &Silent).unwrap();
    let there = World::new(CHAIN);
    assert_eq!(
        pull(&there, &shelf).unwrap().count(&PullOutcome::Fetched),
        4
    );
}

#[test]
fn a_read_only_remote_is_not_pushed_to() {
    let (here, shelf) = shared();
    shelf.make_read_only();
    let error = with(&here, &shelf)
        .push(&PushOptions::default(), &Silent)
        .unwrap_err();
    assert!(error.to_string().contains("got a read-only one"), "{error}");
}

#[test]
fn a_push_that_dies_anywhere_leaves_nothing_that_counts_and_goes_on_later() {
    let (world, whole) = shared();
    let writes = whole.keys().len();
    for survived in 0..writes {
        let shelf = Shelf::default();
        shelf.die_after_writes(Some(survived));
        with(&world, &shelf)
            .push(&PushOptions::default(), &Silent)
            .unwrap_err();
        shelf.die_after_writes(None);
        let there = World::new(CHAIN);
        let report = pull(&there, &shelf).unwrap();
        let is_good = there
            .engine()
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good();
        assert!(
            is_good && report.count(&PullOutcome::Fetched) < 4,
            "{survived}: {:?}",
            pulled(&report)
        );
        push(&world, &shelf);
        assert_eq!(shelf.keys(), whole.keys());
        assert_eq!(pull(&there, &shelf).unwrap().count(&PullOutcome::Absent), 0);
    }
}

#[test]
fn a_pull_that_dies_keeps_whole_files_and_goes_on_later() {
    let pipeline = "stages:\n  raw: {kind: read, params: {path: input.txt}}\n  long: {kind: repeat, inputs: {text: raw}, params: {times: 6}}\n";
    let (world, shelf) = (World::new(pipeline), Shelf::default());
    world.run();
    push(&world, &shelf);
    let there = World::new(pipeline);
    shelf.die_after_fetches(Some(3));
    pull(&there, &shelf).unwrap_err();
    assert_eq!(there.engine().find("long").unwrap(), None);
    shelf.die_after_fetches(None);
    let report = pull(&there, &shelf).unwrap();
    assert_eq!(there.run().count(Outcome::Cached), 2);
    let long = &report.stages[1];
    assert_eq!(long.outcome, PullOutcome::Fetched);
    assert!(report.bytes < long.bytes || long.files < 3, "{report:?}");
}

#[test]
fn a_damaged_cache_is_mended_by_a_pull() {
    let (here, shelf) = shared();
    let part = here.artifact("long").parts("text")[0].clone();
    let length = fs::metadata(&part).unwrap().len() as usize;
    fs::write(&part, "x".repeat(length)).unwrap();
    let report = pull(&here, &shelf).unwrap();
    assert_eq!(
        pulled(&report),
        ["raw Local", "clean Local", "long Fetched", "sum Local"]
    );
    assert!(
        here.engine()
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good()
    );
}

#[test]
fn damaged_files_are_not_pushed_and_are_named() {
    let (world, shelf) = (World::new(CHAIN), Shelf::default());
    world.run();
    let part = world.artifact("long").parts("text")[0].clone();
    let length = fs::metadata(&part).unwrap().len() as usize;
    fs::write(&part, "x".repeat(length)).unwrap();
    let error = with(&world, &shelf)
        .push(&PushOptions::default(), &Silent)
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("damaged in the cache, and not pushed: stage `long`: `"),
        "{message}"
    );
    assert!(message.contains("expected BLAKE3 "), "{message}");
    let there = World::new(CHAIN);
    assert_eq!(
        pulled(&pull(&there, &shelf).unwrap()),
        ["raw Fetched", "clean Fetched", "long Absent", "sum Unknown"]
    );
}

#[test]
fn another_content_of_the_same_recipe_is_told_and_both_are_kept() {
    let (_, shelf) = shared();
    let other = World::new(CHAIN);
    other.write("noise", "!");
    other.run();
    let recorder = Recorder::default();
    let report = with(&other, &shelf)
        .push(&PushOptions::default(), &recorder)
        .unwrap();
    let long = other.artifact("long");
    let conflict = report
        .conflicts
        .iter()
        .find(|conflict| conflict.name == "long")
        .unwrap();
    assert_eq!(
        (conflict.here, conflict.fingerprint),
        (long.content, long.fingerprint)
    );
    assert_ne!(conflict.here, conflict.there);
    let lines = recorder.lines();
    let told = lines
        .iter()
        .find(|line| line.starts_with("long: warning: one recipe, two contents"));
    let told = told.unwrap_or_else(|| panic!("{lines:?}"));
    assert!(
        told.contains(&conflict.here.short()) && told.contains(&conflict.there.short()),
        "{told}"
    );
    let folder = format!("{ARTIFACTS}{}/", long.fingerprint);
    assert_eq!(
        shelf
            .keys()
            .iter()
            .filter(|key| key.starts_with(&folder))
            .count(),
        3
    );
}

#[test]
fn an_index_that_was_lost_is_made_again_from_the_manifests() {
    let (here, shelf) = shared();
    let other = World::new(CHAIN);
    other.write("noise", "!");
    other.run();
    push(&other, &shelf);
    let key = format!(
        "{ARTIFACTS}{}/index.json",
        here.artifact("long").fingerprint
    );
    let before = shelf.get(&key);
    shelf.put(&key, "{");
    push(&other, &shelf);
    assert_eq!(shelf.get(&key), before);
}

#[test]
fn repair_fetches_what_it_removed_where_the_remote_has_it() {
    let (world, shelf) = shared();
    let (long, sum) = (world.artifact("long"), world.artifact("sum"));
    let part = &long.parts("text")[0];
    let length = fs::metadata(part).unwrap().len() as usize;
    fs::write(part, "x".repeat(length)).unwrap();
    fs::write(sum.directory.join("manifest.json"), "none").unwrap();
    let report = with(&world, &shelf)
        .repair(VerifyScope::Cache, &Silent)
        .unwrap();
    let repairs: Vec<&Repair> = report.repaired.iter().map(|done| &done.repair).collect();
    assert_eq!(repairs, [&Repair::Fetched, &Repair::Fetched]);
    assert!(report.is_repaired(), "{report}");
    assert!(
        report
            .to_string()
            .contains("removed, and fetched from the remote"),
        "{report}"
    );
    assert_eq!(world.artifact("long").content, long.content);
    let run = world.run();
    assert_eq!(run.count(Outcome::Cached), 4);
    assert!(
        with(&world, &shelf)
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good()
    );
}

#[test]
fn repair_without_a_copy_in_the_remote_leaves_it_to_the_next_run() {
    let world = World::new(CHAIN);
    world.run();
    let part = world.artifact("long").parts("text")[0].clone();
    fs::write(&part, "damaged").unwrap();
    let report = with(&world, &Shelf::default())
        .repair(VerifyScope::Cache, &Silent)
        .unwrap();
    assert_eq!(report.repaired[0].repair, Repair::Removed);
    assert_eq!(world.run().count(Outcome::Executed), 1);
}
