//! Supervised knowledge distillation (Hinton, arXiv 1503.02531): soft targets of a teacher beside the hard labels.
//!
//! ```text
//! loss = alpha · T² · KL(softmax(teacher / T) ‖ softmax(student / T)) + (1 − alpha) · CE(student, label)
//! ```
//!
//! T² keeps the soft gradient's size when the temperature T changes. All terms are means over the batch.

use tch::{Kind, Tensor};

/// The loss and its two terms, scalars; only `total` is meant for `backward`.
#[derive(Debug)]
pub struct DistillationLoss {
    /// T² · KL(teacher ‖ student)
    pub soft: Tensor,
    /// cross-entropy with the labels
    pub hard: Tensor,
    /// alpha · soft + (1 − alpha) · hard
    pub total: Tensor,
}

/// Hinton's loss. The gradient reaches `student_logits` alone.
///
/// # Shapes
/// - `student_logits`, `teacher_logits`: `[B, C]`
/// - `labels`: `[B]` i64 of 0..C
/// - `temperature` above 0; `alpha` of 0..=1
pub fn distillation_loss(
    student_logits: &Tensor,
    teacher_logits: &Tensor,
    labels: &Tensor,
    temperature: f64,
    alpha: f64,
) -> DistillationLoss {
    assert_eq!(
        student_logits.size(),
        teacher_logits.size(),
        "BUG: student and teacher logits are to have one shape [B, C]"
    );
    assert!(
        temperature > 0.0,
        "BUG: temperature {temperature}, expected above 0"
    );
    assert!(
        (0.0..=1.0).contains(&alpha),
        "BUG: alpha {alpha}, expected 0 to 1"
    );
    let log_teacher = (teacher_logits.detach() / temperature).log_softmax(1, None::<Kind>); // [B, C]
    let log_student = (student_logits / temperature).log_softmax(1, None::<Kind>); // [B, C]
    let divergence = log_teacher.exp() * (log_teacher - log_student); // [B, C]
    let soft = divergence
        .sum_dim_intlist(1, false, None)
        .mean(None::<Kind>)
        * (temperature * temperature);
    let hard = cross_entropy(student_logits, labels);
    let total = &soft * alpha + &hard * (1.0 - alpha);
    DistillationLoss { soft, hard, total }
}

/// Mean cross-entropy with the labels, a scalar.
///
/// # Shapes
/// - `logits`: `[B, C]`; `labels`: `[B]` i64 of 0..C
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.log_softmax(1, None::<Kind>).nll_loss(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Fixture, assert_close};

    #[test]
    fn golden_kd_loss() {
        let fixture = Fixture::load("kd_loss");
        for case in fixture.cases() {
            let number = &case["case"];
            let value = |name: &str| case[name].as_f64().unwrap();
            for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
                let tensor = |name: &str| fixture.tensor(&format!("{number}.{name}")).to_kind(kind);
                let student = tensor("student_logits").set_requires_grad(true);
                let loss = distillation_loss(
                    &student,
                    &tensor("teacher_logits"),
                    &fixture.tensor(&format!("{number}.labels")),
                    value("temperature"),
                    value("alpha"),
                );
                loss.total.backward();
                let place = format!("case {number} in {kind:?}");
                assert_close(
                    &place,
                    loss.soft.double_value(&[]),
                    value("soft"),
                    tolerance,
                );
                assert_close(
                    &place,
                    loss.hard.double_value(&[]),
                    value("hard"),
                    tolerance,
                );
                assert_close(
                    &place,
                    loss.total.double_value(&[]),
                    value("loss"),
                    tolerance,
                );
                fixture.assert_gradient(
                    &place,
                    &student.grad(),
                    &format!("{number}.grad_student_logits"),
                    tolerance,
                );
            }
        }
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

    #[test]
    fn a_student_that_agrees_with_its_teacher_has_no_soft_loss() {
        let logits = Tensor::from_slice(&[0.0f64, 1.0, 4.0, -1.0, 0.5, 0.0]).reshape([2, 3]);
        let labels = Tensor::from_slice(&[2i64, 0]);
        // A constant added to a row's logits changes nothing.
        let loss = distillation_loss(&(&logits + 7.0), &logits, &labels, 3.0, 1.0);
        assert!(loss.soft.double_value(&[]).abs() < 1e-14);
        assert!(loss.total.double_value(&[]).abs() < 1e-14);
    }

    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_classes() {
        let loss = cross_entropy(
            &Tensor::zeros([2, 4], (Kind::Double, tch::Device::Cpu)),
            &Tensor::from_slice(&[0i64, 3]),
        );
        assert!((loss.double_value(&[]) - 4f64.ln()).abs() < 1e-15);
    }
}
