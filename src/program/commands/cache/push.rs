//! `push`: copies cached results into the remote.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::{PushOptions, PushReport};

use crate::commands::Invocation;
use crate::commands::arguments::{Overrides, RemoteAddress};
use crate::progress::console::Console;
use crate::{progress::interrupt, terminal::figures, terminal::output};

#[derive(Args, Debug)]
pub struct Push {
    /// These stages and what they need [default: all that are cached]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    /// Everything in the cache, whatever pipeline made it
    #[arg(long, conflicts_with = "stages")]
    pub all: bool,
    #[command(flatten)]
    pub address: RemoteAddress,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(invocation: Invocation, arguments: &Push) -> Result<ExitCode> {
    let console = Console::new(invocation.verbosity, ["push"]);
    let remote = arguments.address.remote.as_deref();
    let engine = invocation.engine_with_remote(&arguments.overrides.set, remote, true)?;
    interrupt::listen(console.printer())?;
    let options = PushOptions {
        targets: arguments.stages.clone(),
        all: arguments.all,
    };
    let report = engine.push(&options, &console)?;
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&as_text(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `9 artifacts in the remote: 12 files, 4.1 MB pushed in 0.42 s (9.8 MB/s); 3 files, 1.0 MB were there`.
fn as_text(report: &PushReport) -> String {
    let mut text = format!("{} artifacts in the remote: ", report.artifacts.len());
    text.push_str(&moved("pushed", report.files, report.bytes, report.seconds));
    if report.files_there > 0 {
        text.push_str(&format!(
            "; {} files, {} were there",
            figures::count(report.files_there as u64),
            figures::bytes(report.bytes_there)
        ));
    }
    text.push('\n');
    if let Some(line) = report.not_cached_line() {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// What went over the line, and how fast.
pub fn moved(what: &str, files: usize, bytes: u64, seconds: f64) -> String {
    let mut text = format!(
        "{} files, {} {what} in {}",
        figures::count(files as u64),
        figures::bytes(bytes),
        figures::duration(seconds)
    );
    if bytes > 0 {
        text.push_str(&format!(
            " ({}/s)",
            figures::bytes((bytes as f64 / seconds.max(1e-3)) as u64)
        ));
    }
    text
}
