//! The supervised losses against PyTorch: tests/fixtures/kd_loss, and
//! `testdata/reference_supervised.json`, which tests/reference/supervised_loss.py writes.

use serde_json::Value;

use super::*;
use crate::testing::golden::{Fixture, assert_close};

fn labels_of(tensor: &Tensor) -> Vec<Option<i64>> {
    Vec::<i64>::try_from(tensor)
        .unwrap()
        .into_iter()
        .map(Some)
        .collect()
}

#[test]
fn golden_kd_loss() {
    let fixture = Fixture::load("kd_loss");
    for case in fixture.cases() {
        let number = &case["case"];
        let value = |name: &str| case[name].as_f64().unwrap();
        for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
            let tensor = |name: &str| fixture.tensor(&format!("{number}.{name}")).to_kind(kind);
            let student = tensor("student_logits").set_requires_grad(true);
            let (_, classes) = student.size2().unwrap();
            let labels = labels_of(&fixture.tensor(&format!("{number}.labels")));
            let targets = HardAndSoftTargets {
                hard: hard_targets(&labels, classes as usize, 0.0).to_kind(kind),
                soft: Some(mean_probabilities(
                    &[tensor("teacher_logits")],
                    value("temperature"),
                )),
            };
            let balance = Balance {
                alpha: value("alpha"),
                temperature: value("temperature"),
            };
            let loss = supervised_loss(&student, &targets, balance);
            loss.total.backward();
            let place = format!("case {number} in {kind:?}");
            let close = |got: &Tensor, name: &str| {
                assert_close(&place, got.double_value(&[]), value(name), tolerance)
            };
            close(&loss.soft.unwrap(), "soft");
            close(&loss.hard, "hard");
            close(&loss.total, "loss");
            let expected = format!("{number}.grad_student_logits");
            fixture.assert_gradient(&place, &student.grad(), &expected, tolerance);
        }
    }
}

fn numbers(value: &Value) -> Tensor {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    let flat: Vec<f64> = rows.concat();
    Tensor::from_slice(&flat).reshape([rows.len() as i64, -1])
}

#[test]
fn smoothing_mixup_ensembles_and_missing_labels_agree_with_pytorch() {
    let text = include_str!("../testdata/reference_supervised.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= 6);
    for case in &cases {
        let place = case["case"].as_str().unwrap();
        let number = |name: &str| case[name].as_f64().unwrap();
        let student = numbers(&case["student_logits"]).set_requires_grad(true);
        let labels: Vec<Option<i64>> = serde_json::from_value(case["labels"].clone()).unwrap();
        let (rows, classes) = student.size2().unwrap();
        let teachers: Vec<Tensor> = case["teacher_logits"]
            .as_array()
            .unwrap()
            .iter()
            .map(numbers)
            .collect();
        // Targets are made in f32, as in training.
        let targets = HardAndSoftTargets {
            hard: hard_targets(&labels, classes as usize, number("label_smoothing"))
                .to_kind(Kind::Double),
            soft: (!teachers.is_empty())
                .then(|| mean_probabilities(&teachers, number("temperature"))),
        };
        let partners: Vec<i64> = serde_json::from_value(case["partners"].clone()).unwrap();
        let mixing = Mixing {
            lambda: number("lambda"),
            partners: Tensor::from_slice(&partners),
        };
        assert_eq!(partners.len() as i64, rows);
        let balance = Balance {
            alpha: number("alpha"),
            temperature: number("temperature"),
        };
        let loss = supervised_loss(&student, &targets.mixed(&mixing), balance);
        loss.total.backward();
        assert_close(place, loss.total.double_value(&[]), number("loss"), 1e-6);
        let expected = numbers(&case["gradient"]);
        let off = (student.grad() - &expected).abs().max().double_value(&[]);
        assert!(off < 1e-7, "{place}: the gradient is off by {off:e}");
    }
}

#[test]
fn a_student_that_agrees_with_its_teacher_has_no_soft_loss() {
    let logits = Tensor::from_slice(&[0.0f64, 1.0, 4.0, -1.0, 0.5, 0.0]).reshape([2, 3]);
    let targets = HardAndSoftTargets {
        hard: hard_targets(&[Some(2), None], 3, 0.0).to_kind(Kind::Double),
        soft: Some(mean_probabilities(&[logits.shallow_clone()], 3.0)),
    };
    let balance = Balance {
        alpha: 1.0,
        temperature: 3.0,
    };
    // A constant added to a row's logits changes nothing.
    let loss = supervised_loss(&(&logits + 7.0), &targets, balance);
    assert!(loss.soft.unwrap().double_value(&[]).abs() < 1e-14);
    assert!(loss.total.double_value(&[]).abs() < 1e-14);
}

#[test]
fn a_teacher_that_is_sure_costs_no_more_than_a_finite_number() {
    let student = Tensor::from_slice(&[0.0f32, 0.0]).reshape([1, 2]);
    let targets = HardAndSoftTargets {
        hard: hard_targets(&[None], 2, 0.0),
        soft: Some(mean_probabilities(
            &[Tensor::from_slice(&[1e4f32, -1e4]).reshape([1, 2])],
            1.0,
        )),
    };
    let balance = Balance {
        alpha: 1.0,
        temperature: 1.0,
    };
    let loss = supervised_loss(&student, &targets, balance);
    assert!((loss.total.double_value(&[]) - 2f64.ln()).abs() < 1e-6);
}

#[test]
fn uniform_logits_cost_the_logarithm_of_the_classes() {
    let loss = cross_entropy(
        &Tensor::zeros([2, 4], (Kind::Double, Device::Cpu)),
        &Tensor::from_slice(&[0i64, 3]),
    );
    assert!((loss.double_value(&[]) - 4f64.ln()).abs() < 1e-15);
}

#[test]
fn golden_cross_entropy_with_the_teachers_cluster() {
    let fixture = Fixture::of_testdata("distillation_losses");
    fixture.assert_loss("kmeans", &["logits"], |case| {
        let similarities = case
            .tensor("teacher")
            .matmul(&case.tensor("centroids").tr());
        cross_entropy(&case.tensor("logits"), &similarities.argmax(1, false))
    });
}
