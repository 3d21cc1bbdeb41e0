//! The order of a training's samples: for each epoch its own keyed permutation.

use std::sync::{Arc, Mutex};

use seedpipe_engine::StageContext;
use seedpipe_learn::random::permutation;

use super::options::TrainingOptions;

/// The permutation drawn last, and its epoch.
type Drawn = (u64, Arc<Vec<u32>>);

/// The order of the samples: for each epoch its own keyed permutation.
#[derive(Clone)]
pub struct Orders {
    epochs: Arc<Vec<rand_chacha::ChaCha8Rng>>,
    positions: Arc<Vec<u32>>,
    batch: usize,
    steps_per_epoch: u64,
    drawn: Arc<Mutex<Option<Drawn>>>,
}

impl Orders {
    /// - `positions`: of the samples, among the viewed images
    pub fn of(
        context: &StageContext,
        options: &TrainingOptions,
        positions: Arc<Vec<u32>>,
        steps_per_epoch: u64,
    ) -> Orders {
        let epochs = (0..options.epochs)
            .map(|epoch| context.rng("order", &epoch.to_le_bytes()))
            .collect();
        Orders {
            epochs: Arc::new(epochs),
            positions,
            batch: options.batch,
            steps_per_epoch,
            drawn: Arc::default(),
        }
    }

    /// The same order with a memory of its own, for another thread that is some batches ahead.
    pub fn apart(&self) -> Orders {
        Orders {
            drawn: Arc::default(),
            ..self.clone()
        }
    }

    /// The positions of the samples of a step, `[batch]`.
    pub fn batch(&self, step: u64) -> Vec<u32> {
        let epoch = step / self.steps_per_epoch;
        let start = (step % self.steps_per_epoch) as usize * self.batch;
        let mut drawn = self
            .drawn
            .lock()
            .expect("BUG: a thread panicked while it held the order");
        let order = match &*drawn {
            Some((of, order)) if *of == epoch => order.clone(),
            _ => {
                let order = Arc::new(permutation(
                    self.positions.len(),
                    &mut self.epochs[epoch as usize].clone(),
                ));
                *drawn = Some((epoch, order.clone()));
                order
            }
        };
        order[start..start + self.batch]
            .iter()
            .map(|&index| self.positions[index as usize])
            .collect()
    }
}
