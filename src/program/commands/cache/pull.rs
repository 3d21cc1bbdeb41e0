//! `pull`: brings results from the remote into the cache; exit code 1 when the remote lacks some
//! that the pipeline has.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::{PullOutcome, PullReport};

use crate::commands::Invocation;
use crate::commands::arguments::{Overrides, RemoteAddress};
use crate::commands::cache::push;
use crate::progress::console::Console;
use crate::{progress::interrupt, terminal::output};

#[derive(Args, Debug)]
pub struct Pull {
    /// These stages and what they need [default: all]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    #[command(flatten)]
    pub address: RemoteAddress,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(invocation: Invocation, arguments: &Pull) -> Result<ExitCode> {
    let verbosity = invocation.verbosity;
    let remote = arguments.address.remote.as_deref();
    let engine = invocation.engine_with_remote(&arguments.overrides.set, remote, false)?;
    let stages = engine.project().stages();
    let console = Console::new(verbosity, stages.iter().map(|stage| stage.name.as_str()));
    interrupt::listen(console.printer())?;
    let report = engine.pull(&arguments.stages, &console)?;
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&as_text(&report))?;
    }
    let is_whole = missing(&report, &PullOutcome::Absent).is_empty();
    Ok(if is_whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn missing<'a>(report: &'a PullReport, outcome: &PullOutcome) -> Vec<&'a str> {
    let stages = report
        .stages
        .iter()
        .filter(|stage| stage.outcome == *outcome);
    stages.map(|stage| stage.stage.as_str()).collect()
}

/// `9 stages: 7 fetched, 2 in the cache; 12 files, 4.1 MB fetched in 0.42 s (9.8 MB/s)`, and what
/// the remote lacks.
fn as_text(report: &PullReport) -> String {
    let counts = [
        (PullOutcome::Fetched, "fetched"),
        (PullOutcome::Local, "in the cache already"),
        (PullOutcome::Absent, "not in the remote"),
        (PullOutcome::Unknown, "below those"),
    ];
    let counts: Vec<String> = counts
        .iter()
        .map(|(outcome, what)| (report.count(outcome), what))
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let fetched = report
        .stages
        .iter()
        .filter(|stage| stage.outcome == PullOutcome::Fetched);
    let files = fetched.map(|stage| stage.files).sum();
    let mut text = format!(
        "{} stages: {}; {}\n",
        report.stages.len(),
        counts.join(", "),
        push::moved("came", files, report.bytes, report.seconds)
    );
    for (outcome, what) in [
        (PullOutcome::Absent, "not in the remote"),
        (PullOutcome::Unknown, "not known before those are there"),
    ] {
        let names = missing(report, &outcome);
        if !names.is_empty() {
            text.push_str(&format!("{what}: {}\n", names.join(", ")));
        }
    }
    text
}
