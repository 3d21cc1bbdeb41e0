//! `run --locked`, and what a run says when pipeline.lock contradicts it.

use insta::assert_snapshot;
use regex::Regex;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, outcomes};

fn lock_of(sandbox: &Sandbox) -> String {
    fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap()
}

/// A sandbox that has run, with its lock changed.
fn with_lock(change: impl Fn(&str) -> String) -> Sandbox {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    sandbox.write("pipeline.lock", change(&lock_of(&sandbox)));
    sandbox
}

/// The lock with another content of `images`.
fn with_other_content(lock: &str) -> String {
    let content = Regex::new(r#"content: "[0-9a-f]{64}""#).unwrap();
    let other = format!("content: \"{}\"", "5".repeat(64));
    content.replace(lock, other).into_owned()
}

#[test]
fn a_lock_says_the_numerics_class_of_every_stage() {
    let sandbox = with_lock(str::to_owned);
    let class = format!("\n    numerics: \"{}\"\n", std::env::consts::ARCH);
    assert_eq!(
        lock_of(&sandbox).matches(&class).count(),
        2,
        "{}",
        lock_of(&sandbox)
    );
}

#[test]
fn locked_runs_what_the_lock_records_and_leaves_it_alone() {
    let sandbox = with_lock(|lock| format!("# untouched\n{lock}"));
    let lock = lock_of(&sandbox);
    assert_eq!(
        outcomes(&sandbox.run_json(&["--locked"])),
        ["images=cached", "views=cached"]
    );
    fs_err::remove_dir_all(sandbox.path(".seedpipe")).unwrap();
    let cold = sandbox.run_json(&["--locked", "views"]);
    assert_eq!(outcomes(&cold), ["images=executed", "views=executed"]);
    assert_eq!(lock_of(&sandbox), lock);
}

#[test]
fn locked_names_every_field_that_differs_before_anything_runs() {
    let sandbox = with_lock(str::to_owned);
    fs_err::remove_dir_all(sandbox.path(".seedpipe")).unwrap();
    sandbox.write("pipeline.yaml", LIGHT_PIPELINE
        .replace("views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16,",
            "more: {kind: augment, seed: 3, inputs: {images: images}, params: {recipe: custom, size: 20,")
        .replace("train: 60, ", "")
        .replace("kind: ingest,", "kind: ingest, seed: 7,"));
    let mut digits = fs_err::read(sandbox.path("digits.parquet")).unwrap();
    digits.push(0);
    sandbox.write("digits.parquet", digits);
    let refused = sandbox.run(&["run", "--locked"]).exited_with(2);
    assert_snapshot!(refused.refusal(), @r"
    error: pipeline.lock: expected the plan that it records, got another one:
      stage `images`: params.take.train: 60 → nothing
      stage `images`: seed: 0 → 7
      stage `images`: sources.digits.parquet: [short] → [short]
      stage `more`: is not in the lock
      stage `views`: is in the lock, not in the pipeline
    hint: take the change back, or run without `--locked` and commit the lock that it writes
    exit code 2
    ");
    assert!(!sandbox.path(".seedpipe").exists());
    let json = sandbox
        .run(&["run", "--locked", "--json"])
        .exited_with(2)
        .json();
    assert_eq!(
        json["stages"][0]["changes"][0]["field"], "params.take.train",
        "{json}"
    );
    assert_eq!(json["stages"][2]["how"], "only_in_lock", "{json}");
    let part = sandbox.run(&["run", "--locked", "images"]).exited_with(2);
    assert!(!part.stderr.contains("`views`"), "{}", part.stderr);
}

#[test]
fn an_input_from_another_stage_is_a_difference() {
    let pipeline = format!(
        "{LIGHT_PIPELINE}  same: {{kind: ingest, params: {{source: digits.parquet, label_column: label, split_column: split, take: {{train: 60, test: 20}}}}}}\n"
    );
    let sandbox = Sandbox::with(&pipeline);
    sandbox.run(&["run", "--quiet"]).succeeded();
    sandbox.write(
        "pipeline.yaml",
        pipeline.replace("{images: images}", "{images: same}"),
    );
    let refused = sandbox.run(&["run", "--locked"]).exited_with(2);
    let expected = "stage `views`: inputs.images: images.images → same.images";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
}

#[test]
fn locked_without_a_lock_is_refused_with_the_remedy() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(sandbox.run(&["run", "--locked"]).exited_with(2).refusal(), @r"
    error: pipeline.lock: expected a lock for `--locked`, got no such file
    hint: run once without `--locked` and commit the lock that it writes
    exit code 2
    ");
    assert!(!sandbox.path(".seedpipe").exists());
}

#[test]
fn one_recipe_with_two_contents_fails_a_locked_run_and_is_told_by_a_plain_one() {
    let sandbox = with_lock(with_other_content);
    let locked = sandbox.run(&["run", "--locked"]).exited_with(1);
    let expected =
        "[short] here and [short] in `pipeline.lock`, both in the numerics class `[architecture]`";
    assert!(locked.refusal().contains(expected), "{}", locked.refusal());
    assert!(
        locked.stderr.contains("one recipe, two contents"),
        "{}",
        locked.stderr
    );
    let plain = sandbox.run(&["run", "--quiet"]).succeeded();
    assert!(
        plain.stderr.contains("one recipe, two contents"),
        "{}",
        plain.stderr
    );
    assert_eq!(sandbox.run(&["run", "--quiet"]).succeeded().stderr, "");
}

#[test]
fn a_class_that_a_lock_claims_excuses_no_pixels() {
    let sandbox = with_lock(|lock| of_another_class(&with_other_content(lock)));
    let locked = sandbox.run(&["run", "--locked", "--quiet"]).exited_with(1);
    assert!(
        locked.stderr.contains("one recipe, two contents"),
        "{}",
        locked.stderr
    );
}

/// With a class claimed of which this machine is not.
fn of_another_class(lock: &str) -> String {
    let class = Regex::new(r#"numerics: "[^"]*""#).unwrap();
    class
        .replace_all(lock, r#"numerics: "riscv64""#)
        .into_owned()
}

/// What a network gives, which another class may give otherwise: contents and figures.
const PROBED: &str = "  features: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25}, batch: 16}}
  probe: {kind: probe, inputs: {images: images, features: features}}
";

#[test]
fn a_lock_of_another_class_may_hold_other_content_and_that_is_said_once() {
    let sandbox = Sandbox::with(&format!("{LIGHT_PIPELINE}{PROBED}"));
    sandbox.run(&["run", "--quiet"]).succeeded();
    let lock = lock_of(&sandbox);
    let (pixels, tensors) = lock.split_once("  features:\n").unwrap();
    let content = Regex::new(r#"content: "[0-9a-f]{64}""#).unwrap();
    let other = format!("content: \"{}\"", "5".repeat(64));
    let tensors = content
        .replace_all(&of_another_class(tensors), other)
        .into_owned();
    let with = |change: &dyn Fn(&str) -> String| {
        sandbox.write(
            "pipeline.lock",
            format!("{pixels}  features:\n{}", change(&tensors)),
        );
    };
    let number = |fact: &str| Regex::new(&format!("{fact}: [0-9.]+")).unwrap();
    for (fact, other) in [("metrics.test/linear_top1", "2"), ("rows.embeddings", "7")] {
        assert!(number(fact).is_match(&tensors), "{tensors}");
        with(&|text| {
            number(fact)
                .replace(text, format!("{fact}: {other}"))
                .into_owned()
        });
        let refused = sandbox.run(&["run", "--locked", "--quiet"]).exited_with(1);
        assert!(
            refused
                .stderr
                .contains(&format!("{fact}: {other} in `pipeline.lock`, ")),
            "{}",
            refused.stderr
        );
    }
    with(&str::to_owned);
    let locked = sandbox.run(&["run", "--locked", "--quiet"]).succeeded();
    assert_eq!(
        locked.stderr.matches("numerics class `riscv64`").count(),
        1,
        "{}",
        locked.stderr
    );
    let plain = sandbox.run(&["run", "--quiet"]).succeeded();
    assert_eq!(plain.stderr, "");
}

#[test]
fn a_falsified_fingerprint_in_the_lock_is_found() {
    let sandbox = with_lock(|lock| {
        let first = Regex::new(r#"fingerprint: "[0-9a-f]{64}""#).unwrap();
        first
            .replace(lock, format!("fingerprint: \"{}\"", "6".repeat(64)))
            .into_owned()
    });
    let locked = sandbox.run(&["run", "--locked"]).exited_with(1);
    assert!(
        locked
            .stderr
            .contains("expected fingerprint 666666666666, got"),
        "{}",
        locked.stderr
    );
}

#[test]
fn a_lock_of_an_older_version_without_classes_still_serves() {
    let sandbox = with_lock(|lock| {
        let lines = lock.lines().filter(|line| !line.contains("numerics:"));
        lines.map(|line| format!("{line}\n")).collect()
    });
    assert!(!lock_of(&sandbox).contains("numerics"));
    assert_eq!(
        outcomes(&sandbox.run_json(&["--locked"])),
        ["images=cached", "views=cached"]
    );
}
