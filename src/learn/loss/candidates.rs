//! Softmax over one own candidate and a long queue of shared ones, streamed in blocks of the queue,
//! so that memory does not grow with the queue and no `[B, K + 1]` tensor is ever kept for a
//! backward pass.
//!
//! Both SEED and MoCo need only two things from it: the logarithm of the sum, and the candidates'
//! mean under the softmax — which is the gradient of the former with respect to the row, times the
//! temperature.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

#[cfg(target_arch = "x86_64")]
use super::panelled;
use crate::torch::one_thread::with_one_thread;
#[cfg(target_arch = "x86_64")]
use crate::torch::panels::{Avx2, suit_panels};
use crate::torch::products::times_transposed;

/// What a softmax over the candidates leaves.
pub(super) struct Softmax {
    /// `[B, 1]`: log sum_j exp(row · candidate_j / temperature)
    pub log_sum: Tensor,
    /// `[B, D]`: sum_j p_j candidate_j
    pub mean: Tensor,
}

/// Logits count as at most this far below the greatest: e⁻⁶⁰ is nothing even in f64 (K such weights
/// sum to 1e-21), but keeps f32 clear of subnormal numbers, which make a product of matrices many
/// times slower.
const FAINTEST: f64 = -60.0;

/// How the work is cut.
#[derive(Clone, Copy)]
struct Tiling {
    /// of the batch: one task each
    rows: i64,
    /// of the queue: one step of a task each
    candidates: i64,
}

impl Tiling {
    /// On a CPU a tile of similarities fits in a core's cache and a task needs no other; on a GPU
    /// few launches count.
    fn of(device: Device) -> Self {
        if device.is_cuda() {
            Self {
                rows: i64::MAX,
                candidates: 16_384,
            }
        } else {
            Self {
                rows: 128,
                candidates: 1024,
            }
        }
    }
}

/// Softmax of `rows` over the candidates `[own | queue]`, without gradient.
///
/// Tasks of fixed size run side by side with one thread of libtorch each: the number of threads
/// changes no bit, and nobody waits for a busy core before the end.
///
/// # Shapes
/// - `rows`: `[B, D]`
/// - `own`: `[B, D]`; row b is a candidate of row b alone
/// - `queue`: `[K, D]`; candidates of every row
pub(super) fn softmax(rows: &Tensor, own: &Tensor, queue: &Tensor, temperature: f64) -> Softmax {
    tiled_softmax(rows, own, queue, temperature, Tiling::of(rows.device()))
}

fn tiled_softmax(
    rows: &Tensor,
    own: &Tensor,
    queue: &Tensor,
    temperature: f64,
    tiling: Tiling,
) -> Softmax {
    check(rows, own, queue, temperature);
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = Avx2::chosen().filter(|_| suit_panels(rows, &[own, queue])) {
        return panelled::softmax(avx2, rows, own, queue, temperature);
    }
    let batch = rows.size()[0];
    let step = |rows: &Tensor, own: &Tensor, queue: &Tensor| {
        no_grad(|| streamed_softmax(rows, own, queue, temperature, tiling.candidates))
    };
    if batch <= tiling.rows {
        return if rows.device().is_cuda() {
            step(rows, own, queue)
        } else {
            with_one_thread(|| step(rows, own, queue))
        };
    }
    let tasks: Vec<[Tensor; 3]> = (0..batch)
        .step_by(tiling.rows as usize)
        .map(|start| {
            let part = |tensor: &Tensor| tensor.narrow(0, start, tiling.rows.min(batch - start));
            [part(rows), part(own), queue.shallow_clone()]
        })
        .collect();
    let parts: Vec<Softmax> = tasks
        .into_par_iter()
        .map(|[rows, own, queue]| with_one_thread(|| step(&rows, &own, &queue)))
        .collect();
    let join = |field: fn(&Softmax) -> &Tensor| {
        Tensor::cat(&parts.iter().map(field).collect::<Vec<_>>(), 0)
    };
    Softmax {
        log_sum: join(|part| &part.log_sum),
        mean: join(|part| &part.mean),
    }
}

/// The running maximum is subtracted from similarities before they are divided by the temperature:
/// at a temperature of 1e-4 logits reach 1e4, where f32 would keep three decimals of them.
fn streamed_softmax(
    rows: &Tensor,
    own: &Tensor,
    queue: &Tensor,
    temperature: f64,
    block: i64,
) -> Softmax {
    let inverse = 1.0 / temperature;
    let mut maximum = (rows * own).sum_dim_intlist(1, true, None); // [B, 1]
    let mut sum = maximum.ones_like(); // [B, 1]
    let mut weighted = own.detach().copy(); // [B, D]
    let length = queue.size()[0];
    let mut start = 0;
    while start < length {
        let part = queue.narrow(0, start, block.min(length - start)); // [block, D]
        let mut weights = times_transposed(rows, &part); // [B, block]
        let larger = weights.amax(1, true).maximum(&maximum); // [B, 1]
        let _ = weights
            .subtract_(&larger)
            .g_mul_scalar_(inverse)
            .clamp_min_(FAINTEST)
            .exp_();
        let shrink = ((maximum - &larger) * inverse).clamp_min(FAINTEST).exp(); // [B, 1]
        sum = sum * &shrink + weights.sum_dim_intlist(1, true, None);
        weighted = weighted * shrink + times_transposed(&weights, &part.tr()); // [B, D]
        maximum = larger;
        start += block;
    }
    Softmax {
        log_sum: maximum * inverse + sum.log(),
        mean: weighted / sum,
    }
}

