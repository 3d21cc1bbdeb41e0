//! `metrics --over` and `--by`: the figures of several stages together, in the terminal, for
//! programs and on the page.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use insta::assert_snapshot;
use serde_json::Value;

use crate::sandbox::{Finished, Sandbox};

/// Networks without training, of two widths and some seeds, judged by nearest neighbours.
fn sweep(seeds: &str) -> String {
    format!(
        "\
stages:
  images: {{kind: ingest, params: {{source: digits.parquet, label_column: label, split_column: split, take: {{train: 60, test: 20}}}}}}
  features:
    kind: encode
    inputs: {{images: images}}
    params: {{network: {{name: cifar_resnet8}}, embedding: features}}
    matrix: {{width: {{param: network.width, values: [0.25, 0.5]}}, seed: {seeds}}}
  knn: {{kind: knn, inputs: {{images: images, features: features}}, params: {{k: [5]}}}}
  report: {{kind: report, inputs: {{metrics: [knn]}}}}
"
    )
}

struct Ran {
    sandbox: Sandbox,
    run: Finished,
}

static RAN: LazyLock<Ran> = LazyLock::new(|| {
    let sandbox = Sandbox::with(&sweep("[0, 1, 2]"));
    let run = sandbox.run(&["run", "--quiet"]).succeeded();
    // A fourth seed that nobody ran.
    sandbox.write("more.yaml", sweep("[0, 1, 2, 3]"));
    Ran { sandbox, run }
});

fn rows(arguments: &[&str]) -> Vec<Value> {
    let told = RAN.sandbox.run(arguments).succeeded().json();
    told.as_array().unwrap().clone()
}

/// The values of `knn_top1` of a width, by `metrics --json`.
fn values(width: &str) -> Vec<f64> {
    let figures = rows(&["metrics", "--json"]);
    let is_wanted = |row: &&Value| {
        let stage = row["stage"].as_str().unwrap();
        row["name"] == "knn_top1" && stage.contains(&format!("[width={width},"))
    };
    let values = figures.iter().filter(is_wanted);
    values.map(|row| row["value"].as_f64().unwrap()).collect()
}

#[test]
fn a_run_and_metrics_have_one_table_which_the_page_has_too() {
    let table = RAN.run.stdout.split("report: ").next().unwrap();
    let metrics = RAN.sandbox.run(&["metrics"]).succeeded().stdout;
    assert!(metrics.starts_with(table), "{table}\n{metrics}");
    let over = RAN
        .sandbox
        .run(&["metrics", "--over", "seed"])
        .succeeded()
        .stdout;
    let over: Vec<&str> = over.split("\n\n").collect();
    assert!(table.contains(over[0]), "{table}\n{over:?}");
    let page = fs_err::read_to_string(RAN.sandbox.path("report.html")).unwrap();
    let page = page.replace('\u{a0}', " ");
    for line in over[0].lines().skip(2) {
        let figure = line.split_once(" % ").unwrap().1;
        assert!(figure.ends_with("(n=3)") && page.contains(figure), "{line}");
    }
}

#[test]
fn means_and_deviations_are_those_of_the_seeds() {
    let told = rows(&["metrics", "--over", "seed", "--by", "width", "--json"]);
    let told = told.iter().filter(|row| row["name"] == "knn_top1");
    let told: BTreeMap<String, &Value> = told
        .map(|row| (row["by"]["width"].to_string(), row))
        .collect();
    assert_eq!(told.keys().collect::<Vec<_>>(), ["0.25", "0.5"]);
    for (width, row) in &told {
        let values = values(width);
        let mean = values.iter().sum::<f64>() / 3.0;
        let squares = values.iter().map(|value| (value - mean).powi(2));
        let deviation = (squares.sum::<f64>() / 2.0).sqrt();
        assert!((row["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
        assert!((row["deviation"].as_f64().unwrap() - deviation).abs() < 1e-12);
        assert_eq!(
            (&row["n"], &row["of"], &row["stage"]),
            (&3.into(), &3.into(), &"knn".into())
        );
        assert_eq!(row["missing"], Value::Array(vec![]));
    }
    // All six; and by the param that the label sets.
    let all = rows(&["metrics", "--over", "seed,network.width", "--json"]);
    let all = all.iter().find(|row| row["name"] == "knn_top1").unwrap();
    assert_eq!((&all["n"], &all["stage"]), (&6.into(), &"knn".into()));
    let csv = RAN
        .sandbox
        .run(&["metrics", "--by", "width,seed", "--csv"])
        .succeeded()
        .stdout;
    assert_eq!(
        csv.lines().next().unwrap(),
        "stage,split,name,width,seed,value"
    );
    assert_eq!(
        csv.lines()
            .filter(|line| line.starts_with("knn,test,knn_top1,"))
            .count(),
        6
    );
    let markdown = RAN
        .sandbox
        .run(&["metrics", "--by", "width", "--over", "seed", "--markdown"]);
    let markdown = markdown.succeeded().stdout;
    assert!(
        markdown.starts_with("| stage | split | name | width | n | of | mean | deviation |\n"),
        "{markdown}"
    );
}

#[test]
fn a_seed_that_is_not_there_is_told() {
    let told = |arguments: &[&str]| {
        let arguments = [&["--pipeline", "more.yaml", "metrics"], arguments].concat();
        RAN.sandbox.run(&arguments).succeeded()
    };
    let text = told(&["--over", "seed"]).stdout;
    let note = "not cached: `knn[width=0.25,seed=3]`, `knn[width=0.5,seed=3]`; `seedpipe run` makes them\n";
    assert!(
        text.contains("3 of 4") && text.contains("(n=3 of 4)") && text.ends_with(note),
        "{text}"
    );
    let json = told(&["--over", "seed", "--json"]);
    assert!(json.stderr.contains(note), "{}", json.stderr);
    for row in json.json().as_array().unwrap() {
        assert_eq!((&row["n"], &row["of"]), (&3.into(), &4.into()), "{row}");
        assert!(
            row["missing"][0].as_str().unwrap().ends_with("seed=3]"),
            "{row}"
        );
    }
    let csv = told(&["--over", "seed", "--csv"]);
    assert!(
        csv.stdout
            .lines()
            .skip(1)
            .all(|line| line.contains(",3,4,")),
        "{}",
        csv.stdout
    );
    assert!(csv.stderr.contains(note), "{}", csv.stderr);
}

#[test]
fn unknown_keys_are_refused_with_those_that_are_known() {
    let refusals: Vec<String> = [
        &["--over", "sed"][..],
        &["--by", "depth"],
        &["--over", "seed", "--by", "width,seed"],
    ]
    .iter()
    .map(|arguments| {
        let arguments = [&["metrics"], *arguments].concat();
        RAN.sandbox.run(&arguments).exited_with(2).refusal()
    })
    .collect();
    assert_snapshot!(refusals.join("\n"), @r"
    error: --over: expected a label of a matrix, a param or `seed`, got `sed`, which is unknown
    hint: did you mean `seed`?
    exit code 2
    error: --by: expected a label of a matrix, a param or `seed`, got `depth`, which is unknown
    hint: keys: `seed`, `width`, `network.width`
    exit code 2
    error: --by: expected each key once, got `seed` twice
    hint: leave it out of one of `--over` and `--by`
    exit code 2
    ");
}
