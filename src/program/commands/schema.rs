//! `schema`: JSON Schema of pipeline.yaml on stdout.

use std::process::ExitCode;

use anyhow::Result;

use crate::commands::Invocation;
use crate::reference::pipeline_schema::pipeline_schema;
use crate::terminal::output;

pub fn execute(invocation: &Invocation) -> Result<ExitCode> {
    output::print_json(&pipeline_schema(&invocation.registry))?;
    Ok(ExitCode::SUCCESS)
}
