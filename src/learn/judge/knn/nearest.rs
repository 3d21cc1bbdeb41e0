//! The best of many similarities, kept while they come.

use std::cmp::Ordering;

/// A row of the bank and its similarity to a query.
#[derive(Clone, Copy)]
pub(super) struct Neighbour {
    pub similarity: f64,
    pub row: u32,
}

/// What similarities are computed in.
pub(super) trait Similarity:
    tch::kind::Element + Copy + PartialOrd + Into<f64> + Send + Sync
{
    const LEAST: Self;

    /// Exact for what was one of these before.
    fn of(similarity: f64) -> Self;
}

impl Similarity for f32 {
    const LEAST: Self = f32::NEG_INFINITY;

    fn of(similarity: f64) -> Self {
        similarity as f32
    }
}

impl Similarity for f64 {
    const LEAST: Self = f64::NEG_INFINITY;

    fn of(similarity: f64) -> Self {
        similarity
    }
}

/// Similarities that are compared with the threshold at once: hardly any group holds one above it.
const GROUP: usize = 32;

/// The best candidates so far of one query; compacted when twice as many as wanted have come
/// together.
pub(super) struct NearestRows<T> {
    most: usize,
    kept: Vec<Neighbour>,
    threshold: T,
}

impl<T: Similarity> NearestRows<T> {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            kept: Vec::with_capacity(2 * most),
            threshold: T::LEAST,
        }
    }

    /// Rows come in ascending order, so that one equal to the threshold is never better.
    ///
    /// - `first`: the row of the first similarity
    pub fn offer(&mut self, similarities: &[T], first: usize) {
        for (index, group) in similarities.chunks(GROUP).enumerate() {
            let any = group.iter().fold(false, |any, &similarity| {
                any | (similarity > self.threshold)
            });
            if any {
                self.take(group, first + index * GROUP);
            }
        }
    }

    fn take(&mut self, group: &[T], first: usize) {
        for (offset, &similarity) in group.iter().enumerate() {
            if similarity > self.threshold {
                self.push(similarity, first + offset);
            }
        }
    }

    /// Keeps a row whose similarity exceeds the threshold, and returns the threshold of those that
    /// follow.
    pub fn push(&mut self, similarity: T, row: usize) -> T {
        self.kept.push(Neighbour {
            similarity: similarity.into(),
            row: row as u32,
        });
        if self.kept.len() == 2 * self.most {
            self.compact();
        }
        self.threshold
    }

    fn compact(&mut self) {
        if self.kept.len() >= self.most {
            self.kept.select_nth_unstable_by(self.most - 1, nearer);
            self.kept.truncate(self.most);
            self.threshold = T::of(self.kept[self.most - 1].similarity);
        }
    }

    pub fn finish(mut self) -> Vec<Neighbour> {
        self.compact();
        self.kept.sort_unstable_by(nearer);
        self.kept
    }
}

fn nearer(a: &Neighbour, b: &Neighbour) -> Ordering {
    b.similarity
        .total_cmp(&a.similarity)
        .then(a.row.cmp(&b.row))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threshold_and_rows<T: Similarity>() -> (f64, Vec<u32>) {
        let mut nearest = NearestRows::<T>::new(3);
        for similarity in [-0.6, -0.3, -0.5, -0.1, -0.4] {
            assert!(nearest.push(T::of(similarity), 0) == T::LEAST);
        }
        let threshold = nearest.push(T::of(-0.7), 0);
        nearest.offer(&[-0.4, -0.5, -0.2].map(T::of), 7);
        let found = nearest.finish();
        let rows = found.iter().map(|found| found.row).collect();
        (threshold.into(), rows)
    }

    #[test]
    fn twice_as_many_as_wanted_leave_a_threshold() {
        assert_eq!(threshold_and_rows::<f64>(), (-0.4, vec![0, 9, 0]));
        assert_eq!(threshold_and_rows::<f32>().1, [0, 9, 0]);
    }
}
