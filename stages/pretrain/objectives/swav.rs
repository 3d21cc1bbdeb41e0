//! `swav`: SwAV (arXiv 2006.09882): each whole view is assigned to prototypes evenly, and every
//! other view of the image, whole or small, predicts the assignment. Prototypes are learned beside
//! the network and thrown away.

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_engine::{InputKinds, StageContext};
use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::loss::seed::normalise;
use seedpipe_learn::loss::swav::{
    assignments_among, normalise_prototypes, prototype_scores, swapped_prediction,
};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::optimiser::{LarsOptions, OptimiserOptions};
use seedpipe_learn::queue::Queue;
use seedpipe_learn::random::normal;
use seedpipe_learn::schedule::{Per, Schedule};
use seedpipe_learn::training_state::TrainingState;
use tch::{Device, Tensor, no_grad};

use super::{Declaration, OUT, Pretrain, Setup, Training, own_or};
use crate::shared::invalid::{Counted, check_queue, count, invalid, positive, temperature};
use crate::shared::objectives::params;
use crate::training::{Batch, Learner, QUEUE, TrainingOptions, restore_queue, save_queue};

/// Whole views of an image, all of which are assigned.
const WHOLE_VIEWS: usize = 2;
const PROTOTYPES: &str = "prototypes.weight";

params! {
    /// SwAV: predict the other views' assignment to prototypes.
    Swav {
        /// earlier embeddings of each whole view that share the prototypes with the batch, default
        /// 0. A multiple of the batch.
        queue: usize = 0,
        /// with a queue, the epoch (from 0) that it begins to fill in, default 15; it takes part
        /// when it is full.
        #[serde(skip_serializing_if = "Option::is_none")]
        queue_from_epoch: Option<u32> = None,
        /// divisor of the similarities, default 0.1.
        temperature: f64 = 0.1,
        /// prototypes, default 300 (the paper on ImageNet: 3000).
        prototypes: usize = 300,
        /// epochs in which the prototypes stay as they were drawn, default 1.
        freeze_prototypes_epochs: u32 = 1,
        /// how soft the assignments are, default 0.05.
        sinkhorn_epsilon: f64 = 0.05,
        /// rounds that make the prototypes' shares equal, default 3.
        sinkhorn_iterations: u32 = 3,
        /// with the input `small_views`, small views of an image in a step, default 6.
        #[serde(skip_serializing_if = "Option::is_none")]
        small_crops: Option<usize> = None,
    }
}

impl Declaration for Swav {
    fn fill(&mut self, inputs: &InputKinds) {
        if self.queue != 0 {
            self.queue_from_epoch.get_or_insert(15);
        }
        if inputs.connected("small_views") {
            self.small_crops.get_or_insert(6);
        }
    }

    fn validate(&self, training: &TrainingOptions, _network: &Architecture) -> Result<(), Refusal> {
        temperature("temperature", self.temperature, "SwAV uses 0.1")?;
        count("prototypes", self.prototypes as u64, 2, Counted::Rows)?;
        positive("sinkhorn_epsilon", self.sinkhorn_epsilon)?;
        count(
            "sinkhorn_iterations",
            self.sinkhorn_iterations.into(),
            1,
            Counted::Rounds,
        )?;
        match (self.queue, self.queue_from_epoch) {
            (0, None) => Ok(()),
            (0, Some(epoch)) => Err(invalid(
                "queue_from_epoch",
                "nothing without a `queue`",
                epoch,
                "the paper's queue holds 3840",
            )),
            (_, Some(epoch)) if epoch >= training.epochs => Err(invalid(
                "queue_from_epoch",
                &format!(
                    "an epoch of the training, at most {}",
                    training.epochs.saturating_sub(1)
                ),
                epoch,
                "let the queue begin to fill earlier, or leave `queue` out",
            )),
            (queue, _) => check_queue(queue, training.batch),
        }
    }

    /// Of scripts/swav_200ep_bs256_pretrain.sh, for batches of 256; its LARS takes all tensors alike.
    fn training(&self) -> TrainingOptions {
        TrainingOptions {
            epochs: 200,
            learning_rate: 0.6,
            optimiser: OptimiserOptions::Lars(LarsOptions {
                adapt_biases_and_norms: true,
                decay_biases_and_norms: true,
                ..LarsOptions::default()
            }),
            schedule: Schedule::Cosine {
                warmup_epochs: 0.0,
                per: Per::Step,
                after_warmup: false,
                end: 0.001,
            },
            ..TrainingOptions::default()
        }
    }

    fn way(&self, _network: &Architecture) -> &'static str {
        "SwAV"
    }

    fn head(&self, network: &Architecture) -> Result<Option<Head>> {
        own_or(network, |features| Head {
            batch_norm: true,
            ..Head::new(vec![features], OUT)
        })
    }

    fn small_crops(&self) -> Option<usize> {
        self.small_crops
    }
}

