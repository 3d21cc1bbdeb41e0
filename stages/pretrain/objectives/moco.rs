//! `moco`: MoCo (arXiv 1911.05722, 2003.04297): a query encoder, a momentum encoder for the keys,
//! InfoNCE against a queue of keys.
//!
//! Batch norm would tell which key belongs to which query if both were normalised by the same
//! images' statistics (section 3.3). The paper has a batch on 8 devices, each of which normalises
//! its part by itself, and shuffles the keys' over them. Here both encoders normalise the batch in
//! parts, and the key encoder sees a keyed permutation of it.

use std::num::NonZeroI64;

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_engine::{InputKinds, Stage, StageContext, keyed_rng};
use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::loss::contrastive::moco_loss;
use seedpipe_learn::loss::seed::normalise;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::queue::Queue;
use seedpipe_learn::random::permutation;
use seedpipe_learn::schedule::Schedule;
use seedpipe_learn::training_state::TrainingState;
use tch::{Device, Tensor, no_grad};

use super::{Declaration, OUT, Pretrain, Setup, Training, own_or};
use crate::shared::invalid::{check_queue, fraction, invalid, temperature};
use crate::shared::objectives::params;
use crate::training::{Batch, Learner, QUEUE, TrainingOptions, restore_queue, save_queue};

/// Parts of a batch by default: the official code's devices.
const PARTS: usize = 8;

params! {
    /// MoCo: find the other view's key, of a slowly following encoder, among a queue of earlier
    /// keys.
    Moco {
        /// 1 has a linear head, a temperature of 0.07 and a learning rate that falls to a tenth
        /// after 60 and 80 % of the epochs, 2 (default) a head with a hidden layer, 0.2 and a
        /// cosine.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<u8> = None,
        /// keys to tell the right one from, default 65536.
        queue: usize = 65_536,
        /// divisor of the similarities, default 0.2.
        #[serde(skip_serializing_if = "Option::is_none")]
        temperature: Option<f64> = None,
        /// how slowly the key encoder follows, default 0.999.
        encoder_momentum: f64 = 0.999,
        /// parts of a batch that batch norms normalise by themselves, as on as many devices, default
        /// 8. With 1 the key's statistics are the query's, and tell which key is its own.
        batch_norm_parts: usize = PARTS,
    }
}

impl Moco {
    /// Every part needs two images, or it has no variance.
    fn check_parts(&self, batch: usize) -> Result<(), Refusal> {
        let parts = self.batch_norm_parts;
        if parts == 0 || !batch.is_multiple_of(parts) || batch / parts < 2 {
            let most = (1..=batch / 2)
                .rev()
                .filter(|most| batch.is_multiple_of(*most));
            let fits: Vec<String> = most.take(3).map(|fit| fit.to_string()).collect();
            return Err(invalid(
                "batch_norm_parts",
                &format!("a divisor of the batch of {batch} that leaves two images to a part"),
                parts,
                &format!("e.g. {}", fits.join(", ")),
            ));
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        match NonZeroI64::new(self.batch_norm_parts as i64) {
            Some(parts) if parts.get() > 1 => Mode::TrainInParts(parts),
            _ => Mode::Train,
        }
    }

    fn temperature(&self) -> f64 {
        let usual = if self.version == Some(1) { 0.07 } else { 0.2 };
        self.temperature.unwrap_or(usual)
    }
}

impl Declaration for Moco {
    fn fill(&mut self, _inputs: &InputKinds) {
        self.temperature = Some(self.temperature());
    }

    fn validate(&self, training: &TrainingOptions, network: &Architecture) -> Result<(), Refusal> {
        match self.version {
            Some(version) if ![1, 2].contains(&version) => {
                let hint = "2 is the default";
                return Err(invalid("version", "1 or 2", version, hint));
            }
            Some(version) if network.head.is_some() => {
                return Err(invalid(
                    "version",
                    "nothing beside `network.head`",
                    version,
                    "a version is a head: leave one of them out",
                ));
            }
            _ => {}
        }
        temperature("temperature", self.temperature(), "MoCo v2 uses 0.2")?;
        fraction("encoder_momentum", self.encoder_momentum)?;
        self.check_parts(training.batch)?;
        check_queue(self.queue, training.batch)
    }

