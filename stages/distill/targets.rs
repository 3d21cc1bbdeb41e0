//! The stored teacher embeddings: a batch's rows are read where they lie in the artifact's files,
//! in the precision that they are stored in, then widened and divided by their length. A view's
//! files are read once from begin to end before it is needed, while the view before is trained on:
//! that says where the rows are, and leaves them in the system's cache.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, ensure};
use rand_chacha::ChaCha8Rng;
use seedpipe_artifact::{EmbeddingsReader, Places};
use seedpipe_base::Refusal;
use seedpipe_engine::StageContext;
use seedpipe_learn::loss::seed::normalise;
use seedpipe_learn::random::permutation;
use seedpipe_learn::tensors::from_slice_f32;
use tch::{Device, Kind, Tensor};

use crate::pixels::viewed::Viewed;

/// Rows that are read together.
const BLOCK: usize = 16_384;

pub struct Targets {
    /// One for each teacher.
    readers: Arc<Vec<EmbeddingsReader>>,
    viewed: usize,
    views: usize,
    device: Device,
    /// Where each teacher's rows of a view are.
    located: BTreeMap<usize, Vec<Places>>,
    ahead: Option<Ahead>,
}

/// Views that are being located in the background.
struct Ahead {
    views: Vec<usize>,
    /// One entry for each of them.
    places: JoinHandle<Result<Vec<Vec<Places>>, Refusal>>,
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
        let hint = "teacher and student must see the same views: connect the same `views` to both";
        let readers = context
            .inputs(slot)
            .iter()
            .map(|input| viewed.embeddings(context, (slot, input), views, hint))
            .collect::<Result<Vec<_>>>()?;
        Ok(Targets {
            readers: Arc::new(readers),
            viewed: viewed.len(),
            views: viewed.views(),
            device,
            located: BTreeMap::new(),
            ahead: None,
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
        let first = view * self.viewed;
        let blocks = (0..self.viewed).step_by(BLOCK).map(|start| {
            let rows = first + start..first + self.viewed.min(start + BLOCK);
            let teachers = self.readers.iter().map(|reader| {
                let values = reader.read(rows.clone())?.values;
                Ok(tensor(&values, reader))
            });
            Ok(together(&teachers.collect::<Result<Vec<_>>>()?))
        });
        Ok(Tensor::cat(&blocks.collect::<Result<Vec<_>>>()?, 0))
    }

    /// Targets of some views. Those of the next views are located in the background meanwhile.
    ///
    /// # Shapes
    /// - returns for each of the views `[positions, D]` f32, rows of length 1
    pub fn rows(&mut self, views: &[usize], positions: &[u32]) -> Result<Vec<Tensor>> {
        for &view in views {
            if !self.located.contains_key(&view) {
                self.take_ahead()?;
            }
            if !self.located.contains_key(&view) {
                let places = located(&self.readers, &self.range(view))?;
                self.located.insert(view, places);
            }
        }
        self.look_ahead(views)?;
        let positions: Vec<usize> = positions.iter().map(|&row| row as usize).collect();
        views
            .iter()
            .map(|view| {
                let places = self.located.get(view).context("BUG: a view is nowhere")?;
                self.gather(*view, places, &positions)
            })
            .collect()
    }

    /// The first `count` targets: of the first view in a keyed order of the images, then of the
    /// next views in the same order.
    ///
    /// Fails when there are fewer.
    ///
    /// # Shapes
    /// - returns `[count, D]` f32, rows of length 1
    pub fn first(&self, key: &str, count: usize, mut rng: ChaCha8Rng) -> Result<Tensor> {
        let all = self.viewed * self.views;
        ensure!(
            count <= all,
            Refusal::failure(format!(
                "expected at most the {all} targets that there are to begin with, got {count}"
            ))
            .key(key)
            .hint("lower it, or store more views of each image")
        );
        let order: Vec<usize> = permutation(self.viewed, &mut rng)
            .into_iter()
            .map(|position| position as usize)
            .collect();
        let parts = (0..count.div_ceil(self.viewed))
            .map(|view| {
                let rest = count - view * self.viewed;
                let places = located(&self.readers, &self.range(view))?;
                self.gather(view, &places, &order[..rest.min(self.viewed)])
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 0))
    }

    /// Rows of a view.
    fn range(&self, view: usize) -> std::ops::Range<usize> {
        view * self.viewed..(view + 1) * self.viewed
    }

    /// Targets of one view, `[positions, D]`.
    fn gather(&self, view: usize, places: &[Places], positions: &[usize]) -> Result<Tensor> {
        let first = self.range(view).start;
        let rows: Vec<usize> = positions.iter().map(|position| first + position).collect();
        let teachers = self.readers.iter().zip(places).map(|(reader, places)| {
            let values = reader.gather(places, &rows)?;
            Ok(tensor(&values, reader))
        });
        let teachers = teachers.collect::<Result<Vec<_>>>()?;
        Ok(together(&teachers).to_device(self.device))
    }

    /// Starts to locate the views of the next epoch, unless they are known.
    fn look_ahead(&mut self, views: &[usize]) -> Result<()> {
        let mut next: Vec<usize> = views
            .iter()
            .map(|view| (view + views.len()) % self.views)
            .filter(|view| !self.located.contains_key(view))
            .collect();
        next.dedup();
        if self.ahead.is_some() || next.is_empty() {
            return Ok(());
        }
        let (readers, views) = (self.readers.clone(), next.clone());
        let ranges: Vec<_> = views.iter().map(|view| self.range(*view)).collect();
        let places = std::thread::Builder::new()
            .name("targets ahead".to_owned())
            .spawn(move || {
                let places = ranges.iter().map(|range| located(&readers, range));
                places.collect::<Result<Vec<_>, _>>()
            })
            .context("cannot start the thread that reads targets ahead")?;
        self.ahead = Some(Ahead { views, places });
        Ok(())
    }

    /// Waits for what was begun.
    fn take_ahead(&mut self) -> Result<()> {
        if let Some(ahead) = self.ahead.take() {
            let places = ahead.places.join();
            let places = places.map_err(|_| anyhow!("BUG: reading targets ahead panicked"))??;
            self.located.extend(ahead.views.into_iter().zip(places));
        }
        Ok(())
    }
}

/// Where each teacher's rows are.
fn located(
    readers: &[EmbeddingsReader],
    rows: &std::ops::Range<usize>,
) -> Result<Vec<Places>, Refusal> {
    readers
        .iter()
        .map(|reader| reader.locate(rows.clone()))
        .collect()
}

/// A teacher's rows, `[rows, D]` f32.
fn tensor(values: &[f32], reader: &EmbeddingsReader) -> Tensor {
    let dimension = reader.dimension();
    from_slice_f32(
        &[(values.len() / dimension) as i64, dimension as i64],
        values,
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use seedpipe_artifact::Of;
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
            let all = Tensor::randn([500, dimension], (Kind::Float, Device::Cpu)).to_kind(kind);
            let index = Tensor::from_slice(&[3i64, 499, 0, 77, 3]);
            let some = all.index_select(0, &index);
            let among = together(&[all.shallow_clone()]).index_select(0, &index);
            assert_eq!(to_vec_f32(&together(&[some])), to_vec_f32(&among));
        }
    }

