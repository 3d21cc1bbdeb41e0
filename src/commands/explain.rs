//! `explain STAGE`: which fields differ from the last run, and which stage upstream caused it.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Explain;
use crate::commands::Invocation;
use crate::output;

pub fn execute(invocation: Invocation, arguments: &Explain) -> Result<ExitCode> {
    let explanation = invocation
        .engine(&arguments.overrides.set)?
        .explain(&arguments.stage)?;
    if arguments.json {
        output::print_json(&explanation)?;
    } else {
        output::print(&explanation.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
