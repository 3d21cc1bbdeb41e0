//! What the pages hold, and what `seedpipe report` refuses.

use insta::assert_snapshot;

use super::{PIPELINE, RAN, reported};
use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE};

/// The ids of the sections of a page, in order.
fn sections(page: &str) -> Vec<&str> {
    let parts = page.split("<section id=\"").skip(1);
    parts.map(|part| part.split('"').next().unwrap()).collect()
}

#[test]
fn the_command_shows_everything_and_loads_nothing() {
    let page = reported(&RAN, "all.html", &[]);
    assert_eq!(
        sections(&page),
        [
            "results",
            "size",
            "training",
            "data",
            "classes",
            "confusion",
            "mistakes",
            "map",
            "neighbours",
            "views",
            "time",
            "lineage",
            "recipe",
            "environment"
        ]
    );
    assert!(!page.contains("Not on this page"));
    for address in ["http://", "https://", "src=\"", "@import", "url(//"] {
        // SVG's name space is a name and no address; the script makes elements by it.
        let found = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!found.contains(address), "{address}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("<h1>Small digits</h1>"));
    assert!(page.len() < 2_000_000, "{}", page.len());
    // Every network, with its interval, and the figure that `metrics` tells.
    for network in ["teacher", "student", "untrained", "tuned"] {
        assert!(page.contains(&format!("<b>{network}</b>")), "{network}");
    }
    let figures = RAN.run(&["metrics", "--json"]).succeeded().json();
    let student = figures
        .as_array()
        .unwrap()
        .iter()
        .find(|figure| figure["stage"] == "student_probe" && figure["name"] == "linear_top1");
    let value = student.unwrap()["value"].as_f64().unwrap();
    let text = format!("{:.2} %", value * 100.0);
    assert!(page.contains(&text), "{text}");
    // A point an image of the test split in each of the four maps.
    let is_number =
        |text: &str| !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
    let dots = page.split('M').filter(|rest| {
        let point = rest
            .split_once("h0")
            .and_then(|(point, _)| point.split_once(' '));
        point.is_some_and(|(x, y)| is_number(x) && is_number(y))
    });
    assert_eq!(dots.count(), 400);
}

#[test]
fn the_same_cache_gives_the_same_page() {
    assert_eq!(
        reported(&RAN, "one.html", &[]),
        reported(&RAN, "two.html", &[])
    );
}

#[test]
fn the_stage_shows_what_is_connected_and_nothing_that_a_rerun_changes() {
    let page = fs_err::read_to_string(RAN.path("report.html")).unwrap();
    let found = sections(&page);
    for section in [
        "results",
        "confusion",
        "map",
        "neighbours",
        "views",
        "lineage",
    ] {
        assert!(found.contains(&section), "{section}: {found:?}");
    }
    for section in ["time", "environment", "changes"] {
        assert!(!found.contains(&section), "{section}");
    }
    assert!(page.contains("<li><b>Time</b>: <code>seedpipe report</code> writes it"));
    assert!(!page.contains("images/s</th>"));

    let again = Sandbox::with(PIPELINE);
    again.run(&["run", "--quiet"]).succeeded();
    assert_eq!(
        fs_err::read_to_string(again.path("report.html")).unwrap(),
        page
    );
}

#[test]
fn a_report_of_metrics_alone_says_what_would_give_the_rest() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let page = fs_err::read_to_string(sandbox.path("report.html")).unwrap();
    assert_eq!(
        sections(&page),
        ["results", "training", "classes", "lineage", "recipe"]
    );
    assert!(page.contains(
        "<li><b>Map of the embeddings</b>: connect <code>features</code> and <code>images</code>"
    ));
}

#[test]
fn equal_stages_keep_their_names_and_what_is_perfect_needs_no_remedy() {
    // The networks are equal, and each image finds itself.
    let sandbox = Sandbox::with(
        "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, hash_split: {val: 0.5}, take: {train: 20, val: 60}}}
  one: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25}, preprocessing: {size: 16, crop_ratio: 1.0}}}
  two: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25}, preprocessing: {size: 16, crop_ratio: 1.0}}}
  one_knn: {kind: knn, inputs: {images: images, features: one}, params: {k: [1], bank_split: val, test_split: val}}
  two_knn: {kind: knn, inputs: {images: images, features: two}, params: {k: [1], bank_split: val, test_split: val}}
  report: {kind: report, inputs: {metrics: [one_knn, two_knn], images: images, predictions: one_knn, features: one}}
