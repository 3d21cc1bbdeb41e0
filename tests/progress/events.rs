//! `--log-format json`: a line of JSON for each event, as docs/progress.md says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::sandbox::{Finished, LIGHT_PIPELINE, REPOSITORY, Sandbox, WHOLE_PIPELINE};

fn events(finished: &Finished) -> Vec<Value> {
    finished
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["event"] == name)
        .collect()
}

/// Event → the fields that the document names.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs_err::read_to_string(format!("{REPOSITORY}/docs/progress.md")).unwrap();
    let mut events: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = None;
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let event = heading.strip_prefix("## ").map(str::to_owned);
            current = event;
        } else if let (Some(event), Some(row)) = (&current, line.strip_prefix("| `")) {
            let cell = row.split(" |").next().unwrap();
            let fields = cell
                .split(", ")
                .map(|field| field.trim_matches('`').to_owned());
            events.entry(event.clone()).or_default().extend(fields);
        }
    }
    events
}

/// Every field is in the document, under its event.
fn check(events: &[Value]) {
    let documented = documented();
    for event in events {
        assert_eq!(event["v"], 1, "{event}");
        let time = event["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        let known = &documented[event["event"].as_str().unwrap()];
        for field in event.as_object().unwrap().keys() {
            let is_everywhere = ["v", "event", "time"].contains(&field.as_str());
            assert!(is_everywhere || known.contains(field), "{field} of {event}");
        }
    }
}

#[test]
fn every_event_of_a_run_is_as_the_document_says() {
    // Long enough for progress to be told.
    let pipeline = WHOLE_PIPELINE.replace("training: {epochs: 1,", "training: {epochs: 100,");
    let sandbox = Sandbox::with(&pipeline);
    let finished = sandbox.run(&["run", "--log-format", "json"]).succeeded();
    assert!(
        finished.stdout.contains("report: report.html"),
        "{}",
        finished.stdout
    );
    let all = events(&finished);
    check(&all);

    assert_eq!(all[0]["event"], "run_started");
    let plan = all[0]["stages"].as_array().unwrap();
    assert_eq!(plan.len(), 9);
    assert_eq!(plan[2]["stage"], "teacher");
    assert_eq!(plan[2]["needs"], serde_json::json!(["images", "views"]));
    assert_eq!(all.last().unwrap()["event"], "run_finished");
    assert_eq!(all.last().unwrap()["outcome"], "succeeded");

    let started: Vec<&Value> = named(&all, "stage_started")
        .iter()
        .map(|it| &it["stage"])
        .collect();
    let finished: Vec<&Value> = named(&all, "stage_finished")
        .iter()
        .map(|it| &it["stage"])
        .collect();
    assert_eq!(finished.len(), 9);
    assert!(started.iter().all(|stage| finished.contains(stage)));

    let progress = named(&all, "progress");
    let training = progress
        .iter()
        .find(|event| event["stage"] == "teacher" && event["step"].is_u64())
        .unwrap();
    assert_eq!(training["unit"], "images");
    assert_eq!(training["total"], 100 * 48);
    assert_eq!(training["waiting_for"], "rendering");
    assert!(
        training["values"]["loss"].as_f64().unwrap() > 0.0,
        "{training}"
    );
    assert!(training["per_second"].as_f64().unwrap() > 0.0, "{training}");
}

#[test]
fn the_epochs_of_a_training_are_told_with_the_numbers_of_its_metrics() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let all = events(&sandbox.run(&["run", "--log-format", "json"]).succeeded());
    let losses: Vec<(u64, f64)> = named(&all, "metrics")
        .iter()
        .filter(|event| event["stage"] == "student" && event["over"] == "epoch")
        .map(|event| {
            assert_eq!(event["epochs"], 2);
            (
                event["step"].as_u64().unwrap(),
                event["values"]["loss"].as_f64().unwrap(),
            )
        })
        .collect();
    let rows = sandbox
        .run(&["show", "student.metrics", "-n", "1000", "--json"])
        .succeeded()
        .json();
    let stored: Vec<(u64, f64)> = rows["outputs"]["metrics"]["first"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["name"] == "loss")
        .map(|row| {
            (
                row["step"].as_u64().unwrap(),
                row["value"].as_f64().unwrap(),
            )
        })
        .collect();
    assert_eq!(losses.len(), 2);
    assert_eq!(losses, stored);
}

#[test]
fn cached_stages_failures_and_refusals_are_events_too() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "-q"]).succeeded();
    let again = events(&sandbox.run(&["run", "--log-format", "json"]).succeeded());
    check(&again);
    let outcomes: Vec<&Value> = named(&again, "stage_finished")
        .iter()
        .map(|it| &it["outcome"])
        .collect();
    assert_eq!(outcomes, ["cached", "cached"]);
    assert_eq!(again.last().unwrap()["cached"], 2);

    let set = [
        "run",
        "--log-format",
        "json",
        "--set",
        "images.take={train: 60, test: 20000}",
    ];
    let failed = events(&sandbox.run(&set).exited_with(1));
    check(&failed);
    let finished = named(&failed, "stage_finished");
    assert_eq!(finished[0]["outcome"], "failed");
    assert!(finished[0]["error"].as_str().unwrap().contains("take.test"));
    let run = named(&failed, "run_finished");
    assert_eq!(run[0]["outcome"], "failed");
    assert_eq!(run[0]["not_reached"], serde_json::json!(["views"]));
    let told = named(&failed, "message");
    assert_eq!(told.last().unwrap()["level"], "error");
    assert_eq!(failed.last().unwrap(), run[0]);

    // With a lock, what it records of the source would do.
    fs_err::remove_file(sandbox.path("pipeline.lock")).unwrap();
    fs_err::remove_file(sandbox.path("digits.parquet")).unwrap();
    let refused = events(&sandbox.run(&["run", "--log-format", "json"]).exited_with(2));
    check(&refused);
    assert_eq!(refused.last().unwrap()["level"], "error");
    let quiet = events(
        &sandbox
            .run(&["run", "-q", "--log-format", "json"])
            .exited_with(2),
    );
    assert_eq!(quiet.len(), 1);
}
