//! SimCLR as a distillation: soft contrast within the batch. SEED's loss (arXiv 2101.04731) with
//! SimCLR's candidates (arXiv 2002.05709): the batch's own teacher embeddings, each row's among
//! them, and no queue.
//!
//! ```text
//! p_T = softmax(z_T · Z_T / tau_T)    p_S = softmax(z_S · Z_T / tau_S)    loss = mean over the batch of −sum_j p_T(j) log p_S(j)
//! ```

use tch::{Kind, Tensor, no_grad};

use super::seed::normalise;

/// The loss, a scalar; its gradient reaches `student` alone.
///
/// # Shapes
/// - `student`: `[B, D]`, any length (normalised here)
/// - `teacher`: `[B, D]`, rows of length 1
pub fn soft_contrastive_loss(
    student: &Tensor,
    teacher: &Tensor,
    temperature_student: f64,
    temperature_teacher: f64,
) -> Tensor {
    assert_eq!(
        student.size(),
        teacher.size(),
        "BUG: student and teacher are to have one shape [B, D]"
    );
    assert!(
        temperature_student > 0.0 && temperature_teacher > 0.0,
        "BUG: temperatures {temperature_student} and {temperature_teacher}, expected above 0"
    );
    let teacher = teacher.detach();
    let target =
        no_grad(|| (teacher.matmul(&teacher.tr()) / temperature_teacher).softmax(1, None::<Kind>)); // [B, B]
    let student = normalise(&student.to_kind(teacher.kind()));
    let logits = student.matmul(&teacher.tr()) / temperature_student; // [B, B]
    -(target * logits.log_softmax(1, None::<Kind>))
        .sum_dim_intlist(1, false, None)
        .mean(None::<Kind>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::seed::seed_loss;
    use crate::testing::golden::Fixture;
    use crate::torch::random::normal;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    #[test]
    fn golden_simclr() {
        for name in ["simclr0", "simclr1"] {
            Fixture::of_testdata("distillation_losses").assert_loss(name, &["student"], |case| {
                soft_contrastive_loss(
                    &case.tensor("student"),
                    &case.tensor("teacher"),
                    case.number("tau_student"),
                    case.number("tau_teacher"),
                )
            });
        }
    }

    #[test]
    fn it_is_seeds_loss_where_the_queue_is_the_rest_of_the_batch() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut draw = || normal(&[4, 6], &mut rng).to_kind(Kind::Double);
        let (student, teacher) = (draw(), normalise(&draw()));
        let rows = (0..4).map(|row| {
            let others: Vec<i64> = (0..4).filter(|&other| other != row).collect();
            seed_loss(
                &student.narrow(0, row, 1),
                &teacher.narrow(0, row, 1),
                &teacher.index_select(0, &Tensor::from_slice(&others)),
                0.2,
                0.05,
            )
            .double_value(&[])
        });
        let expected = rows.sum::<f64>() / 4.0;
        let loss = soft_contrastive_loss(&student, &teacher, 0.2, 0.05).double_value(&[]);
        assert!((loss - expected).abs() < 1e-12, "{loss} {expected}");
    }
}
