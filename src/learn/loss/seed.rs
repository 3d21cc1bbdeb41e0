//! SEED, self-supervised distillation (arXiv 2101.04731, section 3.2).
//!
//! A row's candidates D+ are its own teacher embedding and the K rows of the queue, K + 1 in all:
//!
//! ```text
//! p_T = softmax(z_T · d / tau_T)    p_S = softmax(z_S · d / tau_S)    loss = mean over the batch of −sum_j p_T(j) log p_S(j)
//! ```
//!
//! The p_T sum to one, so with the barycentre m = sum_j p_T(j) d_j, which depends on the teacher
//! alone, exactly
//!
//! ```text
//! loss = mean over the batch of logsumexp_j(z_S · d_j / tau_S) − z_S · m / tau_S
//! ```
//!
//! and neither network's `[B, K + 1]` softmax is ever stored. The teacher's rows enter the queue
//! after the loss.

use tch::Tensor;

use super::candidates;

/// Rows divided by their length (at least 1e-12), part of the graph.
///
/// # Shapes
/// - `rows`: `[B, D]`; returns `[B, D]`, rows of length 1
pub fn normalise(rows: &Tensor) -> Tensor {
    let length = rows.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true); // [B, 1]
    rows / length.clamp_min(1e-12)
}

/// The candidates' mean under the teacher's softmax, without gradient.
///
/// Holds at `temperature_teacher` 1e-4 in f32, if rows have length 1 to f32's precision: embeddings
/// that were stored as f16 are to be normalised again first, else the own logit is off by more than 2.
///
/// # Shapes
/// - `teacher`: `[B, D]`, rows of length 1
/// - `queue`: `[K, D]`, rows of length 1
/// - returns `[B, D]`
pub fn barycentre(teacher: &Tensor, queue: &Tensor, temperature_teacher: f64) -> Tensor {
    let teacher = teacher.detach();
    candidates::softmax(&teacher, &teacher, queue, temperature_teacher).mean
}

/// SEED's loss, a scalar; its gradient reaches `student` alone.
///
/// # Shapes
/// - `student`: `[B, D]`, any length (normalised here)
/// - `teacher`: `[B, D]`, rows of length 1
/// - `queue`: `[K, D]`, rows of length 1
pub fn seed_loss(
    student: &Tensor,
    teacher: &Tensor,
    queue: &Tensor,
    temperature_student: f64,
    temperature_teacher: f64,
) -> Tensor {
    let barycentre = barycentre(teacher, queue, temperature_teacher);
    seed_loss_from_barycentre(student, teacher, &barycentre, queue, temperature_student)
}

