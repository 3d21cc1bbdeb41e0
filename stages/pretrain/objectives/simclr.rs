//! `simclr`: SimCLR (arXiv 2002.05709): NT-Xent over the two views of a batch's images, through a
//! projection head with batch norms, the last one behind its last layer.

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_engine::StageContext;
use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::loss::contrastive::nt_xent_loss;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::optimiser::{LarsOptions, OptimiserOptions};
use seedpipe_learn::schedule::{Per, Schedule};
use seedpipe_learn::training_state::TrainingState;
use tch::Tensor;

use super::{Declaration, OUT, Pretrain, Setup, Training, own_or};
use crate::shared::invalid::{Counted, count, temperature};
use crate::shared::objectives::params;
use crate::training::{Batch, Learner, Scaling, TrainingOptions};

params! {
    /// SimCLR: find the other view of the image among the batch's.
    Simclr {
        /// divisor of the similarities, default 0.5.
        temperature: f64 = 0.5, // the paper's on CIFAR-10 (appendix B.9)
    }
}

impl Declaration for Simclr {
    fn validate(&self, training: &TrainingOptions, _network: &Architecture) -> Result<(), Refusal> {
        let usual = "SimCLR uses 0.1 on ImageNet, 0.5 on CIFAR-10";
        temperature("temperature", self.temperature, usual)?;
        count("training.batch", training.batch as u64, 2, Counted::AtOnce)
    }

    /// Of the paper, section 2.2, apart from its batch of 4096; smaller batches by its rule for
    /// them, 0.075 · √batch (appendix B.1).
    fn training(&self) -> TrainingOptions {
        TrainingOptions {
            epochs: 100,
            learning_rate: 1.2,
            scale_learning_rate: Scaling::SQRT,
            optimiser: OptimiserOptions::Lars(LarsOptions::default()),
            schedule: Schedule::Cosine {
                warmup_epochs: 10.0,
                per: Per::Step,
                after_warmup: true,
                end: 0.0,
            },
            ..TrainingOptions::default()
        }
    }

    fn way(&self, _network: &Architecture) -> &'static str {
        "SimCLR"
    }

    fn head(&self, network: &Architecture) -> Result<Option<Head>> {
        own_or(network, |features| Head {
            batch_norm: true,
            last_batch_norm: true,
            ..Head::new(vec![features], OUT)
        })
    }
}

impl Training for Simclr {
    fn run(&self, params: &Pretrain, context: &StageContext, setup: Setup) -> Result<()> {
        let learner = SimclrLearner {
            network: params.new_network(context, setup.device)?,
            temperature: self.temperature,
            precision: params.training.precision,
        };
        let positions = setup.everything();
        params.learn(context, setup, learner, positions)
    }
}

struct SimclrLearner {
    network: Network,
    temperature: f64,
    precision: Precision,
}

impl Learner for SimclrLearner {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        self.network.trainable()
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let output = self
            .network
            .forward(batch.images(), Mode::Train, self.precision);
        let embeddings = output.embedding_or_features(); // [2B, D], an image's views beside each other
        let view = |number| embeddings.slice(0, number, None, 2); // [B, D]
        let by_view = Tensor::cat(&[view(0), view(1)], 0); // [2B, D]
        Ok(nt_xent_loss(&by_view, self.temperature))
    }

    fn save(&self, state: &mut TrainingState) {
        state.insert_all("network.", self.network.state());
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        Ok(state.copy_into("network.", &self.network.state())?)
    }
}
