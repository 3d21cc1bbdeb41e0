use super::*;
use seedpipe_engine::GroupedStage;

fn source(
    stage: &str,
    kind: &str,
    inputs: &[(&str, &str)],
    headline: &[(&str, f64)],
    parameters: Option<u64>,
) -> ResultSource {
    ResultSource {
        stage: stage.into(),
        kind: crate::light_registry().known(kind).clone(),
        params: serde_json::json!({}),
        inputs: inputs
            .iter()
            .map(|(slot, stage)| ((*slot).to_owned(), vec![(*stage).to_owned()]))
            .collect(),
        headline: headline
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect(),
        parameters,
    }
}

#[test]
fn a_measure_stands_in_the_row_of_the_network_that_was_measured() {
    let sources = [
        source("student", "distill", &[], &[], None),
        source(
            "student_features",
            "encode",
            &[("weights", "student")],
            &[],
            Some(1234),
        ),
        source(
            "student_knn",
            "knn",
            &[("features", "student_features")],
            &[
                ("test/knn_top1", 0.5),
                ("test/knn_top1_high", 0.51),
                ("test/knn_top1_low", 0.492),
            ],
            None,
        ),
        source(
            "student_probe",
            "probe",
            &[("features", "student_features")],
            &[("test/linear_top1", 0.75), ("test/linear_top5", 1.0)],
            None,
        ),
        source(
            "student_logits",
            "probe",
            &[("features", "student_features")],
            &[("test/top1", 0.625)],
            None,
        ),
        source(
            "tuned",
            "finetune",
            &[],
            &[("test/top1", 0.875)],
            Some(1244),
        ),
    ];
    let expected = "\
network  parameters      kNN top-1  linear top-1  own classifier top-1  fine-tuned top-1
-------  ----------  -------------  ------------  --------------------  ----------------
student       1,234  50.00 % ± 0.9       75.00 %               62.50 %
tuned         1,244                                                              87.50 %
";
    assert_eq!(results(&sources).text(), expected);
}

#[test]
fn networks_of_several_seeds_are_one_row_that_says_what_is_missing() {
    let no_params = serde_json::json!({});
    let mut names = Vec::new();
    for (width, seed) in [(1, 0), (1, 1), (1, 2), (2, 0)] {
        let axes = format!("[width={width},seed={seed}]");
        let params = serde_json::json!({"width": width});
        names.push((
            seed,
            params,
            ["student", "features", "probe"].map(|base| format!("{base}{axes}")),
        ));
    }
    let stages = names
        .iter()
        .flat_map(|(seed, params, [student, features, probe])| {
            let stage = |name, kind, seed, params, inputs| GroupedStage {
                name,
                kind,
                seed,
                params,
                inputs,
            };
            let weights = vec![["weights", student.as_str(), "weights"]];
            let embeddings = vec![["features", features.as_str(), "embeddings"]];
            [
                stage(student, "distill", *seed, params, vec![]),
                stage(features, "encode", 0, &no_params, weights),
                stage(probe, "probe", 0, &no_params, embeddings),
            ]
        });
    let grouping = Grouping::new(stages.collect());
    // Width 1 lacks its third seed.
    let judged = names.iter().zip([0.5, 0.75, f64::NAN, 0.25]);
    let sources = judged.filter(|(_, value)| value.is_finite());
    let sources: Vec<ResultSource> = sources
        .flat_map(|((_, _, [student, features, probe]), value)| {
            [
                source(student, "distill", &[], &[], None),
                source(features, "encode", &[("weights", student)], &[], Some(1234)),
                source(
                    probe,
                    "probe",
                    &[("features", features)],
                    &[
                        ("test/linear_top1", value),
                        ("test/linear_top1_low", 0.1),
                        ("test/linear_top1_high", 0.9),
                    ],
                    None,
                ),
            ]
        })
        .collect();
    let told = |over: &[&str], by: &[&str]| {
        let [over, by] =
            [over, by].map(|keys| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        let together = Together {
            grouping: &grouping,
            over: &over,
            by: &by,
        };
        results_over(&sources, &together).text()
    };
    assert_eq!(
        told(&["seed"], &[]),
        "network           parameters                linear top-1\n\
         ----------------  ----------  --------------------------\n\
         student[width=1]       1,234  62.50 % ± 17.68 (n=2 of 3)\n\
         student[width=2]       1,234               25.00 % (n=1)\n"
    );
    assert_eq!(
        told(&["seed"], &["width"]),
        "network  width  parameters                linear top-1\n\
         -------  -----  ----------  --------------------------\n\
         student      1       1,234  62.50 % ± 17.68 (n=2 of 3)\n\
         student      2       1,234               25.00 % (n=1)\n"
    );
    assert_eq!(
        told(&[], &["width", "seed"]),
        "network  width  seed  parameters    linear top-1\n\
         -------  -----  ----  ----------  --------------\n\
         student      1     0       1,234  50.00 % ± 40.0\n\
         student      1     1       1,234  75.00 % ± 40.0\n\
         student      2     0       1,234  25.00 % ± 40.0\n"
    );
}

#[test]
fn every_column_is_of_a_headline_figure() {
    let registry = crate::light_registry();
    for kind in registry.kinds() {
        for Column { name, .. } in kind.columns() {
            assert!(kind.headline().contains(name), "{}: {name}", kind.name());
        }
    }
}

#[test]
fn a_network_that_is_measured_twice_has_two_figures() {
    let probe = |stage: &str, split: &str, value: f64| {
        source(
            stage,
            "probe",
            &[("features", "features")],
            &[(format!("{split}/linear_top1").as_str(), value)],
            None,
        )
    };
    let sources = [
        source("student", "distill", &[], &[], None),
        source("features", "encode", &[("weights", "student")], &[], None),
        probe("probe[l2=1,seed=0]", "test", 0.75),
        probe("probe[l2=1,seed=1]", "test", 0.5),
        probe("on_val", "val", 0.625),
        probe("again", "test", 0.25),
    ];
    let results = results(&sources);
    assert_eq!(
        results.columns,
        [
            "linear top-1",
            "linear top-1, seed=1",
            "linear top-1, val",
            "linear top-1, again"
        ]
    );
    let values: Vec<f64> = results.rows[0]
        .values
        .iter()
        .map(|measure| measure.as_ref().unwrap().value)
        .collect();
    assert_eq!(
        (results.rows.len(), values),
        (1, vec![0.75, 0.5, 0.625, 0.25])
    );
}

#[test]
fn a_share_stands_beside_what_chance_gives() {
    let agreement = |stage: &str, features: &str, value: f64| {
        let figures = [
            ("test/neighbours_in_common", value),
            ("test/neighbours_in_common_by_chance", 0.125),
            ("test/rank_correlation", value / 2.0),
        ];
        source(
            stage,
            "agreement",
            &[("features", features)],
            &figures,
            None,
        )
    };
    let sources = [
        source("student", "encode", &[], &[], Some(9)),
        source("untrained", "encode", &[], &[], Some(9)),
        agreement("one", "student", 0.5),
        agreement("other", "untrained", 0.25),
    ];
    let expected = "\
network    parameters  teacher's neighbours, 12.5 % by chance  rank correlation
---------  ----------  --------------------------------------  ----------------
student             9                                 50.00 %           25.00 %
untrained           9                                 25.00 %           12.50 %
";
    assert_eq!(results(&sources).text(), expected);
}
