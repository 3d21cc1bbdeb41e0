//! `verify`: hashes every file of the cache again; exit code 1 when one differs from what was
//! written and, with `--repair`, could not be removed, and with `--locked` when something that
//! pipeline.lock names isn't there.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::VerifyScope;

use crate::commands::Invocation;
use crate::commands::cache::rerun;
use crate::commands::values::{device, percent};
use crate::progress::console::Console;
use crate::terminal::output;

#[derive(Args, Debug)]
pub struct Verify {
    /// With `--rerun`: these stages alone [default: all]
    #[arg(value_name = "STAGE", requires = "rerun")]
    pub stages: Vec<String>,
    /// Only what this pipeline uses now, not the whole cache
    #[arg(long)]
    pub current: bool,
    /// Remove what is damaged, and files that no artifact names
    #[arg(long)]
    pub repair: bool,
    /// Fail as well when an artifact that pipeline.lock names is not in the cache
    #[arg(long, conflicts_with = "rerun")]
    pub locked: bool,
    /// Run stages again beside the cache, and compare what comes out
    #[arg(long, conflicts_with = "current")]
    pub rerun: bool,
    /// With `--rerun`: fail where content differs at all, whatever numerics class it is said to be of
    #[arg(long, requires = "rerun")]
    pub exact: bool,
    /// Make only this part of the rows again, where a kind can: `encode`, `augment`
    #[arg(long, value_name = "PERCENT", requires = "rerun", value_parser = percent)]
    pub sample: Option<f64>,
    /// Also write the reruns' results as JUnit XML
    #[arg(long, value_name = "FILE", requires = "rerun")]
    pub junit: Option<PathBuf>,
    /// With `--rerun`: where the networks run
    #[arg(long, value_name = "DEVICE", requires = "rerun", value_parser = device)]
    pub device: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(invocation: Invocation, arguments: &Verify) -> Result<ExitCode> {
    if arguments.rerun {
        return rerun::execute(invocation, arguments);
    }
    let console = Console::new(invocation.verbosity, []);
    let scope = if arguments.current {
        VerifyScope::Pipeline
    } else {
        VerifyScope::Cache
    };
    let engine = invocation.engine(&[])?;
    if arguments.locked {
        engine.expect_lock()?;
    }
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
    let is_sound = report.is_good() || report.is_repaired();
    Ok(if is_sound && (report.is_complete() || !arguments.locked) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