/// Mean over the batch of `log_sum(row) − row · target / temperature`, the common form of SEED's
/// and MoCo's loss.
///
/// Its gradient, `(mean − target) / (temperature · B)`, is known in closed form, so autograd is
/// given only that: the graph starts at `rows` and holds nothing of length K.
///
/// # Shapes
/// - `rows`: `[B, D]`, rows of length 1, part of a graph
/// - `own`, `target`: `[B, D]`, no gradient
/// - `queue`: `[K, D]`
/// - returns a scalar
pub(super) fn contrast(
    rows: &Tensor,
    own: &Tensor,
    target: &Tensor,
    queue: &Tensor,
    temperature: f64,
) -> Tensor {
    let fixed = rows.detach();
    let softmax = softmax(&fixed, own, queue, temperature);
    let attraction = (&fixed * target).sum_dim_intlist(1, true, None) / temperature; // [B, 1]
    let value = (softmax.log_sum - attraction).mean(None::<Kind>);
    let batch = rows.size()[0] as f64;
    let gradient = (softmax.mean - target) / (temperature * batch); // [B, D]
    let carrier = (rows * gradient.detach()).sum(None::<Kind>);
    &carrier - carrier.detach() + value.detach()
}

fn check(rows: &Tensor, own: &Tensor, queue: &Tensor, temperature: f64) {
    let (rows, own, queue) = (rows.size(), own.size(), queue.size());
    assert!(
        rows.len() == 2 && rows == own && queue.len() == 2 && queue[1] == rows[1],
        "BUG: candidates: rows {rows:?}, own {own:?}, queue {queue:?}; expected [B, D], [B, D], [K, D]"
    );
    assert!(
        temperature > 0.0,
        "BUG: temperature {temperature}, expected above 0"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::random::normal;
    use proptest::prelude::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    #[test]
    fn two_equal_candidates_share_the_weight() {
        let row = Tensor::from_slice(&[1.0f64, 0.0]).reshape([1, 2]);
        let softmax = softmax(&row, &row, &row, 0.5);
        // logits 2 and 2: log(2 e²)
        assert!((softmax.log_sum.double_value(&[0, 0]) - (2.0 + 2f64.ln())).abs() < 1e-15);
        assert_eq!(
            Vec::<f64>::try_from(softmax.mean.reshape(-1)).unwrap(),
            [1.0, 0.0]
        );
    }

    #[test]
    fn an_empty_queue_leaves_the_own_candidate() {
        let row = Tensor::from_slice(&[0.6f64, 0.8]).reshape([1, 2]);
        let softmax = softmax(&row, &row, &row.narrow(0, 0, 0), 0.1);
        assert!((softmax.log_sum.double_value(&[0, 0]) - 10.0).abs() < 1e-14);
        assert_eq!(softmax.mean, row);
    }

    #[test]
    fn threads_change_no_bit() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut unit = |rows| crate::loss::seed::normalise(&normal(&[rows, 40], &mut rng));
        let (rows, own, queue) = (unit(150), unit(150), unit(3000));
        let run = |threads: usize| {
            let (rows, own, queue) = (rows.copy(), own.copy(), queue.copy());
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(move || {
                tch::set_num_threads(threads as i32);
                let found = softmax(&rows, &own, &queue, 0.01);
                [found.log_sum, found.mean]
            })
        };
        assert_eq!(run(1), run(2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn tiles_give_what_the_whole_gives(
            key in 0u64..1000, batch in 1i64..6, length in 1i64..60, dimension in 1i64..20,
            tile in 1i64..7, block in 1i64..70,
            temperature in prop_oneof![Just(1e-4), Just(0.07), Just(1.0)],
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(key);
            let mut unit = |rows| {
                crate::loss::seed::normalise(&normal(&[rows, dimension], &mut rng).to_kind(Kind::Double))
            };
            let (rows, own, queue) = (unit(batch), unit(batch), unit(length));
            let tiling = Tiling { rows: tile, candidates: block };
            let blocked = tiled_softmax(&rows, &own, &queue, temperature, tiling);
            let own_logit = (&rows * &own).sum_dim_intlist(1, true, None) / temperature;
            let logits = Tensor::cat(&[own_logit, rows.matmul(&queue.tr()) / temperature], 1);
            let log_sum = logits.logsumexp(1, true);
            let weights = logits.softmax(1, None);
            let mean = weights.narrow(1, 0, 1) * &own + weights.narrow(1, 1, length).matmul(&queue);
            let scale = 1.0 + log_sum.abs().max().double_value(&[]);
            prop_assert!((blocked.log_sum - log_sum).abs().max().double_value(&[]) < 1e-13 * scale);
            prop_assert!((blocked.mean - mean).abs().max().double_value(&[]) < 1e-10);
        }
    }
}
