//! `explain STAGE`: which fields differ from the last run, or from another lock, and which stage
//! upstream caused it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::lock_at;

use crate::commands::Invocation;
use crate::commands::arguments::Overrides;
use crate::terminal::output;

#[derive(Args, Debug)]
pub struct Explain {
    pub stage: String,
    /// Hold it against another lock file, or against pipeline.lock of a git revision, not the last
    /// run
    #[arg(long, value_name = "LOCK|REV")]
    pub against: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(invocation: Invocation, arguments: &Explain) -> Result<ExitCode> {
    let engine = invocation.engine(&arguments.overrides.set)?;
    let explanation = match &arguments.against {
        None => engine.explain(&arguments.stage)?,
        Some(reference) => {
            let (lock, place) = lock_at(engine.project().path(), reference)?;
            engine.explain_against(&arguments.stage, &lock, &place)?
        }
    };
    if arguments.json {
        output::print_json(&explanation)?;
    } else {
        output::print(&explanation.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
