//! When a training's checkpoints are written, and that they are durable. What is in one is the
//! training's business.
//!
//! Steps and minutes decide only how much an interruption costs, never what is learned.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use seedpipe_engine::{StageContext, durable};
use seedpipe_learn::training_state::{TrainingState, latest, save};

use super::options::TrainingOptions;

/// The checkpoints of one stage.
pub struct Checkpoints<'a> {
    context: &'a StageContext<'a>,
    /// Steps from one to the next.
    interval: u64,
    /// Time from one to the next; none: steps alone decide.
    pause: Option<Duration>,
    /// When the last one was written, or the training began.
    last: Instant,
    /// Steps that were done at the last one, if there is one.
    last_step: Option<u64>,
}

impl<'a> Checkpoints<'a> {
    pub fn new(
        context: &'a StageContext<'a>,
        options: &TrainingOptions,
        steps_per_epoch: u64,
    ) -> Self {
        let minutes = options.checkpoint_minutes;
        Checkpoints {
            context,
            interval: match options.checkpoint_steps {
                0 => steps_per_epoch,
                steps => steps,
            },
            // More than a `Duration` holds is never.
            pause: Duration::try_from_secs_f64(minutes * 60.0)
                .ok()
                .filter(|pause| !pause.is_zero()),
            last: Instant::now(),
            last_step: None,
        }
    }

    /// The newest sound one. Corrupt ones are warned of and passed over.
    pub fn newest(&mut self) -> Result<Option<TrainingState>> {
        let mut warn = |message| self.context.warn(message);
        let state = latest(self.context.checkpoints(), &mut warn)?;
        self.last_step = state.as_ref().map(|state| state.step);
        Ok(state)
    }

    /// Steps that were done at the newest one.
    pub fn last_step(&self) -> Option<u64> {
        self.last_step
    }

    /// Whether one is to be written after `done` steps.
    pub fn are_due(&self, done: u64) -> bool {
        done.is_multiple_of(self.interval)
            || self.pause.is_some_and(|pause| self.last.elapsed() >= pause)
    }

    pub fn save(&mut self, state: &TrainingState) -> Result<()> {
        save(self.context.checkpoints(), state, durable::write).context("writing a checkpoint")?;
        self.last = Instant::now();
        self.last_step = Some(state.step);
        Ok(())
    }
}
