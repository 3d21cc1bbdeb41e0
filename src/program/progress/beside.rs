//! How long stages take that run beside each other.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// A stage that is still to be done.
pub struct Ahead {
    /// Places of those that it waits for.
    pub needs: Vec<usize>,
    pub seconds: f64,
}

/// Seconds until the last stage is done, when each begins as soon as what it needs is done and a
/// place is free, those first in order first: what a run does.
///
/// - `jobs`: places
pub fn seconds(stages: &[Ahead], jobs: usize) -> f64 {
    if jobs <= 1 {
        return stages.iter().map(|stage| stage.seconds).sum();
    }
    let mut waits_for: Vec<usize> = stages.iter().map(|stage| stage.needs.len()).collect();
    let mut needed_by = vec![Vec::new(); stages.len()];
    for (index, stage) in stages.iter().enumerate() {
        for &need in &stage.needs {
            needed_by[need].push(index);
        }
    }
    let is_ready = |index: &usize| waits_for[*index] == 0;
    let mut ready: BTreeSet<usize> = (0..stages.len()).filter(is_ready).collect();
    // By nanoseconds, which are ordered.
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut now = 0;
    loop {
        while running.len() < jobs
            && let Some(index) = ready.pop_first()
        {
            let takes = (stages[index].seconds.max(0.0) * 1e9) as u64;
            running.push(Reverse((now + takes, index)));
        }
        let Some(Reverse((end, index))) = running.pop() else {
            return now as f64 / 1e9;
        };
        now = end;
        for &next in &needed_by[index] {
            waits_for[next] -= 1;
            if waits_for[next] == 0 {
                ready.insert(next);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_need_nothing_of_each_other_share_the_time() {
        let stage = |needs: &[usize], seconds| Ahead {
            needs: needs.to_vec(),
            seconds,
        };
        // Two trainings of 30 and 10 on what took 5, and a page of both.
        let stages = [
            stage(&[], 5.0),
            stage(&[0], 30.0),
            stage(&[0], 10.0),
            stage(&[1, 2], 1.0),
        ];
        assert_eq!(seconds(&stages, 1), 46.0);
        assert_eq!(seconds(&stages, 2), 36.0);
        assert_eq!(seconds(&stages, 9), 36.0);
        let three = [stage(&[], 4.0), stage(&[], 3.0), stage(&[], 2.0)];
        assert_eq!(seconds(&three, 2), 5.0);
        assert_eq!(seconds(&[], 2), 0.0);
    }
}
