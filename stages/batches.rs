//! The batches of images that `encode` hands to its network, shard by shard; all of them, or a sample for a rerun.

use std::ops::Range;

use seedpipe_engine::StageContext;

/// The batches of one shard.
pub struct Batches {
    pub shard: usize,
    /// Images that a full batch holds; a smaller one is padded.
    pub size: usize,
    /// Positions of the images, ascending.
    pub positions: Vec<Range<usize>>,
}

impl Batches {
    pub fn images(&self) -> usize {
        self.positions.iter().map(Range::len).sum()
    }
}

/// The batches of every shard. A sampled rerun does some of them: whole ones, so that every row has its place in the batch that it
/// had, and none of a shard of which nothing was picked.
pub fn sampled_work(
    context: &StageContext,
    count: usize,
    views: usize,
    images_a_shard: usize,
    images_a_batch: usize,
) -> Vec<Batches> {
    let shards = (0..count.div_ceil(images_a_shard)).map(|shard| {
        let end = count.min((shard + 1) * images_a_shard);
        let starts = (shard * images_a_shard..end).step_by(images_a_batch);
        Batches {
            shard,
            size: images_a_batch,
            positions: starts
                .map(|start| start..end.min(start + images_a_batch))
                .collect(),
        }
    });
    let mut shards: Vec<Batches> = shards.collect();
    if let Some(sample) = context.sample() {
        let picked = sample.pick(shards.iter().map(|shard| shard.positions.len()).sum());
        let mut picked = picked.into_iter().peekable();
        let mut number = 0;
        for shard in &mut shards {
            shard.positions.retain(|_| {
                number += 1;
                picked.next_if_eq(&(number - 1)).is_some()
            });
        }
        shards.retain(|shard| !shard.positions.is_empty());
        let of_view = |view: usize| {
            let positions = shards.iter().flat_map(|shard| &shard.positions);
            let first = view * count;
            positions.map(move |batch| (first + batch.start) as u64..(first + batch.end) as u64)
        };
        context.sampled("embeddings", (0..views).flat_map(of_view).collect());
    }
    shards
}