    /// Two teachers of 5 images with two views each; a row's values tell which it is.
    fn targets(folder: &std::path::Path) -> Targets {
        use seedpipe_artifact::{EmbeddingsHeader, EmbeddingsWriter, Precision};
        let readers = [Precision::F16, Precision::F32].map(|precision| {
            let header = EmbeddingsHeader {
                of: Of::Views,
                precision,
                dimension: 2,
                normalised: false,
                network: String::new(),
                extra: BTreeMap::new(),
            };
            let parts = [0u64, 1].map(|view| {
                let path = folder.join(format!("{}-v{view}", precision.name()));
                let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
                let ids: Vec<u64> = (5 * view..5 * view + 5).collect();
                let values: Vec<f32> = ids.iter().flat_map(|id| [*id as f32, 1.0]).collect();
                writer.write(&ids, &values).unwrap();
                writer.finish().unwrap();
                path
            });
            EmbeddingsReader::open(&parts).unwrap()
        });
        Targets {
            readers: Arc::new(readers.into()),
            viewed: 5,
            views: 2,
            device: Device::Cpu,
            located: BTreeMap::new(),
            ahead: None,
        }
    }

    #[test]
    fn every_view_gives_its_own_rows_in_the_order_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut targets = targets(folder.path());
        let all = [targets.load(0).unwrap(), targets.load(1).unwrap()];
        assert_eq!(all[0].size(), [5, 4]);
        for views in [vec![0], vec![1], vec![0], vec![1, 0], vec![0, 1]] {
            let rows = targets.rows(&views, &[4, 0, 4, 2]).unwrap();
            let index = Tensor::from_slice(&[4i64, 0, 4, 2]);
            for (view, rows) in views.iter().zip(rows) {
                let expected = all[*view].index_select(0, &index);
                assert_eq!(to_vec_f32(&rows), to_vec_f32(&expected));
            }
        }
    }

    #[test]
    fn the_next_view_is_located_while_this_one_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut targets = targets(folder.path());
        targets.rows(&[0], &[1]).unwrap();
        assert_eq!(targets.ahead.as_ref().unwrap().views, [1]);
        targets.rows(&[1], &[1]).unwrap();
        assert!(targets.ahead.is_none());
        assert_eq!(targets.located.keys().copied().collect::<Vec<_>>(), [0, 1]);
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
