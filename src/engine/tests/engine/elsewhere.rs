//! A machine with the pipeline, its lock and a remote, and without the files that stages read.

use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

use fs_err as fs;
use seedpipe_base::Refusal;
use seedpipe_engine::*;

use crate::sharing::{pull, shared, with};
use crate::shelf::Shelf;
use crate::world::{CHAIN, World, outcomes, targets};

/// What the project of `here` is on another machine: pipeline and lock.
fn cloned(here: &World) -> World {
    let there = World::new(CHAIN);
    there.remove("input.txt");
    there.write("pipeline.lock", &lock(here));
    there
}

fn lock(world: &World) -> String {
    fs::read_to_string(world.path("pipeline.lock")).unwrap()
}

fn refusal(engine: &Engine, options: &RunOptions) -> String {
    let error = engine.run(options, &Silent).unwrap_err();
    assert!(error.is::<Refusal>(), "{error:#}");
    error.to_string()
}

fn run(engine: &Engine) -> Vec<String> {
    outcomes(&engine.run(&RunOptions::default(), &Silent).unwrap())
}

const FETCHED: [&str; 4] = [
    "raw fetched",
    "clean fetched",
    "long fetched",
    "sum fetched",
];

#[test]
fn lock_and_remote_are_enough_where_a_source_is_not() {
    let (here, shelf) = shared();
    let there = cloned(&here);
    let options = RunOptions {
        locked: true,
        ..RunOptions::default()
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = told.clone();
    let engine = with(&there, &shelf).with_tell(Box::new(move |message| {
        hear.lock().unwrap().push(message.to_owned());
    }));
    assert_eq!(run(&engine), FETCHED);
    let locked = there.engine().run(&options, &Silent).unwrap();
    assert_eq!(locked.count(Outcome::Cached), 4);
    assert!(engine.find("sum").unwrap().is_some());
    assert!(there.log().is_empty());
    assert_eq!(lock(&there), lock(&here));
    assert_eq!(
        *told.lock().unwrap(),
        ["source `input.txt` is not here: what pipeline.lock records of it counts"]
    );

    let status = engine.status().unwrap();
    assert_eq!(status[0].state, StageState::Cached);
    assert_eq!(status[0].absent_sources, ["input.txt"]);
    assert!(status[1].absent_sources.is_empty());
    let explained = engine.explain("raw").unwrap().to_string();
    assert!(
        explained.contains("source `input.txt` is not here, and taken as pipeline.lock records it"),
        "{explained}"
    );

    // What is below runs with other params, and the lock still says what the source was.
    there.write("pipeline.yaml", &CHAIN.replace("times: 3", "times: 2"));
    assert_eq!(
        run(&with(&there, &shelf)),
        [
            "raw cached",
            "clean cached",
            "long executed",
            "sum executed"
        ]
    );
    let source = |lock: String| {
        let line = lock.lines().find(|line| line.contains("input.txt: "));
        line.unwrap().to_owned()
    };
    assert_eq!(source(lock(&there)), source(lock(&here)));
}

#[test]
fn a_pull_and_a_look_ahead_need_no_source() {
    let (here, shelf) = shared();
    let there = cloned(&here);
    assert_eq!(
        pull(&there, &shelf).unwrap().count(&PullOutcome::Fetched),
        4
    );
    assert_eq!(
        there.engine().status().unwrap()[3].state,
        StageState::Cached
    );
    let next = cloned(&here);
    let engine = with(&next, &shelf);
    engine.fetch_ahead(&RunOptions::default(), &Silent).unwrap();
    assert!(engine.find("sum").unwrap().is_some());
}

#[test]
fn work_on_a_source_that_is_not_here_is_refused_before_anything_is_done() {
    let (here, shelf) = shared();
    let short = here.artifact("raw").fingerprint.short();
    let there = cloned(&here);
    let place = format!(
        "{}: stage `raw`: key `params.path`: source `input.txt`: expected it here, got nothing there, and ",
        there.path("pipeline.yaml").display()
    );
    let hint = "\nhint: bring `input.txt` here, or run the stage and `seedpipe push` its result where that is";
    let all = RunOptions::default();
    assert_eq!(
        refusal(&there.engine(), &all),
        format!("{place}its result {short} is not in the cache, and no remote is asked{hint}")
    );
    assert!(there.engine().expect_sources(&all).is_err());
    let empty = Shelf::default();
    assert_eq!(
        refusal(&with(&there, &empty), &all),
        format!(
            "{place}its result {short} is neither in the cache nor in the remote `shelf`{hint}"
        )
    );
    assert!(!there.path(".seedpipe").exists());

    assert_eq!(run(&with(&there, &shelf)), FETCHED);
    assert!(there.engine().expect_sources(&all).is_ok());
    let forced = |names: &[&str]| RunOptions {
        force: true,
        ..targets(names)
    };
    assert_eq!(
        refusal(&there.engine(), &forced(&["raw"])),
        format!("{place}the stage is forced to run{hint}")
    );
    let again = there.engine().run(&forced(&["sum"]), &Silent).unwrap();
    assert_eq!(outcomes(&again)[3], "sum executed");

    let rerun = there
        .engine()
        .rerun(&RerunOptions::default(), &Silent)
        .unwrap();
    assert_eq!(rerun.stages[0].verdict, Verdict::Missing);
    let fault = rerun.stages[0].fault.as_deref().unwrap();
    assert!(
        fault.contains("source `input.txt`: expected it here"),
        "{fault}"
    );
    assert!(
        rerun.stages[1..]
            .iter()
            .all(|stage| stage.verdict == Verdict::Equal)
    );
}

/// A remote that goes away, or lies, after it was asked whether it has the result.
#[test]
fn work_that_turns_out_to_be_needed_fails_in_the_same_words() {
    let (here, shelf) = shared();
    let there = cloned(&here);
    shelf.die_after_fetches(Some(0));
    let report = with(&there, &shelf)
        .run(&RunOptions::default(), &Silent)
        .unwrap();
    assert_eq!(outcomes(&report), ["raw failed"]);
    let error = report.failed().unwrap().error.as_ref().unwrap().to_string();
    assert!(
        error.starts_with("stage `raw`: key `params.path`: source `input.txt`: expected it here")
            && error.contains("and the remote can't be asked"),
        "{error}"
    );
    assert_eq!(lock(&there), lock(&here));
}

#[test]
fn a_renamed_stage_finds_what_the_others_say_alike() {
    let (here, shelf) = shared();
    let there = cloned(&here);
    let renamed = CHAIN.replace("raw", "texts");
    there.write("pipeline.yaml", &renamed);
    assert_eq!(run(&with(&there, &shelf))[0], "texts fetched");

    // Two that differ say nothing of a third, and each still has its own.
    let twice = "\
stages:
  a: {kind: read, params: {path: input.txt}}
  b: {kind: read, params: {path: input.txt}}
";
    let world = World::new(twice);
    world.run();
    world.write("input.txt", "other");
    world.engine().run(&targets(&["b"]), &Silent).unwrap();
    world.remove("input.txt");
    let before = lock(&world);
    assert_eq!(world.run().count(Outcome::Cached), 2);
    assert_eq!(lock(&world), before);
    world.write("pipeline.yaml", &twice.replace("  a:", "  c:"));
    let error = refusal(&world.engine(), &RunOptions::default());
    assert!(
        error.contains("stage `c`") && error.contains("expected a file or folder, got nothing"),
        "{error}"
    );
}

#[test]
fn only_what_is_not_here_is_taken_from_the_lock() {
    let (here, shelf) = shared();
    let all = RunOptions::default();
    // There, and other: as ever.
    let there = cloned(&here);
    there.write("input.txt", "other");
    assert_eq!(run(&with(&there, &shelf))[0], "raw executed");
    // A link that leads nowhere.
    let linked = cloned(&here);
    symlink("/nowhere/at/all", linked.path("input.txt")).unwrap();
    assert_eq!(run(&with(&linked, &shelf)), FETCHED);
    // Another path, another kind of params: nothing is known of it.
    let moved = cloned(&here);
    moved.write("pipeline.yaml", &CHAIN.replace("input.txt", "moved.txt"));
    let error = refusal(&with(&moved, &shelf), &all);
    assert!(
        error.contains("source `moved.txt`: expected a file or folder, got nothing there"),
        "{error}"
    );
    // No lock, and one that can't be read.
    let bare = cloned(&here);
    bare.remove("pipeline.lock");
    let error = refusal(&with(&bare, &shelf), &all);
    assert!(
        error.contains("expected a file or folder, got nothing"),
        "{error}"
    );
    bare.write("pipeline.lock", "<<<<<<< HEAD\n");
    let error = refusal(&with(&bare, &shelf), &all);
    assert!(
        error.contains("source `input.txt` is not here, and what it held can't be read: ")
            && error.contains("pipeline.lock"),
        "{error}"
    );
}
