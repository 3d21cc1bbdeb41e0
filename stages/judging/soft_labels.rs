//! Soft labels: what teachers say of the images that a student trains on. A teacher is a linear
//! classifier on a network's stored features, or a network with a classifier of its own, whose
//! logits are stored. Several count the same (arXiv 1503.02531).

use std::collections::HashMap;

use anyhow::{Result, bail};
use seedpipe_artifact::{EmbeddingsReader, Of};
use seedpipe_base::Refusal;
use seedpipe_engine::{Input, StageContext};
use seedpipe_learn::loss::distillation::mean_probabilities;
use seedpipe_learn::probe::LinearClassifier;
use seedpipe_learn::tensors::from_slice_f32;
use tch::Tensor;

use crate::judging::evaluation;
use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;
use crate::shared::logits::holds_logits;
use crate::shared::selection::Classes;

/// Input slots, for the messages.
pub const FEATURES: &str = "teacher_features";
pub const CLASSIFIER: &str = "teacher_classifier";
pub const LOGITS: &str = "teacher_logits";

/// Features that are read at once; only their logits are kept.
const BLOCK: usize = 16_384;

/// The teachers of the inputs `teacher_features` with `teacher_classifier`, pairs in their order,
/// and `teacher_logits`.
pub struct Teachers {
    teachers: Vec<TeacherLogits>,
    temperature: f64,
}

/// One teacher's logits for every view, or for every image.
struct TeacherLogits {
    /// `[rows, classes]`
    logits: Tensor,
    /// Row of the logits, by position (of view 0, when there are views); of positions that are
    /// trained on.
    rows: Vec<i64>,
    /// Views that the logits are of, when not of the plain images.
    views: Option<usize>,
}

/// What the teachers are to speak of.
pub struct SoftLabelsWanted<'a> {
    pub pictures: &'a Pictures,
    pub viewed: &'a Viewed,
    /// Positions that are trained on, among the viewed images.
    pub positions: &'a [u32],
    pub classes: &'a Classes,
}

impl Teachers {
    /// `None` when no teacher is connected.
    pub fn open(
        context: &StageContext,
        wanted: &SoftLabelsWanted,
        temperature: f64,
    ) -> Result<Option<Teachers>> {
        let classified = context
            .inputs(FEATURES)
            .iter()
            .zip(context.inputs(CLASSIFIER));
        let mut teachers = classified
            .map(|(features, classifier)| on_features(context, wanted, features, classifier))
            .collect::<Result<Vec<_>>>()?;
        for input in context.inputs(LOGITS) {
            teachers.push(on_logits(context, wanted, input)?);
        }
        Ok((!teachers.is_empty()).then_some(Teachers {
            teachers,
            temperature,
        }))
    }

    /// The mean of the teachers' probabilities at the temperature, for a batch.
    ///
    /// # Shapes
    /// - returns `[positions, classes]` f32 on the CPU, rows sum to 1
    pub fn probabilities(&self, epoch: u32, positions: &[u32]) -> Tensor {
        let of_batch: Vec<Tensor> = self
            .teachers
            .iter()
            .map(|teacher| teacher.of(epoch, positions))
            .collect();
        mean_probabilities(&of_batch, self.temperature)
    }
}

impl TeacherLogits {
    /// # Shapes
    /// - returns `[positions, classes]`
    fn of(&self, epoch: u32, positions: &[u32]) -> Tensor {
        let view = self.views.map_or(0, |views| epoch as usize % views);
        let offset = (view * self.rows.len()) as i64;
        let index: Vec<i64> = positions
            .iter()
            .map(|&position| self.rows[position as usize] + offset)
            .collect();
        self.logits.index_select(0, &Tensor::from_slice(&index))
    }
}

