//! `verify`: hashes every file of the cache again; exit code 1 when one differs from what was written and, with
//! `--repair`, could not be removed.

use std::process::ExitCode;

use anyhow::Result;
use seedpipe_engine::VerifyScope;

use crate::commands::Invocation;
use crate::commands::cli::Verify;
use crate::progress::console::Console;
use crate::terminal::output;

pub fn execute(invocation: Invocation, arguments: &Verify) -> Result<ExitCode> {
    let console = Console::new(invocation.verbosity, []);
    let scope = if arguments.current {
        VerifyScope::Pipeline
    } else {
        VerifyScope::Cache
    };
    let engine = invocation.engine(&[])?;
    let report = if arguments.repair {
        engine.repair(scope, &console)?
    } else {
        engine.verify(scope, &console)?
    };
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.to_string())?;
    }
    Ok(if report.is_good() || report.is_repaired() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
