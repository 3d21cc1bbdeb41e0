//! Which of the artifacts that nobody refers to go: all, those of some age, or the oldest until a budget is met.

use std::time::SystemTime;

use crate::gc::GcOptions;
use crate::gc_report::{GcItem, GcReport};

/// An artifact that nobody refers to.
pub(crate) struct Candidate {
    pub item: GcItem,
    /// When it was published.
    pub made: SystemTime,
}

/// Adds those that go to the report's items, and counts those that stay. With neither an age nor a budget all go; with an age
/// those that are older, whatever the budget; with a budget the oldest until it is met.
pub(crate) fn choose(
    mut candidates: Vec<Candidate>,
    options: &GcOptions,
    now: SystemTime,
    report: &mut GcReport,
) {
    candidates
        .sort_by(|left, right| (left.made, &left.item.path).cmp(&(right.made, &right.item.path)));
    let everything = options.older_than.is_none() && options.max_bytes.is_none();
    let mut total: u64 = candidates
        .iter()
        .map(|candidate| candidate.item.bytes)
        .sum();
    total += report.kept_bytes;
    for Candidate { item, made } in candidates {
        let age = now.duration_since(made).unwrap_or_default();
        let is_old = options.older_than.is_some_and(|limit| age > limit);
        let is_too_much = options.max_bytes.is_some_and(|budget| total > budget);
        if everything || is_old || is_too_much {
            total -= item.bytes;
            report.items.push(item);
        } else {
            report.kept_artifacts += 1;
            report.kept_bytes += item.bytes;
        }
    }
    report.over_budget_bytes = options
        .max_bytes
        .and_then(|budget| report.kept_bytes.checked_sub(budget))
        .filter(|over| *over > 0);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gc_report::GcWhat;

    /// 10 bytes needed, and unneeded artifacts of 1, 2, 3 and 4 bytes that are 4, 3, 2 and 1 days old: which of them go.
    fn gone(days: Option<u64>, budget: Option<u64>) -> (Vec<u64>, GcReport) {
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let candidates = (1..=4_u64).rev().map(|bytes| Candidate {
            item: GcItem {
                what: GcWhat::Artifact,
                path: format!("{bytes}").into(),
                name: String::new(),
                bytes,
            },
            made: now - day * (5 - bytes as u32),
        });
        let options = GcOptions {
            older_than: days.map(|days| day * days as u32 + day / 2),
            max_bytes: budget,
            ..GcOptions::default()
        };
        let mut report = GcReport {
            items: Vec::new(),
            bytes: 0,
            kept_artifacts: 1,
            kept_bytes: 10,
            over_budget_bytes: None,
            dry_run: true,
            stays: std::collections::BTreeSet::new(),
        };
        choose(candidates.collect(), &options, now, &mut report);
        let sizes = report.items.iter().map(|item| item.bytes).collect();
        (sizes, report)
    }

    #[test]
    fn all_go_unless_an_age_or_a_budget_is_given() {
        assert_eq!(gone(None, None).0, [1, 2, 3, 4]);
        assert_eq!(gone(Some(2), None).0, [1, 2]);
        assert_eq!(gone(Some(9), None).0, [0; 0]);
    }

    #[test]
    fn the_oldest_go_until_the_budget_is_met() {
        assert_eq!(gone(None, Some(100)).0, [0; 0]);
        assert_eq!(gone(None, Some(20)).0, [0; 0]);
        assert_eq!(gone(None, Some(19)).0, [1]);
        assert_eq!(gone(None, Some(18)).0, [1, 2]);
        let (sizes, report) = gone(None, Some(14));
        assert_eq!(
            (sizes, report.kept_bytes, report.over_budget_bytes),
            (vec![1, 2, 3], 14, None)
        );
        assert_eq!(gone(Some(3), Some(14)).0, [1, 2, 3]);
        assert_eq!(gone(Some(2), Some(100)).0, [1, 2]);
    }

    #[test]
    fn what_is_needed_stays_over_any_budget_and_that_is_told() {
        let (sizes, report) = gone(None, Some(7));
        assert_eq!(
            (sizes, report.kept_bytes, report.over_budget_bytes),
            (vec![1, 2, 3, 4], 10, Some(3))
        );
        assert!(report.to_string().ends_with("1 artifact stays, 10 B\nwarning: 3 B over the budget, and everything that stays is needed, in use or too young\nhint: name fewer locks, or a smaller `--grace`"), "{report}");
    }
}
