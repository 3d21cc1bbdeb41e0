//! The loop of `encode`: one feed over the batches of all shards, the network, and the rows in
//! their order, computed or taken over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use seedpipe_artifact::{EmbeddingsHeader, EmbeddingsWriter, Precision as Stored};
use seedpipe_engine::{Shard, StageContext, fault};
use seedpipe_learn::tensors::to_vec_f32;
use tch::{Device, Kind};

use crate::encode::Embedding;
use crate::encode::batches::ShardBatches;
use crate::encode::encoder::Encoder;
use crate::encode::reuse::Reuse;
use crate::encode::source::Source;
use crate::encode::stopped::{self, Stopped};
use crate::pixels::feed::{Feed, Frame};
use crate::pixels::pictures::Pictures;

/// Embeddings of one view that are collected before they are written.
const PENDING_ROWS: usize = 1_024;

pub struct Encoding<'a> {
    pub context: &'a StageContext<'a>,
    pub encoder: &'a Encoder,
    pub embedding: Embedding,
    pub pictures: &'a Arc<Pictures>,
    pub source: &'a Arc<Source>,
    pub header: &'a EmbeddingsHeader,
    pub frame: Frame,
    pub device: Device,
}

/// The feed of the shards that are left, and the shard that its next batches are of.
#[derive(Default)]
pub struct EncodingRun {
    feed: Option<(Feed, usize)>,
    /// What the network waited for pixels, of feeds that have ended.
    waited: Duration,
    /// Looking and fetching what was seen.
    pub computed: Duration,
    /// What an earlier run was stopped in, until another shard begins.
    stopped: Option<Stopped>,
}

impl EncodingRun {
    /// - `stopped`: the run before
    pub fn after(stopped: Option<Stopped>) -> EncodingRun {
        EncodingRun {
            stopped,
            ..EncodingRun::default()
        }
    }

    /// How long the network has waited for pixels.
    pub fn waited(&self) -> Duration {
        let now = self.feed.as_ref().map(|(feed, _)| feed.waited());
        self.waited + now.unwrap_or_default()
    }
}

