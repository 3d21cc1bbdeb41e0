//! `graph`: the pipeline as mermaid, dot or SVG on stdout.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Graph;
use crate::commands::Invocation;
use crate::output;

pub fn execute(invocation: Invocation, arguments: &Graph) -> Result<ExitCode> {
    output::print(&invocation.engine(&[])?.graph(arguments.format)?)?;
    Ok(ExitCode::SUCCESS)
}
