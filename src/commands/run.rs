//! `run`: makes what is not cached, then prints what came out of it.

use std::process::ExitCode;

use anyhow::Result;
use seedpipe_engine::{Engine, Outcome, RunOptions, RunReport};
use serde_json::Value;

use crate::cli::Run;
use crate::commands::{Invocation, status};
use crate::console::Console;
use crate::{Tensors, figures, interrupt, output, report, sibling};

pub fn execute(invocation: Invocation, arguments: Run) -> Result<ExitCode> {
    let (tensors, verbosity) = (invocation.tensors, invocation.verbosity);
    let engine = invocation.engine(&arguments.overrides.set)?;
    report::check_paths(engine.project())?;
    let options = RunOptions {
        targets: arguments.stages,
        force: arguments.force,
        only: arguments.only,
        device: arguments.device,
    };
    if arguments.dry_run {
        return dry_run(&engine, &options, arguments.json);
    }
    if tensors == Tensors::InSibling && engine.needs_tensors(&options)? {
        match sibling::become_tensor_program()? {}
    }
    let names = engine
        .project()
        .stages()
        .iter()
        .map(|stage| stage.name.as_str());
    let mut console = Console::new(verbosity, names);
    if arguments.json {
        console = console.on_finished(|stage| {
            if let Err(error) = output::print(&stage.json_line()) {
                output::error(&format!("warning: {error:#}"));
            }
        });
    }
    interrupt::listen(console.teller())?;
    let report = engine.run(&options, &console)?;
    finish(&engine, &report, &console, arguments.json)
}

fn dry_run(engine: &Engine, options: &RunOptions, json: bool) -> Result<ExitCode> {
    let stages = engine.dry_run(options)?;
    if json {
        let lines: Vec<String> = stages
            .iter()
            .map(status::as_json)
            .map(|line: Value| line.to_string())
            .collect();
        output::print(&lines.join("\n"))?;
    } else {
        output::print(&status::as_text(&stages))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the end: the counts, the results table, the pages that were written, and what failed.
fn finish(engine: &Engine, run: &RunReport, console: &Console, json: bool) -> Result<ExitCode> {
    console.line(&summary(run));
    let pages = report::write_all(engine, run)?;
    if !json && !pages.is_empty() {
        output::print(&report::results_table(engine, &pages)?)?;
    }
    for page in &pages {
        let line = format!("report: {}", page.path.display());
        if json {
            console.line(&line);
        } else {
            output::print(&line)?;
        }
    }
    if run.cancelled() {
        output::error(
            "interrupted; finished shards and checkpoints are kept: `seedpipe run` goes on from there",
        );
        return Ok(ExitCode::FAILURE);
    }
    let Some(failed) = run.failed() else {
        return Ok(ExitCode::SUCCESS);
    };
    match &failed.error {
        Some(error) => output::error(&format!("error: {error:#}")),
        None => output::error(&format!("error: stage `{}` failed", failed.stage)),
    }
    Ok(ExitCode::FAILURE)
}

/// `9 stages: 2 executed, 7 cached, in 4.1 s`.
fn summary(report: &RunReport) -> String {
    let counts = [Outcome::Executed, Outcome::Cached, Outcome::Failed]
        .map(|outcome| (outcome, report.count(outcome)));
    let mut parts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    if !report.not_reached().is_empty() {
        parts.push(format!("{} not reached", report.not_reached().len()));
    }
    let total = report.stages.len() + report.not_reached().len();
    format!(
        "{total} stages: {}, in {}",
        parts.join(", "),
        figures::duration(report.seconds)
    )
}
