//! Contrastive losses: MoCo's InfoNCE against a queue (arXiv 1911.05722) and SimCLR's NT-Xent
//! within a batch (arXiv 2002.05709).

use tch::{Kind, Tensor};

use super::candidates;
use super::seed::normalise;

/// MoCo's InfoNCE: cross-entropy of the query's own key among it and the queue, a scalar.
///
/// It is SEED's loss with all of the teacher's weight on the own key, and computed by the same
/// exact rewriting.
///
/// # Shapes
/// - `query`: `[B, D]`, any length (normalised here); the only one that gets a gradient
/// - `key`: `[B, D]`, rows of length 1, from the momentum encoder
/// - `queue`: `[K, D]`, rows of length 1
pub fn moco_loss(query: &Tensor, key: &Tensor, queue: &Tensor, temperature: f64) -> Tensor {
    let query = normalise(&query.to_kind(key.kind()));
    let key = key.detach();
    candidates::contrast(&query, &key, &key, queue, temperature)
}

/// SimCLR's NT-Xent: each row is to find the other view of its image among the 2N − 1 other rows; a
/// scalar.
///
/// # Shapes
/// - `embeddings`: `[2N, D]`, any length (normalised here); rows n and n + N are two views of one
///   image
pub fn nt_xent_loss(embeddings: &Tensor, temperature: f64) -> Tensor {
    let rows = embeddings.size()[0];
    assert!(
        rows > 0 && rows % 2 == 0,
        "BUG: NT-Xent of {rows} rows, expected two views of each image"
    );
    assert!(
        temperature > 0.0,
        "BUG: temperature {temperature}, expected above 0"
    );
    let unit = normalise(embeddings);
    let itself = Tensor::eye(rows, (Kind::Bool, embeddings.device()));
    let logits = (unit.matmul(&unit.tr()) / temperature).masked_fill(&itself, f64::NEG_INFINITY); // [2N, 2N]
    let partner = Tensor::arange(rows, (Kind::Int64, embeddings.device())).roll([rows / 2], [0]); // [2N]
    logits.log_softmax(1, None::<Kind>).nll_loss(&partner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::{Fixture, assert_close};

    /// Each case of `kind` in both precisions: the loss and its gradient by the tensor `learned`.
    fn assert_golden(
        kind: &str,
        prefix: &str,
        learned: &str,
        loss: impl Fn(&Tensor, &dyn Fn(&str) -> Tensor, f64) -> Tensor,
    ) {
        let fixture = Fixture::load("contrastive_loss");
        let cases = fixture.cases().iter().filter(|case| case["kind"] == kind);
        let mut seen = 0;
        for case in cases {
            seen += 1;
            let name = format!("{prefix}{}", case["case"]);
            for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
                let tensor = |part: &str| fixture.tensor(&format!("{name}.{part}")).to_kind(kind);
                let leaf = tensor(learned).set_requires_grad(true);
                let loss = loss(&leaf, &tensor, case["tau"].as_f64().unwrap());
                loss.backward();
                let place = format!("{name} in {kind:?}");
                let expected = case["loss"].as_f64().unwrap();
                assert_close(&place, loss.double_value(&[]), expected, tolerance);
                let expected = format!("{name}.grad_{learned}");
                fixture.assert_gradient(&place, &leaf.grad(), &expected, tolerance);
            }
        }
        assert!(seen > 0, "the fixture has no case of {kind}");
    }

    #[test]
    fn golden_contrastive_loss_of_moco() {
        assert_golden(
            "moco_infonce",
            "moco",
            "query",
            |query, tensor, temperature| {
                moco_loss(query, &tensor("key"), &tensor("queue"), temperature)
            },
        );
    }

    #[test]
    fn golden_contrastive_loss_of_simclr() {
        assert_golden(
            "simclr_ntxent",
            "simclr",
            "z",
            |embeddings, _, temperature| nt_xent_loss(embeddings, temperature),
        );
    }

    #[test]
    fn a_query_equal_to_its_key_and_orthogonal_to_the_queue_counted_by_hand() {
        let query = Tensor::from_slice(&[2.0f64, 0.0, 0.0]).reshape([1, 3]);
        let queue = Tensor::from_slice(&[0.0f64, 1.0, 0.0, 0.0, 0.0, -1.0]).reshape([2, 3]);
        // logits 1, 0, 0 at temperature 1
        let expected = (std::f64::consts::E + 2.0).ln() - 1.0;
        let loss = moco_loss(&query, &normalise(&query), &queue, 1.0).double_value(&[]);
        assert!((loss - expected).abs() < 1e-15);
    }

    #[test]
    fn two_images_of_orthogonal_views_counted_by_hand() {
        // Views of image 0 along x, of image 1 along y: each row sees its partner at 1 and two
        // others at 0.
        let embeddings =
            Tensor::from_slice(&[1.0f64, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]).reshape([4, 2]);
        let expected = (std::f64::consts::E + 2.0).ln() - 1.0;
        assert!((nt_xent_loss(&embeddings, 1.0).double_value(&[]) - expected).abs() < 1e-15);
    }
}