",
    );
    sandbox.run(&["run", "--quiet"]).succeeded();
    let page = fs_err::read_to_string(sandbox.path("report.html")).unwrap();
    for part in [
        "<b>one</b>",
        "<b>two</b>",
        "<dt>input features</dt><dd>one.embeddings</dd>",
        "<dt>input features</dt><dd>two.embeddings</dd>",
        "<li><b>The mistakes it was surest of</b>: there are none: every judged image was named rightly</li>",
        "<li><b>Nearest neighbours</b>: embeddings of two splits",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<b>100.00 %</b>").count(), 2);
}

#[test]
fn a_page_is_about_the_split_that_was_judged() {
    let sandbox = Sandbox::with(
        "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, hash_split: {val: 0.5}, take: {train: 80, val: 120, test: 30}}}
  features: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25}, preprocessing: {size: 16, crop_ratio: 1.0}}}
  on_val: {kind: knn, inputs: {images: images, features: features}, params: {k: [5], test_split: val}}
  on_test: {kind: knn, inputs: {images: images, features: features}, params: {k: [5]}}
  report: {kind: report, inputs: {metrics: [on_val, on_test], images: images, predictions: on_val, features: features}}
",
    );
    sandbox.run(&["run", "--quiet"]).succeeded();
    let page = fs_err::read_to_string(sandbox.path("report.html")).unwrap();
    for part in [
        "<th scope=\"col\" class=\"n\">kNN top\u{2011}1</th>",
        "<th scope=\"col\" class=\"n\">kNN top\u{2011}1, val</th>",
        "120 images of the split val, by",
        "Left an image of the split val, right the images of the split train",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_page_against_a_lock_tells_old_and_new() {
    let lock = fs_err::read_to_string(RAN.path("pipeline.lock")).unwrap();
    // The student's probe was another one, and had one setting and one stage more.
    let figures = RAN.run(&["metrics", "--json"]).succeeded().json();
    let figure = figures
        .as_array()
        .unwrap()
        .iter()
        .find(|figure| figure["stage"] == "student_probe" && figure["name"] == "linear_top1");
    let value = figure.unwrap()["value"].as_f64().unwrap();
    let part = lock.find("  student_probe:\n").unwrap();
    let (before, after) = lock.split_at(part);
    let line = format!("metrics.test/linear_top1: {value}\n");
    assert!(after.contains(&line), "{after}");
    let after = after.replacen(
        &line,
        &format!("metrics.test/linear_top1: {}\n", value - 0.05),
        1,
    );
    let lock = format!("{before}{after}").replace("params.queue: 80", "params.queue: 40");
    RAN.write("old.lock", lock);
    let page = reported(&RAN, "against.html", &["--against", "old.lock"]);
    assert_eq!(sections(&page)[..2], ["results", "changes"]);
    assert!(page.contains("▲ +5.00 points"));
    assert!(page.contains("<td>params.queue</td><td><code>40</code></td><td><code>80</code></td>"));
    assert!(page.contains("Settings that differ from old.lock"));
}

#[test]
fn what_is_not_there_is_refused_with_its_remedy() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let mut refusals = vec![sandbox.run(&["report"]).refusal()];
    sandbox.run(&["run", "images", "--quiet"]).succeeded();
    refusals.push(sandbox.run(&["report"]).refusal());
    refusals.push(
        sandbox
            .run(&["report", "--partial", "--against", "nothing"])
            .refusal(),
    );
    let lost = sandbox.run(&["report", "--partial", "-o", "no/such/folder/x.html"]);
    let lost = lost.exited_with(1).stderr;
    assert!(
        lost.contains("error: `no/such/folder/x.html` can't be written: "),
        "{lost}"
    );
    assert_snapshot!(refusals.join("\n"), @r"
    error: no stage of the pipeline is cached, so there is nothing to report
    hint: run `seedpipe run`
    exit code 1
    error: not cached, so the page would lack them: `views`
    hint: run `seedpipe run`, or add `--partial` for a page on what there is
    exit code 1
    warning: not cached, so the page lacks them: `views`
    error: nothing: expected a file or a git revision, got no such file, and git says: not a git repository (or any of the parent directories): .git
    hint: name a pipeline.lock, or a git revision that has one, such as `HEAD~1`
    exit code 2
    ");
    assert!(!sandbox.path("pipeline-report.html").exists());
    let partial = sandbox.run(&["report", "--partial"]).succeeded();
    assert!(partial.stderr.contains("the page lacks them: `views`"));
    assert!(sandbox.path("pipeline-report.html").is_file());
}
