//! Every mistake in a pipeline gets one message: file, stage, key, expected and got, and the
//! remedy; the cache is untouched.

use crate::world::*;
use seedpipe_base::Refusal;

/// The message for a pipeline, without the folder's name.
fn refused(pipeline: &str, overrides: &[&str]) -> String {
    let world = World::new(pipeline);
    let Err(error) = world.open(overrides) else {
        panic!("accepted: {pipeline}")
    };
    assert!(error.is::<Refusal>(), "{error:#}");
    assert!(!world.path(".seedpipe").exists());
    format!("{error:#}").replace(&format!("{}/", world.folder.path().display()), "")
}

#[test]
fn unknown_key() {
    assert_eq!(
        refused(&CHAIN.replace("times: 3", "tims: 3"), &[]),
        "pipeline.yaml: stage `long`: key `params.tims`: unknown key of kind `repeat`\nhint: did you mean `times`?"
    );
    assert_eq!(
        refused(&CHAIN.replace("{times: 3}", "{letter: {uper: true}}"), &[]),
        "pipeline.yaml: stage `long`: key `params.letter.uper`: unknown key of kind `repeat`\nhint: did you mean `upper`?"
    );
}

#[test]
fn missing_key() {
    assert_eq!(
        refused(&CHAIN.replace("{path: input.txt}", "{}"), &[]),
        "pipeline.yaml: stage `raw`: key `params.path`: missing key\nhint: add `path:` under `params:`"
    );
}

#[test]
fn unknown_kind() {
    assert_eq!(
        refused(&CHAIN.replace("kind: repeat", "kind: repeet"), &[]),
        "pipeline.yaml: stage `long`: key `kind`: expected the name of a kind, got `repeet`, which is unknown\nhint: did you mean `repeat`?"
    );
    assert_eq!(
        refused(&CHAIN.replace("kind: repeat", "kind: xyz"), &[]),
        "pipeline.yaml: stage `long`: key `kind`: expected the name of a kind, got `xyz`, which is unknown\nhint: kinds: `count`, `origin`, `read`, `repeat`, `train`, `trim`"
    );
}

#[test]
fn cycle() {
    assert_eq!(
        refused(
            &CHAIN.replace("trim, inputs: {text: raw}", "trim, inputs: {text: long}"),
            &[]
        ),
        "pipeline.yaml: stage `clean`: key `inputs`: expected stages without a cycle, got one: `clean` needs `long` needs `clean`\nhint: remove one of these inputs"
    );
}

#[test]
fn missing_input() {
    assert_eq!(
        refused(&CHAIN.replace("trim, inputs: {text: raw}", "trim"), &[]),
        "pipeline.yaml: stage `clean`: key `inputs.text`: missing input, expected `text/v1`\nhint: add `text: STAGE` under `inputs:`; `raw`, `long`, `sum` would do"
    );
    assert_eq!(
        refused(&CHAIN.replace("[clean, long]", "[]"), &[]),
        "pipeline.yaml: stage `sum`: key `inputs.texts`: missing input, expected `text/v1`\nhint: add `texts: STAGE` under `inputs:`; `raw`, `clean`, `long` would do"
    );
}

#[test]
fn unknown_input_stage_or_output() {
    assert_eq!(
        refused(&CHAIN.replace("{text: raw}", "{txt: raw}"), &[]),
        "pipeline.yaml: stage `clean`: key `inputs.txt`: unknown input of kind `trim`\nhint: did you mean `text`?"
    );
    assert_eq!(
        refused(&CHAIN.replace("{text: raw}", "{text: rew}"), &[]),
        "pipeline.yaml: stage `clean`: key `inputs.text`: expected the name of a stage, got `rew`, which is unknown\nhint: did you mean `raw`?"
    );
    assert_eq!(
        refused(&CHAIN.replace("{text: raw}", "{text: raw.test}"), &[]),
        "pipeline.yaml: stage `clean`: key `inputs.text`: expected an output of `raw`, got `test`, which it doesn't have\nhint: did you mean `text`?"
    );
    assert_eq!(
        refused(&CHAIN.replace("{text: raw}", "{text: [raw, raw]}"), &[]),
        "pipeline.yaml: stage `clean`: key `inputs.text`: expected one stage, got 2\nhint: name the one to use"
    );
}

