//! The queue of teacher (SEED) or key (MoCo) embeddings: a ring of K rows, oldest replaced first.
//!
//! It starts as random unit vectors. A batch enters after its loss was computed, so that it never
//! meets itself. K is a multiple of the batch, so that a batch never wraps round. Its whole state
//! (rows, pointer, filled) is part of a training checkpoint.

use rand_chacha::ChaCha8Rng;
use seedpipe_base::Refusal;
use tch::{Device, Tensor, no_grad};

use crate::loss::seed::normalise;
use crate::torch::random::normal;

/// A ring of K embeddings.
#[derive(Debug)]
pub struct Queue {
    rows: Tensor,
    batch: usize,
    pointer: usize,
    filled: usize,
}

impl Queue {
    /// Whether `rows` is a positive multiple of `batch`.
    pub fn check_size(rows: usize, batch: usize) -> Result<(), Refusal> {
        if batch == 0 {
            return Err(Refusal::failure("batch of 0 rows, expected at least 1"));
        }
        if rows == 0 || !rows.is_multiple_of(batch) {
            let nearest = ((rows + batch / 2) / batch).max(1) * batch;
            return Err(Refusal::failure(format!(
                "queue of {rows} rows, expected a positive multiple of the batch ({batch})"
            ))
            .hint(format!("{nearest} is the nearest that fits")));
        }
        Ok(())
    }

    /// `rows` random unit vectors of f32, drawn on the CPU from `rng`, then moved to `device`.
    pub fn new(
        rows: usize,
        dimension: usize,
        batch: usize,
        rng: &mut ChaCha8Rng,
        device: Device,
    ) -> Result<Self, Refusal> {
        Self::check_size(rows, batch)?;
        let rows = normalise(&normal(&[rows as i64, dimension as i64], rng)).to_device(device);
        Ok(Self {
            rows,
            batch,
            pointer: 0,
            filled: 0,
        })
    }

    /// The queue that a checkpoint holds; `rows` (`[K, D]`) is copied.
    pub fn restore(
        rows: Tensor,
        batch: usize,
        pointer: usize,
        filled: usize,
    ) -> Result<Self, Refusal> {
        let shape = rows.size();
        let length = shape.first().map_or(0, |&length| length as usize);
        Self::check_size(length, batch)?;
        if shape.len() != 2
            || pointer >= length
            || !pointer.is_multiple_of(batch)
            || filled > length
        {
            return Err(Refusal::failure(format!(
                "queue of shape {shape:?}, pointer {pointer} and {filled} filled rows do not belong together with batches of {batch}"
            )));
        }
        Ok(Self {
            rows: rows.detach().copy(),
            batch,
            pointer,
            filled,
        })
    }

    /// `[K, D]`, live: the next [`enqueue`](Self::enqueue) changes it.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The row that the next batch begins at.
    pub fn pointer(&self) -> usize {
        self.pointer
    }

    /// How many rows are embeddings rather than random vectors.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// K.
    #[expect(clippy::len_without_is_empty, reason = "a queue is never empty")]
    pub fn len(&self) -> usize {
        self.rows.size()[0] as usize
    }

    /// Rows that enter at a time.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Replaces the oldest rows by `embeddings` (`[B, D]`, rows of length 1).
    pub fn enqueue(&mut self, embeddings: &Tensor) {
        let expected = [self.batch as i64, self.rows.size()[1]];
        assert_eq!(
            embeddings.size(),
            expected,
            "BUG: a batch of another shape for the queue"
        );
        no_grad(|| {
            self.rows
                .narrow(0, self.pointer as i64, self.batch as i64)
                .copy_(&embeddings.detach());
        });
        self.pointer = (self.pointer + self.batch) % self.len();
        self.filled = (self.filled + self.batch).min(self.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;
    use tch::Kind;

    fn queue(key: u64) -> Queue {
        Queue::new(6, 3, 2, &mut ChaCha8Rng::seed_from_u64(key), Device::Cpu).unwrap()
    }

    #[test]
    fn it_starts_as_unit_vectors_that_the_key_decides() {
        let lengths = queue(1)
            .rows()
            .norm_scalaropt_dim(2.0, [1i64].as_slice(), false);
        assert!((lengths - 1.0).abs().max().double_value(&[]) < 1e-6);
        assert_eq!(queue(1).rows(), queue(1).rows());
        assert_ne!(queue(1).rows(), queue(2).rows());
        assert_eq!((queue(1).pointer(), queue(1).filled()), (0, 0));
    }

    #[test]
    fn the_oldest_rows_leave_first() {
        let mut queue = queue(1);
        let first = queue.rows().copy();
        let batch = |value: f64| Tensor::full([2, 3], value, (Kind::Float, Device::Cpu));
        queue.enqueue(&batch(1.0));
        assert_eq!(queue.rows().narrow(0, 2, 4), first.narrow(0, 2, 4));
        assert_eq!((queue.pointer(), queue.filled()), (2, 2));
        for value in [2.0, 3.0, 4.0] {
            queue.enqueue(&batch(value));
        }
        assert_eq!(
            queue.rows(),
            &Tensor::cat(&[batch(4.0), batch(2.0), batch(3.0)], 0)
        );
        assert_eq!((queue.pointer(), queue.filled()), (2, 6));
    }

    #[test]
    fn a_restored_queue_goes_on_where_it_was() {
        let mut one = queue(3);
        one.enqueue(&Tensor::ones([2, 3], (Kind::Float, Device::Cpu)));
        let rows = one.rows().shallow_clone();
        let mut other = Queue::restore(rows, one.batch(), one.pointer(), one.filled()).unwrap();
        let batch = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        one.enqueue(&batch);
        assert_ne!(one.rows(), other.rows());
        other.enqueue(&batch);
        assert_eq!(one.rows(), other.rows());
        assert_eq!(
            (one.pointer(), one.filled()),
            (other.pointer(), other.filled())
        );
    }

    #[test]
    fn impossible_sizes_and_states_are_refused() {
        let refused = |rows, batch| Queue::check_size(rows, batch).unwrap_err().to_string();
        assert_eq!(
            refused(100, 64),
            "queue of 100 rows, expected a positive multiple of the batch (64)\nhint: 128 is the nearest that fits"
        );
        assert!(refused(10, 64).ends_with("\nhint: 64 is the nearest that fits"));
        assert_eq!(refused(10, 0), "batch of 0 rows, expected at least 1");
        assert_eq!(Queue::check_size(128, 64), Ok(()));
        let rows = || Tensor::zeros([6, 3], (Kind::Float, Device::Cpu));
        assert!(Queue::restore(rows(), 2, 6, 0).is_err());
        assert!(Queue::restore(rows(), 2, 1, 0).is_err());
        assert!(Queue::restore(rows(), 2, 0, 7).is_err());
        assert!(Queue::restore(rows().reshape([-1]), 2, 0, 0).is_err());
    }

    #[test]
    #[should_panic(expected = "BUG: a batch of another shape")]
    fn a_partial_batch_is_a_bug() {
        queue(1).enqueue(&Tensor::zeros([1, 3], (Kind::Float, Device::Cpu)));
    }
}
