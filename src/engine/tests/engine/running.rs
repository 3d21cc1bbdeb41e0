//! What runs, what stays cached, and what is written.

use fs_err as fs;
use seedpipe_base::Refusal;
use seedpipe_engine::*;

use crate::world::*;

#[test]
fn the_first_run_executes_everything_and_the_second_nothing() {
    let world = World::new(CHAIN);
    let first = world.run();
    assert_eq!(
        outcomes(&first),
        [
            "raw executed",
            "clean executed",
            "long executed",
            "sum executed"
        ]
    );
    assert_eq!(world.log().len(), 6);
    let second = world.run();
    assert_eq!(second.count(Outcome::Cached), 4);
    assert!(world.log().is_empty());
    for (first, second) in first.stages.iter().zip(&second.stages) {
        assert_eq!(
            (first.fingerprint, first.content),
            (second.fingerprint, second.content)
        );
    }
    let long = world.artifact("long");
    assert_eq!(
        fs::read_to_string(&long.parts("text")[0]).unwrap(),
        "hellohellohello"
    );
    assert_eq!(long.parts("text").len(), 3);
    assert_eq!(long.manifest.telemetry.values["letters"], 5.0);
    assert_eq!(first.stages[3].headline["letters"], 50.0);
}

#[test]
fn changing_a_param_reruns_only_what_is_below_it() {
    let world = World::new(CHAIN);
    world.run();
    world.log();
    world.write("pipeline.yaml", &CHAIN.replace("times: 3", "times: 4"));
    let expected = [
        "raw cached",
        "clean cached",
        "long executed",
        "sum executed",
    ];
    assert_eq!(outcomes(&world.run()), expected);
    world.write("pipeline.yaml", CHAIN);
    assert_eq!(world.run().count(Outcome::Cached), 4);
}

#[test]
fn a_default_written_out_changes_nothing() {
    let world = World::new(&CHAIN.replace(", params: {times: 3}", ""));
    world.run();
    world.write(
        "pipeline.yaml",
        &CHAIN.replace("{times: 3}", "{letter: {upper: false}, times: 2}"),
    );
    assert_eq!(world.run().count(Outcome::Cached), 4);
}

#[test]
fn equal_content_cuts_the_rerun_off() {
    let world = World::new(CHAIN);
    world.run();
    world.write("input.txt", "  hello\n");
    let expected = [
        "raw executed",
        "clean executed",
        "long cached",
        "sum cached",
    ];
    assert_eq!(outcomes(&world.run()), expected);
}

#[test]
fn equal_work_under_two_names_is_done_once() {
    let twin =
        format!("{CHAIN}  twin: {{kind: repeat, inputs: {{text: clean}}, params: {{times: 3}}}}\n");
    let world = World::new(&twin);
    let report = world.run();
    assert_eq!(outcomes(&report)[4], "twin cached");
    assert_eq!(report.stages[2].fingerprint, report.stages[4].fingerprint);
}

#[test]
fn a_named_stage_brings_what_it_needs_and_no_more() {
    let world = World::new(CHAIN);
    let report = world.run_with(&targets(&["clean"]), &Silent);
    assert_eq!(outcomes(&report), ["raw executed", "clean executed"]);
}

#[test]
fn only_runs_a_stage_alone_on_cached_inputs() {
    let world = World::new(CHAIN);
    let only = RunOptions {
        only: true,
        ..targets(&["long"])
    };
    let error = world.engine().run(&only, &Silent).unwrap_err();
    assert!(error.is::<Refusal>());
    let message = error.to_string();
    assert!(message.contains("stage `long`: key `inputs.text`: expected `clean` in the cache, got nothing there\nhint: run `clean` first"), "{message}");
    world.run_with(&targets(&["clean"]), &Silent);
    assert_eq!(outcomes(&world.run_with(&only, &Silent)), ["long executed"]);
    let without = RunOptions {
        only: true,
        ..RunOptions::default()
    };
    assert!(
        world
            .engine()
            .run(&without, &Silent)
            .unwrap_err()
            .is::<Refusal>()
    );
}

#[test]
fn force_reruns_the_named_stages_only() {
    let world = World::new(CHAIN);
    world.run();
    let force = RunOptions {
        force: true,
        ..targets(&["long"])
    };
    let report = world.run_with(&force, &Silent);
    assert_eq!(
        outcomes(&report),
        ["raw cached", "clean cached", "long executed"]
    );
    assert_eq!(report.stages[2].differs, None);
    assert_eq!(world.run().count(Outcome::Cached), 4);
}

