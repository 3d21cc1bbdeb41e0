//! Status, explanations, graphs, and what needs tensors.

use seedpipe_engine::*;

use crate::toy::*;
use crate::world::*;

#[test]
fn status_says_what_will_run_and_what_may() {
    let world = World::new(CHAIN);
    assert_eq!(
        world.states(),
        [
            "raw: will run",
            "clean: may run, depends on `raw`",
            "long: may run, depends on `clean`",
            "sum: may run, depends on `clean`, `long`",
        ]
    );
    world.run();
    assert_eq!(
        world.states(),
        [
            "raw: cached",
            "clean: cached",
            "long: cached",
            "sum: cached"
        ]
    );
    world.write("pipeline.yaml", &CHAIN.replace("times: 3", "times: 4"));
    assert_eq!(
        world.states()[2..],
        ["long: will run", "sum: may run, depends on `long`"]
    );
    let status = world.engine().status().unwrap();
    assert_eq!(status[2].reasons, ["params.times: 3 → 4"]);
    assert_eq!(status[3].reasons, ["waits for the content of `long`"]);
}

#[test]
fn a_dry_run_honours_targets_force_and_only() {
    let world = World::new(CHAIN);
    world.run();
    let states = |options: &RunOptions| -> Vec<String> {
        let statuses = world.engine().dry_run(options).unwrap();
        statuses
            .iter()
            .map(|stage| format!("{}: {}", stage.stage, stage.state))
            .collect()
    };
    assert_eq!(
        states(&targets(&["clean"])),
        ["raw: cached", "clean: cached"]
    );
    let force = RunOptions {
        force: true,
        ..targets(&["clean", "sum"])
    };
    assert_eq!(
        states(&force),
        [
            "raw: cached",
            "clean: will run",
            "long: may run, depends on `clean`",
            "sum: will run"
        ]
    );
    let only = RunOptions {
        only: true,
        force: true,
        ..targets(&["long"])
    };
    assert_eq!(states(&only), ["long: will run"]);
    assert!(world.log().len() == 6);
}

#[test]
fn explain_names_fields_and_the_stage_above_that_caused_it() {
    let world = World::new(CHAIN);
    let before = world.engine().explain("sum").unwrap();
    assert_eq!(
        before.reasons,
        ["no run of a stage called `sum` is known here"]
    );
    world.run();
    let good = world.engine().explain("sum").unwrap();
    assert_eq!(good.state, StageState::Cached);
    assert_eq!(good.reasons[0], "its recipe is the last run's");
    assert!(good.reasons[1].contains("is whole: 3 files, "), "{good}");
    assert!(good.changes.is_empty() && good.causes.is_empty());
    world.write(
        "pipeline.yaml",
        &CHAIN.replace("{times: 3}", "{times: 3, letter: {upper: true}}"),
    );
    let text = world.engine().explain("sum").unwrap().to_string();
    let fingerprint = world.engine().status().unwrap()[2].fingerprint.unwrap();
    assert!(!fingerprint.short().is_empty());
    let expected = "\
sum (count): may run, depends on `long`
  nothing of its own differs from the last run
  because of
    long (repeat): will run
      no artifact of its recipe is in the cache
      its recipe differs from the last run's:
      params.letter.upper: false → true";
    assert_eq!(text, expected);
}

#[test]
fn explain_goes_down_to_the_source() {
    let world = World::new(CHAIN);
    world.run();
    world.write("input.txt", "goodbye");
    let explanation = world.engine().explain("sum").unwrap();
    let long = explanation
        .causes
        .iter()
        .find(|cause| cause.stage == "long")
        .unwrap();
    let clean = explanation
        .causes
        .iter()
        .find(|cause| cause.stage == "clean")
        .unwrap();
    let raw = &clean.causes[0];
    assert_eq!(raw.changes[0].field, "sources.input.txt");
    assert_eq!(long.causes[0].reasons, ["explained above"]);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        json["causes"][0]["causes"][0]["changes"][0]["field"],
        "sources.input.txt"
    );
}

#[test]
fn explain_tells_when_other_stages_are_connected() {
    let world = World::new(CHAIN);
    world.run();
    world.write(
        "pipeline.yaml",
        &CHAIN.replace(
            "repeat, inputs: {text: clean}",
            "repeat, inputs: {text: raw}",
        ),
    );
    let explanation = world.engine().explain("long").unwrap();
    // `raw` and `clean` have equal content, so the work is the same.
    assert_eq!(explanation.state, StageState::Cached);
    let fields: Vec<_> = explanation
        .changes
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(fields, ["connection of text: clean.text → raw.text"]);
}

