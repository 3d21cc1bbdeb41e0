//! Rendered batches, made in the background while the network computes: decoding and rendering on worker threads, a bounded
//! queue of ready batches, one consumer.
//!
//! It knows images and views, not what the batches are for. A batch's pixels depend on its jobs alone, never on the number of workers.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use seedpipe_imaging::{Decoded, Layout, Normalise, Scratch, View, render};
use tch::{Device, Tensor};

use crate::pictures::Pictures;

/// Ready batches that may wait for the network.
const READY_BATCHES: usize = 3;

/// One image, decoded once, and the views of it that a batch needs, in the batch's order.
pub struct Job {
    /// Row in the images artifact.
    pub image: usize,
    pub views: Vec<View>,
}

/// What every batch of a feed has in common.
pub struct Frame {
    /// Views in a batch; a batch with fewer is padded with zeros to this many.
    pub batch: usize,
    /// Side of the square views in pixels.
    pub size: u32,
    pub normalise: Normalise,
}

pub struct Feed {
    batches: Option<Receiver<Result<Vec<f32>>>>,
    producer: Option<JoinHandle<()>>,
    frame: Arc<Frame>,
    waited: Duration,
}

impl Feed {
    /// Starts rendering what `plan` names, batch by batch, until it gives `None`.
    pub fn start(
        pictures: Arc<Pictures>,
        frame: Frame,
        workers: usize,
        mut plan: impl FnMut() -> Result<Option<Vec<Job>>> + Send + 'static,
    ) -> Result<Feed> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers.max(1))
            .thread_name(|index| format!("render-{index}"))
            .build()
            .context("starting the rendering threads")?;
        let frame = Arc::new(frame);
        let (sender, receiver): (SyncSender<Result<Vec<f32>>>, _) = sync_channel(READY_BATCHES);
        let shared = frame.clone();
        let producer = std::thread::Builder::new()
            .name("feed".into())
            .spawn(move || {
                loop {
                    let batch = match plan() {
                        Ok(None) => return,
                        Ok(Some(jobs)) => pool.install(|| render_batch(&pictures, &shared, &jobs)),
                        Err(error) => Err(error),
                    };
                    let failed = batch.is_err();
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            })
            .context("starting the feeding thread")?;
        Ok(Feed {
            batches: Some(receiver),
            producer: Some(producer),
            frame,
            waited: Duration::ZERO,
        })
    }

    /// The next batch as `[batch, 3, size, size]` f32 in channels-last memory, or `None` after the last.
    pub fn next(&mut self, device: Device) -> Result<Option<Tensor>> {
        let begun = Instant::now();
        let received = self
            .batches
            .as_ref()
            .and_then(|batches| batches.recv().ok());
        self.waited += begun.elapsed();
        match received {
            None => match self.producer.take().map(JoinHandle::join) {
                Some(Err(_)) => Err(anyhow!("BUG: the rendering thread panicked")),
                _ => Ok(None),
            },
            Some(batch) => {
                let side = i64::from(self.frame.size);
                let pixels =
                    Tensor::from_slice(&batch?).view([self.frame.batch as i64, side, side, 3]);
                Ok(Some(pixels.permute([0, 3, 1, 2]).to_device(device))) // [B, 3, S, S]
            }
        }
    }

    /// How long the consumer has waited for batches.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.batches.take(); // the producer's next send fails, and it ends
        if let Some(producer) = self.producer.take() {
            let _ = producer.join(); // a panic there has been printed by its thread
        }
    }
}

fn render_batch(pictures: &Pictures, frame: &Frame, jobs: &[Job]) -> Result<Vec<f32>> {
    thread_local!(static SCRATCH: RefCell<(Scratch, Decoded)> = RefCell::default());
    let length = 3 * (frame.size as usize).pow(2);
    let mut batch = vec![0f32; frame.batch * length];
    let mut places = Vec::with_capacity(jobs.len());
    let mut rest = batch.as_mut_slice();
    for job in jobs {
        let (place, after) = rest.split_at_mut(job.views.len() * length);
        places.push((job, place));
        rest = after;
    }
    places
        .into_par_iter()
        .try_for_each(|(job, place)| -> Result<()> {
            SCRATCH.with_borrow_mut(|(scratch, decoded)| {
                let picture = pictures.picture(job.image, &job.views, decoded)?;
                for (view, out) in job.views.iter().zip(place.chunks_exact_mut(length)) {
                    render(
                        picture.pixels(),
                        view,
                        scratch,
                        out,
                        Layout::Hwc,
                        Some(&frame.normalise),
                    )
                    .with_context(|| {
                        format!("rendering a view of {}", pictures.describe(job.image))
                    })?;
                }
                Ok(())
            })
        })?;
    Ok(batch)
}

/// Rendering threads beside a network on `device`: on a CPU half of the cores, since the network uses them too.
pub fn workers(device: Device) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if device.is_cuda() {
        cores
    } else {
        cores.div_ceil(2)
    }
}
