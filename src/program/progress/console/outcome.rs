//! How a stage ended, in words.

use std::collections::BTreeMap;

use seedpipe_artifact::interval_of;
use seedpipe_engine::{Cancelled, Outcome, StageReport};

use crate::terminal::figures;

/// Whether the stage stopped because the user wanted it to.
pub fn is_cancelled(report: &StageReport) -> bool {
    report
        .error
        .as_ref()
        .is_some_and(|error| error.is::<Cancelled>())
}

/// The line in the end of a stage: `done  12,000 rows, 3.2 s  test/knn_top1 0.9120`.
pub fn line(report: &StageReport, is_verbose: bool) -> String {
    let outcome = match report.outcome {
        Outcome::Cached => "cached",
        Outcome::Fetched => "fetched",
        Outcome::Executed => "done",
        Outcome::Failed if is_cancelled(report) => "stopped",
        Outcome::Failed => "failed",
    };
    let details = details(report, is_verbose);
    if details.is_empty() {
        outcome.to_owned()
    } else {
        format!("{outcome:<7}  {}", details.join(", "))
    }
}

/// Rows, time, shares, figures; `is_verbose`: digests and intervals too.
pub fn details(report: &StageReport, is_verbose: bool) -> Vec<String> {
    let mut details = Vec::new();
    if report.outcome == Outcome::Executed || is_verbose {
        let rows = report.rows.iter().filter(|(_, rows)| **rows > 0);
        details.extend(rows.map(|(output, rows)| format!("{} {output}", figures::count(*rows))));
    }
    if report.outcome != Outcome::Cached {
        details.push(figures::duration(report.seconds));
    }
    details.extend(of_the_work(&report.telemetry));
    if report.outcome == Outcome::Executed || is_verbose {
        details.extend(
            report
                .headline
                .iter()
                .filter(|(name, _)| is_verbose || interval_of(name).is_none())
                .map(|(name, value)| format!("{name} {}", figures::value(*value))),
        );
    }
    if let Some(fingerprint) = report.fingerprint.filter(|_| is_verbose) {
        details.push(format!("fingerprint {}", fingerprint.short()));
    }
    if let Some(content) = report.content.filter(|_| is_verbose) {
        details.push(format!("content {}", content.short()));
    }
    details
}

/// Time and figures, the first that are to be seen where there is little room; rows where there are
/// no figures.
pub fn in_short(report: &StageReport) -> Vec<String> {
    if report.outcome == Outcome::Cached {
        return Vec::new();
    }
    let mut details = vec![figures::duration(report.seconds)];
    let figures = report.headline.iter();
    let figures = figures.filter(|(name, _)| interval_of(name).is_none());
    details.extend(figures.map(|(name, value)| format!("{name} {}", figures::value(*value))));
    if report.headline.is_empty() {
        let rows = report.rows.iter().filter(|(_, rows)| **rows > 0);
        details.extend(rows.map(|(output, rows)| format!("{} {output}", figures::count(*rows))));
    }
    details.extend(of_the_work(&report.telemetry));
    details
}

/// How a stage spent its time, and what it took from earlier results: `7,800 rows reused`,
/// `waiting 3 %, computing 95 %`.
fn of_the_work(telemetry: &BTreeMap<String, f64>) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(&reused) = telemetry.get("reused_rows").filter(|reused| **reused > 0.0) {
        details.push(format!("{} rows reused", figures::count(reused as u64)));
    }
    for (key, word) in [
        ("waiting_share", "waiting"),
        ("computing_share", "computing"),
    ] {
        let share = telemetry.get(key);
        details.extend(share.map(|share| format!("{word} {:.0} %", share * 100.0)));
    }
    details
}
