//! Supervised training and knowledge distillation (Hinton, arXiv 1503.02531): soft targets of
//! teachers beside the hard labels.
//!
//! ```text
//! loss = alpha · T² · KL(p ‖ softmax(student / T)) + (1 − alpha) · CE(label, softmax(student))
//! p    = the mean over the teachers of softmax(teacher / T)
//! ```
//!
//! T² keeps the soft gradient's size when the temperature T changes. A batch may hold images
//! without a label: these have the soft term alone. Both terms are sums over their images divided
//! by the batch's size, as in SimCLRv2 (arXiv 2006.10029, eq. 3): an image's label counts the same
//! whatever the share of labels. With a label on every image both are plain means.
//!
//! Label smoothing (arXiv 1512.00567) and mixup (arXiv 1710.09412) change the targets, and the loss
//! is linear in the hard ones.

use tch::{Device, Kind, Tensor};

/// What a batch is to be told.
#[derive(Debug)]
pub struct HardAndSoftTargets {
    /// `[B, C]`: rows of a label sum to 1, rows of an image without one are zeros
    pub hard: Tensor,
    /// `[B, C]`: the teachers' probabilities, rows sum to 1; none without a teacher
    pub soft: Option<Tensor>,
}

/// How the two terms are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// share of the soft term, 0 to 1; of no matter without soft targets
    pub alpha: f64,
    /// T of the soft targets, above 0
    pub temperature: f64,
}

/// The loss and its two terms, scalars; only `total` is meant for `backward`.
#[derive(Debug)]
pub struct SupervisedLoss {
    /// T² · KL(teachers ‖ student); none without a teacher
    pub soft: Option<Tensor>,
    /// cross-entropy with the labels, summed over the images that have one and divided by the
    /// batch's size
    pub hard: Tensor,
    /// alpha · soft + (1 − alpha) · hard; `hard` alone without a teacher
    pub total: Tensor,
}

/// Cross-entropy with hard targets and Hinton's loss with soft ones. The gradient reaches
/// `student_logits` alone.
///
/// # Shapes
/// - `student_logits`: `[B, C]`; the targets as said there, on its device
pub fn supervised_loss(
    student_logits: &Tensor,
    targets: &HardAndSoftTargets,
    balance: Balance,
) -> SupervisedLoss {
    let Balance { alpha, temperature } = balance;
    assert_eq!(
        student_logits.size(),
        targets.hard.size(),
        "BUG: student logits and targets are to have one shape [B, C]"
    );
    assert!(
        temperature > 0.0 && (0.0..=1.0).contains(&alpha),
        "BUG: {balance:?} is out of range"
    );
    let log_student = student_logits.log_softmax(1, None::<Kind>); // [B, C]
    let hard = -(&targets.hard * log_student)
        .sum_dim_intlist(1, false, None)
        .mean(None::<Kind>);
    let soft = targets.soft.as_ref().map(|soft| {
        assert_eq!(
            student_logits.size(),
            soft.size(),
            "BUG: student logits and soft targets are to have one shape [B, C]"
        );
        let log_student = (student_logits / temperature).log_softmax(1, None::<Kind>); // [B, C]
        // 0 · log 0 is 0.
        let divergence = soft.xlogy(soft) - soft * log_student; // [B, C]
        divergence
            .sum_dim_intlist(1, false, None)
            .mean(None::<Kind>)
            * (temperature * temperature)
    });
    let total = match &soft {
        Some(soft) => soft * alpha + &hard * (1.0 - alpha),
        None => hard.shallow_clone(),
    };
    SupervisedLoss { soft, hard, total }
}

/// Hard targets: the label's class, smoothed as by `torch.nn.CrossEntropyLoss(label_smoothing)`: (1
/// − s) of it and s / C of every class.
///
/// # Shapes
/// - `labels`: B values of 0..classes, none where an image has no label
/// - returns `[B, classes]` f32 on the CPU; zeros where there is no label
pub fn hard_targets(labels: &[Option<i64>], classes: usize, smoothing: f64) -> Tensor {
    let (everywhere, own) = (smoothing / classes as f64, 1.0 - smoothing);
    let mut values = vec![0f32; labels.len() * classes];
    for (row, label) in values.chunks_exact_mut(classes).zip(labels) {
        if let Some(label) = label {
            row.fill(everywhere as f32);
            row[*label as usize] = (own + everywhere) as f32;
        }
    }
    Tensor::from_slice(&values).reshape([labels.len() as i64, classes as i64])
}

/// The teachers' probabilities at a temperature, each teacher with the same weight.
///
/// # Shapes
/// - `teachers`: `[B, C]` logits each, at least one
/// - returns `[B, C]`, rows sum to 1
pub fn mean_probabilities(teachers: &[Tensor], temperature: f64) -> Tensor {
    let softened = teachers
        .iter()
        .map(|logits| (logits.detach() / temperature).softmax(1, None::<Kind>));
    let sum = softened.reduce(|sum, one| sum + one);
    sum.expect("BUG: no teacher") / teachers.len() as f64
}

/// A batch's images or targets mixed with those of other rows: lambda · own + (1 − lambda) · the
/// other's.
///
/// Targets are mixed like the images, hard and soft ones alike; so an image without a label keeps
/// its partner's share of one.
pub struct Mixing {
    pub lambda: f64,
    /// `[B]` i64: which row is mixed into each
    pub partners: Tensor,
}

impl Mixing {
    /// # Shapes
    /// - `rows`: `[B, …]`, returned with the same shape
    pub fn apply(&self, rows: &Tensor) -> Tensor {
        let others = rows.index_select(0, &self.partners.to_device(rows.device()));
        rows * self.lambda + others * (1.0 - self.lambda)
    }
}

impl HardAndSoftTargets {
    pub fn mixed(&self, mixing: &Mixing) -> HardAndSoftTargets {
        HardAndSoftTargets {
            hard: mixing.apply(&self.hard),
            soft: self.soft.as_ref().map(|soft| mixing.apply(soft)),
        }
    }

    pub fn to_device(&self, device: Device) -> HardAndSoftTargets {
        HardAndSoftTargets {
            hard: self.hard.to_device(device),
            soft: self.soft.as_ref().map(|soft| soft.to_device(device)),
        }
    }
}

/// Mean cross-entropy with the labels, a scalar.
///
/// # Shapes
/// - `logits`: `[B, C]`; `labels`: `[B]` i64 of 0..C
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    logits.log_softmax(1, None::<Kind>).nll_loss(labels)
}

#[cfg(test)]
#[path = "distillation_tests.rs"]
mod tests;
