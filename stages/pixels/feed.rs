//! Rendered batches, made in the background while the network computes: decoding and rendering on
//! worker threads, a bounded queue of ready batches, one consumer. A batch's memory comes back when
//! the consumer is done with it, and is used again.
//!
//! It knows images and views, not what the batches are for. A batch's pixels depend on its jobs
//! alone, never on the number of workers.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rayon::ThreadPool;
use rayon::prelude::*;
use seedpipe_imaging::{Decoded, Layout, Normalise, Scratch, View, render};
use seedpipe_learn::tensors::{as_mut_slice_f32, is_shared, pinned};
use tch::{Device, Kind, Tensor};

use crate::pixels::pictures::Pictures;

/// Ready batches that may wait for the network.
const READY_BATCHES: usize = 3;
/// Those, the one that is rendered and the one that the network has at hand.
pub const BATCHES_HELD: usize = READY_BATCHES + 2;

/// How far rendering steps back on a CPU for the network's threads, which wait for each other at
/// every layer: an index of `nice`.
const STEPPING_BACK: i32 = 5;

/// One image, decoded once, and the views of it that a batch needs, in the batch's order.
pub struct Job {
    /// Row in the images artifact.
    pub image: usize,
    /// Of the first frame, then of the next.
    pub views: Vec<View>,
}

/// What the batches of a feed have in common, of views of one size.
#[derive(Clone, Copy)]
pub struct Frame {
    /// Views in a batch; a batch with fewer is padded with zeros to this many.
    pub batch: usize,
    /// Side of the square views in pixels.
    pub size: u32,
    pub normalise: Normalise,
}

impl Frame {
    /// Numbers of a view.
    fn length(&self) -> usize {
        3 * (self.size as usize).pow(2)
    }

    /// For a GPU in memory that it reads by itself, so that nothing is copied twice on the way.
    fn empty(&self, device: Device) -> Tensor {
        let side = i64::from(self.size);
        let memory = Tensor::empty(
            [self.batch as i64, side, side, 3],
            (Kind::Float, Device::Cpu),
        );
        if device.is_cuda() {
            pinned(memory)
        } else {
            memory
        }
    }
}

/// The memory of a batch: for each frame `[batch, S, S, 3]` f32.
type Buffers = Vec<Tensor>;

pub struct Feed {
    batches: Option<Receiver<Result<Buffers>>>,
    /// The way back of buffers.
    used: Sender<Buffers>,
    /// What the consumer has at hand.
    lent: Option<Buffers>,
    producer: Option<JoinHandle<()>>,
    /// Where batches go.
    device: Device,
    waited: Duration,
}

impl Feed {
    /// Starts rendering what `plan` names, batch by batch, until it gives `None`, on one thread for
    /// each core: beside a network on the CPU they run where its threads wait.
    ///
    /// - `device`: the network's, which batches are moved to
    pub fn start(
        pictures: Arc<Pictures>,
        frame: Frame,
        device: Device,
        plan: impl FnMut() -> Result<Option<Vec<Job>>> + Send + 'static,
    ) -> Result<Feed> {
        Feed::start_sizes(pictures, vec![(frame, usize::MAX)], device, plan)
    }