/// SEED's loss where the teacher's part, [`barycentre`], was computed before.
///
/// # Shapes
/// - as [`seed_loss`]; `barycentre`: `[B, D]`
pub fn seed_loss_from_barycentre(
    student: &Tensor,
    teacher: &Tensor,
    barycentre: &Tensor,
    queue: &Tensor,
    temperature_student: f64,
) -> Tensor {
    assert_eq!(
        (student.size(), student.size()),
        (teacher.size(), barycentre.size()),
        "BUG: student, teacher and barycentre are to have one shape [B, D]"
    );
    let student = normalise(&student.to_kind(teacher.kind()));
    candidates::contrast(
        &student,
        &teacher.detach(),
        barycentre,
        queue,
        temperature_student,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::{Fixture, assert_close};
    use crate::torch::random::normal;
    use proptest::prelude::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use tch::{Kind, no_grad};

    /// Mean entropy of the teacher's softmax over its candidates, in nats: the least value that
    /// [`seed_loss`] can take.
    fn teacher_entropy(teacher: &Tensor, queue: &Tensor, temperature_teacher: f64) -> f64 {
        no_grad(|| {
            let softmax = candidates::softmax(teacher, teacher, queue, temperature_teacher);
            let expected =
                (teacher * softmax.mean).sum_dim_intlist(1, true, None) / temperature_teacher; // [B, 1]
            (softmax.log_sum - expected)
                .mean(Kind::Double)
                .double_value(&[])
        })
    }

    /// The paper's formula word for word, by autograd, as a cross-check.
    fn direct_loss(
        student: &Tensor,
        teacher: &Tensor,
        queue: &Tensor,
        tau_student: f64,
        tau_teacher: f64,
    ) -> Tensor {
        let student = normalise(student);
        let logits = |rows: &Tensor| {
            let own = (rows * teacher).sum_dim_intlist(1, true, None);
            Tensor::cat(&[own, rows.matmul(&queue.tr())], 1) // [B, K + 1]
        };
        let target = (logits(teacher) / tau_teacher).softmax(1, None);
        let log_student = (logits(&student) / tau_student).log_softmax(1, None);
        -(target * log_student)
            .sum_dim_intlist(1, false, None)
            .mean(None)
    }

    fn loss_and_gradient(student: &Tensor, loss: impl FnOnce(&Tensor) -> Tensor) -> (f64, Tensor) {
        let student = student.copy().set_requires_grad(true);
        let loss = loss(&student);
        loss.backward();
        (loss.double_value(&[]), student.grad())
    }

    #[test]
    fn a_case_counted_by_hand() {
        // Own candidate (1, 0), queue (0, 1); tau 1. p_T = (e, 1) / (e + 1); the student looks
        // along (0, 1).
        let student = Tensor::from_slice(&[0.0f64, 3.0]).reshape([1, 2]);
        let teacher = Tensor::from_slice(&[1.0f64, 0.0]).reshape([1, 2]);
        let queue = Tensor::from_slice(&[0.0f64, 1.0]).reshape([1, 2]);
        let e = std::f64::consts::E;
        let (own, other) = (e / (e + 1.0), 1.0 / (e + 1.0));
        let expected = -own * other.ln() - other * own.ln();
        let loss = seed_loss(&student, &teacher, &queue, 1.0, 1.0).double_value(&[]);
        assert!((loss - expected).abs() < 1e-15, "{loss} {expected}");
    }

    #[test]
    fn golden_seed_loss() {
        let fixture = Fixture::load("seed_loss");
        for case in fixture.cases() {
            let number = &case["case"];
            let tensor = |name: &str| fixture.tensor(&format!("{number}.{name}"));
            let (tau_student, tau_teacher) = (
                case["tau_student"].as_f64().unwrap(),
                case["tau_teacher"].as_f64().unwrap(),
            );
            for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
                let (teacher, queue) = (
                    tensor("teacher").to_kind(kind),
                    tensor("queue").to_kind(kind),
                );
                let (loss, gradient) =
                    loss_and_gradient(&tensor("student").to_kind(kind), |student| {
                        seed_loss(student, &teacher, &queue, tau_student, tau_teacher)
                    });
                let place = format!("case {number} in {kind:?}");
                assert_close(&place, loss, case["loss"].as_f64().unwrap(), tolerance);
                fixture.assert_gradient(
                    &place,
                    &gradient,
                    &format!("{number}.grad_student"),
                    tolerance,
                );
            }
        }
    }

    #[test]
    fn golden_seed_loss_in_any_order_of_the_queue() {
        let fixture = Fixture::load("seed_loss");
        for case in fixture.cases() {
            let tensor = |name: &str| fixture.tensor(&format!("{}.{name}", case["case"]));
            let loss = seed_loss(
                &tensor("student"),
                &tensor("teacher"),
                &tensor("queue").flip([0]),
                case["tau_student"].as_f64().unwrap(),
                case["tau_teacher"].as_f64().unwrap(),
            );
            assert_close(
                "reversed queue",
                loss.double_value(&[]),
                case["loss"].as_f64().unwrap(),
                1e-10,
            );
        }
    }

    #[test]
    fn a_barycentre_computed_before_changes_no_bit() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let student = normal(&[4, 8], &mut rng);
        let (teacher, queue) = (
            normalise(&normal(&[4, 8], &mut rng)),
            normalise(&normal(&[32, 8], &mut rng)),
        );
        let ahead = barycentre(&teacher, &queue, 0.01);
        assert_eq!(
            seed_loss_from_barycentre(&student, &teacher, &ahead, &queue, 0.2),
            seed_loss(&student, &teacher, &queue, 0.2, 0.01)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rewriting_is_exact_bounded_by_the_entropy_and_blind_to_the_students_length(
            key in 0u64..1000, batch in 1i64..6, length in 1i64..50, dimension in 2i64..20,
            tau_student in prop_oneof![Just(0.07), Just(0.2), Just(1.0)],
            tau_teacher in prop_oneof![Just(1e-4), Just(0.01), Just(0.07), Just(1.0)],
            factor in 1e-3f64..1e3,
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(key);
            let mut draw = |rows| normal(&[rows, dimension], &mut rng).to_kind(Kind::Double);
            let student = draw(batch);
            let (teacher, queue) = (normalise(&draw(batch)), normalise(&draw(length)));
            let (loss, gradient) =
                loss_and_gradient(&student, |s| seed_loss(s, &teacher, &queue, tau_student, tau_teacher));
            let (direct, direct_gradient) =
                loss_and_gradient(&student, |s| direct_loss(s, &teacher, &queue, tau_student, tau_teacher));
            prop_assert!((loss - direct).abs() < 1e-11, "{} {}", loss, direct);
            prop_assert!((gradient - direct_gradient).abs().max().double_value(&[]) < 1e-11);
            prop_assert!(loss >= teacher_entropy(&teacher, &queue, tau_teacher) - 1e-9);
            let scaled = seed_loss(&(&student * factor), &teacher, &queue, tau_student, tau_teacher);
            prop_assert!((scaled.double_value(&[]) - loss).abs() < 1e-11);
        }

        #[test]
        fn a_student_equal_to_its_teacher_reaches_the_entropy(key in 0u64..1000, tau in prop_oneof![Just(0.07), Just(1.0)]) {
            let mut rng = ChaCha8Rng::seed_from_u64(key);
            let mut draw = |rows| normalise(&normal(&[rows, 8], &mut rng).to_kind(Kind::Double));
            let (teacher, queue) = (draw(3), draw(40));
            let loss = seed_loss(&teacher, &teacher, &queue, tau, tau).double_value(&[]);
            prop_assert!((loss - teacher_entropy(&teacher, &queue, tau)).abs() < 1e-12);
        }
    }
}
