//! `swav`: SwAV (arXiv 2006.09882): each whole view is assigned to prototypes evenly, and every other view of the image, whole or small,
//! predicts the assignment. Prototypes are learned beside the network and thrown away.

use anyhow::Result;
use seedpipe_engine::StageContext;
use seedpipe_learn::loss::seed::normalise;
use seedpipe_learn::loss::swav::{
    assignments_among, normalise_prototypes, prototype_scores, swapped_prediction,
};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::queue::Queue;
use seedpipe_learn::random::normal;
use seedpipe_learn::training_state::TrainingState;
use tch::{Tensor, no_grad};

use super::objective::Param;
use super::{Pretrain, Setup, everything, set};
use crate::training::{Batch, Learner, QUEUE, restore_queue, save_queue};

/// Whole views of an image, all of which are assigned.
const WHOLE_VIEWS: usize = 2;
const PROTOTYPES: &str = "prototypes.weight";

pub fn learner(
    params: &Pretrain,
    context: &StageContext,
    setup: &Setup,
) -> Result<(SwavLearner, Vec<u32>)> {
    let network = params.network_with_head(context, setup.device)?;
    let dimension = network.embedding_dimension();
    let shape = [set(params.prototypes, Param::Prototypes)? as i64, dimension];
    let mut generator = context.rng("initialise", PROTOTYPES.as_bytes());
    let drawn = normalise(&normal(&shape, &mut generator)).to_device(setup.device);
    let learner = SwavLearner {
        network,
        prototypes: drawn.copy().set_requires_grad(true),
        drawn,
        queues: queues(params, context, setup, dimension)?,
        entering: Vec::new(),
        queue_from_epoch: params.queue_from_epoch.unwrap_or_default(),
        frozen_epochs: set(
            params.freeze_prototypes_epochs,
            Param::FreezePrototypesEpochs,
        )?,
        epsilon: set(params.sinkhorn_epsilon, Param::SinkhornEpsilon)?,
        iterations: set(params.sinkhorn_iterations, Param::SinkhornIterations)? as usize,
        temperature: set(params.temperature, Param::Temperature)?,
        precision: params.training.precision,
    };
    Ok((learner, everything(setup)))
}

/// One for each whole view, or none at all.
fn queues(
    params: &Pretrain,
    context: &StageContext,
    setup: &Setup,
    dimension: i64,
) -> Result<Vec<Queue>> {
    let length = set(params.queue, Param::Queue)?;
    let views = if length == 0 { 0 } else { WHOLE_VIEWS };
    (0..views)
        .map(|view| {
            Ok(Queue::new(
                length,
                dimension as usize,
                params.training.batch,
                &mut context.rng("queue", &[view as u8]),
                setup.device,
            )?)
        })
        .collect()
}

pub struct SwavLearner {
    network: Network,
    /// `[K, D]`, a leaf; rows get length 1 before each step.
    prototypes: Tensor,
    /// `[K, D]`: the prototypes as they were drawn, which they stay while they are frozen.
    drawn: Tensor,
    /// Earlier embeddings of each whole view; they take part in the assignments when they are full.
    queues: Vec<Queue>,
    /// Embeddings of the batch at hand, until the queues take them.
    entering: Vec<Tensor>,
    queue_from_epoch: u32,
    frozen_epochs: u32,
    epsilon: f64,
    iterations: usize,
    temperature: f64,
    precision: Precision,
}

impl SwavLearner {
    /// The prototypes for a step's scores. Frozen ones get a gradient of zero, which leaves an optimiser's memory whole.
    fn prototypes_of(&self, epoch: u32) -> Tensor {
        if epoch < self.frozen_epochs {
            no_grad(|| self.prototypes.shallow_clone().copy_(&self.drawn));
            self.prototypes.detach() + &self.prototypes * 0.0
        } else {
            normalise_prototypes(&self.prototypes);
            self.prototypes.shallow_clone()
        }
    }

    /// Embeddings of a batch's images of one size, a tensor `[B, D]` for each of the `views` of an image.
    fn embeddings(&self, images: &Tensor, views: usize) -> Vec<Tensor> {
        let output = self.network.forward(images, Mode::Train, self.precision);
        let embeddings = output.embedding_or_features(); // [B × views, D]
        (0..views as i64)
            .map(|view| embeddings.slice(0, view, None, views as i64))
            .collect()
    }

    /// Soft assignments of one whole view: `[B, K]`.
    fn assignments(&self, view: usize, scores: &Tensor) -> Tensor {
        let full = self
            .queues
            .get(view)
            .filter(|queue| queue.filled() == queue.len());
        let earlier = full.map(|queue| queue.rows().matmul(&self.prototypes.detach().tr()));
        assignments_among(scores, earlier.as_ref(), self.epsilon, self.iterations)
    }

    /// The live prototypes by their name.
    fn named_prototypes(&self) -> Vec<(String, Tensor)> {
        vec![(PROTOTYPES.to_owned(), self.prototypes.shallow_clone())]
    }
}

impl Learner for SwavLearner {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        let mut all = self.network.trainable();
        all.extend(self.named_prototypes());
        all
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let prototypes = self.prototypes_of(batch.epoch); // [K, D]
        let count = batch.positions.len();
        let mut embeddings = Vec::new();
        for images in batch.crops {
            let views = images.size()[0] as usize / count;
            embeddings.extend(self.embeddings(images, views));
        }
        let scores: Vec<Tensor> = embeddings
            .iter()
            .map(|embeddings| prototype_scores(embeddings, &prototypes)) // [B, K]
            .collect();
        let assignments: Vec<Tensor> = scores[..WHOLE_VIEWS]
            .iter()
            .enumerate()
            .map(|(view, scores)| self.assignments(view, scores))
            .collect();
        if batch.epoch >= self.queue_from_epoch {
            self.entering = self
                .queues
                .iter()
                .zip(&embeddings)
                .map(|(_, embeddings)| normalise(&embeddings.detach()))
                .collect();
        }
        Ok(swapped_prediction(&scores, &assignments, self.temperature))
    }

    fn remember(&mut self, _batch: &Batch) -> Result<()> {
        for (queue, embeddings) in self.queues.iter_mut().zip(self.entering.drain(..)) {
            queue.enqueue(&embeddings);
        }
        Ok(())
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        let fill = |queue: &Queue| queue.filled() as f64 / queue.len() as f64;
        let first = self.queues.first();
        first
            .map(|queue| ("queue_fill", fill(queue)))
            .into_iter()
            .collect()
    }

    fn save(&self, state: &mut TrainingState) {
        state.insert_all("network.", self.network.state());
        state.insert_all("swav.", self.named_prototypes());
        for (view, queue) in self.queues.iter().enumerate() {
            save_queue(state, &format!("{QUEUE}{view}"), queue);
        }
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        state.copy_into("network.", &self.network.state())?;
        state.copy_into("swav.", &self.named_prototypes())?;
        for (view, queue) in self.queues.iter_mut().enumerate() {
            restore_queue(state, &format!("{QUEUE}{view}"), queue)?;
        }
        Ok(())
    }
}
