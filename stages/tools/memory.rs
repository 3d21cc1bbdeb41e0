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
    if let Some(encode) = stage.of_kind::<Encode>() {
        let (architecture, side) = looking_network(engine, stage, &encode)?;
        return looking(&architecture, side, encode.batch);
    }
    learning(engine, stage)?.estimate(stage)
}

fn side_of_views(engine: &Engine, stage: &StageNode, slot: &str) -> Option<u32> {
    let views = connected(engine.project(), stage, slot).ok().flatten()?;
    views.of_kind::<Augment>()?.side()
}

/// The network on a stage's slot `weights`, and the side of the images that it wants.
fn network_of_weights(engine: &Engine, stage: &StageNode) -> Option<(Architecture, u32)> {
    let weights = connected(engine.project(), stage, "weights").ok()??;
    let network = |key: &str| serde_json::from_value(weights.params.get(key)?.clone()).ok();
    let architecture = trained_architecture(engine, weights)
        .or_else(|| network("network"))
        .or_else(|| Some(network_of_weights(engine, weights)?.0))?;
    let said = weights
        .params
        .get("preprocessing")
        .and_then(|own| own.get("size"));
    let said = said
        .and_then(Value::as_u64)
        .and_then(|side| u32::try_from(side).ok());
    let side = said.or_else(|| side_of_views(engine, weights, "views"));
    let side = side.unwrap_or_else(|| architecture.default_preprocessing().size);
    Some((architecture, side))
}

/// The network that an `encode` stage looks with, and the side of the images.
pub(super) fn looking_network(
    engine: &Engine,
    stage: &StageNode,
    encode: &Encode,
) -> Option<(Architecture, u32)> {
    let own = encode.network.clone().map(|network| {
        let side = network.default_preprocessing().size;
        (network, side)
    });
    let (architecture, usual) = own.or_else(|| network_of_weights(engine, stage))?;
    let said = encode.preprocessing.as_ref().map(|own| own.size);
    let side = side_of_views(engine, stage, "views")
        .or(said)
        .unwrap_or(usual);
    Some((architecture, side))
}

/// What a training stage learns, where params say its network.
pub(super) fn learning(engine: &Engine, stage: &StageNode) -> Option<Learning> {
    let training: TrainingOptions =
        serde_json::from_value(stage.params.get("training")?.clone()).ok()?;
    let own = || serde_json::from_value(stage.params.get("network")?.clone()).ok();
    let architecture = trained_architecture(engine, stage)
        .or_else(own)
        .or_else(|| Some(network_of_weights(engine, stage)?.0))?;
    let is = |name: &str| stage.params.get("objective").and_then(Value::as_str) == Some(name);
    let follows = stage.kind == "pretrain" && !is("simclr") && !is("swav") && !is("supervised");
    let whole = match stage.kind == "pretrain" && (is("simclr") || is("swav")) {
        true => 2,
        false => 1,
    };
    let mut crops = vec![(side_of_views(engine, stage, "views")?, whole)];
    if let Some(small) = side_of_views(engine, stage, "small_views") {
        crops.push((small, number(stage, "small_crops")));
    }
    Some(Learning {
        architecture,
        training,
        crops,
        follows,
    })
}

fn number(stage: &StageNode, key: &str) -> u64 {
    stage.params.get(key).and_then(Value::as_u64).unwrap_or(0)
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

/// A network that learns.
pub(super) struct Learning {
    pub architecture: Architecture,
    pub training: TrainingOptions,
    /// Side of the views, and how many of an image are in a batch.
    pub crops: Vec<(u32, u64)>,
    /// Whether a copy of the network sees as much without learning.
    pub follows: bool,
}

impl Learning {
    fn estimate(&self, stage: &StageNode) -> Option<MemoryEstimate> {
        let graph = self.architecture.graph().ok()?;
        let batch = self.training.batch as f64;
        let weights = F32 * graph.parameter_count() as f64;
        let averages = f64::from(u8::from(self.training.average.is_some()));
        let width = match self.training.precision {
            Precision::F32 => F32,
            Precision::Bf16 | Precision::F16 => 0.6 * F32, // statistics and sums stay f32
        };
        let (mut kept, mut pixels, mut views) = (0.0, 0.0, 0.0);
        for &(side, count) in &self.crops {
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
        // Of queue and prototypes.
        let rows = ["queue", "prototypes", "clusters"].map(|key| number(stage, key));
        let rows = rows.into_iter().fold(0, u64::saturating_add) as f64;
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
