//! The stored teacher embeddings, a view at a time in memory and of length 1.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use rand_chacha::ChaCha8Rng;
use seedpipe_artifact::{EmbeddingsReader, Of};
use seedpipe_engine::{Input, StageContext};
use seedpipe_learn::loss::seed::normalise;
use seedpipe_learn::random::permutation;
use seedpipe_learn::tensors::from_slice_f32;
use tch::{Device, Tensor};

use crate::viewed::Viewed;

pub struct Targets {
    /// One for each teacher.
    readers: Vec<EmbeddingsReader>,
    viewed: usize,
    views: usize,
    device: Device,
    /// The views that are in memory, and their rows: `[viewed, D]`.
    loaded: BTreeMap<usize, Tensor>,
}

impl Targets {
    /// - `slot`: the input of the embeddings
    /// - `views`: the input of the views that they must be of, opened as `viewed`
    pub fn open(
        context: &StageContext,
        slot: &str,
        views: &str,
        viewed: &Viewed,
        device: Device,
    ) -> Result<Targets> {
        let readers = context
            .inputs(slot)
            .iter()
            .map(|input| teacher(context, (slot, input), views, viewed))
            .collect::<Result<_>>()?;
        Ok(Targets {
            readers,
            viewed: viewed.len(),
            views: viewed.views(),
            device,
            loaded: BTreeMap::new(),
        })
    }

    /// Of all teachers' embeddings together.
    pub fn dimension(&self) -> i64 {
        let dimensions = self.readers.iter().map(EmbeddingsReader::dimension);
        dimensions.sum::<usize>() as i64
    }

    /// Views of an image.
    pub fn views(&self) -> usize {
        self.views
    }

    /// All targets of a view.
    ///
    /// # Shapes
    /// - returns `[viewed, D]` f32 on the CPU, rows of length 1
    pub fn load(&self, view: usize) -> Result<Tensor> {
        let rows = view * self.viewed..(view + 1) * self.viewed;
        let parts = self
            .readers
            .iter()
            .map(|reader| {
                let embeddings = reader.read(rows.clone())?;
                let size = [self.viewed as i64, reader.dimension() as i64];
                Ok(from_slice_f32(&size, &embeddings.values))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(together(&parts))
    }

    /// Targets of some views; those of other views leave the memory.
    ///
    /// # Shapes
    /// - returns for each of the views `[positions, D]` f32, rows of length 1
    pub fn rows(&mut self, views: &[usize], positions: &[u32]) -> Result<Vec<Tensor>> {
        self.loaded.retain(|view, _| views.contains(view));
        for &view in views {
            if !self.loaded.contains_key(&view) {
                let rows = self.load(view)?.to_device(self.device);
                self.loaded.insert(view, rows);
            }
        }
        let index: Vec<i64> = positions.iter().map(|&position| position.into()).collect();
        let index = Tensor::from_slice(&index).to_device(self.device);
        views
            .iter()
            .map(|view| {
                let rows = self
                    .loaded
                    .get(view)
                    .context("BUG: a view was not loaded")?;
                Ok(rows.index_select(0, &index))
            })
            .collect()
    }

    /// The first `count` targets: of the first view in a keyed order of the images, then of the next views in the same order.
    ///
    /// Fails when there are fewer.
    ///
    /// # Shapes
    /// - returns `[count, D]` f32, rows of length 1
    pub fn first(&self, key: &str, count: usize, mut rng: ChaCha8Rng) -> Result<Tensor> {
        let all = self.viewed * self.views;
        ensure!(
            count <= all,
            "key `{key}`: expected at most the {all} targets that there are to begin with, got {count}\nhint: lower it, or store more views of each image"
        );
        let order: Vec<i64> = permutation(self.viewed, &mut rng)
            .into_iter()
            .map(i64::from)
            .collect();
        let parts = (0..count.div_ceil(self.viewed))
            .map(|view| {
                let rest = count - view * self.viewed;
                let index = Tensor::from_slice(&order[..rest.min(self.viewed)]);
                Ok(self.load(view)?.index_select(0, &index))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 0).to_device(self.device))
    }
}

/// Several teachers' embeddings as one, in which each has the same weight.
///
/// # Shapes
/// - `teachers`: `[N, D]` each, with a D of its own
/// - returns `[N, sum of D]`, rows of length 1
fn together(teachers: &[Tensor]) -> Tensor {
    let parts: Vec<Tensor> = teachers.iter().map(normalise).collect();
    Tensor::cat(&parts, 1) / (parts.len() as f64).sqrt()
}

/// One teacher's embeddings of the very views that the student sees.
fn teacher(
    context: &StageContext,
    (slot, input): (&str, &Input),
    views: &str,
    viewed: &Viewed,
) -> Result<EmbeddingsReader> {
    let views = context.input(views);
    let reader = EmbeddingsReader::open(&input.parts)?;
    let header = reader.header();
    let made_of = header.extra.get("views").map(String::as_str);
    if header.of != Of::Views || made_of != Some(views.content.to_string().as_str()) {
        bail!(
            "stage `{}`: input `{slot}`: expected embeddings of the views of stage `{}`, got `{}`'s, which were made of {}\nhint: teacher and student must see the same views: connect the same `views` to both",
            context.stage(),
            views.stage,
            input.stage,
            if header.of == Of::Views {
                "other views"
            } else {
                "plain images"
            }
        );
    }
    ensure!(
        reader.rows() == viewed.len() * viewed.views(),
        "BUG: {} targets for {} views",
        reader.rows(),
        viewed.len() * viewed.views()
    );
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedpipe_learn::tensors::to_vec_f32;

    #[test]
    fn every_teacher_has_the_same_weight_whatever_its_length() {
        let (first, second) = (
            from_slice_f32(&[1, 2], &[3.0, 4.0]),
            from_slice_f32(&[1, 1], &[-50.0]),
        );
        let half = 0.5f32.sqrt();
        let expected = [0.6 * half, 0.8 * half, -half];
        for (value, expected) in to_vec_f32(&together(&[first, second])).iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{value} {expected}");
        }
    }

    #[test]
    fn one_teacher_keeps_its_bits() {
        let embeddings = from_slice_f32(&[1, 3], &[0.1, 0.7, -0.3]);
        assert_eq!(
            to_vec_f32(&together(&[embeddings.shallow_clone()])),
            to_vec_f32(&normalise(&embeddings))
        );
    }
}
