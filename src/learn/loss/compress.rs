//! CompRess (arXiv 2010.14713; official code github UMBCvision/CompRess, nn/compress_loss.py), with
//! two memories: the student compares a row with the student's embeddings of earlier images as the
//! teacher compares it with the teacher's of the same images.
//!
//! ```text
//! p_T = softmax(z_T · M_T / tau_T)    p_S = softmax(z_S · M_S / tau_S)    loss = mean over the batch of KL(p_T ‖ p_S)
//! ```
//!
//! Row j of both memories is one image. The official temperature is 0.04 for both. The batch enters
//! after the loss and, unlike in SEED, is no candidate of its own. As in SEED no `[B, K]` softmax
//! reaches the student: with m = sum_j p_T(j) M_S(j), without gradient,
//!
//! ```text
//! KL = logsumexp_j(z_S · M_S(j) / tau_S) − z_S · m / tau_S − entropy(p_T)
//! ```

use tch::{Kind, Tensor, no_grad};

use super::candidates::{self, contrast};
use super::seed::normalise;
use crate::torch::one_thread::with_one_thread;

/// Rows of the memories that are looked at together.
const BLOCK: i64 = 1024;

/// The two memories, row by row of the same images.
///
/// # Shapes
/// - `teacher`: `[K, T]`, `student`: `[K, S]`, rows of length 1; K at least 1
pub struct Memories<'a> {
    pub teacher: &'a Tensor,
    pub student: &'a Tensor,
}

/// The loss, a scalar; its gradient reaches `student` alone.
///
/// # Shapes
/// - `student`: `[B, S]`, any length (normalised here)
/// - `teacher`: `[B, T]`, rows of length 1
pub fn compress_loss(
    student: &Tensor,
    teacher: &Tensor,
    memories: &Memories,
    temperature_student: f64,
    temperature_teacher: f64,
) -> Tensor {
    assert_eq!(
        memories.teacher.size()[0],
        memories.student.size()[0],
        "BUG: the memories are to hold the same images"
    );
    let teacher = teacher.detach();
    let (barycentre, entropy) =
        no_grad(|| barycentre_and_entropy(&teacher, memories, temperature_teacher));
    let student = normalise(&student.to_kind(teacher.kind()));
    let (own, rest) = first_and_rest(memories.student, student.size()[0]);
    contrast(&student, &own, &barycentre, &rest, temperature_student) - entropy
}

/// The student's memory's mean under the teacher's softmax over its own, `[B, S]`, and that
/// softmax's mean entropy, a scalar.
fn barycentre_and_entropy(
    teacher: &Tensor,
    memories: &Memories,
    temperature: f64,
) -> (Tensor, Tensor) {
    let (own, rest) = first_and_rest(memories.teacher, teacher.size()[0]);
    let softmax = candidates::softmax(teacher, &own, &rest, temperature);
    let expected = (teacher * &softmax.mean).sum_dim_intlist(1, true, None) / temperature; // [B, 1]
    let entropy = (&softmax.log_sum - expected).mean(None::<Kind>);
    let barycentre = with_one_thread(|| {
        let length = memories.teacher.size()[0];
        let width = memories.student.size()[1];
        let mut sum = teacher.new_zeros(
            [teacher.size()[0], width],
            (teacher.kind(), teacher.device()),
        );
        for start in (0..length).step_by(BLOCK as usize) {
            let rows = BLOCK.min(length - start);
            let similarities = teacher.matmul(&memories.teacher.narrow(0, start, rows).tr()); // [B, rows]
            let weights = (similarities / temperature - &softmax.log_sum).exp();
            sum = sum.addmm(&weights, &memories.student.narrow(0, start, rows));
        }
        sum
    });
    (barycentre, entropy)
}

/// A memory as candidates: its first row as everyone's own, `[B, D]`, and the others.
fn first_and_rest(memory: &Tensor, batch: i64) -> (Tensor, Tensor) {
    let (length, width) = (memory.size()[0], memory.size()[1]);
    assert!(length > 0, "BUG: an empty memory");
    (
        memory.narrow(0, 0, 1).expand([batch, width], false),
        memory.narrow(0, 1, length - 1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::Fixture;

    #[test]
    fn golden_compress() {
        for name in ["compress0", "compress1"] {
            Fixture::of_testdata("distillation_losses").assert_loss(name, &["student"], |case| {
                let memories = Memories {
                    teacher: &case.tensor("teacher_memory"),
                    student: &case.tensor("student_memory"),
                };
                compress_loss(
                    &case.tensor("student"),
                    &case.tensor("teacher"),
                    &memories,
                    case.number("tau_student"),
                    case.number("tau_teacher"),
                )
            });
        }
    }

    #[test]
    fn a_student_that_is_its_teacher_has_nothing_to_learn() {
        let case = Fixture::of_testdata("distillation_losses");
        let tensor = |name: &str| case.tensor(&format!("compress0.{name}"));
        let memory = tensor("teacher_memory");
        let memories = Memories {
            teacher: &memory,
            student: &memory,
        };
        let teacher = tensor("teacher");
        let student = (&teacher * 2.0).set_requires_grad(true);
        let loss = compress_loss(&student, &teacher, &memories, 0.04, 0.04);
        loss.backward();
        assert!(loss.double_value(&[]).abs() < 1e-12);
        assert!(student.grad().abs().max().double_value(&[]) < 1e-12);
    }
}