impl Training for Swav {
    fn run(&self, params: &Pretrain, context: &StageContext, setup: Setup) -> Result<()> {
        let network = params.new_network(context, setup.device)?;
        let dimension = network.embedding_dimension()?;
        let mut generator = context.rng("initialise", PROTOTYPES.as_bytes());
        let drawn = normal(&[self.prototypes as i64, dimension], &mut generator);
        let drawn = normalise(&drawn).to_device(setup.device);
        let batch = params.training.batch;
        let learner = SwavLearner {
            trunk: network.without_head(),
            network,
            prototypes: drawn.copy().set_requires_grad(true),
            drawn,
            queues: self.queues(context, batch, dimension, setup.device)?,
            entering: Vec::new(),
            queue_from_epoch: self.queue_from_epoch.unwrap_or_default(),
            frozen_epochs: self.freeze_prototypes_epochs,
            epsilon: self.sinkhorn_epsilon,
            iterations: self.sinkhorn_iterations as usize,
            temperature: self.temperature,
            precision: params.training.precision,
        };
        let positions = setup.everything();
        params.learn(context, setup, learner, positions)
    }
}

impl Swav {
    /// One for each whole view, or none at all.
    fn queues(
        &self,
        context: &StageContext,
        batch: usize,
        dimension: i64,
        device: Device,
    ) -> Result<Vec<Queue>> {
        let views = if self.queue == 0 { 0 } else { WHOLE_VIEWS };
        (0..views)
            .map(|view| {
                let mut rng = context.rng("queue", &[view as u8]);
                let dimension = dimension as usize;
                Ok(Queue::new(self.queue, dimension, batch, &mut rng, device)?)
            })
            .collect()
    }
}

struct SwavLearner {
    network: Network,
    /// The network without its head, with the same tensors.
    trunk: Network,
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
    /// The prototypes for a step's scores. Frozen ones get a gradient of zero, which leaves an
    /// optimiser's memory whole.
    fn prototypes_of(&self, epoch: u32) -> Tensor {
        if epoch < self.frozen_epochs {
            no_grad(|| self.prototypes.shallow_clone().copy_(&self.drawn));
            self.prototypes.detach() + &self.prototypes * 0.0
        } else {
            normalise_prototypes(&self.prototypes);
            self.prototypes.shallow_clone()
        }
    }

    /// A tensor `[B, D]` for each view of an image, the whole ones first. Batch norms see the crops of
    /// one size at a time, those of the head all together (`forward` of the official resnet50.py).
    fn embeddings(&self, batch: &Batch) -> Vec<Tensor> {
        let count = batch.positions.len() as i64;
        let features = batch.crops.iter().map(|images| {
            let output = self.trunk.forward(images, Mode::Train, self.precision);
            output.features // [B × views of the size, F]
        });
        let features: Vec<Tensor> = features.collect();
        let sizes: Vec<i64> = features.iter().map(|rows| rows.size()[0]).collect();
        let all = Tensor::cat(&features, 0);
        let embeddings = self.network.embed(&all, Mode::Train, self.precision);
        let by_size = embeddings.split_with_sizes(sizes, 0);
        let views = by_size.iter().flat_map(|rows| {
            let views = rows.size()[0] / count;
            (0..views).map(move |view| rows.slice(0, view, None, views))
        });
        views.collect()
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
        let embeddings = self.embeddings(batch);
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use tch::Kind;

    /// With a batch norm behind the head's last layer, the embeddings that it saw together have a
    /// mean of 0.
    #[test]
    fn the_head_sees_crops_of_all_sizes_together() {
        let mut architecture = Architecture {
            width: 0.25,
            ..Architecture::named("cifar_resnet8")
        };
        architecture.head = Some(Head {
            last_batch_norm: true,
            ..Head::new(vec![], 8)
        });
        let key = |name: &str| ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes());
        let network = Network::initialise(&architecture, key, Device::Cpu).unwrap();
        let drawn = normalise(&normal(&[5, 8], &mut key("prototypes")));
        let learner = SwavLearner {
            trunk: network.without_head(),
            network,
            prototypes: drawn.copy().set_requires_grad(true),
            drawn,
            queues: Vec::new(),
            entering: Vec::new(),
            queue_from_epoch: 0,
            frozen_epochs: 0,
            epsilon: 0.05,
            iterations: 3,
            temperature: 0.1,
            precision: Precision::F32,
        };
        let crops = [(2, 16), (3, 8)].map(|(views, side)| {
            let images = normal(&[4 * views, 3, side, side], &mut key("crops"));
            images * side as f64
        });
        let batch = Batch {
            crops: &crops,
            positions: &[0, 1, 2, 3],
            epoch: 0,
            step: 0,
            begins_update: true,
        };
        let views = learner.embeddings(&batch);
        assert!(views.len() == 5 && views.iter().all(|view| view.size() == [4, 8]));
        let mean = |views: &[Tensor]| {
            let means = Tensor::cat(views, 0).mean_dim(0, false, Kind::Float);
            means.abs().max().double_value(&[])
        };
        assert!(mean(&views) < 1e-4, "{}", mean(&views));
        assert!(mean(&views[..WHOLE_VIEWS]) > 1e-2);
    }
}
