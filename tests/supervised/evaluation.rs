//! What evaluation reports beside accuracies: intervals, retrieval, the confusion matrix, the table
//! of results.

use insta::assert_snapshot;

use super::{TEACHERS, figure, tuned};
use crate::sandbox::Sandbox;

const JUDGED: &str = "  neighbours: {kind: knn, inputs: {images: images, features: features}, params: {k: [5, 1], retrieval: true}}
  report: {kind: report, inputs: {metrics: [neighbours.metrics, probe.metrics, tuned.metrics]}}
";

fn judged() -> Sandbox {
    let tuned = tuned("tuned", "", "");
    let sandbox = Sandbox::with(&format!("{TEACHERS}{tuned}{JUDGED}"));
    sandbox.run(&["run", "--quiet"]).succeeded();
    sandbox
}

#[test]
fn accuracies_come_with_their_interval_and_the_matrix_of_the_same_predictions() {
    let sandbox = judged();
    for (stage, name) in [
        ("neighbours", "knn_top1"),
        ("neighbours", "knn_top1_k1"),
        ("probe", "linear_top1"),
        ("own", "top1"),
        ("tuned", "top1"),
    ] {
        let value = |end: &str| figure(&sandbox, stage, "test", &format!("{name}{end}"));
        let (low, top1, high) = (value("_low"), value(""), value("_high"));
        assert!(
            low <= top1 && top1 <= high,
            "{stage} {name}: {low} {top1} {high}"
        );
        assert!(high - low < 0.5, "{stage} {name}: {low} {high}");
    }
    for k in [1, 5, 10] {
        let recall = figure(
            &sandbox,
            "neighbours",
            "test",
            &format!("retrieval_recall_at_{k}"),
        );
        assert!((0.0..=1.0).contains(&recall), "{recall}");
    }
    // The nearest image votes alone.
    assert_eq!(
        figure(&sandbox, "neighbours", "test", "retrieval_recall_at_1"),
        figure(&sandbox, "neighbours", "test", "knn_top1_k1")
    );

    for (stage, name) in [("probe", "linear_top1"), ("tuned", "top1")] {
        let confusion = sandbox
            .run(&["metrics", "--confusion", stage, "--json"])
            .succeeded()
            .json();
        let counts: Vec<Vec<u64>> = serde_json::from_value(confusion["counts"].clone()).unwrap();
        assert_eq!(counts.concat().iter().sum::<u64>(), 20);
        let right: u64 = (0..counts.len()).map(|class| counts[class][class]).sum();
        assert_eq!(right as f64 / 20.0, figure(&sandbox, stage, "test", name));
        assert_eq!(confusion["classes"][3]["name"], "3");
    }
    let table = sandbox
        .run(&["metrics", "--confusion", "probe", "--csv"])
        .succeeded()
        .stdout;
    assert_eq!(
        table.lines().next(),
        Some("true \\ predicted,0,1,2,3,4,5,6,7,8,9")
    );
    let page = fs_err::read_to_string(sandbox.path("report.html")).unwrap();
    assert!(
        page.contains("95 % interval: "),
        "the table of results has the margin"
    );
}

#[test]
fn a_stage_without_predictions_has_no_confusion_matrix() {
    let sandbox = Sandbox::with(TEACHERS);
    sandbox.run(&["run", "views", "--quiet"]).succeeded();
    let refusals: Vec<String> = ["views", "probe"]
        .iter()
        .map(|stage| {
            let finished = sandbox.run(&["metrics", "--confusion", stage]);
            finished.refusal()
        })
        .collect();
    assert_snapshot!(refusals.join("\n"), @r"
    error: stage `views` of kind `augment` makes no predictions
    hint: name a stage of kind `knn`, `probe` or `finetune`
    exit code 2
    error: stage `probe` is not cached, so there are no predictions
    hint: run `seedpipe run probe`
    exit code 1
    ");
}

#[test]
fn images_are_not_retrieved_among_themselves() {
    let stage = "  found: {kind: knn, inputs: {images: images, features: features}, params: {retrieval: true, bank_split: test}}\n";
    let sandbox = Sandbox::with(&format!("{TEACHERS}{stage}"));
    assert_snapshot!(sandbox.run(&["run", "found", "--quiet"]).refusal(), @r"
    error: pipeline.yaml: stage `found`: key `params.retrieval`: expected false when the test images are the bank, got true
    hint: each would find itself first: name another `bank_split` or `test_split`
    exit code 2
    ");
}
