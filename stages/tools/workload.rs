//! How much a stage has to do, told before anything runs: units of work from params and counts of
//! images, and how one unit is measured where no run has measured it. No network is built and no
//! image decoded. [`calibration`](super::calibration) measures.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use seedpipe_artifact::ImagesReader;
use seedpipe_engine::{Artifact, Engine, StageNode};
use serde_json::{Value, json};

use crate::augment::Augment;
use crate::encode::Encode;
use crate::ingest::Ingest;
use crate::ingest::counts::{SourceCounts, counts, sample};
use crate::shared::selection::{CHOOSING, JUDGING};
use crate::tools::calibration::{Calibration, Cost};
use crate::tools::memory::{learning, looking_network};
use crate::tools::storage::connected;

/// What a stage has to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// What the cost of a unit hangs on beside the machine: where it is equal, seconds are
    /// proportional to `amount`.
    pub way: String,
    pub amount: f64,
    /// Units of the network's work.
    pub network: Option<Calibration>,
    pub pixels: Option<PixelWork>,
    /// Seconds of a unit of what is not measured ahead; of one thread.
    typical: f64,
    /// Seconds that the stage takes whatever the amount: libtorch's threads, files.
    fixed: f64,
}

/// Images that are decoded and rendered beside the network or alone.
#[derive(Clone, Debug, PartialEq)]
pub struct PixelWork {
    pub calibration: Calibration,
    views: f64,
    decodes: f64,
    /// Of those, different ones: they are decoded once where all fit into memory.
    images: f64,
    /// Threads that the network leaves to nobody; none: it takes turns with the rendering.
    beside: Option<usize>,
}

/// Decoded images are kept below that.
const KEPT_PIXELS: f64 = (512 << 20) as f64 / 3.0;
/// What a look at an image costs of a step with it: no backward pass, and on all cores.
const LOOK: f64 = 0.25;
/// What a copy that only follows adds to a learning network's step.
const FOLLOWS: f64 = 1.0 / 3.0;
/// Seconds of what no calibration measures, on a core of 2020; each kind's first run corrects it.
const INGESTED: f64 = 3e-4;
const DRAWN: f64 = 5e-5;
const PROBED: f64 = 1e-3;
const COMPARED: f64 = 2e-4;
const REPORTED: f64 = 2e-3;
const LIGHT: f64 = 0.1;
const WITH_TENSORS: f64 = 0.4;

impl Workload {
    /// What would have to be measured.
    pub fn calibrations(&self) -> impl Iterator<Item = &Calibration> {
        let pixels = self.pixels.iter().map(|pixels| &pixels.calibration);
        self.network.iter().chain(pixels)
    }

    /// Seconds by what was measured ahead; `None` where that is not enough.
    ///
    /// - `cores`: of the machine
    pub fn seconds(
        &self,
        cores: usize,
        cost: impl Fn(&Calibration) -> Option<Cost>,
    ) -> Option<f64> {
        let cores = cores.max(1) as f64;
        let network = match &self.network {
            Some(network) => self.amount * cost(network)?.seconds,
            None => 0.0,
        };
        let own = self.fixed + self.amount * self.typical / cores;
        let Some(pixels) = &self.pixels else {
            return Some(network + own);
        };
        // Where no image can be looked at ahead, it is taken to cost little beside the network.
        let rendering = cost(&pixels.calibration).map_or(0.0, |cost| pixels.seconds(&cost));
        Some(
            own + match pixels.beside {
                Some(threads) if (threads as f64) < cores => {
                    network.max(rendering / (cores - threads as f64))
                }
                _ => network + rendering / cores,
            },
        )
    }
}

impl PixelWork {
    /// Of one thread.
    fn seconds(&self, cost: &Cost) -> f64 {
        let are_kept = self.beside.is_some() && self.images * cost.pixels <= KEPT_PIXELS;
        let decodes = if are_kept { self.images } else { self.decodes };
        self.views * cost.seconds + decodes * cost.decoding
    }
}

/// The workloads of a pipeline's stages.
pub struct Workloads<'a> {
    engine: &'a Engine,
    /// The current artifact of a stage.
    find: &'a dyn Fn(&str) -> Result<Option<Artifact>>,
    /// `auto`, `cpu` or `cuda:N`.
    device: &'a str,
    counted: RefCell<BTreeMap<String, Option<SourceCounts>>>,
}

