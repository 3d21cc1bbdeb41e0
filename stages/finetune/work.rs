//! What `finetune` does: chooses the images and their labels, trains, judges.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use seedpipe_artifact::MetricRow;
use seedpipe_base::Refusal;
use seedpipe_engine::{Demanded, StageContext, Work};
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::depth::Depths;
use seedpipe_learn::device::device;
use seedpipe_learn::loss::distillation::Balance;
use seedpipe_learn::network::Network;
use tch::Device;

use super::learner::SupervisedLearner;
use super::{Finetune, Freeze};
use crate::judging::evaluation::{Judging, outputs_of, ranked, write_metrics};
use crate::judging::soft_labels::{SoftLabelsWanted, Teachers};
use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;
use crate::shared::network_artifact::{
    Prepared, initialise, initialise_from, load_network, save_network, trained_preprocessing,
};
use crate::shared::selection::{CHOOSING, Classes, judged, label_subset, rows_of_split};
use crate::training::{Crops, Samples, report_results, train};

/// What is trained on, by position among the viewed images.
struct TrainingSet {
    /// The class where the label is used.
    class_of: Vec<Option<usize>>,
    positions: Vec<u32>,
    /// How many of the positions have a class.
    labelled: usize,
}

impl Work for Finetune {
    fn run(&self, context: &StageContext) -> Result<()> {
        let device = device(context.device())?;
        let parts = &context.input("images").parts;
        let pictures = Arc::new(Pictures::open(parts, self.training.decode)?);
        let viewed = Arc::new(Viewed::open(
            &context.input("views").parts,
            pictures.images(),
        )?);
        let classes = Classes::of(pictures.images())?;
        let chosen = self.choose(context, &pictures, &viewed, &classes)?;
        let test = classes
            .labelled(pictures.images(), &self.test_split)
            .with_context(|| format!("stage `{}`: key `test_split`", context.stage()))?;
        let Prepared {
            mut network,
            preprocessing,
        } = self.network(context, &classes, viewed.size(), device)?;
        if let Some(freeze) = self.freeze {
            freeze_first(context, &mut network, freeze)?;
        }
        let wanted = SoftLabelsWanted {
            pictures: &pictures,
            viewed: &viewed,
            positions: &chosen.positions,
            classes: &classes,
        };
        let teachers = match self.alpha {
            0.0 => None,
            _ => Teachers::open(context, &wanted, self.temperature)?,
        };
        let rate_factors = match self.layer_decay {
            None => BTreeMap::new(),
            Some(decay) => Depths::of(network.graph()).rate_factors(decay),
        };
        let mut learner = SupervisedLearner {
            network,
            teachers,
            class_of: chosen.class_of,
            classes: classes.len(),
            balance: Balance {
                alpha: self.alpha,
                temperature: self.temperature,
            },
            label_smoothing: self.label_smoothing,
            mixup: self.mixup,
            rate_factors,
            seed: context.seed(),
            precision: self.training.precision,
            device,
        };
        let samples = Samples {
            positions: Arc::new(chosen.positions),
            preprocessing: preprocessing.clone(),
            crops: vec![Crops { viewed, views: 1 }],
            pictures: pictures.clone(),
            device,
        };
        context.shards(1, |shard| {
            let mut rows = train(context, &self.training, &samples, &mut learner)?;
            let step = rows.last().map_or(0, |row| row.step);
            let logits = outputs_of(
                &learner.network,
                &preprocessing,
                &pictures,
                test.iter().map(|&(row, _)| row).collect(),
                self.training.precision,
                device,
                |output| output.logits,
            )?;
            let judging = Judging {
                context,
                images: pictures.images(),
                classes: &classes,
                labelled: &test,
                split: &self.test_split,
                step,
            };
            let best = ranked(&logits, &classes);
            let (evaluation, judged) = judging.rows("", "", &best);
            rows.extend(judged);
            report_results(context, step, &self.test_split, &evaluation);
            let mut count = |name: &str, value: usize| {
                rows.push(MetricRow {
                    step,
                    split: "train".into(),
                    name: name.into(),
                    value: value as f64,
                });
            };
            count("images", samples.positions.len());
            if self.unlabelled {
                count("labelled_images", chosen.labelled);
            }
            context.telemetry(
                "parameters",
                learner.network.graph().parameter_count() as f64,
            );
            save_network(
                &shard.output("weights", "part-00000"),
                &learner.network,
                &preprocessing,
            )?;
            write_metrics(&shard.output("metrics", "part-00000"), &rows)?;
            judging.write_predictions(&shard.output("predictions", "part-00000"), &best)
        })
    }

