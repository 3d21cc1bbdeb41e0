//! SwAV (arXiv 2006.09882) as a distillation: prototypes cluster the teacher's embeddings online,
//! and the student predicts the teacher's assignments.
//!
//! ```text
//! q = Sinkhorn(z_T · C / epsilon)    p_S = softmax(z_S · C / tau)    p_T = softmax(z_T · C / tau)
//! prediction = mean over the batch of −sum_k q(k) log p_S(k)         clustering = mean over the batch of −sum_k q(k) log p_T(k)
//! ```
//!
//! The prediction teaches the student alone, the clustering the prototypes alone. In SwAV the
//! prototypes also learn from the prediction, since both views are the network's own; here that
//! would move them to where the student already is, while the teacher, which is frozen, can't
//! follow.

use tch::{Tensor, no_grad};

use super::swav::{assignments_among, prediction_loss, prototype_scores};

/// The two terms, scalars; their sum is meant for `backward`.
#[derive(Debug)]
pub struct PrototypeLoss {
    pub prediction: Tensor,
    pub clustering: Tensor,
}

/// The batch's soft assignments, each prototype used equally often over the batch and earlier
/// embeddings; without gradient.
///
/// # Shapes
/// - `teacher`: `[B, D]`, `earlier`: `[Q, D]`, if any; `prototypes`: `[K, D]`; rows of length 1
/// - returns `[B, K]`, rows sum to 1
pub fn assignments(
    teacher: &Tensor,
    earlier: Option<&Tensor>,
    prototypes: &Tensor,
    epsilon: f64,
    iterations: usize,
) -> Tensor {
    no_grad(|| {
        let scores = |rows: &Tensor| rows.matmul(&prototypes.tr());
        let earlier = earlier.map(scores); // [Q, K]
        assignments_among(&scores(teacher), earlier.as_ref(), epsilon, iterations)
    })
}

/// # Shapes
/// - `student`: `[B, D]`, any length (normalised here)
/// - `teacher`: `[B, D]`, rows of length 1
/// - `prototypes`: `[K, D]`, rows of length 1
/// - `assignments`: `[B, K]`, rows sum to 1
pub fn prototype_loss(
    student: &Tensor,
    teacher: &Tensor,
    prototypes: &Tensor,
    assignments: &Tensor,
    temperature: f64,
) -> PrototypeLoss {
    let student = student.to_kind(teacher.kind());
    let predicted = prototype_scores(&student, &prototypes.detach()); // [B, K]
    let clustered = teacher.detach().matmul(&prototypes.tr()); // [B, K]
    PrototypeLoss {
        prediction: prediction_loss(&predicted, assignments, temperature),
        clustering: prediction_loss(&clustered, assignments, temperature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::Fixture;
    use tch::Kind;

    #[test]
    fn golden_swav() {
        for name in ["swav0", "swav1"] {
            let learned = ["student", "prototypes"];
            Fixture::of_testdata("distillation_losses").assert_loss(name, &learned, |case| {
                let (teacher, prototypes) = (case.tensor("teacher"), case.tensor("prototypes"));
                let earlier = case.tensor("queue");
                let assignments = assignments(
                    &teacher,
                    (earlier.size()[0] > 0).then_some(&earlier),
                    &prototypes,
                    case.number("epsilon"),
                    case.number("iterations") as usize,
                );
                let difference = (&assignments - case.tensor("assignments")).abs();
                let bound = if teacher.kind() == Kind::Double {
                    1e-12
                } else {
                    1e-5
                };
                assert!(difference.max().double_value(&[]) < bound, "{name}");
                let student = case.tensor("student");
                let temperature = case.number("temperature");
                let loss =
                    prototype_loss(&student, &teacher, &prototypes, &assignments, temperature);
                loss.prediction + loss.clustering
            });
        }
    }
}