#[test]
fn force_with_other_content_keeps_both_and_uses_the_newest() {
    let world = World::new(CHAIN);
    world.run();
    let old = world.artifact("long");
    world.write("noise", "!");
    let recorder = Recorder::default();
    let report = world.run_with(
        &RunOptions {
            force: true,
            ..targets(&["long"])
        },
        &recorder,
    );
    let differs = report.stages[2].differs.clone().unwrap();
    assert_eq!(
        (differs.old, differs.outputs.as_slice()),
        (old.content, ["text".to_owned()].as_slice())
    );
    assert!(
        recorder
            .lines()
            .iter()
            .any(|line| line.starts_with("long: warning: equal recipe")),
        "{:?}",
        recorder.lines()
    );
    let new = world.artifact("long");
    assert_eq!(new.content, differs.new);
    assert_eq!(new.fingerprint, old.fingerprint);
    assert!(old.directory.is_dir() && new.directory.is_dir() && old.directory != new.directory);
    let recorder = Recorder::default();
    let report = world.run_with(&RunOptions::default(), &recorder);
    assert_eq!(outcomes(&report)[2..], ["long cached", "sum executed"]);
    assert!(
        recorder
            .lines()
            .iter()
            .any(|line| line.contains("one recipe, 2 contents")),
        "{:?}",
        recorder.lines()
    );
}

#[test]
fn overrides_run_beside_and_leave_the_lock_alone() {
    let world = World::new(CHAIN);
    world.run();
    let lock = fs::read_to_string(world.path("pipeline.lock")).unwrap();
    let report = world
        .open(&["long.times=5"])
        .unwrap()
        .run(&RunOptions::default(), &Silent)
        .unwrap();
    assert_eq!(outcomes(&report)[2..], ["long executed", "sum executed"]);
    assert_eq!(report.lock_file, None);
    assert_eq!(
        fs::read_to_string(world.path("pipeline.lock")).unwrap(),
        lock
    );
    assert_eq!(world.run().count(Outcome::Cached), 4);
}

#[test]
fn the_lock_says_what_moved_and_keeps_what_did_not_run() {
    let world = World::new(CHAIN);
    world.run();
    let before = fs::read_to_string(world.path("pipeline.lock")).unwrap();
    assert!(before.contains("    metrics.letters: 50.0\n"), "{before}");
    assert!(
        before.contains("    inputs.texts: [\"clean.text\",\"long.text\"]\n"),
        "{before}"
    );
    world.write("pipeline.yaml", &CHAIN.replace("times: 3", "times: 4"));
    world.run_with(&targets(&["long"]), &Silent);
    let after = fs::read_to_string(world.path("pipeline.lock")).unwrap();
    let moved: Vec<&str> = after
        .lines()
        .filter(|line| !before.contains(line))
        .collect();
    assert_eq!(
        moved.len(),
        4,
        "fingerprint, content, times and rows of `long`: {moved:?}"
    );
    let lock = PipelineLock::read(&world.path("pipeline.lock"))
        .unwrap()
        .unwrap();
    assert_eq!(lock.stages.len(), 4);
    assert_eq!(
        lock.stage("long").unwrap().fingerprint,
        world.artifact("long").fingerprint
    );
}

#[test]
fn a_report_knows_its_ancestors_and_reruns_when_one_of_them_changes() {
    let world = World::new(&format!(
        "{CHAIN}  origin: {{kind: origin, inputs: {{of: sum.metrics}}}}\n"
    ));
    world.run();
    let text = fs::read_to_string(&world.artifact("origin").parts("files")[0]).unwrap();
    let stages: Vec<&str> = text
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(stages, ["raw", "clean", "long", "sum"]);
    // The text that comes out is the same, so only what shows the lineage runs again.
    world.write("input.txt", "hello ");
    let report = world.run();
    assert_eq!(
        outcomes(&report)[2..],
        ["long cached", "sum cached", "origin executed"]
    );
}

#[test]
fn a_cached_run_of_a_hundred_stages_runs_none() {
    let mut pipeline = "stages:\n  raw: {kind: read, params: {path: input.txt}}\n".to_owned();
    for stage in 0..99 {
        let above = if stage == 0 {
            "raw".to_owned()
        } else {
            format!("s{}", (stage - 1) / 2)
        };
        let params = format!("{{letter: {{upper: {}}}}}", stage % 2 == 0);
        pipeline.push_str(&format!("  s{stage}: {{kind: repeat, seed: {stage}, inputs: {{text: {above}}}, params: {params}}}\n"));
    }
    let world = World::new(&pipeline);
    world.run();
    let start = std::time::Instant::now();
    let report = world.run();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(report.count(Outcome::Cached), 100);
    println!(
        "100 cached stages: {seconds:.4} s, of which the run {:.4} s",
        report.seconds
    );
}

#[test]
fn the_json_line_has_the_agreed_keys() {
    let world = World::new(CHAIN);
    let report = world.run();
    let line: serde_json::Value = serde_json::from_str(&report.stages[0].json_line()).unwrap();
    let mut keys: Vec<&str> = line
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "content",
            "fingerprint",
            "kind",
            "outcome",
            "seconds",
            "stage"
        ]
    );
    assert_eq!(line["outcome"], "executed");
    assert_eq!(
        line["fingerprint"],
        report.stages[0].fingerprint.unwrap().to_string()
    );
}
