//! `simclr`: SimCLR (arXiv 2002.05709): NT-Xent over the two views of a batch's images, through a projection head with batch norm.

use anyhow::Result;
use seedpipe_engine::StageContext;
use seedpipe_learn::loss::contrastive::nt_xent_loss;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::training_state::TrainingState;
use tch::Tensor;

use super::objective::Param;
use super::{Pretrain, Setup, everything, set};
use crate::training::{Batch, Learner};

pub fn learner(
    params: &Pretrain,
    context: &StageContext,
    setup: &Setup,
) -> Result<(SimclrLearner, Vec<u32>)> {
    let learner = SimclrLearner {
        network: params.network_with_head(context, setup.device)?,
        temperature: set(params.temperature, Param::Temperature)?,
        precision: params.training.precision,
    };
    Ok((learner, everything(setup)))
}

pub struct SimclrLearner {
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