impl Encoding<'_> {
    /// Whether a batch of images that would be taken over, computed in another company, has the
    /// bits that are stored. A row must depend neither on its place in a batch nor on its
    /// neighbours.
    pub fn agrees_with(&self, reuse: &Reuse, images_a_batch: usize) -> Result<bool> {
        let positions = reuse.spread(images_a_batch);
        let mut jobs = Some(self.source.jobs(self.pictures, &positions)?);
        let plan = move || Ok(jobs.take());
        let mut feed = Feed::start(self.pictures.clone(), self.frame, self.device, plan)?;
        let Some(pixels) = feed.next()? else {
            bail!("BUG: no batch for the trial");
        };
        let embedding = self
            .encoder
            .embed(&pixels, self.embedding, self.header.dimension)?;
        let values = to_vec_f32(&match self.header.precision {
            Stored::F16 => embedding.to_kind(Kind::Half).to_kind(Kind::Float),
            Stored::F32 => embedding,
        });
        let (dimension, views) = (self.header.dimension, self.source.views());
        let bits = |values: &[f32]| -> Vec<u32> { values.iter().map(|v| v.to_bits()).collect() };
        for view in 0..views {
            let stored = reuse.read(view, &positions)?;
            let rows = values
                .chunks_exact(dimension)
                .skip(view)
                .step_by(views)
                .zip(stored.chunks_exact(dimension));
            if rows.into_iter().any(|(now, then)| bits(now) != bits(then)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Encodes the images of a shard and takes over what is there. Gives how many images a run had
    /// done that was stopped in it.
    pub fn shard(
        &self,
        run: &mut EncodingRun,
        shard: &Shard,
        all: &Arc<Vec<ShardBatches>>,
        reuse: &Reuse,
    ) -> Result<usize> {
        let work = &all[shard.index()];
        let views = self.source.views();
        let per_image = self.header.dimension * views;
        let mut done = Vec::new();
        if let Some(stopped) = &run.stopped {
            done = stopped.batches(work, per_image);
            if done.is_empty() {
                stopped::clear(self.context)?;
                run.stopped = None;
            }
        }
        let kept = done.len();
        let mut rows = ShardRows::create(self, shard, work, reuse)?;
        self.ready(run, shard.index(), kept, all)?;
        for (number, batch) in work.positions.iter().enumerate() {
            if let Err(cancelled) = self.context.check_cancelled() {
                let count = |shards: &[ShardBatches]| shards.iter().map(ShardBatches::images).sum();
                let images = (count(&all[..shard.index()]), count(all));
                stopped::keep(self.context, work, &done, views, images)?;
                return Err(cancelled);
            }
            if number >= kept {
                done.push(self.next_batch(run)?);
                fault::point("encode.batch")?;
            }
            for (position, values) in batch.iter().zip(done[number].chunks_exact(per_image)) {
                rows.take_over_until(*position)?;
                rows.push(*position, values)?;
            }
            rows.flush_if_many()?;
            let looked = batch.len() * self.source.views();
            let progress = self.context.progress();
            progress.advance(looked as u64);
            progress.waited("rendering", run.waited());
        }
        rows.finish()?;
        Ok(work.positions[..kept].iter().map(Vec::len).sum())
    }

    /// What the network sees in the next batch: `[batch, D]`.
    fn next_batch(&self, run: &mut EncodingRun) -> Result<Vec<f32>> {
        let Some((feed, _)) = &mut run.feed else {
            bail!("BUG: no feed for a shard");
        };
        let Some(pixels) = feed.next()? else {
            bail!("BUG: fewer batches were rendered than planned");
        };
        let begun = Instant::now();
        let embedding = self
            .encoder
            .embed(&pixels, self.embedding, self.header.dimension)?;
        let values = to_vec_f32(&embedding);
        run.computed += begun.elapsed();
        Ok(values)
    }

    /// A feed whose next batches are of this shard, from the batch `first`: the one at hand, unless
    /// an earlier run had finished shards, or batches.
    fn ready(
        &self,
        run: &mut EncodingRun,
        shard: usize,
        first: usize,
        all: &Arc<Vec<ShardBatches>>,
    ) -> Result<()> {
        if let Some((_, next)) = &mut run.feed
            && *next == shard
            && first == 0
        {
            *next += 1;
            return Ok(());
        }
        if let Some((feed, _)) = run.feed.take() {
            run.waited += feed.waited();
        }
        let (source, pictures, all) = (self.source.clone(), self.pictures.clone(), all.clone());
        let (mut shard_at, mut batch_at) = (shard, first);
        let plan = move || {
            while let Some(work) = all.get(shard_at) {
                if let Some(batch) = work.positions.get(batch_at) {
                    batch_at += 1;
                    return source.jobs(&pictures, batch).map(Some);
                }
                (shard_at, batch_at) = (shard_at + 1, 0);
            }
            Ok(None)
        };
        let feed = Feed::start(self.pictures.clone(), self.frame, self.device, plan)?;
        run.feed = Some((feed, shard + 1));
        Ok(())
    }
}

/// The rows of a shard, of every view in the order of the positions.
struct ShardRows<'a> {
    encoding: &'a Encoding<'a>,
    columns: Vec<ViewColumn>,
    /// Positions that are taken over, and for each view their values `[reused, D]`.
    reused: &'a [usize],
    values: Vec<Vec<f32>>,
    taken_over: usize,
}

/// The embeddings of one view of a shard's images.
struct ViewColumn {
    writer: EmbeddingsWriter,
    ids: Vec<u64>,
    values: Vec<f32>,
}

impl<'a> ShardRows<'a> {
    fn create(
        encoding: &'a Encoding,
        shard: &Shard,
        work: &'a ShardBatches,
        reuse: &Reuse,
    ) -> Result<ShardRows<'a>> {
        let views = encoding.source.views();
        let columns = (0..views).map(|view| {
            let path = shard.output("embeddings", &format!("v{view:05}-s{:05}", work.shard));
            Ok(ViewColumn {
                writer: EmbeddingsWriter::create(&path, encoding.header)?,
                ids: Vec::new(),
                values: Vec::new(),
            })
        });
        let values = (0..views).map(|view| match work.reused.is_empty() {
            true => Ok(Vec::new()),
            false => reuse.read(view, &work.reused),
        });
        Ok(ShardRows {
            encoding,
            columns: columns.collect::<Result<_>>()?,
            reused: &work.reused,
            values: values.collect::<Result<_>>()?,
            taken_over: 0,
        })
    }

    /// Adds what is taken over of the positions below this one.
    fn take_over_until(&mut self, position: usize) -> Result<()> {
        let dimension = self.encoding.header.dimension;
        while let Some(&reused) = self.reused.get(self.taken_over)
            && reused < position
        {
            let at = self.taken_over * dimension;
            let values: Vec<f32> = self
                .values
                .iter()
                .flat_map(|of_view| &of_view[at..at + dimension])
                .copied()
                .collect();
            self.push(reused, &values)?;
            self.taken_over += 1;
        }
        Ok(())
    }

    /// - `values`: `[views, D]`
    fn push(&mut self, position: usize, values: &[f32]) -> Result<()> {
        let Encoding {
            source, pictures, ..
        } = self.encoding;
        let rows = values.chunks_exact(self.encoding.header.dimension);
        for ((view, row), column) in rows.enumerate().zip(&mut self.columns) {
            let id = source.id(pictures, position, view);
            column.ids.push(id);
            column.values.extend_from_slice(row);
        }
        Ok(())
    }

    fn flush_if_many(&mut self) -> Result<()> {
        self.columns
            .iter_mut()
            .filter(|column| column.ids.len() >= PENDING_ROWS)
            .try_for_each(ViewColumn::flush)
    }

    fn finish(mut self) -> Result<()> {
        self.take_over_until(usize::MAX)?;
        let views = self.encoding.source.views();
        let progress = self.encoding.context.progress();
        progress.advance((self.reused.len() * views) as u64);
        for mut column in self.columns {
            column.flush()?;
            column.writer.finish()?;
        }
        Ok(())
    }
}

impl ViewColumn {
    fn flush(&mut self) -> Result<()> {
        self.writer.write(&self.ids, &self.values)?;
        self.ids.clear();
        self.values.clear();
        Ok(())
    }
}
