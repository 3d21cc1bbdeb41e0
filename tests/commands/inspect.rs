//! `status`, `explain`, `graph`, `show`, `metrics`: they read and change nothing.

use insta::assert_snapshot;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE};

#[test]
fn status_before_and_after_a_run() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(sandbox.run(&["status"]).succeeded().stable_stdout(), @"");
    assert!(!sandbox.path(".seedpipe").exists());
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_snapshot!(sandbox.run(&["status"]).succeeded().stable_stdout(), @"");
    let json = sandbox.run(&["status", "--json"]).succeeded().json();
    assert_eq!(json[0]["stage"], "images");
    assert_eq!(json[0]["state"], "cached");
    assert_eq!(json[1]["fingerprint"].as_str().unwrap().len(), 64);
}

#[test]
fn explain_names_the_fields_that_differ_and_where_it_began() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_snapshot!(sandbox.run(&["explain", "views"]).succeeded().stable_stdout(), @"");
    sandbox.write(
        "pipeline.yaml",
        LIGHT_PIPELINE.replace("size: 16", "size: 20"),
    );
    assert_snapshot!(sandbox.run(&["explain", "views"]).succeeded().stable_stdout(), @"");
    sandbox.write(
        "pipeline.yaml",
        LIGHT_PIPELINE.replace("train: 60", "train: 50"),
    );
    assert_snapshot!(sandbox.run(&["explain", "views"]).succeeded().stable_stdout(), @"");
    let json = sandbox
        .run(&["explain", "images", "--json"])
        .succeeded()
        .json();
    assert_eq!(json["changes"][0]["field"], "params.take.train", "{json}");
    let unknown = sandbox.run(&["explain", "view"]).exited_with(2);
    assert!(
        unknown.stderr.contains("did you mean `views`?"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn the_graph_in_three_formats() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(sandbox.run(&["graph"]).succeeded().stdout, @"");
    assert_snapshot!(sandbox.run(&["graph", "--format", "dot"]).succeeded().stdout, @"");
    let svg = sandbox
        .run(&["graph", "--format", "svg"])
        .succeeded()
        .stdout;
    assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{svg}");
    sandbox.run(&["graph", "--format", "png"]).exited_with(2);
}

#[test]
fn show_prints_columns_rows_and_provenance() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let early = sandbox.run(&["show", "views"]).exited_with(1);
    assert_snapshot!(early.refusal(), @"");
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_snapshot!(sandbox.run(&["show", "images.rejected", "-n", "3"]).succeeded().stable_stdout(), @"");
    let views = sandbox
        .run(&["show", "views", "-n", "2"])
        .succeeded()
        .stdout;
    for part in [
        "views.views",
        "crop_width",
        "120",
        "upstream",
        "images = images.images",
        "params",
    ] {
        assert!(views.contains(part), "`{part}` is not in\n{views}");
    }
    let json = sandbox
        .run(&["show", "views", "-n", "2", "--json"])
        .succeeded()
        .json();
    assert_eq!(json["outputs"]["views"]["rows"], 120);
    assert_eq!(
        json["outputs"]["views"]["first"].as_array().unwrap().len(),
        2
    );
    assert_eq!(json["upstream"]["images"][0], "images.images");
    assert_eq!(json["recipe"]["params"]["size"], 16);
    assert_snapshot!(sandbox.run(&["show", "views.pixels"]).exited_with(2).refusal(), @"");
}

#[test]
fn metrics_are_fractions_of_the_last_step() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    assert_eq!(
        sandbox.run(&["metrics", "--json"]).succeeded().json(),
        serde_json::json!([])
    );
    sandbox.run(&["run", "--quiet"]).succeeded();
    let metrics = sandbox.run(&["metrics", "--json"]).succeeded().json();
    let value = |stage: &str, split: &str, name: &str| {
        let rows = metrics.as_array().unwrap();
        let found: Vec<_> = rows
            .iter()
            .filter(|row| row["stage"] == stage && row["split"] == split && row["name"] == name)
            .collect();
        assert_eq!(found.len(), 1, "{stage} {split} {name} in {metrics}");
        found[0]["value"].as_f64().unwrap()
    };
    for value in [
        value("neighbours", "test", "knn_top1"),
        value("probe", "test", "linear_top1"),
    ] {
        assert!((0.0..=1.0).contains(&value), "{value}");
    }
    assert!(value("student", "train", "loss") > 0.0);
    let table = sandbox.run(&["metrics"]).succeeded().stdout;
    assert_eq!(table.lines().count(), metrics.as_array().unwrap().len() + 1);
}
