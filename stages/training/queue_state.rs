//! Queues in checkpoints: rows, pointer and filled rows, under a name.

use anyhow::{Context, Result};
use seedpipe_learn::queue::Queue;
use seedpipe_learn::training_state::TrainingState;
use serde_json::json;

/// What a training with one queue calls it.
pub const QUEUE: &str = "queue";

pub fn save_queue(state: &mut TrainingState, name: &str, queue: &Queue) {
    state.insert_all(
        &format!("{name}."),
        vec![("rows".into(), queue.rows().shallow_clone())],
    );
    state.scalars[name] = json!({ "pointer": queue.pointer(), "filled": queue.filled() });
}

/// Takes over the queue of that name: on the same device, for batches of the same size.
pub fn restore_queue(state: &TrainingState, name: &str, queue: &mut Queue) -> Result<()> {
    let number = |field: &str| {
        state.scalars[name][field]
            .as_u64()
            .map(|number| number as usize)
            .with_context(|| format!("the checkpoint lacks the {field} of `{name}`"))
    };
    let rows = state
        .take_all(&format!("{name}."))
        .remove("rows")
        .with_context(|| format!("the checkpoint lacks `{name}`"))?;
    *queue = Queue::restore(
        rows.to_device(queue.rows().device()),
        queue.batch(),
        number("pointer")?,
        number("filled")?,
    )?;
    Ok(())
}