impl<'a> Workloads<'a> {
    pub fn new(
        engine: &'a Engine,
        find: &'a dyn Fn(&str) -> Result<Option<Artifact>>,
        device: &'a str,
    ) -> Self {
        Workloads {
            engine,
            find,
            device,
            counted: RefCell::default(),
        }
    }

    /// What a stage has to do.
    ///
    /// # Errors
    /// Why that is not known, for people.
    pub fn of_stage(&self, stage: &StageNode) -> Result<Workload, String> {
        let light = |typical: f64, amount: f64, fixed: f64| Workload {
            way: stage.kind.clone(),
            amount,
            network: None,
            pixels: None,
            typical,
            fixed,
        };
        if stage.of_kind::<Ingest>().is_some() {
            let counts = self.counted(stage)?;
            let images = total(&counts);
            return Ok(Workload {
                way: self.way(stage, &counts, json!({})),
                pixels: pixels(&counts, 1, [0.0, images, images], None),
                ..light(INGESTED, images, LIGHT)
            });
        }
        if let Some(augment) = stage.of_kind::<Augment>() {
            let images = self.viewed(stage, &augment)?;
            let views = images * f64::from(augment.views_per_image);
            return Ok(light(DRAWN, views, LIGHT));
        }
        if let Some(encode) = stage.of_kind::<Encode>() {
            return self.of_encode(stage, &encode);
        }
        if stage.params.get("training").is_some() {
            return self.of_training(stage);
        }
        let connected = |slot: &str| connected(self.engine.project(), stage, slot);
        let images = match connected("images") {
            Ok(Some(images)) => total(&self.counted(images)?),
            _ => 0.0,
        };
        Ok(match stage.kind.as_str() {
            "report" => {
                let features = stage.inputs.get("features").map_or(0, Vec::len);
                light(REPORTED, images * features as f64, 1.0)
            }
            "probe" => light(PROBED, images, LIGHT),
            "knn" => light(COMPARED, images, LIGHT),
            _ => light(0.0, 1.0, 1.0),
        })
    }

    fn of_encode(&self, stage: &StageNode, encode: &Encode) -> Result<Workload, String> {
        let project = self.engine.project();
        let unknown = || "its network is told by a file alone".to_owned();
        let (network, side) = looking_network(self.engine, stage, encode).ok_or_else(unknown)?;
        let images = connected(project, stage, "images").ok().flatten();
        let counts = self.counted(images.ok_or("it has no images")?)?;
        let viewing = connected(project, stage, "views").ok().flatten();
        let (images, views) = match viewing {
            Some(viewing) => {
                let augment = viewing.of_kind::<Augment>().ok_or_else(unknown)?;
                let views = f64::from(augment.views_per_image);
                (self.viewed(viewing, &augment)?, views)
            }
            None => {
                let wanted = counts
                    .splits
                    .iter()
                    .filter(|(split, _)| encode.splits.is_empty() || encode.splits.contains(split));
                (wanted.map(|(_, count)| *count as f64).sum(), 1.0)
            }
        };
        let calibration = Calibration::Look {
            network,
            side,
            batch: encode.batch,
            precision: encode.precision,
            device: self.device.to_owned(),
        };
        let hangs = json!({"network": calibration.key(), "views": views > 1.0});
        Ok(Workload {
            way: self.way(stage, &counts, hangs),
            amount: images * views,
            pixels: pixels(&counts, side, [images * views, images, images], None),
            network: Some(calibration),
            typical: 0.0,
            fixed: WITH_TENSORS,
        })
    }

