//! What the stages of a run will take of the machine's memory, and whether it has that.

use anyhow::Result;
use seedpipe_base::{Refusal, hinted};
use seedpipe_engine::{Engine, StageState, StageStatus};
use seedpipe_stages::memory::{MemoryEstimate, of_stage};
use serde_json::{Value, json};

use crate::project::storage::in_short;

/// Set to anything, what seems too large is begun none the less.
pub const INSIST: &str = "SEEDPIPE_ANY_MEMORY";
/// From which share of the memory on a stage is warned of, and from which on it is refused: an
/// estimate may be wrong by a third.
const NEAR: f64 = 0.8;
const BEYOND: f64 = 1.5;

/// What each of the stages that is not cached will take, by its place in `stages`; none of a stage
/// without a network, or of one that only a file describes.
pub fn planned(engine: &Engine, stages: &[StageStatus]) -> Result<Vec<Option<MemoryEstimate>>> {
    stages
        .iter()
        .map(|stage| match stage.state {
            StageState::Cached => Ok(None),
            _ => Ok(of_stage(engine, engine.project().stage(&stage.stage)?)),
        })
        .collect()
}

/// A line for each stage with an estimate.
pub fn lines(stages: &[StageStatus], planned: &[Option<MemoryEstimate>]) -> String {
    let told = stages.iter().zip(planned);
    told.filter_map(|(stage, memory)| Some(format!("{}: {}\n", stage.stage, line(&(*memory)?))))
        .collect()
}

fn line(memory: &MemoryEstimate) -> String {
    let parts = [
        ("weights", memory.weights),
        ("optimiser", memory.optimiser),
        ("activations", memory.activations),
        ("memories", memory.memories),
        ("images", memory.images),
    ];
    let parts = parts.iter().filter(|(_, bytes)| *bytes > 0);
    let parts = parts.map(|(name, bytes)| format!("{name} {}", in_short(*bytes)));
    format!(
        "takes about {} of memory: {}",
        in_short(memory.total()),
        parts.collect::<Vec<_>>().join(", ")
    )
}

/// The same for machines; null for a stage without an estimate.
pub fn as_json(memory: Option<MemoryEstimate>) -> Value {
    memory.map_or(Value::Null, |memory| {
        let mut value = json!(memory);
        value["total"] = json!(memory.total());
        value
    })
}

/// Refuses a stage that takes clearly more than the machine has; gives a warning of one that comes
/// near.
///
/// - `machine`: its bytes
pub fn check(
    stages: &[StageStatus],
    planned: &[Option<MemoryEstimate>],
    machine: u64,
) -> Result<Option<String>, Refusal> {
    let told = stages.iter().zip(planned);
    let told = told.filter_map(|(stage, memory)| Some((stage.stage.as_str(), (*memory)?)));
    let Some((stage, memory)) = told.max_by_key(|(_, memory)| memory.total()) else {
        return Ok(None);
    };
    let share = memory.total() as f64 / machine as f64;
    let what = format!(
        "{}, and this machine has {}",
        line(&memory),
        in_short(machine)
    );
    let remedy = "make `batch`, the views' size, `queue` or the network smaller, or `training.recompute: true`";
    if share > BEYOND && std::env::var_os(INSIST).is_none() {
        return Err(Refusal::new(what)
            .stage(stage)
            .hint(format!("{remedy}; {INSIST}=1 begins none the less")));
    }
    Ok((share > NEAR).then(|| hinted(format!("warning: stage `{stage}`: {what}"), remedy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_told_in_one_line_with_its_parts() {
        let memory = MemoryEstimate {
            program: 300_000_000,
            weights: 94_000_000,
            activations: 1_700_000_000,
            ..MemoryEstimate::default()
        };
        assert_eq!(
            line(&memory),
            "takes about 2.1 GB of memory: weights 94 MB, activations 1.7 GB"
        );
        assert_eq!(as_json(Some(memory))["total"], 2_094_000_000_u64);
    }
}
