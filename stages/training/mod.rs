//! The loop that `pretrain`, `distill` and `finetune` share: keyed sample order, rendered batches,
//! learning rate, optimiser, exact resume, metrics. What the loss of a batch is, is the stage's own
//! [`Learner`].
//!
//! Invariant: weights after step n depend on the recipe and the inputs alone, however often the run
//! was interrupted.

mod checkpoints;
mod evaluating;
mod feeding;
mod learner;
mod loop_state;
mod options;
mod orders;
mod progress;
mod queue_state;
mod scaling;
mod trainer;

use anyhow::Result;
use seedpipe_artifact::MetricRow;
use seedpipe_engine::StageContext;
use seedpipe_learn::device::with_threads;

pub use learner::{Batch, Crops, Learner, Samples};
pub use options::{HOW, TrainingOptions};
pub use progress::report_results;
pub use queue_state::{QUEUE, restore_queue, save_queue};
pub use scaling::Scaling;
use trainer::Trainer;

/// Trains from the newest checkpoint, or from the start, to the end.
pub fn train(
    context: &StageContext,
    options: &TrainingOptions,
    samples: &Samples,
    learner: &mut impl Learner,
) -> Result<Vec<MetricRow>> {
    for crops in &samples.crops {
        let fits = learner.network().check_size(crops.viewed.size());
        fits.map_err(|refusal| refusal.stage(context.stage()))?;
    }
    with_threads(options.threads, || {
        Trainer::new(context, options, samples, learner)?.run()
    })
}
