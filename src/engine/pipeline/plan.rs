//! The order of stages, and which of them are wanted. Knows indices only: node `n` needs the nodes
//! `needs[n]`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use seedpipe_base::Refusal;

/// Every node after what it needs; among those that could come next, the first in the file. `Err`
/// holds a cycle, each node needing the one after it and the last the first.
pub(crate) fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut needed_by = vec![Vec::new(); needs.len()];
    let mut missing = vec![0_usize; needs.len()];
    for (node, list) in needs.iter().enumerate() {
        let distinct: BTreeSet<usize> = list.iter().copied().collect();
        missing[node] = distinct.len();
        for need in distinct {
            needed_by[need].push(node);
        }
    }
    let ready = missing.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(|(node, _)| Reverse(node)).collect();
    let mut ordered = Vec::with_capacity(needs.len());
    while let Some(Reverse(node)) = ready.pop() {
        ordered.push(node);
        for &next in &needed_by[node] {
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    if ordered.len() == needs.len() {
        Ok(ordered)
    } else {
        Err(cycle(needs, &missing))
    }
}

/// Follows unmet needs until a node comes again.
fn cycle(needs: &[Vec<usize>], missing: &[usize]) -> Vec<usize> {
    let unmet = |node: &usize| missing[*node] > 0;
    let mut node = (0..needs.len())
        .find(unmet)
        .expect("BUG: a cycle leaves nodes that cannot be ordered");
    let mut path: Vec<usize> = Vec::new();
    loop {
        if let Some(start) = path.iter().position(|&earlier| earlier == node) {
            return path.split_off(start);
        }
        path.push(node);
        node = *needs[node]
            .iter()
            .find(|need| unmet(need))
            .expect("BUG: a node that cannot be ordered has an unmet need");
    }
}

/// The message for a cycle; `names` are the stages in it, each needing the next.
pub(crate) fn cycle_error(place: &str, names: &[&str]) -> Refusal {
    let quoted: Vec<String> = names
        .iter()
        .chain(names.first())
        .map(|name| format!("`{name}`"))
        .collect();
    let message = format!(
        "expected stages without a cycle, got one: {}",
        quoted.join(" needs ")
    );
    Refusal::new(message)
        .place(place)
        .stage(names.first().copied().unwrap_or_default())
        .key("inputs")
        .hint("remove one of these inputs")
}

/// The targets and everything that they need, directly or not.
pub(crate) fn wanted(
    needs: &[Vec<usize>],
    targets: impl IntoIterator<Item = usize>,
) -> BTreeSet<usize> {
    let mut wanted = BTreeSet::new();
    let mut open: Vec<usize> = targets.into_iter().collect();
    while let Some(node) = open.pop() {
        if wanted.insert(node) {
            open.extend(&needs[node]);
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn file_order_is_kept_where_it_can_be() {
        assert_eq!(
            order(&[vec![2], vec![], vec![], vec![0, 0]]),
            Ok(vec![1, 2, 0, 3])
        );
        assert_eq!(
            order(&[vec![], vec![0], vec![0], vec![1, 2]]),
            Ok(vec![0, 1, 2, 3])
        );
    }

    #[test]
    fn a_cycle_is_given_whole_and_without_what_only_leads_to_it() {
        assert_eq!(
            order(&[vec![1], vec![2], vec![3], vec![1]]),
            Err(vec![1, 2, 3])
        );
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
    }

    #[test]
    fn a_target_brings_what_it_needs_and_no_more() {
        let needs = [vec![], vec![0], vec![0], vec![1, 2], vec![1]];
        assert_eq!(wanted(&needs, [4]), BTreeSet::from([0, 1, 4]));
        assert_eq!(wanted(&needs, [2, 1]), BTreeSet::from([0, 1, 2]));
    }

    proptest! {
        #[test]
        fn everything_comes_after_what_it_needs(links in proptest::collection::vec((0_usize..20, 0_usize..20), 0..60)) {
            let mut needs = vec![Vec::new(); 20];
            for (left, right) in links {
                if left != right {
                    needs[left.max(right)].push(left.min(right));
                }
            }
            let ordered = order(&needs).unwrap();
            for (place, node) in ordered.iter().enumerate() {
                for need in &needs[*node] {
                    prop_assert!(ordered[..place].contains(need));
                }
            }
        }
    }
}
