//! `schema`: JSON Schema of pipeline.yaml on stdout.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::commands::Invocation;
use crate::reference::pipeline_schema::pipeline_schema;
use crate::terminal::output;

/// Takes nothing.
#[derive(Args, Debug)]
pub struct Schema {}

pub fn execute(invocation: Invocation, _: &Schema) -> Result<ExitCode> {
    output::print_json(&pipeline_schema(&invocation.registry))?;
    Ok(ExitCode::SUCCESS)
}
