//! How fast a part of `encode` is by itself, for examples/ and tests/peers/.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use seedpipe_imaging::Decode;
use seedpipe_learn::architecture::Architecture;
use tch::Device;

use crate::judging::evaluation::plain_view;
use crate::pixels::feed::{Feed, Frame, Job};
use crate::pixels::pictures::Pictures;
use crate::shared::network_artifact::{eval_policy, normalise};

/// Renders every image of an artifact as `network` wants it, on as many threads as `encode` has,
/// and lets the batches go.
///
/// - `parts`: of `images/v1`
/// - returns images per second
pub fn rendering(parts: &[PathBuf], network: &str, batch: usize) -> Result<f64> {
    let preprocessing = Architecture::named(network).default_preprocessing();
    let policy = eval_policy(&preprocessing)?;
    let pictures = Arc::new(Pictures::open_once(parts, Decode::default())?);
    let count = pictures.images().rows();
    let frame = Frame {
        batch,
        size: policy.size,
        normalise: normalise(&preprocessing),
    };
    let (shared, mut next) = (pictures.clone(), 0);
    let begun = Instant::now();
    let mut feed = Feed::start(pictures, frame, Device::Cpu, move || {
        let rows = next..count.min(next + batch);
        next = rows.end;
        let jobs: Vec<Job> = rows
            .map(|row| {
                let image = shared.images().image(row);
                Job {
                    image: row,
                    views: vec![plain_view(&policy, image.width, image.height)],
                }
            })
            .collect();
        Ok((!jobs.is_empty()).then_some(jobs))
    })?;
    while feed.next()?.is_some() {}
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}