    fn rows(&self, context: &StageContext) -> Result<Demanded> {
        judged(context, &self.test_split)
    }
}

impl Finetune {
    fn choose(
        &self,
        context: &StageContext,
        pictures: &Pictures,
        viewed: &Viewed,
        classes: &Classes,
    ) -> Result<TrainingSet> {
        let images = pictures.images();
        let labelled = classes.labelled(images, &self.train_split)?;
        let labelled: HashMap<usize, usize> =
            label_subset(images, labelled, self.label_fraction, context.seed())
                .into_iter()
                .collect();
        let class_of: Vec<Option<usize>> = (0..viewed.len())
            .map(|position| labelled.get(&viewed.image(position)).copied())
            .collect();
        // Images to judge or to choose by are never learned from without a label.
        let left_out: HashSet<usize> = match self.unlabelled {
            true => rows_of_split(images, &self.test_split)?
                .into_iter()
                .chain(images.rows_in(CHOOSING))
                .collect(),
            false => HashSet::new(),
        };
        let is_trained = |position: usize| match class_of[position] {
            Some(_) => true,
            None => self.unlabelled && !left_out.contains(&viewed.image(position)),
        };
        let positions = (0..viewed.len())
            .filter(|&position| is_trained(position))
            .map(|position| position as u32)
            .collect();
        let used = class_of.iter().flatten().count();
        if used == 0 {
            bail!(
                Refusal::failure(format!(
                    "expected a split with labelled images among the viewed ones, got `{}`",
                    self.train_split
                ))
                .stage(context.stage())
                .key("train_split")
                .hint(format!(
                    "let stage `{}` view that split",
                    context.input("views").stage
                ))
            );
        }
        Ok(TrainingSet {
            class_of,
            positions,
            labelled: used,
        })
    }

    fn network(
        &self,
        context: &StageContext,
        classes: &Classes,
        size: u32,
        device: Device,
    ) -> Result<Prepared> {
        let with_classes = |architecture: &Architecture| Architecture {
            classes: Some(classes.len() as i64),
            ..architecture.backbone()
        };
        match (context.optional_input("weights"), &self.network) {
            (Some(input), _) => {
                let donor = load_network(input, device)?;
                let architecture = with_classes(donor.network.architecture());
                let network = initialise_from(context, &architecture, &donor.network, device)?;
                Ok(Prepared {
                    network,
                    preprocessing: donor.preprocessing,
                })
            }
            (None, Some(architecture)) => {
                let architecture = with_classes(architecture);
                let preprocessing =
                    trained_preprocessing(self.preprocessing.as_ref(), &architecture, size);
                Ok(Prepared {
                    network: initialise(context, &architecture, device)?,
                    preprocessing,
                })
            }
            (None, None) => bail!("BUG: no network, although the plan was checked"),
        }
    }
}

fn freeze_first(context: &StageContext, network: &mut Network, freeze: Freeze) -> Result<()> {
    let depths = Depths::of(network.graph());
    if freeze.blocks > depths.blocks() {
        bail!(
            Refusal::failure(format!(
                "expected at most the {} blocks of `{}`, got {}",
                depths.blocks(),
                network.architecture().name,
                freeze.blocks
            ))
            .stage(context.stage())
            .key("freeze.blocks")
            .hint(format!(
                "with {} all but the classifier is frozen",
                depths.blocks()
            ))
        );
    }
    network.freeze_tensors(&depths.first(freeze.blocks));
    Ok(())
}
