//! What `probe`, `knn` and `finetune` share: features joined with labels, metrics rows,
//! predictions, stored classifiers.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use seedpipe_artifact::{
    EmbeddingsReader, IMBALANCE, ImagesReader, Metadata, MetricRow, MetricsWriter, Of,
    PredictionRow, PredictionsWriter,
};
use seedpipe_base::Refusal;
use seedpipe_engine::{Input, StageContext};
use seedpipe_imaging::{Policy, View};
use seedpipe_learn::architecture::Preprocessing;
use seedpipe_learn::inference::Inference;
use seedpipe_learn::metrics::{Evaluation, ranked_classes};
use seedpipe_learn::network::{Network, Output, Precision};
use seedpipe_learn::probe::LinearClassifier;
use seedpipe_learn::tensors::from_slice_f32;
use tch::{Device, Tensor};

use crate::judging::scores::{JudgedImage, Scores, scores};
use crate::pixels::feed::{Feed, Frame, Job};
use crate::pixels::pictures::Pictures;
use crate::shared::logits::holds_logits;
use crate::shared::network_artifact::{
    eval_policy, load_tensors, normalise as normalisation, save_tensors,
};
use crate::shared::selection::Classes;

/// Images that a network sees at once when it is evaluated.
const EVALUATION_BATCH: usize = 256;

/// Classes that a prediction names.
const TOP: usize = 5;

/// The view of a plain image under a policy that draws nothing.
pub fn plain_view(policy: &Policy, width: u32, height: u32) -> View {
    use rand_chacha::rand_core::SeedableRng;
    policy.sample(
        &mut rand_chacha::ChaCha8Rng::from_seed([0; 32]),
        width,
        height,
    )
}

/// Stored features of plain images.
pub struct Features {
    reader: EmbeddingsReader,
    ids: Vec<u64>,
    values: Vec<f32>,
    slot: &'static str,
    stage: String,
}

impl Features {
    pub fn open(context: &StageContext) -> Result<Features> {
        Features::of_slot(context, "features")
    }

    pub fn of_slot(context: &StageContext, slot: &'static str) -> Result<Features> {
        let input = context.input(slot);
        let reader = EmbeddingsReader::open(&input.parts)?;
        if reader.header().of != Of::Images {
            bail!(
                Refusal::failure(format!(
                    "input `{slot}`: expected embeddings of plain images, got embeddings of views from stage `{}`",
                    input.stage
                ))
                .stage(context.stage())
                .hint("connect an `encode` stage without the input `views`")
            );
        }
        let embeddings = reader.read(0..reader.rows())?;
        Ok(Features {
            reader,
            ids: embeddings.ids,
            values: embeddings.values,
            slot,
            stage: input.stage.clone(),
        })
    }

    /// Refuses features that are not a network's own logits, one for each class.
    pub fn require_logits(&self, classes: &Classes) -> Result<()> {
        if !holds_logits(self.reader.header()) {
            bail!(
                Refusal::failure(format!(
                    "input `features`: expected logits, got features from stage `{}`",
                    self.stage
                ))
                .hint("give it `embedding: logits`")
            );
        }
        if self.reader.dimension() != classes.len() {
            bail!(
                Refusal::failure(format!(
                    "input `features`: expected {} logits, one for each class of the images, got {} from stage `{}`",
                    classes.len(),
                    self.reader.dimension(),
                    self.stage
                ))
                .hint("fit a classifier on its features, `method: lbfgs`")
            );
        }
        Ok(())
    }

    /// The features of some images, by their rows in the images artifact: `[rows, D]` f32.
    pub fn of(&self, images: &ImagesReader, labelled: &[(usize, usize)]) -> Result<Tensor> {
        let dimension = self.reader.dimension();
        let mut values = Vec::with_capacity(labelled.len() * dimension);
        for &(row, _) in labelled {
            let image_id = images.image(row).image_id;
            let index = self.ids.binary_search(&image_id.into()).map_err(|_| {
                Refusal::failure(format!(
                    "input `{}`: image {image_id} has no embedding",
                    self.slot
                ))
                .hint(format!(
                    "let stage `{}` encode its split (`{}`)",
                    self.stage,
                    images.image(row).split
                ))
            })?;
            values.extend_from_slice(&self.values[index * dimension..(index + 1) * dimension]);
        }
        Ok(from_slice_f32(
            &[labelled.len() as i64, dimension as i64],
            &values,
        ))
    }
}

/// Labelled images that a stage judges.
pub struct Judging<'a> {
    pub context: &'a StageContext<'a>,
    pub images: &'a ImagesReader,
    pub classes: &'a Classes,
    /// Rows of the images with their classes.
    pub labelled: &'a [(usize, usize)],
    pub split: &'a str,
    /// Of the rows.
    pub step: u64,
}

