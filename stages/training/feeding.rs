//! The batches of a training, step by step, from a feed that renders ahead; an image is decoded
//! once for its views of all sizes.

use std::time::Duration;

use anyhow::{Context, Result};
use tch::Tensor;

use super::learner::Samples;
use super::orders::Orders;
use crate::pixels::feed::{Feed, Frame, Job};
use crate::pixels::view_list::ViewList;
use crate::shared::network_artifact::normalise;

pub struct Feeding {
    feed: Feed,
}

/// Which batches.
#[derive(Clone, Copy)]
pub struct BatchRange {
    pub first: u64,
    /// After the last.
    pub end: u64,
    pub steps_per_epoch: u64,
    /// Samples in a batch.
    pub batch: usize,
}

impl Feeding {
    pub fn start(samples: &Samples, orders: &Orders, span: BatchRange) -> Result<Feeding> {
        let frames = samples.crops.iter().map(|crops| {
            let frame = Frame {
                batch: span.batch * crops.views,
                size: crops.viewed.size(),
                normalise: normalise(&samples.preprocessing),
            };
            (frame, crops.views)
        });
        // Each kind of views with the number of them that a sample has in a batch.
        let viewed: Vec<_> = samples
            .crops
            .iter()
            .map(|crops| (crops.viewed.clone(), crops.views as u64))
            .collect();
        let orders = orders.apart();
        let mut step = span.first;
        let mut loaded: (u64, Vec<ViewList>) = (u64::MAX, Vec::new());
        let plan = move || {
            if step == span.end {
                return Ok(None);
            }
            let epoch = step / span.steps_per_epoch;
            if loaded.0 != epoch {
                let mut of_epoch = std::mem::take(&mut loaded.1);
                of_epoch.clear(); // the last epoch's leave the memory first
                for (viewed, views) in &viewed {
                    for number in epoch * views..(epoch + 1) * views {
                        of_epoch.push(viewed.view_of_epoch(number)?);
                    }
                }
                loaded = (epoch, of_epoch);
            }
            let jobs = orders.batch(step).into_iter().map(|position| {
                let position = position as usize;
                let views = loaded.1.iter().map(|view| view.get(position));
                Ok(Job {
                    image: viewed[0].0.image(position),
                    views: views.collect::<Result<_>>()?,
                })
            });
            let jobs = jobs.collect::<Result<_>>()?;
            step += 1;
            Ok(Some(jobs))
        };
        let pictures = samples.pictures.clone();
        Ok(Feeding {
            feed: Feed::start_sizes(pictures, frames.collect(), samples.device, plan)?,
        })
    }

    /// The next batch, one tensor for each of the samples' crops.
    pub fn next(&mut self) -> Result<Vec<Tensor>> {
        self.feed
            .next_sizes()?
            .context("BUG: the feed ended before the last step")
    }

    /// How long the training has waited for batches.
    pub fn waited(&self) -> Duration {
        self.feed.waited()
    }
}
