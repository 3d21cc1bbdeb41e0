//! What a stage with a network will take of the machine's memory, told from params alone: no network
//! is built and no image read. Of a computation on the processor.

use seedpipe_engine::{Engine, StageNode};
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::network::Precision;
use serde_json::Value;

use crate::augment::Augment;
use crate::encode::Encode;
use crate::pixels::feed::BATCHES_HELD;
use crate::tools::storage::{connected, trained_architecture};
use crate::training::TrainingOptions;

/// Bytes of each part, when it takes most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryEstimate {
    /// The program itself with libtorch.
    pub program: u64,
    /// Weights, and copies of them.
    pub weights: u64,
    /// Gradients, and what the optimiser remembers.
    pub optimiser: u64,
    /// What a batch leaves for the backward pass, or what passes between layers.
    pub activations: u64,
    /// Queues and prototypes, with a batch's similarities to them.
    pub memories: u64,
    /// Batches of pixels.
    pub images: u64,
}

/// libtorch with its threads, where a network learns and where it only looks; measured.
const LEARNING: u64 = 300_000_000;
const LOOKING: u64 = 200_000_000;
/// What passes between the layers of one part of a batch, of which each thread has one.
const PART: u64 = 48_000_000;
/// Bytes of an f32.
const F32: f64 = 4.0;

impl MemoryEstimate {
    pub fn total(&self) -> u64 {
        let parts = [
            self.weights,
            self.optimiser,
            self.activations,
            self.memories,
            self.images,
        ];
        parts.into_iter().fold(self.program, u64::saturating_add)
    }
}

/// What a stage will take, where it has a network whose size params or another stage's say.
pub fn of_stage(engine: &Engine, stage: &StageNode) -> Option<MemoryEstimate> {
    let side = |slot: &str| {
        let views = connected(engine.project(), stage, slot).ok().flatten()?;
        views.of_kind::<Augment>()?.side()
    };
    let upstream = || {
        let weights = connected(engine.project(), stage, "weights")
            .ok()
            .flatten()?;
        trained_architecture(engine, weights)
    };
    let own = || serde_json::from_value(stage.params.get("network")?.clone()).ok();
    if let Some(encode) = stage.of_kind::<Encode>() {
        let architecture = own().or_else(upstream)?;
        let usual = || Some(architecture.default_preprocessing().size);
        let said = encode.preprocessing.as_ref().map(|own| own.size);
        let side = side("views").or(said).or_else(usual)?;
        return looking(&architecture, side, encode.batch);
    }
    let training: TrainingOptions =
        serde_json::from_value(stage.params.get("training")?.clone()).ok()?;
    let architecture = trained_architecture(engine, stage)
        .or_else(own)
        .or_else(upstream)?;
    let number = |key: &str| stage.params.get(key).and_then(Value::as_u64).unwrap_or(0);
    let is = |name: &str| stage.params.get("objective").and_then(Value::as_str) == Some(name);
    let follows = stage.kind == "pretrain" && !is("simclr") && !is("swav") && !is("supervised");
    let whole = match stage.kind == "pretrain" && (is("simclr") || is("swav")) {
        true => 2,
        false => 1,
    };
    let mut crops = vec![(side("views")?, whole)];
    if let Some(small) = side("small_views") {
        crops.push((small, number("small_crops")));
    }
    Learning {
        architecture: &architecture,
        training: &training,
        crops: &crops,
        follows,
        rows: [number("queue"), number("prototypes"), number("clusters")]
            .into_iter()
            .fold(0, u64::saturating_add),
    }
    .estimate()
}

/// - `side`: of the images
fn looking(architecture: &Architecture, side: u32, batch: usize) -> Option<MemoryEstimate> {
    let graph = architecture.graph().ok()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let side = f64::from(side);
    let weights = F32 * graph.parameter_count() as f64;
    Some(MemoryEstimate {
        program: LOOKING,
        // As they were read, as the network's, and laid out for its layers.
        weights: (3.0 * weights) as u64,
        activations: threads as u64 * PART,
        images: (BATCHES_HELD as f64 * batch as f64 * 3.0 * side * side * F32) as u64,
        ..MemoryEstimate::default()
    })
}

struct Learning<'a> {
    architecture: &'a Architecture,
    training: &'a TrainingOptions,
    /// Side of the views, and how many of an image are in a batch.
    crops: &'a [(u32, u64)],
    /// Whether a copy of the network sees as much without learning.
    follows: bool,
    /// Of queue and prototypes.
    rows: u64,
}

impl Learning<'_> {
    fn estimate(&self) -> Option<MemoryEstimate> {
        let graph = self.architecture.graph().ok()?;
        let batch = self.training.batch as f64;
        let weights = F32 * graph.parameter_count() as f64;
        let averages = f64::from(u8::from(self.training.average.is_some()));
        let width = match self.training.precision {
            Precision::F32 => F32,
            Precision::Bf16 | Precision::F16 => 0.6 * F32, // statistics and sums stay f32
        };
        let (mut kept, mut pixels, mut views) = (0.0, 0.0, 0.0);
        for &(side, count) in self.crops {
            let images = batch * count as f64;
            let (all, largest) = graph.kept([i64::from(side); 2]).ok()?;
            kept += match self.training.recompute {
                // About the square root of the depth is kept, and one part in full.
                true => 0.4 * images * all as f64,
                false => images * (all + 2 * largest) as f64,
            };
            let side = f64::from(side);
            let seen = images * f64::from(1 + u8::from(self.follows));
            pixels += seen * 3.0 * side * side;
            views += images;
        }
        let dimension = self.architecture.embedding_dimension().ok()? as f64;
        let rows = self.rows as f64;
        Some(MemoryEstimate {
            program: LEARNING,
            weights: (weights * (1.0 + averages + f64::from(u8::from(self.follows)))) as u64,
            optimiser: (weights * (1 + self.training.optimiser.remembered()) as f64) as u64,
            activations: (width * kept) as u64,
            memories: (F32 * rows * (2.0 * dimension + 3.0 * views)) as u64,
            images: (F32 * BATCHES_HELD as f64 * pixels) as u64,
        })
    }
}
