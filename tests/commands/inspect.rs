//! `status`, `explain`, `graph`, `show`, `metrics`: they read and change nothing.

use std::path::PathBuf;

use insta::assert_snapshot;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE};

#[test]
fn status_before_and_after_a_run() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(sandbox.run(&["status"]).succeeded().stable_stdout(), @r"
    stage   kind     state     fingerprint   why
    images  ingest   will run  [short]  never run
    views   augment  may run   -             waits for the content of `images`
    0 of 2 stages cached
    ");
    assert!(!sandbox.path(".seedpipe").exists());
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_snapshot!(sandbox.run(&["status"]).succeeded().stable_stdout(), @r"
    stage   kind     state   fingerprint   why
    images  ingest   cached  [short]  made [date]
    views   augment  cached  [short]  made [date]
    2 of 2 stages cached
    ");
    let json = sandbox.run(&["status", "--json"]).succeeded().json();
    assert_eq!(json[0]["stage"], "images");
    assert_eq!(json[0]["state"], "cached");
    assert_eq!(json[1]["fingerprint"].as_str().unwrap().len(), 64);
}

#[test]
fn explain_names_the_fields_that_differ_and_where_it_began() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_snapshot!(sandbox.run(&["explain", "views"]).succeeded().stable_stdout(), @r"
    views (augment): cached
      its recipe is the last run's
      artifact [short] of content [short], made [date] in the numerics class `[architecture]`, is whole: 2 files, [size]
    ");
    sandbox.write(
        "pipeline.yaml",
        LIGHT_PIPELINE.replace("size: 16", "size: 20"),
    );
    assert_snapshot!(sandbox.run(&["explain", "views"]).succeeded().stable_stdout(), @r"
    views (augment): will run
      no artifact of its recipe is in the cache
      its recipe differs from the last run's:
      params.size: 16 → 20
    ");
    sandbox.write(
        "pipeline.yaml",
        LIGHT_PIPELINE.replace("train: 60", "train: 50"),
    );
    assert_snapshot!(sandbox.run(&["explain", "views"]).succeeded().stable_stdout(), @r"
    views (augment): may run, depends on `images`
      nothing of its own differs from the last run
      because of
        images (ingest): will run
          no artifact of its recipe is in the cache
          its recipe differs from the last run's:
          params.take.train: 60 → 50
    ");
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
    assert_snapshot!(sandbox.run(&["graph"]).succeeded().stdout, @r#"
    flowchart TD
        s0["images<br/><small>ingest</small>"]
        s1["views<br/><small>augment</small>"]
        s0 -->|"images"| s1
    "#);
    assert_snapshot!(sandbox.run(&["graph", "--format", "dot"]).succeeded().stdout, @r#"
    digraph pipeline {
        node [shape=box, style=rounded, fontname="sans-serif"];
        edge [fontname="sans-serif", fontsize=10];
        s0 [label="images\ningest"];
        s1 [label="views\naugment"];
        s0 -> s1 [label="images"];
    }
    "#);
    let svg = sandbox
        .run(&["graph", "--format", "svg"])
        .succeeded()
        .stdout;
    assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{svg}");
    sandbox.run(&["graph", "--format", "png"]).exited_with(2);
}

#[test]
fn show_tells_where_the_files_of_an_output_lie() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let paths = |target: &str| {
        let said = sandbox.run(&["show", target, "--path"]).succeeded();
        let lines = said.stdout.lines();
        lines.map(PathBuf::from).collect::<Vec<_>>()
    };
    let images = paths("images.images");
    assert_eq!(images.len(), 1);
    assert!(images[0].is_absolute() && images[0].ends_with("images/part-00000.parquet"));
    let reader = seedpipe_artifact::ImagesReader::open(&images).unwrap();
    assert_eq!(reader.rows(), 80);
    let all = paths("images");
    assert!(all.len() == 2 && all.contains(&images[0]), "{all:?}");
    sandbox
        .run(&["show", "images.image", "--path"])
        .exited_with(2);
    sandbox
        .run(&["show", "images", "--path", "--json"])
        .exited_with(2);
}

#[test]
fn show_prints_columns_rows_and_provenance() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let early = sandbox.run(&["show", "views"]).exited_with(1);
    assert_snapshot!(early.refusal(), @r"
    error: stage `views` is not cached, so there is nothing to show
    hint: run `seedpipe run views`
    exit code 1
    ");
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_snapshot!(sandbox.run(&["show", "images.rejected", "-n", "3"]).succeeded().stable_stdout(), @r#"
    images.rejected
    rejected/v1, 0 rows
      source  utf8
      reason  utf8

    provenance
      kind         ingest version 2
      fingerprint  [digest]
      content      [digest]
      created      [date]
      size         [size]
      directory    .seedpipe/v1/artifacts/[digest]/[digest]
      took         [time]
      device       auto
      numerics     [architecture]
      versions     seedpipe 0.1.0
    recipe
      {
        "inputs": {},
        "kind": "ingest",
        "params": {
          "hash_split": {},
          "image_column": null,
          "label_column": "label",
          "label_name_column": null,
          "max_bad_fraction": 0.0,
          "max_pixels": 100000000,
          "source": "digits.parquet",
          "split_column": "split",
          "take": {
            "test": 20,
            "train": 60
          }
        },
        "seed": 0,
        "sources": {
          "digits.parquet": "[digest]"
        },
        "version": 2
      }
    "#);
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
    assert_snapshot!(sandbox.run(&["show", "views.pixels"]).exited_with(2).refusal(), @r"
    error: stage `views` has no output `pixels`
    hint: it has `views.views`
    exit code 2
    ");
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
    let table = sandbox.run(&["metrics", "--verbose"]).succeeded().stdout;
    // The ends of an interval stand beside their figure.
    let is_end = |row: &&serde_json::Value| {
        let name = row["name"].as_str().unwrap();
        !(name.ends_with("_low") || name.ends_with("_high"))
    };
    let figures = metrics.as_array().unwrap().iter().filter(is_end);
    // Behind the table of networks, a heading.
    let of_figures = table.lines().skip_while(|line| !line.starts_with("stage "));
    assert_eq!(of_figures.count(), figures.count() + 1);
    assert!(
        table.contains("no untrained network in this pipeline"),
        "{table}"
    );
    let knn = table.lines().find(|line| line.contains(" knn_top1 "));
    let (low, high) = (
        value("neighbours", "test", "knn_top1_low"),
        value("neighbours", "test", "knn_top1_high"),
    );
    let interval = format!("{low:.4} to {high:.4}");
    assert!(knn.unwrap().ends_with(&interval), "{table}");
}
