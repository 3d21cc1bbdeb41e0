//! What the nearest rows vote for.

use std::collections::HashMap;

use super::nearest::Neighbour;

/// Classes kept in a [`Ranking`].
const RANKED: usize = 5;

/// The classes that got a vote, those with most first; of equal votes those whose rows are nearer,
/// taken together, then the one of the nearest row. What no row voted for is not named.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// at most 5; none where no row is near, for features that are no numbers
    pub classes: Vec<u32>,
    /// each one's share of all votes, 0–1
    pub shares: Vec<f64>,
}

/// Who votes for what.
pub(super) struct Ballot<'a> {
    pub labels: &'a [u32],
}

/// What one class got.
struct Votes {
    class: u32,
    votes: f64,
    similarity: f64,
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
        // In the order of each class's nearest row, which a stable sort keeps among equals.
        let mut voted: Vec<Votes> = Vec::new();
        let mut place_of = HashMap::new();
        for candidate in found {
            let class = self.labels[candidate.row as usize];
            let place = *place_of.entry(class).or_insert(voted.len());
            if place == voted.len() {
                voted.push(Votes {
                    class,
                    votes: 0.0,
                    similarity: 0.0,
                });
            }
            voted[place].votes += weight(candidate.similarity);
            voted[place].similarity += candidate.similarity;
        }
        voted.sort_by(|a, b| {
            let by_votes = b.votes.total_cmp(&a.votes);
            by_votes.then(b.similarity.total_cmp(&a.similarity))
        });
        let total: f64 = voted.iter().map(|class| class.votes).sum();
        voted.truncate(RANKED);
        Ranking {
            classes: voted.iter().map(|class| class.class).collect(),
            shares: voted.iter().map(|class| class.votes / total).collect(),
        }
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
