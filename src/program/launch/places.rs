//! How many stages this machine can work on at once.

use std::thread::available_parallelism;

use seedpipe_engine::{Engine, StageState, StageStatus};
use seedpipe_stages::memory::MemoryEstimate;

/// On a CPU: as many as have cores of their own, by the threads of the widest training that is to
/// run, and memory. On a GPU: one, which has it to itself.
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
    let will_run = || {
        plan.iter()
            .filter(|stage| stage.state != StageState::Cached)
    };
    let threads = |stage: &StageStatus| {
        let node = engine.project().stage(&stage.stage).ok()?;
        node.params.pointer("/training/threads")?.as_u64()
    };
    let widest = will_run().filter_map(threads).max().unwrap_or(1);
    let cores = available_parallelism().map_or(1, usize::from);
    let by_cores = cores / usize::try_from(widest).unwrap_or(usize::MAX).max(1);
    let largest = planned.iter().flatten().map(MemoryEstimate::total).max();
    let by_memory = match (memory, largest) {
        (Some(memory), Some(largest)) if largest > 0 => {
            usize::try_from(memory / largest).unwrap_or(usize::MAX)
        }
        _ => usize::MAX,
    };
    by_cores.min(by_memory).max(1)
}
