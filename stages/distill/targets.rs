//! The stored teacher embeddings: a view at a time in memory, in the precision that they are stored in; what is asked for is widened
//! and divided by its length.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use rand_chacha::ChaCha8Rng;
use seedpipe_artifact::{EmbeddingsReader, Of, Precision};
use seedpipe_engine::{Input, StageContext};
use seedpipe_learn::loss::seed::normalise;
use seedpipe_learn::random::permutation;
use seedpipe_learn::tensors::from_slice_f32;
use tch::{Device, Kind, Tensor};

use crate::viewed::Viewed;

/// Rows that are read together.
const BLOCK: usize = 16_384;

pub struct Targets {
    /// One for each teacher.
    readers: Vec<EmbeddingsReader>,
    viewed: usize,
    views: usize,
    device: Device,
    /// The views that are in memory, and each teacher's rows.
    loaded: BTreeMap<usize, Vec<Tensor>>,
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
        Ok(together(&self.stored(view)?))
    }

    /// All rows of a view as stored.
    ///
    /// # Shapes
    /// - returns for each teacher `[viewed, D]` in its precision, on the CPU
    fn stored(&self, view: usize) -> Result<Vec<Tensor>> {
        self.readers
            .iter()
            .map(|reader| stored(reader, view * self.viewed, self.viewed))
            .collect()
    }

    /// Targets of some views; those of other views leave the memory.
    ///
    /// # Shapes
    /// - returns for each of the views `[positions, D]` f32, rows of length 1
    pub fn rows(&mut self, views: &[usize], positions: &[u32]) -> Result<Vec<Tensor>> {
        self.loaded.retain(|view, _| views.contains(view));
        for &view in views {
            if !self.loaded.contains_key(&view) {
                let rows = self.stored(view)?;
                self.loaded.insert(view, rows);
            }
        }
        let index: Vec<i64> = positions.iter().map(|&position| position.into()).collect();
        let index = Tensor::from_slice(&index);
        views
            .iter()
            .map(|view| {
                let rows = self
                    .loaded
                    .get(view)
                    .context("BUG: a view was not loaded")?;
                Ok(selected(rows, &index).to_device(self.device))
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
                Ok(selected(&self.stored(view)?, &index))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 0).to_device(self.device))
    }
}

/// Several teachers' embeddings as one, in which each has the same weight.
///
/// # Shapes
/// - `teachers`: `[N, D]` each, with a D and a precision of its own
/// - returns `[N, sum of D]` f32, rows of length 1
fn together(teachers: &[Tensor]) -> Tensor {
    let parts: Vec<Tensor> = teachers
        .iter()
        .map(|rows| normalise(&rows.to_kind(Kind::Float)))
        .collect();
    Tensor::cat(&parts, 1) / (parts.len() as f64).sqrt()
}

/// Some rows of several teachers, as [`together`].
fn selected(teachers: &[Tensor], index: &Tensor) -> Tensor {
    let rows: Vec<Tensor> = teachers
        .iter()
        .map(|rows| rows.index_select(0, index))
        .collect();
    together(&rows)
}

/// Some rows in the precision that they are stored in: narrowing what was widened gives the same bits back.
fn stored(reader: &EmbeddingsReader, first: usize, count: usize) -> Result<Tensor> {
    let kind = match reader.header().precision {
        Precision::F16 => Kind::Half,
        Precision::F32 => Kind::Float,
    };
    let dimension = reader.dimension() as i64;
    let rows = Tensor::empty([count as i64, dimension], (kind, Device::Cpu));
    for start in (0..count).step_by(BLOCK) {
        let length = BLOCK.min(count - start);
        let embeddings = reader.read(first + start..first + start + length)?;
        let block = from_slice_f32(&[length as i64, dimension], &embeddings.values);
        rows.narrow(0, start as i64, length as i64).copy_(&block);
    }
    Ok(rows)
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
    fn rows_of_a_batch_have_the_bits_that_they_have_among_all() {
        tch::manual_seed(3);
        for (dimension, kind) in [(16, Kind::Half), (128, Kind::Half), (37, Kind::Float)] {
            let all = [Tensor::randn([500, dimension], (Kind::Float, Device::Cpu)).to_kind(kind)];
            let index = Tensor::from_slice(&[3i64, 499, 0, 77, 3]);
            assert_eq!(
                to_vec_f32(&selected(&all, &index)),
                to_vec_f32(&together(&all).index_select(0, &index))
            );
        }
    }

    #[test]
    fn what_is_stored_in_f16_stays_in_f16_and_keeps_its_values() {
        use seedpipe_artifact::{EmbeddingsHeader, EmbeddingsWriter};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part-00000");
        for (precision, kind) in [(Precision::F16, Kind::Half), (Precision::F32, Kind::Float)] {
            let header = EmbeddingsHeader {
                of: Of::Views,
                precision,
                dimension: 2,
                normalised: false,
                network: String::new(),
                extra: BTreeMap::new(),
            };
            // More than a block, with values that f16 holds exactly.
            let count = BLOCK + 5;
            let ids: Vec<u64> = (0..count as u64).collect();
            let values: Vec<f32> = (0..2 * count).map(|value| (value % 2048) as f32).collect();
            let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
            writer.write(&ids, &values).unwrap();
            writer.finish().unwrap();
            let reader = EmbeddingsReader::open(std::slice::from_ref(&path)).unwrap();
            let rows = stored(&reader, 3, count - 3).unwrap();
            assert_eq!(rows.kind(), kind);
            assert_eq!(to_vec_f32(&rows), values[6..]);
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
