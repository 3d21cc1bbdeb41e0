//! `gc`: deletes what neither the pipeline nor a running process needs.

use std::process::ExitCode;

use anyhow::Result;
use seedpipe_engine::GcOptions;

use crate::cli::Gc;
use crate::commands::Invocation;
use crate::output;

pub fn execute(invocation: Invocation, arguments: &Gc) -> Result<ExitCode> {
    let options = GcOptions {
        dry_run: arguments.dry_run,
        grace: arguments.grace,
        keep: arguments.keep.clone(),
        older_than: arguments.older_than,
        max_bytes: arguments.max_bytes,
    };
    let report = invocation.engine(&[])?.gc(&options)?;
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
