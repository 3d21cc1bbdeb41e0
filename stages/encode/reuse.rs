//! Rows that `encode` takes from an earlier result in place of computing them: of images that were
//! there before, seen by the same network in the same views. What was added since is all that is
//! computed.
//!
//! Which result may serve is the engine's to say: the same recipe but for `images` and `views`, the
//! same numerics class, every file hashed. Here images are matched by digest and occurrence, views
//! by their numbers, the network by its digest. That a row's bits don't depend on its neighbours in
//! a batch is not believed but tried: one batch of what would be taken over is computed in another
//! company first, and one bit that differs means that everything is computed.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use seedpipe_artifact::{
    EmbeddingsHeader, EmbeddingsReader, ImageKey, ImagesReader, Of, places_among,
};
use seedpipe_engine::{Earlier, StageContext};

use crate::encode::source::Source;
use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;

/// Key of the views' content digest in the embeddings' metadata: the one thing that must differ.
pub(crate) const VIEWS: &str = "views";
/// Images whose views are compared at a time.
const CHUNK: usize = 4_096;
/// Rows between two wanted ones that are read rather than skipped.
const GAP: usize = 64;

/// Where the rows of positions are to be had.
pub struct Reuse {
    stored: Vec<StoredTargets>,
    /// By position: the number of what is stored, and the position there.
    places: Vec<Option<(u8, u32)>>,
    views: usize,
}

struct StoredTargets {
    embeddings: EmbeddingsReader,
    /// Images in it.
    count: usize,
}

impl Reuse {
    /// Nothing is taken over.
    pub fn nothing() -> Reuse {
        Reuse {
            stored: Vec::new(),
            places: Vec::new(),
            views: 1,
        }
    }

    /// What earlier results have. One that can't be read is told of and passed over.
    pub fn find(
        context: &StageContext,
        source: &Source,
        pictures: &Pictures,
        header: &EmbeddingsHeader,
    ) -> Result<Reuse> {
        let mut reuse = Reuse {
            stored: Vec::new(),
            places: vec![None; source.len()],
            views: source.views(),
        };
        for earlier in context.earlier(&["images", "views"])? {
            if reuse.places.iter().all(Option::is_some) {
                break;
            }
            if let Err(error) = reuse.add(&earlier, source, pictures, header) {
                let fingerprint = earlier.fingerprint();
                context.warn(format!("not used: earlier result {fingerprint}: {error:#}"));
            }
        }
        Ok(reuse)
    }

    fn add(
        &mut self,
        earlier: &Earlier,
        source: &Source,
        pictures: &Pictures,
        header: &EmbeddingsHeader,
    ) -> Result<()> {
        let embeddings = EmbeddingsReader::open(&earlier.parts("embeddings"))?;
        if but_for_views(embeddings.header()) != but_for_views(header) {
            return Ok(());
        }
        let images = earlier.input("images").context("BUG: `images` is one")?;
        let images = ImagesReader::open(images)?;
        let before = match source {
            Source::Views(_) => {
                let views = earlier.input("views").context("BUG: views of no views")?;
                Before::Views(Viewed::open(views, &images)?)
            }
            Source::Plain { .. } => Before::Plain(rows_of(&embeddings, &images)?),
        };
        let count = before.len();
        ensure!(
            embeddings.rows() == count * before.views(),
            "expected {} rows, got {}",
            count * before.views(),
            embeddings.rows()
        );
        if before.views() != self.views || before.size().is_some_and(|size| size != source.size()) {
            return Ok(());
        }
        let wanted: Vec<usize> = (0..source.len())
            .filter(|&position| self.places[position].is_none())
            .collect();
        let now: Vec<ImageKey> = wanted
            .iter()
            .map(|&position| key(pictures.images(), source.image(position)))
            .collect();
        let then: Vec<ImageKey> = (0..count)
            .map(|position| key(&images, before.image(position)))
            .collect();
        let mut pairs: Vec<(usize, usize)> = wanted
            .into_iter()
            .zip(places_among(&now, &then))
            .filter_map(|(position, place)| Some((position, place? as usize)))
            .collect();
        if let (Source::Views(viewed), Before::Views(before)) = (source, &before) {
            pairs = seen_alike(pairs, viewed, before)?;
        }
        if pairs.is_empty() {
            return Ok(());
        }
        let number = u8::try_from(self.stored.len()).context("BUG: more sources than looked at")?;
        for (position, place) in pairs {
            self.places[position] = Some((number, place as u32));
        }
        self.stored.push(StoredTargets { embeddings, count });
        Ok(())
    }

    pub fn has(&self, position: usize) -> bool {
        self.places.get(position).is_some_and(Option::is_some)
    }

