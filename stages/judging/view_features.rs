//! A frozen network's stored features of views, for a classifier that sees another view of each
//! image in each epoch. What a network in evaluation mode gives for a view is the same whenever it
//! is asked, so a classifier on stored features learns as one on top of the network does.

use std::collections::HashMap;

use anyhow::{Result, bail};
use seedpipe_artifact::{EmbeddingsReader, ImagesReader};
use seedpipe_base::Refusal;
use seedpipe_engine::{Input, StageContext};
use seedpipe_learn::tensors::from_slice_f32;
use tch::Tensor;

use crate::pixels::viewed::Viewed;
use crate::shared::logits::holds_logits;

/// Input slots.
pub const VIEWS: &str = "views";
pub const VIEW_FEATURES: &str = "view_features";

/// The param of `encode` that says which of the network's outputs is stored.
const OUTPUT: &str = "embedding";

pub struct ViewFeatures {
    reader: EmbeddingsReader,
    /// Images that were viewed, and views of each.
    viewed: usize,
    views: usize,
    /// Of the images that are learned from, among the viewed ones.
    positions: Vec<usize>,
    /// The view that was read last.
    held: Option<(usize, Tensor)>,
}

impl ViewFeatures {
    /// - `plain`: the stage whose features of plain images the same classifier is to judge
    /// - `labelled`: rows of the images that are learned from, with their classes
    pub fn open(
        context: &StageContext,
        images: &ImagesReader,
        plain: &Input,
        labelled: &[(usize, usize)],
    ) -> Result<Self> {
        let input = context.input(VIEW_FEATURES);
        let viewed = Viewed::open(&context.input(VIEWS).parts, images)?;
        let hint = "connect the `views` that were encoded";
        let reader = viewed.embeddings(context, (VIEW_FEATURES, input), VIEWS, hint)?;
        check_alike(context, (input, &reader), plain)?;
        let places = (0..viewed.len()).map(|position| (viewed.image(position), position));
        let places: HashMap<usize, usize> = places.collect();
        let position = |&(row, _): &(usize, usize)| {
            places.get(&row).copied().ok_or_else(|| {
                let image = images.image(row);
                Refusal::failure(format!(
                    "input `{VIEWS}`: image {} of split `{}` has no view",
                    image.image_id, image.split
                ))
                .stage(context.stage())
                .hint(format!(
                    "let `augment` draw views of the split that is learned from: `split: {}`",
                    image.split
                ))
            })
        };
        Ok(ViewFeatures {
            positions: labelled.iter().map(position).collect::<Result<_, _>>()?,
            viewed: viewed.len(),
            views: viewed.views(),
            reader,
            held: None,
        })
    }

    /// Of the images that are learned from: `[images, D]` f32. Views are cycled when there are
    /// fewer than epochs.
    pub fn of_epoch(&mut self, epoch: u32) -> Result<Tensor, Refusal> {
        let view = epoch as usize % self.views;
        if let Some((held, features)) = &self.held
            && *held == view
        {
            return Ok(features.shallow_clone());
        }
        let first = view * self.viewed;
        let dimension = self.reader.dimension();
        let values = self.reader.read(first..first + self.viewed)?.values;
        let rows = self.positions.iter();
        let rows = rows.flat_map(|at| &values[at * dimension..(at + 1) * dimension]);
        let rows: Vec<f32> = rows.copied().collect();
        let features = from_slice_f32(&[self.positions.len() as i64, dimension as i64], &rows);
        self.held = Some((view, features.shallow_clone()));
        Ok(features)
    }
}

/// Refuses features that a classifier of the others makes nothing of.
fn check_alike(
    context: &StageContext,
    (input, reader): (&Input, &EmbeddingsReader),
    plain: &Input,
) -> Result<()> {
    let other = EmbeddingsReader::open(&plain.parts)?;
    let (ours, theirs) = (reader.header(), other.header());
    let output = |input: &Input| input.recipe.params[OUTPUT].clone();
    let is_other_output = ours.dimension != theirs.dimension
        || holds_logits(ours) != holds_logits(theirs)
        || output(input) != output(plain);
    let (expected, got, key) = match (ours.network != theirs.network, is_other_output) {
        (true, _) => ("features of the network", "another network's", "network"),
        (false, true) => ("the network's output", "another output", OUTPUT),
        (false, false) => return Ok(()),
    };
    bail!(
        Refusal::failure(format!(
            "input `{VIEW_FEATURES}`: expected {expected} that stage `{}` has, got {got} from stage `{}`",
            plain.stage, input.stage
        ))
        .stage(context.stage())
        .hint(format!("give both stages the same `{key}`"))
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedpipe_artifact::{EmbeddingsHeader, EmbeddingsWriter, Metadata, Of, Precision};
    use seedpipe_learn::tensors::to_vec_f32;

    #[test]
    fn each_epoch_has_its_view_of_the_images_that_are_learned_from_and_views_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        let header = EmbeddingsHeader {
            of: Of::Views,
            precision: Precision::F16,
            dimension: 2,
            normalised: false,
            network: String::new(),
            extra: Metadata::new(),
        };
        // Two views of five images; a row's values tell which it is.
        let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
        let ids: Vec<u64> = (0..10).collect();
        let values: Vec<f32> = ids.iter().flat_map(|id| [*id as f32, -1.0]).collect();
        writer.write(&ids, &values).unwrap();
        writer.finish().unwrap();
        let mut views = ViewFeatures {
            reader: EmbeddingsReader::open(&[path]).unwrap(),
            viewed: 5,
            views: 2,
            positions: vec![4, 0],
            held: None,
        };
        for (epoch, rows) in [
            (0, [4.0, 0.0]),
            (1, [9.0, 5.0]),
            (2, [4.0, 0.0]),
            (5, [9.0, 5.0]),
        ] {
            let features = views.of_epoch(epoch).unwrap();
            let [one, other] = rows;
            assert_eq!(features.size(), [2, 2]);
            assert_eq!(to_vec_f32(&features), [one, -1.0, other, -1.0], "{epoch}");
        }
    }
}
