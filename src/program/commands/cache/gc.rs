//! `gc`: deletes what neither the pipeline nor a running process needs.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::{Digest, GcItem, GcOptions, GcWhat};

use crate::commands::Invocation;
use crate::terminal::quantity;
use crate::{progress::tensorboard, terminal::output};

#[derive(Args, Debug)]
pub struct Gc {
    /// Keep what a pipeline.lock names, or the one at a git revision, in place of this pipeline's
    /// last runs (repeatable)
    #[arg(long, value_name = "LOCK|REV")]
    pub keep: Vec<String>,
    /// Of what nothing needs, delete artifacts made longer ago than this, such as `30d`
    #[arg(long, value_name = "AGE", value_parser = quantity::duration)]
    pub older_than: Option<Duration>,
    /// Of what nothing needs, delete the oldest artifacts until all together have at most this,
    /// such as `10GB`
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    pub max_bytes: Option<u64>,
    /// Keep everything that is younger than this
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = quantity::duration)]
    pub grace: Duration,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(invocation: Invocation, arguments: &Gc) -> Result<ExitCode> {
    let options = GcOptions {
        dry_run: arguments.dry_run,
        grace: arguments.grace,
        keep: arguments.keep.clone(),
        older_than: arguments.older_than,
        max_bytes: arguments.max_bytes,
    };
    let engine = invocation.engine(&[])?;
    let mut report = engine.gc(&options)?;
    let curves = engine.project().cache().join(tensorboard::FOLDER);
    let stays: BTreeSet<String> = report.stays.iter().map(Digest::short).collect();
    for (path, bytes) in tensorboard::unneeded(&curves, options.grace, |name| stays.contains(name))?
    {
        if !options.dry_run {
            tensorboard::remove(&path)?;
        }
        let name = path.strip_prefix(&curves).unwrap_or(&path).display();
        let name = name.to_string();
        report.add(GcItem::new(GcWhat::Curves, path.clone(), name, bytes));
    }
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
