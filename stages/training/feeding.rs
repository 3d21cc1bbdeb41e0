//! The batches of a training, step by step, from feeds that render ahead: one for each size of the samples' views.

use std::time::Duration;

use anyhow::{Context, Result};
use tch::Tensor;

use super::learner::{Crops, Samples};
use super::orders::Orders;
use crate::feed::{Feed, Frame, Job, workers};

pub struct Feeding {
    feeds: Vec<Feed>,
    device: tch::Device,
}

/// Which batches.
#[derive(Clone, Copy)]
pub struct Span {
    pub first: u64,
    /// After the last.
    pub end: u64,
    pub steps_per_epoch: u64,
    /// Samples in a batch.
    pub batch: usize,
}

impl Feeding {
    pub fn start(samples: &Samples, orders: &Orders, span: Span) -> Result<Feeding> {
        let threads = workers(samples.device).div_ceil(samples.crops.len().max(1));
        let feeds = samples
            .crops
            .iter()
            .map(|crops| feed(samples, crops, orders.apart(), span, threads))
            .collect::<Result<_>>()?;
        Ok(Feeding {
            feeds,
            device: samples.device,
        })
    }

    /// The next batch, one tensor for each of the samples' crops.
    pub fn next(&mut self) -> Result<Vec<Tensor>> {
        self.feeds
            .iter_mut()
            .map(|feed| {
                feed.next(self.device)?
                    .context("BUG: the feed ended before the last step")
            })
            .collect()
    }

    /// How long the training has waited for batches.
    pub fn waited(&self) -> Duration {
        self.feeds.iter().map(Feed::waited).sum()
    }
}

fn feed(
    samples: &Samples,
    crops: &Crops,
    orders: Orders,
    span: Span,
    threads: usize,
) -> Result<Feed> {
    let frame = Frame {
        batch: span.batch * crops.views,
        size: crops.viewed.size(),
        normalise: samples.normalise,
    };
    let viewed = crops.viewed.clone();
    let views = crops.views as u64;
    let mut step = span.first;
    let mut loaded = (u64::MAX, Vec::new());
    Feed::start(samples.pictures.clone(), frame, threads, move || {
        if step == span.end {
            return Ok(None);
        }
        let epoch = step / span.steps_per_epoch;
        if loaded.0 != epoch {
            let of_epoch = (0..views)
                .map(|n| viewed.view_of_epoch(epoch * views + n))
                .collect::<Result<Vec<_>>>()?;
            loaded = (epoch, of_epoch);
        }
        let jobs = orders
            .batch(step)
            .into_iter()
            .map(|position| Job {
                image: viewed.image(position as usize),
                views: loaded
                    .1
                    .iter()
                    .map(|view| view[position as usize].clone())
                    .collect(),
            })
            .collect();
        step += 1;
        Ok(Some(jobs))
    })
}
