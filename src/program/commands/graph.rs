//! `graph`: the pipeline as mermaid, dot or SVG on stdout.

use std::process::ExitCode;

use anyhow::Result;

use crate::commands::Invocation;
use crate::commands::cli::Graph;
use crate::terminal::output;

pub fn execute(invocation: Invocation, arguments: &Graph) -> Result<ExitCode> {
    output::print(&invocation.engine(&[])?.graph(arguments.format)?)?;
    Ok(ExitCode::SUCCESS)
}
