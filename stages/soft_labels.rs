//! Soft labels: a teacher's logits for what a student trains on, by a linear classifier on the teacher's stored features.

use std::collections::HashMap;

use anyhow::{Result, anyhow, bail};
use seedpipe_artifact::{EmbeddingsReader, Of};
use seedpipe_engine::StageContext;
use seedpipe_learn::tensors::from_slice_f32;
use tch::Tensor;

use crate::evaluation;
use crate::pictures::Pictures;
use crate::selection::Classes;
use crate::viewed::Viewed;

/// A teacher's logits for every view, or for every image.
pub struct Teacher {
    logits: Tensor,
    /// Row of the logits, by position (of view 0, when there are views).
    rows: Vec<i64>,
    views: Option<usize>,
    viewed: i64,
}

impl Teacher {
    /// The teacher of the inputs `teacher_features` and `teacher_classifier`, when they are connected.
    pub fn open(
        context: &StageContext,
        pictures: &Pictures,
        viewed: &Viewed,
        classes: &Classes,
    ) -> Result<Option<Teacher>> {
        let (Some(features), Some(classifier)) = (
            context.optional_input("teacher_features"),
            context.optional_input("teacher_classifier"),
        ) else {
            return Ok(None);
        };
        let classifier = evaluation::load_classifier(classifier)?;
        let reader = EmbeddingsReader::open(&features.parts)?;
        let header = reader.header();
        let (wanted, outputs) = (classifier.weight.size()[1], classifier.weight.size()[0]);
        if reader.dimension() as i64 != wanted || outputs != classes.len() as i64 {
            bail!(
                "stage `{}`: input `teacher_classifier`: expected a classifier of {} features into {} classes, got one of {wanted} into {outputs}\nhint: train it by a `probe` stage on `{}` and the same images",
                context.stage(),
                reader.dimension(),
                classes.len(),
                features.stage
            );
        }
        let embeddings = reader.read(0..reader.rows())?;
        let logits = classifier.logits(&from_slice_f32(
            &[embeddings.ids.len() as i64, wanted],
            &embeddings.values,
        ));
        let views = match header.of {
            Of::Views => {
                if header.extra.get("views") != Some(&context.input("views").content.to_string()) {
                    bail!(
                        "stage `{}`: input `teacher_features`: expected embeddings of the same views, or of plain images, got those of other views\nhint: connect an `encode` stage without `views`, or with the same ones",
                        context.stage()
                    );
                }
                Some(viewed.views())
            }
            Of::Images => None,
        };
        let row_of_image: HashMap<u64, i64> = if views.is_none() {
            embeddings.ids.iter().copied().zip(0..).collect()
        } else {
            HashMap::new()
        };
        let rows = (0..viewed.len())
            .map(|position| match views {
                Some(_) => Ok(position as i64),
                None => {
                    let image_id = pictures.images().image(viewed.image(position)).image_id;
                    row_of_image.get(&u64::from(image_id)).copied().ok_or_else(|| anyhow!("input `teacher_features`: image {image_id} has no embedding\nhint: let stage `{}` encode the split that is trained on", features.stage))
                }
            })
            .collect::<Result<_>>()?;
        Ok(Some(Teacher {
            logits,
            rows,
            views,
            viewed: viewed.len() as i64,
        }))
    }

    /// # Shapes
    /// - returns `[positions, classes]`
    pub fn logits(&self, epoch: u32, positions: &[u32]) -> Tensor {
        let offset = self
            .views
            .map_or(0, |views| (epoch as usize % views) as i64 * self.viewed);
        let index: Vec<i64> = positions
            .iter()
            .map(|&position| self.rows[position as usize] + offset)
            .collect();
        self.logits.index_select(0, &Tensor::from_slice(&index))
    }
}
