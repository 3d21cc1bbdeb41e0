//! The loss of a batch: labels, soft labels, and the two mixed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use seedpipe_engine::{Stage, keyed_rng};
use seedpipe_learn::beta::symmetric_beta;
use seedpipe_learn::loss::distillation::{
    Balance, HardAndSoftTargets, Mixing, hard_targets, supervised_loss,
};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::random::permutation;
use seedpipe_learn::training_state::TrainingState;
use tch::{Device, Tensor};

use super::Finetune;
use crate::judging::soft_labels::Teachers;
use crate::training::{Batch, Learner, TrainingOptions};

pub struct SupervisedLearner {
    pub network: Network,
    pub teachers: Option<Teachers>,
    /// Class by position; none where the label is not to be used.
    pub class_of: Vec<Option<usize>>,
    pub classes: usize,
    pub balance: Balance,
    pub label_smoothing: f64,
    /// Alpha of the Beta distribution.
    pub mixup: Option<f64>,
    /// On the learning rate, by the tensor's name; 1 where there is none.
    pub rate_factors: BTreeMap<String, f64>,
    pub seed: u64,
    pub precision: Precision,
    pub device: Device,
}

impl SupervisedLearner {
    /// Plain classification by labels alone.
    ///
    /// - `class_of`: of each viewed image; only those with one may be trained on
    pub fn of_labels(
        network: Network,
        class_of: Vec<Option<usize>>,
        classes: usize,
        training: &TrainingOptions,
        device: Device,
    ) -> Self {
        SupervisedLearner {
            network,
            teachers: None,
            class_of,
            classes,
            balance: Balance {
                alpha: 0.0,
                temperature: 1.0,
            },
            label_smoothing: 0.0,
            mixup: None,
            rate_factors: BTreeMap::new(),
            seed: 0,
            precision: training.precision,
            device,
        }
    }

    fn targets(&self, batch: &Batch) -> HardAndSoftTargets {
        let labels: Vec<Option<i64>> = batch
            .positions
            .iter()
            .map(|&position| self.class_of[position as usize].map(|class| class as i64))
            .collect();
        let targets = HardAndSoftTargets {
            hard: hard_targets(&labels, self.classes, self.label_smoothing),
            soft: self
                .teachers
                .as_ref()
                .map(|teachers| teachers.probabilities(batch.epoch, batch.positions)),
        };
        targets.to_device(self.device)
    }

    /// The step's weight and partners, keyed by the step.
    fn mixing(&self, alpha: f64, batch: &Batch) -> Mixing {
        let mut rng = keyed_rng(
            self.seed,
            Finetune::KIND,
            "mixup",
            &batch.step.to_le_bytes(),
        );
        let lambda = symmetric_beta(alpha, &mut rng);
        let partners: Vec<i64> = permutation(batch.positions.len(), &mut rng)
            .into_iter()
            .map(i64::from)
            .collect();
        Mixing {
            lambda,
            partners: Tensor::from_slice(&partners),
        }
    }
}

impl Learner for SupervisedLearner {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        let mut trainable = self.network.trainable();
        trainable.retain(|(_, tensor)| tensor.requires_grad());
        trainable
    }

    fn learning_rate_factor(&self, name: &str) -> f64 {
        self.rate_factors.get(name).copied().unwrap_or(1.0)
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let mut targets = self.targets(batch);
        let mut images = batch.images().shallow_clone();
        if let Some(alpha) = self.mixup {
            let mixing = self.mixing(alpha, batch);
            targets = targets.mixed(&mixing);
            images = mixing.apply(&images);
        }
        let logits = self
            .network
            .forward(&images, Mode::Train, self.precision)
            .logits
            .context("BUG: the network has no classifier")?;
        Ok(supervised_loss(&logits, &targets, self.balance).total)
    }

    fn save(&self, state: &mut TrainingState) {
        state.insert_all("network.", self.network.state());
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        Ok(state.copy_into("network.", &self.network.state())?)
    }
}
