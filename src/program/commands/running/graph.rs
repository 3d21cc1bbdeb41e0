//! `graph`: the pipeline as mermaid, dot or SVG on stdout.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::GraphFormat;

use crate::commands::Invocation;
use crate::commands::values::graph_format;
use crate::terminal::output;

#[derive(Args, Debug)]
pub struct Graph {
    /// Of the picture
    #[arg(long, default_value = "mermaid", value_parser = graph_format())]
    pub format: GraphFormat,
}

pub fn execute(invocation: Invocation, arguments: &Graph) -> Result<ExitCode> {
    output::print(&invocation.engine(&[])?.graph(arguments.format)?)?;
    Ok(ExitCode::SUCCESS)
}
