//! What the nearest rows vote for.

use super::nearest::Neighbour;

/// Classes kept in a [`Ranking`].
const RANKED: usize = 5;

/// The classes with most votes, best first; equal votes go to the lower class.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// at most 5
    pub classes: Vec<u32>,
    /// each one's share of all votes, 0–1
    pub shares: Vec<f64>,
}

/// Who votes for what.
pub(super) struct Ballot<'a> {
    pub labels: &'a [u32],
    pub classes: usize,
}

impl Ballot<'_> {
    /// Votes are relative to the nearest row's, so that no temperature overflows.
    pub fn weighted(&self, found: &[Neighbour], temperature: f64) -> Ranking {
        let highest = found.first().map_or(0.0, |candidate| candidate.similarity);
        self.count(found, |similarity| {
            ((similarity - highest) / temperature).exp()
        })
    }

    pub fn count(&self, found: &[Neighbour], weight: impl Fn(f64) -> f64) -> Ranking {
        let mut votes = vec![0.0f64; self.classes];
        for candidate in found {
            votes[self.labels[candidate.row as usize] as usize] += weight(candidate.similarity);
        }
        let total: f64 = votes.iter().sum();
        let mut classes: Vec<u32> = (0..self.classes as u32).collect();
        let order = |&a: &u32, &b: &u32| {
            votes[b as usize]
                .total_cmp(&votes[a as usize])
                .then(a.cmp(&b))
        };
        if classes.len() > RANKED {
            classes.select_nth_unstable_by(RANKED - 1, order);
            classes.truncate(RANKED);
        }
        classes.sort_unstable_by(order);
        let share = |&class: &u32| {
            if total > 0.0 {
                votes[class as usize] / total
            } else {
                0.0
            }
        };
        let shares = classes.iter().map(share).collect();
        Ranking { classes, shares }
    }
}

/// The share of queries whose label is among the first `top` classes of its ranking.
pub fn accuracy(rankings: &[Ranking], labels: &[i64], top: usize) -> f64 {
    assert_eq!(rankings.len(), labels.len(), "BUG: one label per ranking");
    assert!(
        (1..=RANKED).contains(&top),
        "BUG: top {top}, expected 1 to {RANKED}"
    );
    let right = rankings
        .iter()
        .zip(labels)
        .filter(|&(ranking, &label)| {
            ranking
                .classes
                .iter()
                .take(top)
                .any(|&class| i64::from(class) == label)
        })
        .count();
    right as f64 / labels.len() as f64
}
