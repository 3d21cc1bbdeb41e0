//! How fast this machine does a unit of a stage's work, measured in some hundred milliseconds: steps
//! of the network itself on random pixels, or some of the images decoded and rendered.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_engine::walk;
use seedpipe_imaging::{Adjust, Layout, Limits, Policy, RecipeName, Scratch, decode, render};
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::device::{device, with_threads};
use seedpipe_learn::inference::Inference;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::optimiser::{Optimiser, OptimiserOptions};
use seedpipe_learn::recompute::Recomputing;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Kind, Tensor};

/// What is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Calibration {
    /// A step of learning, for each image.
    Step {
        network: Architecture,
        side: u32,
        batch: usize,
        precision: Precision,
        threads: usize,
        recompute: bool,
        device: String,
    },
    /// A frozen network's look, for each image, with all cores.
    Look {
        network: Architecture,
        side: u32,
        batch: usize,
        precision: Precision,
        device: String,
    },
    /// An image decoded, and a view of it rendered, with one core.
    Render { files: Vec<PathBuf>, side: u32 },
}

/// What a unit takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Of an image in the network, or of a view.
    pub seconds: f64,
    /// Seconds to decode an image.
    #[serde(default)]
    pub decoding: f64,
    /// Of an image.
    #[serde(default)]
    pub pixels: f64,
}

/// Multiply-adds of a batch that is measured, at most; but two images at least.
const MOST: u64 = 2_000_000_000;
/// How long is measured, after one step that warms up.
const SPAN: Duration = Duration::from_millis(400);

impl Calibration {
    /// What the cost hangs on beside the machine.
    pub fn key(&self) -> String {
        match self {
            Calibration::Render { files, side } => {
                json!({"render": side, "images": Self::key_of_images(files)}).to_string()
            }
            network => {
                let mut value = json!(network);
                // The larger a batch, the more alike are costs of an image.
                if let Some(fields) = value.as_object_mut() {
                    fields.remove("batch");
                }
                value.to_string()
            }
        }
    }

    /// About how large the image files are: the power of two below their mean length.
    pub fn key_of_images(files: &[PathBuf]) -> u32 {
        let lengths = files.iter().map(|file| walk::length(file));
        let mean = lengths.sum::<u64>() / files.len().max(1) as u64;
        mean.max(1).ilog2()
    }

    /// Whether libtorch is needed to measure it.
    pub fn needs_tensors(&self) -> bool {
        !matches!(self, Calibration::Render { .. })
    }
}

/// Measures.
///
/// # Errors
/// When there is no such network or device, or no image can be decoded.
pub fn measure(calibration: &Calibration) -> Result<Cost> {
    match calibration {
        Calibration::Render { files, side } => rendering(files, *side),
        Calibration::Step {
            network,
            side,
            batch,
            precision,
            threads,
            recompute,
            device: name,
        } => {
            let device = device(name)?;
            let network = drawn(network, *side, device)?;
            let images = pixels(batch_of(&network, *side, *batch, device), *side, device);
            let mut optimiser = Optimiser::new(network.trainable(), &OptimiserOptions::default());
            let mut step = || {
                optimiser.zero_grad();
                let recomputing = recompute.then(Recomputing::begin);
                let output = network.forward(&images, Mode::Train, *precision);
                let loss = output.embedding_or_features().square().mean(Kind::Float);
                match recomputing {
                    Some(recomputing) => recomputing.backward(&loss),
                    None => loss.backward(),
                }
                optimiser.step(1e-6);
                loss.double_value(&[]) // waits for a GPU
            };
            let seconds = with_threads(*threads, || mean(&mut step));
            Ok(per(seconds, images.size()[0]))
        }
        Calibration::Look {
            network,
            side,
            batch,
            precision,
            device: name,
        } => {
            let device = device(name)?;
            let network = drawn(network, *side, device)?;
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let inference = Inference::new(&network, *precision);
            let few = batch_of(&network, *side, *batch, device) as usize;
            let at_once = inference.images_at_once(*side);
            let whole = (at_once * cores).min(batch.next_multiple_of(at_once));
            let look = |count: usize| {
                let images = pixels(count as i64, *side, device);
                mean(&mut || inference.forward(&images).features.double_value(&[0, 0]))
            };
            Ok(match device {
                Device::Cpu if few < whole => {
                    // One part on one core, of which as many go on side by side as there are cores.
                    let together = batch.div_ceil(at_once).min(cores);
                    per(look(at_once), (at_once * together) as i64)
                }
                Device::Cpu => per(look(whole), whole as i64),
                _ => per(look(*batch), *batch as i64),
            })
        }
    }
}

