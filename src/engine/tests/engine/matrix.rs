//! `matrix:`: one stage for each combination, down to the stages that use them.

use seedpipe_base::Refusal;
use seedpipe_engine::*;

use crate::world::*;

/// Four `long`, four `again` below them, and one `sum` of all.
pub const GRID: &str = "\
stages:
  sum: {kind: count, inputs: {texts: [clean, again]}}
  raw: {kind: read, params: {path: input.txt}}
  clean: {kind: trim, inputs: {text: raw}}
  long:
    kind: repeat
    inputs: {text: clean}
    matrix: {times: [1, 2], up: {param: letter.upper, values: [false, true]}}
  again: {kind: repeat, inputs: {text: long.text}, params: {times: 1}}
";

fn names(pipeline: &str) -> Vec<String> {
    let world = World::new(pipeline);
    let engine = world.engine();
    engine
        .project()
        .stages()
        .iter()
        .map(|stage| stage.name.clone())
        .collect()
}

fn refused(pipeline: &str, overrides: &[&str]) -> String {
    let world = World::new(pipeline);
    let Err(error) = world.open(overrides) else {
        panic!("accepted: {pipeline}")
    };
    assert!(error.is::<Refusal>(), "{error:#}");
    format!("{error:#}").replace(&format!("{}/", world.folder.path().display()), "")
}

/// `long` with this matrix and nothing below it.
fn with_matrix(matrix: &str) -> String {
    format!(
        "stages:\n  raw: {{kind: read, params: {{path: input.txt}}}}\n  long: {{kind: repeat, inputs: {{text: raw}}, matrix: {matrix}}}\n"
    )
}

#[test]
fn each_combination_is_a_stage_and_so_is_what_uses_it() {
    assert_eq!(
        names(GRID),
        [
            "sum",
            "raw",
            "clean",
            "long[times=1,up=false]",
            "long[times=1,up=true]",
            "long[times=2,up=false]",
            "long[times=2,up=true]",
            "again[times=1,up=false]",
            "again[times=1,up=true]",
            "again[times=2,up=false]",
            "again[times=2,up=true]",
        ]
    );
    let world = World::new(GRID);
    let engine = world.engine();
    let stage = |name: &str| engine.project().stage(name).unwrap().clone();
    let long = stage("long[times=2,up=true]");
    assert_eq!(long.base, "long");
    assert_eq!(
        (&long.params["times"], &long.params["letter"]["upper"]),
        (&2.into(), &true.into())
    );
    assert_eq!(
        stage("again[times=2,up=true]").inputs["text"][0].stage,
        long.name
    );
    let sums: Vec<String> = stage("sum").inputs["texts"]
        .iter()
        .map(|input| input.stage.clone())
        .collect();
    assert_eq!(sums.len(), 5);
    assert_eq!(sums[0], "clean");
    assert_eq!(sums[4], "again[times=2,up=true]");
}

#[test]
fn combinations_share_everything_above_them_and_equal_work() {
    let world = World::new(GRID);
    let report = world.run();
    assert_eq!(report.stages.len(), 11);
    // `again` repeats once: what it makes of `long[times=1,up=false]` is other work than `long`, of
    // equal content.
    let count = |name: &str| {
        world
            .log()
            .iter()
            .filter(|line| line.starts_with(name))
            .count()
    };
    assert_eq!(count("raw "), 1);
    assert_eq!(world.run().count(Outcome::Cached), 11);
    assert!(world.log().is_empty());
    // Another value: only what is new runs; a plain stage with equal params is the same artifact.
    world.write(
        "pipeline.yaml",
        &GRID.replace("times: [1, 2]", "times: [2, 5]"),
    );
    let report = world.run();
    assert_eq!(report.count(Outcome::Executed), 2 + 2 + 1);
    let plain =
        "  one: {kind: repeat, inputs: {text: clean}, params: {times: 5, letter: {upper: true}}}\n";
    world.write(
        "pipeline.yaml",
        &format!("{}{plain}", GRID.replace("times: [1, 2]", "times: [2, 5]")),
    );
    assert_eq!(world.run().count(Outcome::Executed), 0);
    let artifact = world.artifact("one");
    assert_eq!(
        world.artifact("long[times=5,up=true]").fingerprint,
        artifact.fingerprint
    );
}

