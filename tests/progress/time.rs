//! How long a plan says that its stages take, and what it says that from.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::sandbox::{Finished, SEEDPIPE, Sandbox, WHOLE_PIPELINE};

const RATES: &str = "rates.json";

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Finished {
    let mut command = sandbox.command(arguments);
    command.env("SEEDPIPE_RATES", sandbox.path(RATES));
    sandbox.finish(&mut command).succeeded()
}

/// What a dry run says of a stage's time.
fn time(sandbox: &Sandbox, stage: &str, arguments: &[&str]) -> Value {
    let all = [&["run", "--dry-run", "--json"][..], arguments].concat();
    let lines = run(sandbox, &all).json_lines();
    let line = lines.into_iter().find(|line| line["stage"] == stage);
    line.unwrap()["time"].clone()
}

#[test]
fn a_plan_says_how_long_it_takes_before_and_after_a_run() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    // Nothing has run, and nothing is cached: the network was measured.
    let before = time(&sandbox, "teacher", &[]);
    assert_eq!(
        (&before["from"], &before["runs"]),
        (&json!("calibration"), &Value::Null)
    );
    assert!(before["seconds"].as_f64().unwrap() > 0.0, "{before}");
    let whole = before["run_seconds"].as_f64().unwrap();
    assert!(whole >= before["seconds"].as_f64().unwrap(), "{before}");
    let text = run(&sandbox, &["run", "--dry-run"]).stdout;
    assert!(text.contains("\nteacher: takes "), "{text}");
    assert!(
        text.contains(", from a calibration of this machine\n"),
        "{text}"
    );
    assert!(text.contains("\ntime in all: about "), "{text}");
    assert!(!sandbox.path(".seedpipe").exists());

    run(&sandbox, &["run", "student"]);
    assert_eq!(time(&sandbox, "teacher", &[]), Value::Null, "it is cached");
    // As if each stage had taken 100 seconds.
    let mut rates: Value =
        serde_json::from_slice(&fs_err::read(sandbox.path(RATES)).unwrap()).unwrap();
    for runs in rates["runs"].as_object_mut().unwrap().values_mut() {
        runs[0]["seconds"] = json!(100.0);
    }
    sandbox.write(RATES, rates.to_string());
    for (epochs, seconds) in [("1", 100.0), ("4", 400.0), ("1000", 100_000.0)] {
        let set = format!("teacher.training.epochs={epochs}");
        let after = time(&sandbox, "teacher", &["teacher", "--force", "--set", &set]);
        assert_eq!(after["from"], "runs", "{after}");
        assert_eq!(
            (&after["runs"], &after["seconds"]),
            (&json!(1), &json!(seconds))
        );
    }
    // Another network is other work.
    let other = ["--set", "teacher.network.width=0.25"];
    assert_eq!(time(&sandbox, "teacher", &other)["from"], "calibration");
}

#[test]
fn what_cannot_be_measured_is_unknown_and_the_plan_is_told_all_the_same() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    // Without the sibling that has libtorch.
    let alone = sandbox.path("bin/seedpipe");
    fs_err::create_dir_all(alone.parent().unwrap()).unwrap();
    fs_err::copy(SEEDPIPE, &alone).unwrap();
    let plan = |rates: &Path| {
        let mut command = Command::new(&alone);
        let dry = ["run", "--dry-run"];
        command.args(dry).current_dir(sandbox.path(""));
        command
            .env_remove("SEEDPIPE_CACHE")
            .env("SEEDPIPE_RATES", rates);
        sandbox.finish(&mut command).succeeded().stdout
    };
    let text = plan(&sandbox.path(RATES));
    let unknown = "teacher: takes a time that is unknown: until it has run here once\n";
    assert!(text.contains(unknown), "{text}");
    assert!(
        text.contains("beside `teacher`, `targets`, `student`, `features`"),
        "{text}"
    );
    // Damaged rates are none, and a place that can't be written costs only the memory.
    sandbox.write(RATES, "{");
    assert_eq!(plan(&sandbox.path(RATES)), text);
    assert_eq!(plan(Path::new("/proc/no/rates.json")), text);
    assert!(!plan(Path::new("off")).contains("takes a time"));
}

#[test]
fn init_says_how_long_its_pipeline_takes() {
    let sandbox = Sandbox::with("source: digits.parquet");
    let arguments = [
        "--pipeline",
        "mine.yaml",
        "init",
        "--from",
        "digits.parquet",
    ];
    let told = run(&sandbox, &arguments).stdout;
    let line = told.lines().find(|line| line.starts_with("takes about "));
    let line = line.unwrap_or_else(|| panic!("{told}"));
    assert!(line.contains(" on this machine: teacher "), "{line}");
    // The plan says the same of the same.
    let plan = run(&sandbox, &["--pipeline", "mine.yaml", "run", "--dry-run"]).stdout;
    let about = line
        .split(" on this")
        .next()
        .unwrap()
        .trim_start_matches("takes ");
    assert!(
        plan.contains(&format!("time in all: {about}")),
        "{line}\n{plan}"
    );
}
