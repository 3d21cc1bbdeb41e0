//! Making results again: reruns in a scratch store, and contents that were seen elsewhere.

use seedpipe_base::Tolerance;
use seedpipe_engine::*;

use crate::world::{CHAIN, Recorder, World};

fn engine_of_class(world: &World, class: &'static str) -> Engine {
    world
        .engine()
        .with_numerics(Box::new(move |_, _| Ok(class.to_owned())))
}

fn run_in_class(world: &World, class: &'static str) {
    let engine = engine_of_class(world, class);
    let report = engine.run(&RunOptions::default(), &Silent).unwrap();
    assert!(report.failed().is_none());
}

fn verdicts(report: &RerunReport) -> Vec<String> {
    let stages = report.stages.iter();
    stages
        .map(|stage| format!("{} {}", stage.stage, stage.verdict.as_str()))
        .collect()
}

#[test]
fn a_rerun_finds_what_the_recipe_does_not_hold() {
    let world = World::new(CHAIN);
    world.run();
    let rerun = |options: &RerunOptions| world.engine().rerun(options, &Silent).unwrap();
    let all = RerunOptions::default();
    let expected = ["raw equal", "clean equal", "long equal", "sum equal"];
    assert_eq!(verdicts(&rerun(&all)), expected);
    world.log();
    // `repeat` adds this file's text without declaring it as a source.
    world.write("noise", "!");
    let report = rerun(&all);
    assert_eq!(
        verdicts(&report),
        ["raw equal", "clean equal", "long differs", "sum equal"]
    );
    assert!(!report.is_good());
    world.log();
    let one = RerunOptions {
        targets: vec!["clean".into()],
        ..RerunOptions::default()
    };
    assert_eq!(verdicts(&rerun(&one)), ["clean equal"]);
    assert_eq!(world.log().len(), 1, "what is above comes from the cache");
    let scratch = world.engine().project().cache().join("v1/scratch");
    assert_eq!(std::fs::read_dir(scratch).unwrap().count(), 0);
}

#[test]
fn a_failing_rerun_is_told_and_leaves_no_scratch() {
    let world = World::new(CHAIN);
    world.run();
    world.write("fail", "long 1\n");
    let recorder = Recorder::default();
    let report = world
        .engine()
        .rerun(&RerunOptions::default(), &recorder)
        .unwrap();
    let expected = ["raw equal", "clean equal", "long failed", "sum equal"];
    assert_eq!(verdicts(&report), expected);
    let fault = report.stages[2].fault.as_deref().unwrap();
    assert!(fault.contains("the world has a fault"), "{fault}");
    let scratch = world.engine().project().cache().join("v1/scratch");
    assert_eq!(std::fs::read_dir(scratch).unwrap().count(), 0);
    assert!(
        world
            .states()
            .iter()
            .all(|state| state.ends_with(": cached"))
    );
}

#[test]
fn a_content_that_was_seen_elsewhere_contradicts_only_in_its_class() {
    let world = World::new(CHAIN);
    run_in_class(&world, "toy 1");
    let artifact = world.artifact("clean");
    assert_eq!(artifact.manifest.telemetry.numerics, "toy 1");
    let other = Digest::of(b"other");
    let conflicts = |fingerprint, content, class: &str| {
        let seen = SeenContent {
            fingerprint,
            content,
            numerics: class.to_owned(),
            place: "remote".to_owned(),
        };
        match artifact.agreement(&seen) {
            Agreement::Conflict(conflict) => Some(conflict),
            _ => None,
        }
    };
    let fingerprint = artifact.fingerprint;
    assert_eq!(conflicts(fingerprint, artifact.content, "toy 1"), None);
    assert_eq!(conflicts(fingerprint, other, "toy 2"), None);
    let found = conflicts(fingerprint, other, "toy 1").unwrap();
    assert_eq!((found.here, found.there), (artifact.content, other));
    let message = found.refusal().to_string();
    assert!(
        message.contains("in `remote`, both in the numerics class `toy 1`"),
        "{message}"
    );
    let unknown = conflicts(fingerprint, other, "")
        .unwrap()
        .refusal()
        .to_string();
    assert!(unknown.contains("an unknown class"), "{unknown}");
}

#[test]
fn a_rerun_in_another_class_is_judged_by_the_tolerance() {
    let world = World::new(CHAIN);
    run_in_class(&world, "toy 1");
    let engine = engine_of_class(&world, "toy 2");
    let report = engine.rerun(&RerunOptions::default(), &Silent).unwrap();
    assert!(report.is_good());
    world.write("noise", "!");
    let report = engine.rerun(&RerunOptions::default(), &Silent).unwrap();
    let long = &report.stages[2];
    assert_eq!(
        (long.numerics.as_str(), long.numerics_now.as_str()),
        ("toy 1", "toy 2")
    );
    // The toy codec knows no tolerance.
    assert_eq!(long.verdict, Verdict::Differs);
    assert_eq!(long.outputs["text"].tolerance, Some(Tolerance::default()));
}

#[test]
fn two_contents_in_one_store_are_told_unless_a_class_excuses_them() {
    let world = World::new(CHAIN);
    run_in_class(&world, "toy 1");
    world.write("noise", "!");
    let force = |class: &'static str| {
        let options = RunOptions {
            targets: vec!["long".into()],
            force: true,
            ..RunOptions::default()
        };
        engine_of_class(&world, class)
            .run(&options, &Silent)
            .unwrap();
        let explanation = world.engine().explain("long").unwrap().to_string();
        explanation.contains("one recipe, 2 contents")
    };
    assert!(!force("toy 2"));
    world.write("noise", "?");
    assert!(
        force("toy 2"),
        "two contents of `toy 2`, and one of `toy 1`"
    );
}
