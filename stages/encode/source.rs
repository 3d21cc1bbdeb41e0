//! What `encode` reads: stored views, or plain images under one policy; as jobs for the feed, with
//! the ids of the rows.

use std::sync::Arc;

use anyhow::Result;
use seedpipe_artifact::{ImagesReader, Of};
use seedpipe_engine::StageContext;
use seedpipe_learn::architecture::Preprocessing;

use crate::judging::evaluation::plain_view;
use crate::pixels::feed::Job;
use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;
use crate::shared::network_artifact::eval_policy;
use crate::shared::selection::rows_of_split;

/// Stored views, or plain images under one policy.
pub enum Source {
    Views(Arc<Viewed>),
    Plain {
        rows: Vec<usize>,
        policy: seedpipe_imaging::Policy,
    },
}

/// The rows of some splits, of all where none is named; ascending.
pub fn rows_of_splits(images: &ImagesReader, splits: &[String]) -> Result<Vec<usize>> {
    if splits.is_empty() {
        return rows_of_split(images, "all");
    }
    let mut rows = Vec::new();
    for split in splits {
        rows.extend(rows_of_split(images, split)?);
    }
    rows.sort_unstable();
    rows.dedup();
    Ok(rows)
}

impl Source {
    pub fn of(
        splits: &[String],
        context: &StageContext,
        pictures: &Pictures,
        preprocessing: &Preprocessing,
    ) -> Result<Source> {
        if let Some(views) = context.optional_input("views") {
            return Ok(Source::Views(Arc::new(Viewed::open(
                &views.parts,
                pictures.images(),
            )?)));
        }
        Ok(Source::Plain {
            rows: rows_of_splits(pictures.images(), splits)?,
            policy: eval_policy(preprocessing)?,
        })
    }

    pub fn of_kind(&self) -> Of {
        match self {
            Source::Views(_) => Of::Views,
            Source::Plain { .. } => Of::Images,
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Source::Views(viewed) => viewed.len(),
            Source::Plain { rows, .. } => rows.len(),
        }
    }

    pub fn views(&self) -> usize {
        match self {
            Source::Views(viewed) => viewed.views(),
            Source::Plain { .. } => 1,
        }
    }

    pub fn size(&self) -> u32 {
        match self {
            Source::Views(viewed) => viewed.size(),
            Source::Plain { policy, .. } => policy.size,
        }
    }

    /// The row in the images artifact of a position.
    pub fn image(&self, position: usize) -> usize {
        match self {
            Source::Views(viewed) => viewed.image(position),
            Source::Plain { rows, .. } => rows[position],
        }
    }

    /// The id of a row: a view's, or an image's.
    pub fn id(&self, pictures: &Pictures, position: usize, view: usize) -> u64 {
        match self {
            Source::Views(viewed) => (view * viewed.len() + position) as u64,
            Source::Plain { rows, .. } => pictures.images().image(rows[position]).image_id.into(),
        }
    }

    /// The jobs of some positions, ascending: each image with all of its views.
    pub fn jobs(&self, pictures: &Pictures, positions: &[usize]) -> Result<Vec<Job>> {
        match self {
            Source::Views(viewed) => {
                let (Some(&first), Some(&last)) = (positions.first(), positions.last()) else {
                    return Ok(Vec::new());
                };
                let mut jobs: Vec<Job> = positions
                    .iter()
                    .map(|&position| Job {
                        image: viewed.image(position),
                        views: Vec::new(),
                    })
                    .collect();
                for view in 0..viewed.views() {
                    let drawn = viewed.read(view, first..last + 1)?;
                    for (job, position) in jobs.iter_mut().zip(positions) {
                        job.views.push(drawn[position - first].clone());
                    }
                }
                Ok(jobs)
            }
            Source::Plain { rows, policy } => Ok(positions
                .iter()
                .map(|&position| {
                    let image = pictures.images().image(rows[position]);
                    Job {
                        image: rows[position],
                        views: vec![plain_view(policy, image.width, image.height)],
                    }
                })
                .collect()),
        }
    }
}
