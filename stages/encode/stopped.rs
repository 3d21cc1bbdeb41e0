//! The batches of a shard that were done when the run was stopped, kept as a checkpoint: a stop
//! loses a batch, not the shard.

use anyhow::{Context, Result};
use seedpipe_engine::{Reached, StageContext, durable};
use seedpipe_learn::tensors::to_vec_f32;
use seedpipe_learn::training_state::{TrainingState, latest, save};
use serde_json::json;
use tch::Tensor;

use crate::encode::batches::ShardBatches;

const ROWS: &str = "rows";

/// What a stopped run had done of a shard.
pub struct Stopped(TrainingState);

impl Stopped {
    pub fn read(context: &StageContext) -> Result<Option<Stopped>> {
        let state = latest(context.checkpoints(), &mut |message| context.warn(message))?;
        Ok(state.map(Stopped))
    }

    /// The embeddings of a shard's first batches; none when it is another shard's, or the batches
    /// were others.
    ///
    /// - `per_image`: numbers of an image
    pub fn batches(&self, work: &ShardBatches, per_image: usize) -> Vec<Vec<f32>> {
        let rows = self.0.tensors.get(ROWS).map(to_vec_f32).unwrap_or_default();
        let (mut rest, mut positions) = (rows.as_slice(), Vec::new());
        let mut batches = Vec::new();
        for batch in &work.positions {
            let Some((values, after)) = rest.split_at_checked(batch.len() * per_image) else {
                break;
            };
            batches.push(values.to_vec());
            positions.extend(batch);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let expected = scalars(work, &positions);
        match rest.is_empty() && self.0.scalars == expected {
            true => batches,
            false => Vec::new(),
        }
    }
}

fn scalars(work: &ShardBatches, positions: &[usize]) -> serde_json::Value {
    json!({"shard": work.shard, "positions": positions})
}

/// Keeps what is done of a shard.
///
/// - `done`: embeddings of its first batches
/// - `views`: of an image
/// - `before`: images of the shards in front of it
/// - `total`: images of all shards
pub fn keep(
    context: &StageContext,
    work: &ShardBatches,
    done: &[Vec<f32>],
    views: usize,
    (before, total): (usize, usize),
) -> Result<()> {
    if done.is_empty() {
        return Ok(());
    }
    let positions: Vec<usize> = work.positions[..done.len()].concat();
    let seen = ((before + positions.len()) * views) as u64;
    let mut state = TrainingState::new(seen, scalars(work, &positions));
    let rows = Tensor::from_slice(&done.concat());
    state.tensors.insert(ROWS.to_owned(), rows);
    save(context.checkpoints(), &state, durable::write).context("writing a checkpoint")?;
    context.reached(&[Reached::new("view", seen, (total * views) as u64)])
}

/// Removes what was kept of a shard that is finished by now, or of other batches.
pub fn clear(context: &StageContext) -> Result<()> {
    for entry in fs_err::read_dir(context.checkpoints())? {
        fs_err::remove_file(entry?.path())?;
    }
    Ok(())
}
