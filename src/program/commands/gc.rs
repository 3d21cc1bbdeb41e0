//! `gc`: deletes what neither the pipeline nor a running process needs.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;
use seedpipe_engine::{Digest, GcItem, GcOptions, GcWhat};

use crate::commands::Invocation;
use crate::commands::cli::Gc;
use crate::{progress::tensorboard, terminal::output};

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
        report.add(GcItem {
            what: GcWhat::Curves,
            name: name.to_string(),
            path,
            bytes,
        });
    }
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
