//! The batches of images that `encode` hands to its network, shard by shard; all of them, a sample
//! for a rerun, or what is not taken from an earlier result.

use std::ops::Range;

use seedpipe_engine::StageContext;

use crate::encode::reuse::Reuse;

/// The work of one shard.
pub struct ShardBatches {
    pub shard: usize,
    /// Positions of the images of each batch, ascending.
    pub positions: Vec<Vec<usize>>,
    /// Positions of images whose rows are taken from an earlier result, ascending.
    pub reused: Vec<usize>,
}

impl ShardBatches {
    fn of(shard: usize, size: usize, positions: Range<usize>, reuse: &Reuse) -> ShardBatches {
        let (reused, computed): (Vec<usize>, Vec<usize>) =
            positions.partition(|&position| reuse.has(position));
        ShardBatches {
            shard,
            positions: computed.chunks(size).map(<[usize]>::to_vec).collect(),
            reused,
        }
    }

    /// Images, computed or taken over.
    pub fn images(&self) -> usize {
        self.computed() + self.reused.len()
    }

    pub fn computed(&self) -> usize {
        self.positions.iter().map(Vec::len).sum()
    }
}

/// The batches of every shard. A sampled rerun does some of them: whole ones, so that every row has
/// its place in the batch that it had, and none of a shard of which nothing was picked.
pub fn work(
    context: &StageContext,
    count: usize,
    views: usize,
    images_a_shard: usize,
    images_a_batch: usize,
    reuse: &Reuse,
) -> Vec<ShardBatches> {
    let shards = (0..count.div_ceil(images_a_shard)).map(|shard| {
        let end = count.min((shard + 1) * images_a_shard);
        ShardBatches::of(shard, images_a_batch, shard * images_a_shard..end, reuse)
    });
    let mut shards: Vec<ShardBatches> = shards.collect();
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
        // Nothing is taken over in a rerun, so a batch is a range.
        let of_view = |view: usize| {
            let positions = shards.iter().flat_map(|shard| &shard.positions);
            let first = (view * count) as u64;
            positions.map(move |batch| {
                first + batch[0] as u64..first + batch[batch.len() - 1] as u64 + 1
            })
        };
        context.sampled("embeddings", (0..views).flat_map(of_view).collect());
    }
    shards
}