    /// As [`Feed::start`], for views of several sizes: an image is decoded once for all of them.
    ///
    /// - `frames`: each with the number of views that a job has of it
    pub fn start_sizes(
        pictures: Arc<Pictures>,
        frames: Vec<(Frame, usize)>,
        device: Device,
        mut plan: impl FnMut() -> Result<Option<Vec<Job>>> + Send + 'static,
    ) -> Result<Feed> {
        let pool = rendering_threads()?;
        let (sender, receiver) = sync_channel(READY_BATCHES);
        let (used, back) = channel::<Buffers>();
        let producer = std::thread::Builder::new()
            .name("feed".into())
            .spawn(move || {
                loop {
                    let batch = match plan() {
                        Ok(None) => return,
                        Ok(Some(jobs)) => {
                            let mut buffers = back.try_recv().unwrap_or_else(|_| {
                                let empty = |(frame, _): &(Frame, usize)| frame.empty(device);
                                frames.iter().map(empty).collect()
                            });
                            pool.install(|| render_batch(&pictures, &frames, &jobs, &mut buffers))
                                .map(|()| buffers)
                        }
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
            used,
            lent: None,
            producer: Some(producer),
            device,
            waited: Duration::ZERO,
        })
    }

    /// The next batch of a feed of one frame, as of [`Feed::next_sizes`].
    pub fn next(&mut self) -> Result<Option<Tensor>> {
        Ok(self.next_sizes()?.and_then(|mut sizes| sizes.pop()))
    }

    /// The next batch, for each frame `[batch, 3, size, size]` f32 in channels-last memory, or
    /// `None` after the last. The memory of the batch before is used again unless some tensor still
    /// uses it.
    pub fn next_sizes(&mut self) -> Result<Option<Vec<Tensor>>> {
        if let Some(lent) = self.lent.take().filter(|lent| !lent.iter().any(is_shared)) {
            let _ = self.used.send(lent); // fails after the last batch
        }
        let begun = Instant::now();
        let received = self
            .batches
            .as_ref()
            .and_then(|batches| batches.recv().ok());
        self.waited += begun.elapsed();
        let Some(batch) = received else {
            return match self.producer.take().map(JoinHandle::join) {
                Some(Err(_)) => Err(anyhow!("BUG: the rendering thread panicked")),
                _ => Ok(None),
            };
        };
        let buffers = self.lent.insert(batch?);
        let sizes = buffers
            .iter()
            .map(|pixels| pixels.permute([0, 3, 1, 2]).to_device(self.device)); // [B, 3, S, S]
        Ok(Some(sizes.collect()))
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

fn rendering_threads() -> Result<ThreadPool> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new()
        .num_threads(cores)
        .thread_name(|index| format!("render-{index}"))
        .start_handler(|_| step_back())
        .build()
        .context("starting the rendering threads")
}

/// Lets this thread run where the network's threads wait. On Linux niceness is a thread's own.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        let nice = rustix::process::getpriority_process(None).unwrap_or(0);
        // Where it is refused, rendering is only less modest.
        let _ = rustix::process::setpriority_process(None, (nice + STEPPING_BACK).min(19));
    }
}

/// Renders the views of all jobs side by side, in their order, and zeros behind them.
fn render_batch(
    pictures: &Pictures,
    frames: &[(Frame, usize)],
    jobs: &[Job],
    buffers: &mut [Tensor],
) -> Result<()> {
    thread_local!(static SCRATCH: RefCell<(Scratch, Decoded)> = RefCell::default());
    let mut rest: Vec<&mut [f32]> = buffers.iter_mut().map(as_mut_slice_f32).collect();
    let mut places = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut views = job.views.as_slice();
        let mut pieces = Vec::with_capacity(frames.len());
        for ((frame, count), rest) in frames.iter().zip(&mut rest) {
            let (of_frame, others) = views.split_at((*count).min(views.len()));
            let (place, after) = std::mem::take(rest).split_at_mut(of_frame.len() * frame.length());
            (views, *rest) = (others, after);
            pieces.push((frame, of_frame, place));
        }
        places.push((job, pieces));
    }
    rest.into_iter().for_each(|padding| padding.fill(0.0));
    places
        .into_par_iter()
        .try_for_each(|(job, pieces)| -> Result<()> {
            SCRATCH.with_borrow_mut(|(scratch, decoded)| {
                let picture = pictures.picture(job.image, &job.views, decoded)?;
                for (frame, views, place) in pieces {
                    for (view, out) in views.iter().zip(place.chunks_exact_mut(frame.length())) {
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
                }
                Ok(())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedpipe_artifact::{ImageRow, ImagesWriter, Metadata};
    use seedpipe_imaging::{Adjust, Policy, RecipeName};
    use seedpipe_learn::tensors::to_vec_f32;

    use crate::judging::evaluation::plain_view;

    /// A BMP of one colour, 2 × 2 pixels with rows padded to 8 bytes.
    fn picture(colour: u8) -> Vec<u8> {
        let mut bytes = b"BM".to_vec();
        bytes.extend([70, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]);
        bytes.extend([2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 24, 0]);
        bytes.extend([0; 24]);
        bytes.extend([colour; 16]);
        bytes
    }

    fn pictures(folder: &std::path::Path, colours: &[u8]) -> Arc<Pictures> {
        let path = folder.join("images.parquet");
        let mut writer = ImagesWriter::create(&path, &Metadata::new()).unwrap();
        let rows: Vec<ImageRow> = colours
            .iter()
            .enumerate()
            .map(|(number, &colour)| ImageRow {
                width: 2,
                height: 2,
                ..ImageRow::example(number as u32, picture(colour))
            })
            .collect();
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        Arc::new(Pictures::open(&[path], seedpipe_imaging::Decode::Exact).unwrap())
    }

    fn frame(batch: usize, size: u32) -> Frame {
        let normalise = Normalise {
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        Frame {
            batch,
            size,
            normalise,
        }
    }

    fn view(size: u32) -> View {
        let policy = Policy::new(RecipeName::Eval, Some(size), &Adjust::default()).unwrap();
        plain_view(&policy, 2, 2)
    }

    #[test]
    fn batches_of_used_memory_hold_their_own_pixels_and_zeros_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = pictures(folder.path(), &[255; 9]);
        let mut lengths = [3, 1, 2, 3, 1, 2, 1].into_iter();
        let plan = move || {
            Ok(lengths.next().map(|length| {
                let jobs = (0..length).map(|image| Job {
                    image,
                    views: vec![view(2)],
                });
                jobs.collect()
            }))
        };
        let mut feed = Feed::start(pictures, frame(3, 2), Device::Cpu, plan).unwrap();
        let mut kept = Vec::new();
        for (number, length) in [3, 1, 2, 3, 1, 2, 1].into_iter().enumerate() {
            let pixels = feed.next().unwrap().unwrap();
            assert_eq!(pixels.size(), [3, 3, 2, 2]);
            let whole = pixels.sum_dim_intlist([1, 2, 3].as_slice(), false, Kind::Float);
            let expected: Vec<f32> = (0..3)
                .map(|row| if row < length { 12.0 } else { 0.0 })
                .collect();
            assert_eq!(to_vec_f32(&whole), expected, "batch {number}");
            // A batch that somebody keeps is left alone.
            if number == 0 {
                kept.push(pixels);
            }
        }
        assert!(feed.next().unwrap().is_none());
        assert_eq!(kept[0].sum(Kind::Float).double_value(&[]), 36.0);
    }

    #[test]
    fn views_of_two_sizes_come_together() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = pictures(folder.path(), &[0, 255]);
        let mut once = Some(());
        let plan = move || {
            Ok(once.take().map(|()| {
                let jobs = (0..2).map(|image| Job {
                    image,
                    views: vec![view(4), view(2), view(2)],
                });
                jobs.collect()
            }))
        };
        let frames = vec![(frame(2, 4), 1), (frame(4, 2), 2)];
        let mut feed = Feed::start_sizes(pictures, frames, Device::Cpu, plan).unwrap();
        let sizes = feed.next_sizes().unwrap().unwrap();
        let of_rows = |tensor: &Tensor| {
            to_vec_f32(&tensor.mean_dim([1, 2, 3].as_slice(), false, Kind::Float))
        };
        assert_eq!(of_rows(&sizes[0]), [0.0, 1.0]);
        assert_eq!(of_rows(&sizes[1]), [0.0, 0.0, 1.0, 1.0]);
    }
}
