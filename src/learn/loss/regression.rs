//! Distillation by matching the teacher's embedding itself: squared distance, or cosine (SEED,
//! arXiv 2101.04731, compares the former).
//!
//! ```text
//! l2 = mean over the batch of |z_S − z_T|²        cosine = mean over the batch of 1 − z_S · z_T / (|z_S| |z_T|)
//! ```
//!
//! z_T has length 1. In `l2` the student must match its length too; were it normalised there, `l2`
//! would be twice `cosine`.

use tch::{Kind, Tensor};

use super::seed::normalise;

/// Mean squared distance, a scalar; its gradient reaches `student` alone.
///
/// # Shapes
/// - `student`: `[B, D]`, as it is
/// - `teacher`: `[B, D]`, rows of length 1
pub fn l2_loss(student: &Tensor, teacher: &Tensor) -> Tensor {
    check(student, teacher);
    let difference = student.to_kind(teacher.kind()) - teacher.detach(); // [B, D]
    (&difference * &difference)
        .sum_dim_intlist(1, false, None)
        .mean(None::<Kind>)
}

/// Mean of one minus the cosine, a scalar; its gradient reaches `student` alone.
///
/// # Shapes
/// - `student`: `[B, D]`, any length
/// - `teacher`: `[B, D]`, rows of length 1
pub fn cosine_loss(student: &Tensor, teacher: &Tensor) -> Tensor {
    check(student, teacher);
    let student = normalise(&student.to_kind(teacher.kind()));
    let cosine = (student * teacher.detach()).sum_dim_intlist(1, false, None); // [B]
    1.0 - cosine.mean(None::<Kind>)
}

fn check(student: &Tensor, teacher: &Tensor) {
    assert_eq!(
        student.size(),
        teacher.size(),
        "BUG: student and teacher are to have one shape [B, D]"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::Fixture;

    #[test]
    fn golden_l2_and_cosine() {
        let fixture = Fixture::of_testdata("distillation_losses");
        fixture.assert_loss("l2", &["student"], |case| {
            l2_loss(&case.tensor("student"), &case.tensor("teacher"))
        });
        fixture.assert_loss("cosine", &["student"], |case| {
            cosine_loss(&case.tensor("student"), &case.tensor("teacher"))
        });
    }

    #[test]
    fn of_unit_vectors_l2_is_twice_cosine_and_only_cosine_is_blind_to_length() {
        let student = Tensor::from_slice(&[0.6f64, 0.8, 1.0, 0.0]).reshape([2, 2]);
        let teacher = Tensor::from_slice(&[1.0f64, 0.0, 0.0, 1.0]).reshape([2, 2]);
        // Cosines 0.6 and 0.
        let value = |loss: Tensor| loss.double_value(&[]);
        assert!((value(cosine_loss(&student, &teacher)) - 0.7).abs() < 1e-15);
        assert!((value(l2_loss(&student, &teacher)) - 1.4).abs() < 1e-15);
        assert!((value(cosine_loss(&(&student * 3.0), &teacher)) - 0.7).abs() < 1e-15);
        // |(1.8, 2.4) − (1, 0)|² = 6.4, |(3, 0) − (0, 1)|² = 10
        assert!((value(l2_loss(&(&student * 3.0), &teacher)) - 8.2).abs() < 1e-14);
    }
}