#[test]
fn wrong_artifact_kind() {
    let student = format!("{CHAIN}  student: {{kind: train, inputs: {{text: sum.metrics}}}}\n");
    assert_eq!(
        refused(&student, &[]),
        "pipeline.yaml: stage `student`: key `inputs.text`: holds `metrics/v1`, expected `text/v1`\nhint: `raw`, `clean`, `long`, `sum` would do"
    );
}

#[test]
fn ambiguous_output() {
    let student = format!("{CHAIN}  student: {{kind: train, inputs: {{text: sum}}}}\n");
    assert_eq!(
        refused(&student, &[]),
        "pipeline.yaml: stage `student`: key `inputs.text`: expected one output, and `sum` has several that fit\nhint: write one of `sum.text`, `sum.copy`"
    );
}

#[test]
fn duplicate_stage() {
    let twice = format!("{CHAIN}  raw: {{kind: read, params: {{path: x}}}}\n");
    let message = refused(&twice, &[]);
    assert!(
        message.starts_with(
            "pipeline.yaml:2: stage `raw`: expected one stage of that name, got two\nhint: "
        ),
        "{message}"
    );
}

#[test]
fn impossible_value() {
    assert_eq!(
        refused(&CHAIN.replace("times: 3", "times: 0"), &[]),
        "pipeline.yaml: stage `long`: key `params.times`: expected 1 or more, got 0\nhint: leave it out for 2"
    );
    let message = refused(&CHAIN.replace("times: 3", "times: many"), &[]);
    assert!(message.starts_with("pipeline.yaml: stage `long`: key `params.times`: expected a whole number from 0, got the text \"many\"\nhint: "), "{message}");
    assert_eq!(
        refused(
            &CHAIN.replace("{times: 3}", "{letter: {form: reversd}}"),
            &[]
        ),
        "pipeline.yaml: stage `long`: key `params.letter.form`: expected one of `plain`, `reversed`, got `reversd`\nhint: did you mean `reversed`?"
    );
}

#[test]
fn overrides_name_the_argument() {
    assert_eq!(
        refused(CHAIN, &["lung.times=3"]),
        "--set lung.times=3: expected the name of a stage, got `lung`, which is unknown\nhint: did you mean `long`?"
    );
    assert_eq!(
        refused(CHAIN, &["long.time=3"]),
        "--set long.time=3: stage `long`: key `params.time`: unknown key of kind `repeat`\nhint: did you mean `times`?"
    );
    assert_eq!(
        refused(CHAIN, &["long.times=0"]),
        "--set long.times=0: stage `long`: key `params.times`: expected 1 or more, got 0\nhint: leave it out for 2"
    );
    assert_eq!(
        refused(CHAIN, &["long.letter.form=plan"]),
        "--set long.letter.form=plan: stage `long`: key `params.letter.form`: expected one of `plain`, `reversed`, got `plan`\nhint: did you mean `plain`?"
    );
}

#[test]
fn no_such_file_and_no_such_target() {
    let world = World::new(CHAIN);
    world.remove("pipeline.yaml");
    let message = world.open(&[]).err().unwrap().to_string();
    assert!(message.ends_with("pipeline.yaml: expected a pipeline, got no such file\nhint: go to the folder that holds pipeline.yaml, or name the file"), "{message}");
    let world = World::new(CHAIN);
    let error = world.engine().dry_run(&targets(&["summ"])).err().unwrap();
    assert!(error.is::<Refusal>());
    assert!(error.to_string().ends_with(
        "expected the name of a stage, got `summ`, which is unknown\nhint: did you mean `sum`?"
    ));
}