    fn of_training(&self, stage: &StageNode) -> Result<Workload, String> {
        let project = self.engine.project();
        let unknown = || "its network is told by a file alone".to_owned();
        let learning = learning(self.engine, stage).ok_or_else(unknown)?;
        let training = &learning.training;
        let viewing = connected(project, stage, "views").ok().flatten();
        let viewing = viewing.ok_or("it has no views")?;
        let augment = viewing.of_kind::<Augment>().ok_or_else(unknown)?;
        let mut images = self.viewed(viewing, &augment)?;
        let param = |key: &str| stage.params.get(key);
        if param("unlabelled").and_then(Value::as_bool) != Some(true) {
            let share = param("label_fraction").and_then(Value::as_f64);
            images *= share.unwrap_or(1.0);
        }
        let source = connected(project, stage, "images").ok().flatten();
        let counts = self.counted(source.ok_or("it has no images")?)?;
        let of_split = |split: &str| counts.splits.get(split).copied().unwrap_or(0) as f64;
        let epochs = f64::from(training.epochs);
        let steps = training.steps_per_epoch(images as usize);
        let in_epoch = (steps * training.accumulate * training.batch as u64) as f64;
        let (side, _) = learning.crops[0];
        let square = |side: u32| f64::from(side).powi(2);
        let learned: f64 = learning
            .crops
            .iter()
            .map(|&(of, count)| count as f64 * square(of) / square(side))
            .sum();
        let follows = f64::from(u8::from(learning.follows));
        let views: u64 = learning.crops.iter().map(|(_, count)| count).sum();
        let mut amount = epochs * in_epoch * (learned + FOLLOWS * follows);
        if let Some(evaluate) = &training.evaluate {
            let looks = epochs / f64::from(evaluate.every.max(1));
            let split = evaluate.split.as_deref();
            let split = split.unwrap_or(match of_split(CHOOSING) > 0.0 {
                true => CHOOSING,
                false => JUDGING,
            });
            let judged = of_split(split).min(evaluate.images as f64);
            let bank = match stage.kind.as_str() {
                "finetune" => 0.0,
                _ => of_split("train").min(evaluate.bank as f64),
            };
            amount += looks.ceil() * (judged + bank) * LOOK;
        }
        let calibration = Calibration::Step {
            network: learning.architecture.clone(),
            side,
            batch: training.batch,
            precision: training.precision,
            threads: training.threads,
            recompute: training.recompute,
            device: self.device.to_owned(),
        };
        let rendered = epochs * in_epoch * (views as f64 + follows);
        let work = [rendered, epochs * in_epoch, images];
        let objective = param("objective").cloned();
        let hangs = json!({"network": calibration.key(), "objective": objective});
        Ok(Workload {
            way: self.way(stage, &counts, hangs),
            amount,
            pixels: pixels(&counts, side, work, Some(training.threads)),
            network: Some(calibration),
            typical: 0.0,
            fixed: WITH_TENSORS,
        })
    }

    /// - `hangs`: what the cost of a unit hangs on beside kind and images
    fn way(&self, stage: &StageNode, counts: &SourceCounts, hangs: Value) -> String {
        let images = Calibration::key_of_images(&counts.sample);
        json!({"kind": stage.kind, "images": images, "of": hangs}).to_string()
    }

    /// How many images an `augment` stage looks at.
    fn viewed(&self, stage: &StageNode, augment: &Augment) -> Result<f64, String> {
        let images = connected(self.engine.project(), stage, "images");
        let images = images.ok().flatten().ok_or("it has no images")?;
        let counts = self.counted(images)?;
        Ok(match augment.split.as_str() {
            "all" => total(&counts),
            split => counts.splits.get(split).copied().unwrap_or(0) as f64,
        })
    }

    /// The images of an `ingest` stage: its artifact's, else what the source promises.
    fn counted(&self, stage: &StageNode) -> Result<SourceCounts, String> {
        let mut counted = self.counted.borrow_mut();
        let found = counted
            .entry(stage.name.clone())
            .or_insert_with(|| self.count(stage));
        let until = || format!("until `{}` has run", stage.name);
        found.clone().ok_or_else(until)
    }

    fn count(&self, stage: &StageNode) -> Option<SourceCounts> {
        let ingest = stage.of_kind::<Ingest>()?;
        let path = self.engine.project().folder().join(&ingest.source);
        let Some(artifact) = (self.find)(&stage.name).ok().flatten() else {
            return counts(&ingest, &path).ok().flatten();
        };
        // What is damaged is `verify`'s to tell.
        let reader = ImagesReader::open(&artifact.parts("images")).ok()?;
        let splits = reader.splits().iter();
        Some(SourceCounts {
            splits: splits
                .map(|split| (split.clone(), reader.rows_in(split).len() as u64))
                .collect(),
            sample: sample(&ingest, &path).unwrap_or_default(),
        })
    }
}

fn total(counts: &SourceCounts) -> f64 {
    counts.splits.values().sum::<u64>() as f64
}

/// - `work`: views, images that are decoded, and different ones of them
fn pixels(
    counts: &SourceCounts,
    side: u32,
    [views, decodes, images]: [f64; 3],
    beside: Option<usize>,
) -> Option<PixelWork> {
    let files: Vec<PathBuf> = counts.sample.clone();
    (!files.is_empty()).then_some(PixelWork {
        calibration: Calibration::Render { files, side },
        views,
        decodes,
        images,
        beside,
    })
}