#[test]
fn tensors_are_needed_only_for_what_is_not_cached() {
    let world = World::new(&format!(
        "{CHAIN}  student: {{kind: train, inputs: {{text: long}}}}\n"
    ));
    let engine = world.engine();
    assert!(engine.needs_tensors(&RunOptions::default()).unwrap());
    assert!(!engine.needs_tensors(&targets(&["sum"])).unwrap());
    // What it comes to by then is done, and another program goes on.
    let error = engine.run(&RunOptions::default(), &Silent).unwrap_err();
    assert!(error.is::<OnlyPlans>(), "{error:#}");
    let said = error.to_string();
    assert!(
        said.contains("kind `train`") && said.contains("\nhint: run it with `seedpipe-torch`"),
        "{said}"
    );
    assert!(engine.find("sum").unwrap().is_some());
}

/// From the plan to the end of the run, and not longer.
#[test]
fn what_a_held_plan_found_is_kept_from_gc() {
    let world = World::new(CHAIN);
    world.run();
    let held = world.engine();
    held.hold();
    let status = held.status().unwrap();
    assert!(status.iter().all(|stage| stage.state == StageState::Cached));
    // Its results are of no pipeline and no last run any more.
    world.write("pipeline.yaml", &CHAIN.replace("times: 3", "times: 4"));
    world.run();
    let gc = || {
        let options = GcOptions {
            grace: std::time::Duration::ZERO,
            ..GcOptions::default()
        };
        world.engine().gc(&options).unwrap().items.len()
    };
    assert_eq!(gc(), 0);
    let report = held.run(&RunOptions::default(), &Silent).unwrap();
    assert_eq!(report.count(Outcome::Cached), 4);
    world.run();
    assert_eq!(gc(), 2);
}

#[test]
fn seeds_come_from_the_stage_else_the_pipeline() {
    let world = World::new(&format!(
        "seed: 3\n{CHAIN}  t: {{kind: train, seed: 9, inputs: {{text: raw}}}}\n"
    ));
    let engine = world.open(&["long.seed=5", "t.seed=7"]).unwrap();
    let seeds: Vec<u64> = engine
        .project()
        .stages()
        .iter()
        .map(|stage| stage.seed)
        .collect();
    assert_eq!(seeds, [3, 3, 5, 3, 9]);
    assert_eq!(engine.project().stages()[4].params["seed"], 7);
    assert_eq!(world.open(&["seed=1"]).unwrap().project().seed(), 1);
}

#[test]
fn graphs_show_stages_and_connections() {
    let world = World::new(CHAIN);
    let graph = |format: GraphFormat| world.engine().graph(format).unwrap();
    let expected = "\
flowchart TD
    s0[\"raw<br/><small>read</small>\"]
    s1[\"clean<br/><small>trim</small>\"]
    s2[\"long<br/><small>repeat</small>\"]
    s3[\"sum<br/><small>count</small>\"]
    s0 -->|\"text\"| s1
    s1 -->|\"text\"| s2
    s1 -->|\"text → texts\"| s3
    s2 -->|\"text → texts\"| s3
";
    assert_eq!(graph(GraphFormat::Mermaid), expected);
    let dot = graph(GraphFormat::Dot);
    assert!(
        dot.starts_with("digraph pipeline {\n") && dot.contains("    s0 -> s1 [label=\"text\"];\n"),
        "{dot}"
    );
    let svg = graph(GraphFormat::Svg);
    assert!(svg.starts_with("<svg xmlns") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<g text-anchor").count(), 4);
    assert_eq!(svg.matches("marker-end").count(), 4);
}

#[test]
fn the_cache_lies_where_it_is_said() {
    let world = World::new(&format!("cache: here/cache\n{CHAIN}"));
    world.run();
    assert!(world.path("here/cache/v1/artifacts").is_dir());
    assert!(!world.path(".seedpipe").exists());
}

#[test]
fn kinds_tell_what_they_are() {
    let registry = registry();
    let kind = registry.kind("repeat").unwrap();
    assert_eq!(
        (kind.name(), kind.version(), kind.tensors(), kind.lineage()),
        ("repeat", 4, false, false)
    );
    assert_eq!(kind.schema()["properties"]["times"]["default"], 2);
    assert_eq!(registry.kinds().count(), 6);
}