impl Judging<'_> {
    /// The figures of one way of judging, and their rows of metrics/v1 with intervals:
    /// `{prefix}top1{suffix}` and so on. Those of single classes have no suffix, so that one way of
    /// several gives them.
    ///
    /// - `ranked`: the best classes of each image
    pub fn rows(
        &self,
        prefix: &str,
        suffix: &str,
        ranked: &[Vec<(u32, f32)>],
    ) -> (Evaluation, Vec<MetricRow>) {
        let judged = self.labelled.iter().zip(ranked);
        let judged = judged.map(|(&(row, class), ranked)| JudgedImage {
            digest: *self.images.image(row).digest,
            class: class as u32,
            ranked: ranked.iter().map(|&(class, _)| class).collect(),
        });
        let rng = self.context.rng("bootstrap", &[]);
        let Scores {
            evaluation,
            figures,
        } = scores(judged.collect(), self.classes.places(), &rng);
        let mut rows = Vec::new();
        for figure in figures {
            let name = format!("{prefix}{}{suffix}", figure.name);
            rows.extend([
                self.row(format!("{name}_low"), figure.interval.low),
                self.row(format!("{name}_high"), figure.interval.high),
                self.row(name, figure.value),
            ]);
        }
        if suffix.is_empty() {
            let imbalance = evaluation.imbalance;
            rows.extend(imbalance.map(|times| self.row(format!("{prefix}{IMBALANCE}"), times)));
            let classes = evaluation.per_class.iter().enumerate();
            rows.extend(classes.filter_map(|(class, accuracy)| {
                let name = format!("{prefix}top1/{}", self.classes.name(class));
                Some(self.row(name, (*accuracy)?))
            }));
        }
        (evaluation, rows)
    }

    pub fn row(&self, name: String, value: f64) -> MetricRow {
        MetricRow {
            step: self.step,
            split: self.split.to_owned(),
            name,
            value,
        }
    }

    pub fn write_predictions(&self, path: &Path, ranked: &[Vec<(u32, f32)>]) -> Result<()> {
        let label = |class: usize| self.classes.label(class);
        let rows: Vec<PredictionRow> = self
            .labelled
            .iter()
            .zip(ranked)
            .map(|(&(row, class), ranked)| PredictionRow {
                image_id: self.images.image(row).image_id,
                label: Some(label(class)),
                classes: ranked
                    .iter()
                    .map(|&(class, _)| label(class as usize))
                    .collect(),
                probabilities: ranked.iter().map(|&(_, probability)| probability).collect(),
            })
            .collect();
        let mut writer = PredictionsWriter::create(path, &Metadata::new())?;
        writer.write(&rows)?;
        writer.finish()?;
        Ok(())
    }
}

/// Writes a whole metrics/v1 part.
pub fn write_metrics(path: &Path, rows: &[MetricRow]) -> Result<()> {
    let mut writer = MetricsWriter::create(path, &Metadata::new())?;
    writer.write(rows)?;
    writer.finish()?;
    Ok(())
}

/// The best classes of each row with their probabilities.
pub fn ranked(logits: &Tensor, classes: &Classes) -> Vec<Vec<(u32, f32)>> {
    ranked_classes(logits, classes.places(), TOP)
}

pub fn save_classifier(path: &Path, classifier: &LinearClassifier) -> Result<()> {
    let size = classifier.weight.size();
    let architecture =
        serde_json::json!({ "linear_classifier": { "features": size[1], "classes": size[0] } });
    let state = [
        ("weight".to_owned(), classifier.weight.shallow_clone()),
        ("bias".to_owned(), classifier.bias.shallow_clone()),
    ];
    save_tensors(path, &state, &architecture.to_string(), "null")
}

pub fn load_classifier(input: &Input) -> Result<LinearClassifier> {
    let (mut tensors, _) = load_tensors(input)?;
    match (tensors.remove("weight"), tensors.remove("bias")) {
        (Some(weight), Some(bias)) if tensors.is_empty() => Ok(LinearClassifier { weight, bias }),
        _ => bail!(
            Refusal::failure(format!(
                "weights of stage `{}`: expected a linear classifier, got a network",
                input.stage
            ))
            .hint("connect the output `classifier` of a `probe` stage")
        ),
    }
}

/// One of a network's outputs for plain images, under the network's own preprocessing: `[rows, D]`
/// f32 on the CPU.
///
/// - `of`: which output; the network must have it
pub fn outputs_of(
    network: &Network,
    preprocessing: &Preprocessing,
    pictures: &Arc<Pictures>,
    rows: Vec<usize>,
    precision: Precision,
    device: Device,
    of: impl Fn(Output) -> Option<Tensor>,
) -> Result<Tensor> {
    network.check_size(preprocessing.size)?;
    let policy = eval_policy(preprocessing)?;
    let frame = Frame {
        batch: EVALUATION_BATCH,
        size: policy.size,
        normalise: normalisation(preprocessing),
    };
    let inference = Inference::new(network, precision);
    let count = rows.len();
    let (shared, mut next) = (pictures.clone(), 0);
    let mut feed = Feed::start(pictures.clone(), frame, device, move || {
        let batch = &rows[next..rows.len().min(next + EVALUATION_BATCH)];
        next += batch.len();
        let jobs: Vec<Job> = batch
            .iter()
            .map(|&row| {
                let image = shared.images().image(row);
                Job {
                    image: row,
                    views: vec![plain_view(&policy, image.width, image.height)],
                }
            })
            .collect();
        Ok((!jobs.is_empty()).then_some(jobs))
    })?;
    let mut outputs = Vec::new();
    while let Some(pixels) = feed.next()? {
        let output = of(inference.forward(&pixels));
        let output = output.context("BUG: the network lacks the output")?;
        outputs.push(output.to_device(Device::Cpu));
    }
    Ok(Tensor::cat(&outputs, 0).slice(0, 0, count as i64, 1))
}
