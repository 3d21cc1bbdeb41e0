//! Accuracy while a network is trained: every few epochs it looks at labelled images, as it will
//! when the training is over, and nothing of the training changes by it. A network with a
//! classifier judges by that; of another one the nearest neighbours among its features do.

use std::sync::Arc;

use anyhow::{Context, Result};
use seedpipe_engine::StageContext;
use seedpipe_learn::knn::{Bank, accuracy};
use seedpipe_learn::metrics::evaluate;
use seedpipe_learn::network::{Network, Precision};
use tch::Tensor;

use super::learner::Samples;
use super::options::{EvaluateOptions, TrainingOptions};
use crate::judging::evaluation::outputs_of;
use crate::pixels::pictures::Pictures;
use crate::shared::selection::{Classes, keyed_sample, train_split};

/// Neighbours that vote, and the temperature of their votes: as `knn` does by default.
const NEIGHBOURS: usize = 20;
const TEMPERATURE: f64 = 0.07;

pub struct Evaluating<'a> {
    options: &'a EvaluateOptions,
    samples: &'a Samples,
    precision: Precision,
    classes: Classes,
    split: String,
    judged: Labelled,
    /// Who votes; none where the network has a classifier.
    bank: Option<Labelled>,
}

/// Rows of the images with their classes.
struct Labelled {
    rows: Vec<usize>,
    classes: Vec<i64>,
}

impl Labelled {
    fn new(rows: Vec<(usize, usize)>) -> Self {
        let (rows, classes) = rows
            .into_iter()
            .map(|(row, class)| (row, class as i64))
            .unzip();
        Labelled { rows, classes }
    }
}

impl<'a> Evaluating<'a> {
    /// None where the training isn't looked at.
    ///
    /// # Errors
    /// When the images have no labels, or the split has none.
    pub fn new(
        context: &StageContext,
        training: &'a TrainingOptions,
        samples: &'a Samples,
        network: &Network,
    ) -> Result<Option<Self>> {
        let Some(options) = &training.evaluate else {
            return Ok(None);
        };
        let key = |key: &str| format!("stage `{}`: key `training.{key}`", context.stage());
        let images = samples.pictures.images();
        let classes = Classes::of(images).with_context(|| {
            let key = key("evaluate");
            format!("{key}: accuracy needs labels; leave the key out where there are none")
        })?;
        let sampled = |split: &str, count: usize| -> Result<Labelled> {
            let labelled = classes
                .labelled(images, split)
                .with_context(|| key("evaluate.split"))?;
            let rows = keyed_sample(images, labelled, count, context.seed());
            Ok(Labelled::new(rows))
        };
        let bank = match network.architecture().classes {
            Some(_) => None,
            None => Some(sampled(&train_split(), options.bank)?),
        };
        let split = match &options.split {
            Some(split) => split.clone(),
            None => classes.choosing_split(images).to_owned(),
        };
        Ok(Some(Evaluating {
            judged: sampled(&split, options.images)?,
            split,
            bank,
            options,
            samples,
            precision: training.precision,
            classes,
        }))
    }

    /// - `epoch`: how many are done
    pub fn is_due(&self, epoch: u64, is_last: bool) -> bool {
        is_last || epoch.is_multiple_of(u64::from(self.options.every))
    }

    /// The name of the accuracy in the metrics: other images than the `knn` stage's or the final
    /// evaluation's, so another name.
    pub fn name(&self) -> &'static str {
        match self.bank {
            Some(_) => "running_knn_top1",
            None => "running_top1",
        }
    }

    pub fn split(&self) -> &str {
        &self.split
    }

    /// The share of images that the network judges rightly, 0 to 1.
    pub fn accuracy(&self, network: &Network) -> Result<f64> {
        let pictures: &Arc<Pictures> = &self.samples.pictures;
        let seen = |rows: &[usize], is_logits: bool| -> Result<Tensor> {
            outputs_of(
                network,
                &self.samples.preprocessing,
                pictures,
                rows.to_vec(),
                self.precision,
                self.samples.device,
                |output| match is_logits {
                    true => output.logits,
                    false => Some(output.features),
                },
            )
        };
        let Some(bank) = &self.bank else {
            let logits = seen(&self.judged.rows, true)?;
            return Ok(evaluate(&logits, &self.judged.classes, self.classes.places()).top1);
        };
        let of_bank = seen(&bank.rows, false)?;
        let queries = seen(&self.judged.rows, false)?;
        let bank = Bank::new(&of_bank, &bank.classes, self.classes.len());
        let neighbours = bank.classify(&queries, &[NEIGHBOURS], TEMPERATURE);
        Ok(accuracy(&neighbours[0].weighted, &self.judged.classes, 1))
    }
}