    /// Images whose rows are taken over.
    pub fn len(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// Positions of up to `count` images that are taken over, spread over all of them and
    /// ascending: for a trial.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        let all: Vec<usize> = (0..self.places.len())
            .filter(|&position| self.has(position))
            .collect();
        let step = all.len().div_ceil(count.max(1)).max(1);
        // From the middle of each stretch, so that they are not the beginnings of batches.
        let chosen = all.chunks(step).map(|stretch| stretch[stretch.len() / 2]);
        chosen.collect()
    }

    /// A view's embeddings of some images that it has.
    ///
    /// # Shapes
    /// - returns `[positions, D]`
    pub fn read(&self, view: usize, positions: &[usize]) -> Result<Vec<f32>> {
        let mut values = vec![Vec::new(); positions.len()];
        for (number, stored) in self.stored.iter().enumerate() {
            let mut wanted: Vec<(usize, usize)> = positions
                .iter()
                .enumerate()
                .filter_map(|(index, &position)| match self.places[position] {
                    Some((of, place)) if usize::from(of) == number => Some((place as usize, index)),
                    _ => None,
                })
                .collect();
            wanted.sort_unstable();
            let dimension = stored.embeddings.dimension();
            let first = view * stored.count;
            for run in wanted.chunk_by(|(one, _), (next, _)| next - one <= GAP) {
                let (start, end) = (run[0].0, run[run.len() - 1].0 + 1);
                let read = stored.embeddings.read(first + start..first + end)?;
                for &(place, index) in run {
                    let at = (place - start) * dimension;
                    values[index] = read.values[at..at + dimension].to_vec();
                }
            }
        }
        Ok(values.concat())
    }
}

/// What an earlier result looked at.
enum Before {
    Views(Viewed),
    /// Rows in its images, by position.
    Plain(Vec<usize>),
}

impl Before {
    fn len(&self) -> usize {
        match self {
            Before::Views(viewed) => viewed.len(),
            Before::Plain(rows) => rows.len(),
        }
    }

    fn views(&self) -> usize {
        match self {
            Before::Views(viewed) => viewed.views(),
            Before::Plain(_) => 1,
        }
    }

    /// Of the views; that of plain images is the recipe's.
    fn size(&self) -> Option<u32> {
        match self {
            Before::Views(viewed) => Some(viewed.size()),
            Before::Plain(_) => None,
        }
    }

    fn image(&self, position: usize) -> usize {
        match self {
            Before::Views(viewed) => viewed.image(position),
            Before::Plain(rows) => rows[position],
        }
    }
}

fn key(images: &ImagesReader, row: usize) -> ImageKey {
    let image = images.image(row);
    (*image.digest, image.occurrence)
}

/// A header without the views' digest, which follows the images.
fn but_for_views(header: &EmbeddingsHeader) -> EmbeddingsHeader {
    let mut header = header.clone();
    header.extra.remove(VIEWS);
    header
}

/// The rows of the images that plain embeddings are of.
fn rows_of(embeddings: &EmbeddingsReader, images: &ImagesReader) -> Result<Vec<usize>> {
    ensure!(
        embeddings.header().of == Of::Images,
        "expected embeddings of images, got of views"
    );
    let mut rows = Vec::with_capacity(embeddings.rows());
    for start in (0..embeddings.rows()).step_by(CHUNK) {
        let end = embeddings.rows().min(start + CHUNK);
        for id in embeddings.read(start..end)?.ids {
            let row = u32::try_from(id).ok().and_then(|id| images.row_of(id));
            rows.push(row.with_context(|| format!("expected image {id} among its images"))?);
        }
    }
    Ok(rows)
}

/// Those pairs of a position now and one before whose views are equal, all of them.
fn seen_alike(
    pairs: Vec<(usize, usize)>,
    now: &Arc<Viewed>,
    before: &Viewed,
) -> Result<Vec<(usize, usize)>> {
    let mut alike = Vec::with_capacity(pairs.len());
    // Chunks that are near each other on both sides: ranges of views are read whole.
    for chunk in pairs.chunks(CHUNK) {
        let mut equal = vec![true; chunk.len()];
        let range = |positions: &mut dyn Iterator<Item = usize>| {
            let (mut start, mut end) = (usize::MAX, 0);
            for position in positions {
                (start, end) = (start.min(position), end.max(position + 1));
            }
            start..end
        };
        let here = range(&mut chunk.iter().map(|pair| pair.0));
        let there = range(&mut chunk.iter().map(|pair| pair.1));
        for view in 0..now.views() {
            let (ours, theirs) = (
                now.read(view, here.clone())?,
                before.read(view, there.clone())?,
            );
            for (equal, (one, other)) in equal.iter_mut().zip(chunk) {
                *equal &= ours[one - here.start] == theirs[other - there.start];
            }
        }
        let kept = chunk.iter().zip(equal).filter(|(_, equal)| *equal);
        alike.extend(kept.map(|(pair, _)| *pair));
    }
    Ok(alike)
}