fn on_features(
    context: &StageContext,
    wanted: &SoftLabelsWanted,
    features: &Input,
    classifier: &Input,
) -> Result<TeacherLogits> {
    let reader = EmbeddingsReader::open(&features.parts)?;
    let classifier_stage = &classifier.stage;
    let classifier = evaluation::load_classifier(classifier)?;
    let (outputs, inputs) = classifier.weight.size2()?;
    if reader.dimension() as i64 != inputs || outputs != wanted.classes.len() as i64 {
        bail!(
            Refusal::failure(format!(
                "input `{CLASSIFIER}`: expected a classifier of {} features into {} classes for `{}`, got `{classifier_stage}`'s of {inputs} into {outputs}",
                reader.dimension(),
                wanted.classes.len(),
                features.stage
            ))
            .stage(context.stage())
            .hint(format!(
                "train it by a `probe` stage on `{}` and the same images; the two lists go in pairs",
                features.stage
            ))
        );
    }
    teacher(context, wanted, features, &reader, FEATURES, |block| {
        classifier_logits(&classifier, block)
    })
}

fn on_logits(
    context: &StageContext,
    wanted: &SoftLabelsWanted,
    input: &Input,
) -> Result<TeacherLogits> {
    let reader = EmbeddingsReader::open(&input.parts)?;
    let classes = wanted.classes.len();
    if !holds_logits(reader.header()) {
        bail!(
            Refusal::failure(format!(
                "input `{LOGITS}`: expected logits, got features from stage `{}`",
                input.stage
            ))
            .stage(context.stage())
            .hint(format!(
                "give it `embedding: logits`, or connect it as `{FEATURES}` beside a `{CLASSIFIER}`"
            ))
        );
    }
    if reader.dimension() != classes {
        bail!(
            Refusal::failure(format!(
                "input `{LOGITS}`: expected {classes} logits, one for each class of the images, got {} from stage `{}`",
                reader.dimension(),
                input.stage
            ))
            .stage(context.stage())
            .hint("fit a classifier on its features by a `probe` stage")
        );
    }
    teacher(context, wanted, input, &reader, LOGITS, |block| block)
}

fn classifier_logits(classifier: &LinearClassifier, features: Tensor) -> Tensor {
    classifier.logits(&features)
}

/// Reads the stored rows a block at a time and keeps what `logits` makes of them.
fn teacher(
    context: &StageContext,
    wanted: &SoftLabelsWanted,
    input: &Input,
    reader: &EmbeddingsReader,
    slot: &str,
    logits: impl Fn(Tensor) -> Tensor,
) -> Result<TeacherLogits> {
    let header = reader.header();
    let views = match header.of {
        Of::Images => None,
        Of::Views => {
            if header.extra.get("views") != Some(&context.input("views").content.to_string()) {
                bail!(
                    Refusal::failure(format!(
                        "input `{slot}`: expected embeddings of the same views, or of plain images, got those of other views from stage `{}`",
                        input.stage
                    ))
                    .stage(context.stage())
                    .hint("connect an `encode` stage without `views`, or with the same ones")
                );
            }
            Some(wanted.viewed.views())
        }
    };
    let (mut blocks, mut ids) = (Vec::new(), Vec::new());
    for start in (0..reader.rows()).step_by(BLOCK) {
        let embeddings = reader.read(start..reader.rows().min(start + BLOCK))?;
        let size = [embeddings.ids.len() as i64, reader.dimension() as i64];
        blocks.push(logits(from_slice_f32(&size, &embeddings.values)));
        if views.is_none() {
            ids.extend(embeddings.ids);
        }
    }
    if blocks.is_empty() {
        bail!(
            Refusal::failure(format!(
                "input `{slot}`: stage `{}` holds no embedding",
                input.stage
            ))
            .stage(context.stage())
            .hint("let it encode the images that are trained on")
        );
    }
    let mut rows: Vec<i64> = (0..wanted.viewed.len() as i64).collect();
    if views.is_none() {
        let row_of_image: HashMap<u64, i64> = ids.into_iter().zip(0..).collect();
        for &position in wanted.positions {
            let images = wanted.pictures.images();
            let image = images.image(wanted.viewed.image(position as usize));
            rows[position as usize] =
                *row_of_image
                    .get(&u64::from(image.image_id))
                    .ok_or_else(|| {
                        Refusal::failure(format!(
                            "input `{slot}`: image {} has no embedding",
                            image.image_id
                        ))
                        .stage(context.stage())
                        .hint(format!(
                            "let stage `{}` encode the split that is trained on (`{}`)",
                            input.stage, image.split
                        ))
                    })?;
        }
    }
    Ok(TeacherLogits {
        logits: Tensor::cat(&blocks, 0),
        rows,
        views,
    })
}