fn per(seconds: f64, images: i64) -> Cost {
    Cost {
        seconds: seconds / images as f64,
        ..Cost::default()
    }
}

/// The network, untrained.
fn drawn(architecture: &Architecture, side: u32, device: Device) -> Result<Network> {
    let key = |name: &str| ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes());
    let network = Network::initialise(architecture, key, device)?;
    network.check_size(side)?;
    Ok(network)
}

/// As many images as are measured together.
fn batch_of(network: &Network, side: u32, batch: usize, device: Device) -> i64 {
    if device != Device::Cpu {
        return batch as i64;
    }
    let cost = network.graph().multiply_adds(side.into(), side.into());
    let few = (MOST / cost.max(1)).max(2) as usize;
    batch.min(few) as i64
}

fn pixels(count: i64, side: u32, device: Device) -> Tensor {
    let side = i64::from(side);
    let length = count * 3 * side * side;
    let values = Tensor::linspace(-2.0, 2.0, length, (Kind::Float, device)).sin();
    values.reshape([count, 3, side, side])
}

/// Seconds of a step, after one that warms up. The mean, not the median: what else is at work here
/// takes its share of a stage, too.
fn mean(step: &mut dyn FnMut() -> f64) -> f64 {
    step();
    let begun = Instant::now();
    let mut steps = 0;
    while steps == 0 || begun.elapsed() < SPAN {
        step();
        steps += 1;
    }
    begun.elapsed().as_secs_f64() / f64::from(steps)
}

/// An image decoded and a view of it rendered, with one core. Needs no libtorch.
///
/// # Errors
/// When no image can be decoded.
pub fn rendering(files: &[PathBuf], side: u32) -> Result<Cost> {
    let policy = Policy::new(RecipeName::Mocov2, Some(side), &Adjust::default())?;
    let limits = Limits::default();
    let mut scratch = Scratch::default();
    let mut place = vec![0f32; 3 * (side as usize).pow(2)];
    let mut costs = Vec::new();
    let begun = Instant::now();
    for file in files {
        if begun.elapsed() > SPAN && !costs.is_empty() {
            break;
        }
        let Ok(Ok(bytes)) = walk::read(file) else {
            continue;
        };
        let start = Instant::now();
        let Ok(image) = decode(&bytes, &limits) else {
            continue;
        };
        let decoding = start.elapsed().as_secs_f64();
        let mut random = ChaCha8Rng::from_seed([0; 32]);
        let start = Instant::now();
        const VIEWS: usize = 4;
        for _ in 0..VIEWS {
            let view = policy.sample(&mut random, image.width, image.height);
            render(&image, &view, &mut scratch, &mut place, Layout::Hwc, None)?;
        }
        costs.push(Cost {
            seconds: start.elapsed().as_secs_f64() / VIEWS as f64,
            decoding,
            pixels: f64::from(image.width) * f64::from(image.height),
        });
    }
    let count = costs.len() as f64;
    let sum = costs.into_iter().reduce(|sum, cost| Cost {
        seconds: sum.seconds + cost.seconds,
        decoding: sum.decoding + cost.decoding,
        pixels: sum.pixels + cost.pixels,
    });
    let sum = sum.context("no image could be decoded")?;
    Ok(Cost {
        seconds: sum.seconds / count,
        decoding: sum.decoding / count,
        pixels: sum.pixels / count,
    })
}
