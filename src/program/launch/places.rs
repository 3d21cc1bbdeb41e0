//! How many stages this machine can work on at once.

use std::collections::BTreeMap;
use std::thread::available_parallelism;

use seedpipe_engine::{Engine, StageState, StageStatus};
use seedpipe_stages::memory::MemoryEstimate;

/// On a CPU: as many as there are trainings that may run beside each other, as far as each has cores
/// of its own, by the threads of the widest, and memory. On a GPU: one, which has it to itself.
///
/// - `planned`: what each stage of the plan needs, where it is known
/// - `memory`: of this machine, in bytes; `None`: unknown
pub fn of_this_machine(
    engine: &Engine,
    plan: &[StageStatus],
    planned: &[Option<MemoryEstimate>],
    memory: Option<u64>,
    is_gpu: bool,
) -> usize {
    if is_gpu {
        return 1;
    }
    // A training's level: how many others it waits for, one after the other.
    let mut levels: BTreeMap<&str, usize> = BTreeMap::new();
    let mut trainings: BTreeMap<usize, usize> = BTreeMap::new();
    let mut widest = 1;
    for stage in plan {
        let Ok(node) = engine.project().stage(&stage.stage) else {
            continue;
        };
        let needs = node.inputs.values().flatten();
        let above = needs.filter_map(|need| levels.get(need.stage.as_str()));
        let mut level = above.copied().max().unwrap_or(0);
        let training = node.params.pointer("/training/threads");
        if let (Some(threads), true) = (training, stage.state != StageState::Cached) {
            *trainings.entry(level).or_default() += 1;
            widest = widest.max(threads.as_u64().unwrap_or(1));
            level += 1;
        }
        levels.insert(&node.name, level);
    }
    let beside = trainings.into_values().max().unwrap_or(1);
    let cores = available_parallelism().map_or(1, usize::from);
    let by_cores = cores / usize::try_from(widest).unwrap_or(usize::MAX);
    let largest = planned.iter().flatten().map(MemoryEstimate::total).max();
    let by_memory = match (memory, largest) {
        (Some(memory), Some(largest)) if largest > 0 => {
            usize::try_from(memory / largest).unwrap_or(usize::MAX)
        }
        _ => usize::MAX,
    };
    beside.min(by_cores).min(by_memory).max(1)
}