#[test]
fn a_name_without_values_means_all_combinations_on_the_command_line() {
    let world = World::new(GRID);
    let run = |target: &str| {
        let report = world.run_with(&targets(&[target]), &Silent);
        assert!(report.failed().is_none());
        let made = report
            .stages
            .iter()
            .filter(|stage| stage.outcome == Outcome::Executed);
        made.map(|stage| stage.stage.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        run("long[times=2,up=true]"),
        ["raw", "clean", "long[times=2,up=true]"]
    );
    assert_eq!(run("long[times=2]"), ["long[times=2,up=false]"]);
    assert_eq!(
        run("long"),
        ["long[times=1,up=false]", "long[times=1,up=true]"]
    );
    let engine = world.engine();
    // The order of values and their spelling don't matter.
    assert!(engine.find("long[up=true,times=2.0]").unwrap().is_some());
    let error = engine.explain("long").unwrap_err().to_string();
    assert!(error.ends_with("expected one stage, got `long`, which stands for 4\nhint: name one of them, such as `long[times=1,up=false]`, `long[times=1,up=true]`, `long[times=2,up=false]`, `long[times=2,up=true]`"), "{error}");
    let error = engine
        .dry_run(&targets(&["long[times=3]"]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("got `long[times=3]`, which is unknown"),
        "{error}"
    );
}

#[test]
fn a_lock_and_the_last_runs_know_combinations_by_name() {
    let world = World::new(GRID);
    let path = world.run().lock_file.unwrap();
    let lock = PipelineLock::read(&path).unwrap().unwrap();
    let locked = lock.stage("again[times=2,up=true]").unwrap();
    assert_eq!(
        locked.facts["inputs.text"],
        serde_json::json!(["long[times=2,up=true].text"])
    );
    world.write(
        "pipeline.yaml",
        &GRID.replace("params: {times: 1}", "params: {times: 4}"),
    );
    let explanation = world.engine().explain("again[times=2,up=true]").unwrap();
    assert_eq!(explanation.changes.len(), 1);
    assert_eq!(explanation.changes[0].field, "params.times");
    for format in GraphFormat::ALL {
        let graph = world.engine().graph(format).unwrap();
        assert!(graph.contains("again[times=2,up=true]"), "{graph}");
    }
}

#[test]
fn set_changes_all_combinations_and_never_what_the_matrix_sets() {
    let world = World::new(GRID);
    let engine = world
        .open(&["long.letter.form=reversed", "long.seed=7"])
        .unwrap();
    for stage in engine.project().select("long").unwrap() {
        assert_eq!(stage.params["letter"]["form"], "reversed");
        assert_eq!(stage.seed, 7);
    }
    assert_eq!(
        refused(GRID, &["long.times=7"]),
        "--set long.times=7: stage `long`: key `params.times`: expected a param that `matrix:` leaves alone, got one that it sets as `times`\nhint: run one combination, such as `long[times=1,up=false]`, or edit `matrix:`"
    );
    assert!(refused(GRID, &["long.letter={}"]).contains("that it sets as `up`"));
    assert_eq!(
        refused(GRID, &["long[times=1,up=true].letter.form=plain"]),
        "--set long[times=1,up=true].letter.form=plain: expected a stage without `[…]`, got a combination of a matrix\nhint: `--set long.key=value` sets it for all its combinations"
    );
    assert!(
        refused(GRID, &["again.times=0"]).starts_with(
            "--set again.times=0: stage `again[times=1,up=false]`: key `params.times`"
        )
    );
}

#[test]
fn seeds_can_be_an_axis() {
    let world = World::new(&with_matrix("{seed: [0, 5]}"));
    let engine = world.engine();
    assert_eq!(engine.project().stage("long[seed=5]").unwrap().seed, 5);
    assert!(
        refused(&with_matrix("{seed: [x]}"), &[])
            .contains("key `matrix.seed`: expected a whole number of 0 or more, got `\"x\"`")
    );
}

#[test]
fn shared_labels_are_joined_and_others_multiply() {
    let pipeline = |matrix: &str, below: &str| {
        format!(
            "stages:\n  raw: {{kind: read, params: {{path: input.txt}}}}\n  a: {{kind: repeat, inputs: {{text: raw}}, matrix: {{times: [1, 2], seed: [0, 1]}}}}\n  b: {{kind: repeat, inputs: {{text: a}}, {matrix}}}\n  c: {{kind: repeat, inputs: {{{below}}}}}\n"
        )
    };
    let of = |pipeline: &str, base: &str| -> Vec<String> {
        names(pipeline)
            .into_iter()
            .filter(|name| name.starts_with(base))
            .collect()
    };
    // Two inputs with the same axes.
    let both = pipeline("params: {times: 9}", "text: a, more: b");
    assert_eq!(
        of(&both, "c"),
        [
            "c[times=1,seed=0]",
            "c[times=1,seed=1]",
            "c[times=2,seed=0]",
            "c[times=2,seed=1]"
        ]
    );
    let world = World::new(&both);
    let engine = world.engine();
    let c = engine.project().stage("c[times=2,seed=0]").unwrap();
    assert_eq!(
        (
            c.inputs["text"][0].stage.as_str(),
            c.inputs["more"][0].stage.as_str()
        ),
        ("a[times=2,seed=0]", "b[times=2,seed=0]")
    );
    // An axis of its own multiplies; one that is above already is joined.
    let more = pipeline(
        "matrix: {up: {param: letter.upper, values: [true]}, seed: [1]}",
        "text: \"b[up=true]\", more: \"a[seed=1]\"",
    );
    assert_eq!(
        of(&more, "b"),
        ["b[times=1,seed=1,up=true]", "b[times=2,seed=1,up=true]"]
    );
    // Values that are named are not in the name of what uses them.
    assert_eq!(of(&more, "c"), ["c[times=1,seed=1]", "c[times=2,seed=1]"]);
    let one = pipeline("params: {}", "text: \"a[times=2,seed=1].text\"");
    assert_eq!(of(&one, "c"), ["c"]);
    let none = pipeline("matrix: {seed: [7]}", "text: a");
    assert!(refused(&none, &[]).contains(
        "stage `b`: key `matrix.seed`: expected combinations with equal `seed`, got none"
    ));
    let wrong = pipeline("params: {}", "text: \"a[times=3]\"");
    assert!(refused(&wrong, &[]).contains("stage `c`: key `inputs.text`: expected combinations of `a`, got `a[times=3]`, which are none\nhint: "));
}

#[test]
fn values_can_be_named() {
    let world = World::new(&with_matrix(
        "{form: {param: letter, values: {loud: {upper: true}, back: {form: reversed}}}}",
    ));
    let engine = world.engine();
    assert_eq!(
        engine.project().stage("long[form=loud]").unwrap().params["letter"]["upper"],
        true
    );
    assert_eq!(
        engine.project().stage("long[form=back]").unwrap().params["letter"]["form"],
        "reversed"
    );
}

#[test]
fn numbers_have_one_text() {
    assert_eq!(
        names(&with_matrix(
            "{rate: {param: seed, values: [1, 0x2]}, times: [3]}"
        ))[1..],
        ["long[rate=1,times=3]", "long[rate=2,times=3]"]
    );
}

#[test]
fn mistakes_in_a_matrix_are_told() {
    for (matrix, message) in [
        (
            "[1]",
            "key `matrix`: expected a mapping of params, got a list of 1\nhint: write `matrix: {",
        ),
        (
            "{}",
            "key `matrix`: expected a mapping of params, got an empty mapping",
        ),
        (
            "{times: 3}",
            "key `matrix.times`: expected a list of values, got `3`",
        ),
        (
            "{times: []}",
            "key `matrix.times`: expected one value or more, got none",
        ),
        (
            "{times: [1, 1]}",
            "key `matrix.times`: expected each value once, got `1` twice",
        ),
        (
            "{times: [1, '1']}",
            "key `matrix.times`: expected each value once, got `1` twice",
        ),
        (
            "{times: [[1]]}",
            "key `matrix.times`: expected a number, a flag, or a word of letters, digits and `_-+./:`, got a list of 1\nhint: name the values",
        ),
        (
            "{times: ['a b']}",
            "got the text `a b`\nhint: name the values",
        ),
        ("{times: ['a]b']}", "got the text `a]b`"),
        (
            "{times: {param: times, value: [1]}}",
            "key `matrix.times`: expected the keys `param` and `values`, got the text `value`\nhint: did you mean `values`?",
        ),
        ("{t: {values: [1]}}", "key `matrix.t`: missing key `param`"),
        (
            "{letter..upper: [true]}",
            "expected a name between the dots",
        ),
        (
            "{'a b': [true]}",
            "expected a label of letters, digits, `-` and `_`, got `a b`",
        ),
        (
            "{x.times: [1], times: [2]}",
            "key `matrix.times`: expected a label of its own, got `times`, which `x.times` has already\nhint: give it one: `matrix: {LABEL: {param: times, values: …}}`",
        ),
        (
            "{letter: {param: letter, values: {a: {}}}, up: {param: letter.upper, values: [true]}}",
            "key `matrix.up`: expected a param of its own, got `letter.upper`, which `letter` sets too",
        ),
        (
            "{tims: [1]}",
            "stage `long[tims=1]`: key `params.tims`: unknown key of kind `repeat`\nhint: did you mean `times`?",
        ),
        (
            "{times: [1, 0]}",
            "stage `long[times=0]`: key `params.times`: expected 1 or more, got 0",
        ),
        (
            "{letter.upper.x: [1]}",
            "stage `long[x=1]`: key `params.letter.upper`: expected",
        ),
    ] {
        let told = refused(&with_matrix(matrix), &[]);
        assert!(
            told.starts_with("pipeline.yaml: stage `long") && told.contains(message),
            "{matrix}: {told}"
        );
    }
    let set = with_matrix("{times.x: [1]}, params: {times: 3}");
    assert!(refused(&set, &[]).contains("key `matrix.x`: expected a mapping above `x`, got `3`"));
}

#[test]
fn there_is_a_limit_for_combinations() {
    let values: Vec<String> = (1..=101).map(|value| value.to_string()).collect();
    let values = values.join(", ");
    let message = refused(
        &with_matrix(&format!("{{times: [{values}], seed: [{values}]}}")),
        &[],
    );
    assert_eq!(
        message,
        "pipeline.yaml: stage `long`: key `matrix.seed`: expected at most 10000 stages with all combinations, got more\nhint: leave values out, or name one combination as input: `STAGE[LABEL=VALUE]`"
    );
    let mut deep = with_matrix(&format!("{{times: [{values}]}}"));
    for level in 0..99 {
        let above = if level == 0 {
            "long".to_owned()
        } else {
            format!("s{}", level - 1)
        };
        deep.push_str(&format!(
            "  s{level}: {{kind: repeat, inputs: {{text: {above}}}}}\n"
        ));
    }
    assert!(refused(&deep, &[]).contains("expected at most 10000 stages"));
    let joined = format!(
        "{}  joined: {{kind: count, inputs: {{texts: [{}]}}}}\n",
        with_matrix(&format!("{{times: [{values}]}}")),
        "long, ".repeat(10_000)
    );
    assert!(refused(&joined, &[]).contains("expected at most 1000000 connections"));
}

#[test]
fn a_cycle_through_a_matrix_is_told() {
    let message = refused(
        &GRID.replace("trim, inputs: {text: raw}", "trim, inputs: {text: again}"),
        &[],
    );
    assert!(message.contains("expected stages without a cycle, got one: `clean` needs `again` needs `long` needs `clean`"), "{message}");
}
