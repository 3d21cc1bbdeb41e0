//! What `probe`, `knn` and `finetune` share: features joined with labels, metrics rows,
//! predictions, stored classifiers.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use seedpipe_artifact::{
    EmbeddingsReader, ImagesReader, Metadata, MetricRow, MetricsWriter, Of, PredictionRow,
    PredictionsWriter,
};
use seedpipe_base::Refusal;
use seedpipe_engine::{Input, StageContext};
use seedpipe_imaging::{Policy, View};
use seedpipe_learn::architecture::Preprocessing;
use seedpipe_learn::bootstrap::{Statistic, intervals, share};
use seedpipe_learn::inference::Inference;
use seedpipe_learn::metrics::{Evaluation, ranked_classes};
use seedpipe_learn::network::{Network, Output, Precision};
use seedpipe_learn::probe::LinearClassifier;
use seedpipe_learn::tensors::from_slice_f32;
use tch::{Device, Tensor};

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

/// Rows of metrics/v1 for an evaluation: `{prefix}top1`, `{prefix}top5`, and one for each class.
pub fn metric_rows(
    step: u64,
    split: &str,
    prefix: &str,
    evaluation: &Evaluation,
    classes: &Classes,
) -> Vec<MetricRow> {
    let row = |name: String, value: f64| MetricRow {
        step,
        split: split.to_owned(),
        name,
        value,
    };
    let mut rows = vec![
        row(format!("{prefix}top1"), evaluation.top1),
        row(format!("{prefix}top5"), evaluation.top5),
    ];
    for (class, accuracy) in evaluation.per_class.iter().enumerate() {
        if let Some(accuracy) = accuracy {
            rows.push(row(
                format!("{prefix}top1/{}", classes.name(class)),
                *accuracy,
            ));
        }
    }
    rows
}

/// Rows `{name}_low` and `{name}_high`: 95 % intervals of shares of right answers, by bootstrap
/// over the judged images.
///
/// - `right`: for each name, whether each image's answer is right, by [`best_is_right`]; all over
///   the same images
pub fn interval_rows(
    context: &StageContext,
    step: u64,
    split: &str,
    right: Vec<(String, Vec<bool>)>,
) -> Vec<MetricRow> {
    let (names, right): (Vec<String>, Vec<Vec<bool>>) = right.into_iter().unzip();
    let samples = right.first().map_or(0, Vec::len);
    let right: Vec<Statistic> = right.into_iter().map(share).collect();
    let found = intervals(samples, &right, &context.rng("bootstrap", &[]));
    let ends = names.into_iter().zip(found).flat_map(|(name, interval)| {
        [
            (format!("{name}_low"), interval.low),
            (format!("{name}_high"), interval.high),
        ]
    });
    ends.map(|(name, value)| MetricRow {
        step,
        split: split.to_owned(),
        name,
        value,
    })
    .collect()
}

/// Whether the best class of each row is its label's; in an order that hangs on what the images
/// are, so that intervals don't hang on what files and classes are called.
pub fn best_is_right(
    images: &ImagesReader,
    classes: &Classes,
    labelled: &[(usize, usize)],
    ranked: &[Vec<(u32, f32)>],
) -> Vec<bool> {
    let judged = ranked.iter().zip(labelled).map(|(best, &(row, class))| {
        let is_right = best[0].0 as usize == class;
        (images.image(row).digest, classes.places()[class], is_right)
    });
    let mut judged: Vec<(&[u8; 32], u32, bool)> = judged.collect();
    judged.sort_unstable();
    judged.into_iter().map(|(.., is_right)| is_right).collect()
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

pub fn write_predictions(
    path: &Path,
    images: &ImagesReader,
    labelled: &[(usize, usize)],
    classes: &Classes,
    ranked: &[Vec<(u32, f32)>],
) -> Result<()> {
    let rows: Vec<PredictionRow> = labelled
        .iter()
        .zip(ranked)
        .map(|(&(row, class), ranked)| PredictionRow {
            image_id: images.image(row).image_id,
            label: Some(classes.label(class)),
            classes: ranked
                .iter()
                .map(|&(class, _)| classes.label(class as usize))
                .collect(),
            probabilities: ranked.iter().map(|&(_, probability)| probability).collect(),
        })
        .collect();
    let mut writer = PredictionsWriter::create(path, &Metadata::new())?;
    writer.write(&rows)?;
    writer.finish()?;
    Ok(())
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