    /// Of main_moco.py: by default version 1's; `--cos` is version 2's.
    fn training(&self) -> TrainingOptions {
        let usual = TrainingOptions::default();
        let schedule = match self.version {
            Some(1) => Schedule::steps(&[120, 160], 0.1),
            _ => usual.schedule,
        };
        TrainingOptions { schedule, ..usual }
    }

    /// What version 2 added is the head's hidden layer (MoCo v2, section 3).
    fn way(&self, network: &Architecture) -> &'static str {
        let head = network.head.as_ref();
        let linear = head.is_some_and(|head| head.hidden.is_empty());
        match self.version == Some(1) || linear {
            true => "MoCo v1",
            false => "MoCo v2",
        }
    }

    fn head(&self, network: &Architecture) -> Result<Option<Head>> {
        own_or(network, |features| match self.version {
            Some(1) => Head::new(vec![], OUT),
            _ => Head::new(vec![features], OUT),
        })
    }
}

impl Training for Moco {
    fn run(&self, params: &Pretrain, context: &StageContext, setup: Setup) -> Result<()> {
        let query = params.new_network(context, setup.device)?;
        let key = query.duplicate();
        key.freeze();
        let learner = MocoLearner {
            queue: Queue::new(
                self.queue,
                query.embedding_dimension()? as usize,
                params.training.batch,
                &mut context.rng("queue", &[]),
                setup.device,
            )?,
            query,
            key,
            seed: context.seed(),
            keys: None,
            device: setup.device,
            temperature: self.temperature(),
            encoder_momentum: self.encoder_momentum,
            precision: params.training.precision,
            mode: self.mode(),
        };
        let positions = setup.everything();
        params.learn(context, setup, learner, positions)
    }
}

struct MocoLearner {
    query: Network,
    key: Network,
    queue: Queue,
    seed: u64,
    /// Of the batch at hand, until the queue takes them.
    keys: Option<Tensor>,
    device: Device,
    temperature: f64,
    encoder_momentum: f64,
    precision: Precision,
    mode: Mode,
}

impl MocoLearner {
    /// The keys of a batch, each normalised among a random part of it: `[B, D]`, rows of length 1.
    fn keys(&self, images: &Tensor, step: u64) -> Tensor {
        let count = images.size()[0];
        let order = permutation(
            count as usize,
            &mut keyed_rng(self.seed, Pretrain::KIND, "shuffle", &step.to_le_bytes()),
        );
        let mut back = vec![0i64; order.len()];
        for (place, &index) in order.iter().enumerate() {
            back[index as usize] = place as i64;
        }
        let order: Vec<i64> = order.into_iter().map(i64::from).collect();
        // Both before the network is at work: such a copy waits for all that a GPU has been given.
        let [order, back] = [order, back].map(|at| Tensor::from_slice(&at).to_device(self.device));
        let shuffled = images.index_select(0, &order);
        let keys = self.key.forward(&shuffled, self.mode, self.precision);
        normalise(&keys.embedding_or_features().index_select(0, &back))
    }
}

impl Learner for MocoLearner {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        self.query.trainable()
    }

    fn network(&self) -> &Network {
        &self.query
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let images = batch.images();
        let pairs = 2 * batch.positions.len() as i64;
        let (first, second) = (images.slice(0, 0, pairs, 2), images.slice(0, 1, pairs, 2)); // [B, 3, S, S] each
        if batch.begins_update {
            no_grad(|| self.key.momentum_update(&self.query, self.encoder_momentum));
        }
        let keys = no_grad(|| self.keys(&second, batch.step)); // [B, D]
        let output = self.query.forward(&first, self.mode, self.precision);
        let loss = moco_loss(
            output.embedding_or_features(),
            &keys,
            self.queue.rows(),
            self.temperature,
        );
        self.keys = Some(keys);
        Ok(loss)
    }

    fn remember(&mut self, _batch: &Batch) -> Result<()> {
        if let Some(keys) = self.keys.take() {
            self.queue.enqueue(&keys);
        }
        Ok(())
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![(
            "queue_fill",
            self.queue.filled() as f64 / self.queue.len() as f64,
        )]
    }

    fn save(&self, state: &mut TrainingState) {
        state.insert_all("query.", self.query.state());
        state.insert_all("key.", self.key.state());
        save_queue(state, QUEUE, &self.queue);
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        state.copy_into("query.", &self.query.state())?;
        state.copy_into("key.", &self.key.state())?;
        restore_queue(state, QUEUE, &mut self.queue)
    }
}
