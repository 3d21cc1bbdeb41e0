//! `run`: makes what is not cached, then prints what came out of it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::{
    Engine, OnlyPlans, Outcome, Project, RunOptions, RunReport, StageReport, StageState,
    StageStatus, waiting,
};
use seedpipe_stages::memory::MemoryEstimate;
use serde_json::{Value, json};

use crate::commands::Invocation;
use crate::commands::arguments::Overrides;
use crate::commands::running::status;
use crate::commands::values::device;
use crate::doctor::emulation::{Emulation, computes_on_gpu};
use crate::launch::{Local, places};
use crate::progress::console::{Console, RunProgress, RunState, Verbosity, is_cancelled};
use crate::progress::tensorboard::{self, TensorBoard};
use crate::project::memory;
use crate::project::report::{self, Page};
use crate::project::time::Times;
use crate::torch::machine_memory::machine_memory;
use crate::torch::processor::Processor;
use crate::{
    Tensors, progress::interrupt, project::storage, terminal::figures, terminal::output,
    torch::sibling,
};

#[derive(Args, Debug)]
pub struct Run {
    /// These stages and what they need [default: all]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    /// Run the named stages (or all, when none is named) even if they are cached
    #[arg(long)]
    pub force: bool,
    /// Run the named stages alone, on cached inputs
    #[arg(long, requires = "stages")]
    pub only: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Where the networks run: `auto`, `cpu`, `cuda` or `cuda:N` [default: the pipeline's, else
    /// `auto`]
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub device: Option<String>,
    /// Stages at once, each in a process of its own [default: as many as there are trainings that may
    /// run beside each other and have cores and memory of their own; 1 on a GPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Run exactly what pipeline.lock records, or refuse; the lock is not written
    #[arg(long)]
    pub locked: bool,
    /// Neither fetch from the remote nor write to it
    #[arg(long)]
    pub no_remote: bool,
    /// Say what would run, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// One line of JSON a stage on stdout
    #[arg(long)]
    pub json: bool,
}

pub fn execute(invocation: Invocation, arguments: &Run) -> Result<ExitCode> {
    let (tensors, verbosity) = (invocation.tensors, invocation.verbosity);
    let mut engine = invocation.engine(&arguments.overrides.set)?;
    if arguments.no_remote {
        engine = engine.without_remote();
    }
    if let Some(handover) = sibling::handover() {
        engine.take_over(&handover);
    }
    report::check_paths(engine.project())?;
    let options = RunOptions {
        targets: arguments.stages.clone(),
        force: arguments.force,
        only: arguments.only,
        device: arguments.device.clone(),
        locked: arguments.locked,
    };
    if arguments.locked {
        check_locked(&engine, &options, arguments.json)?;
    }
    if arguments.dry_run {
        return dry_run(&engine, tensors, &options, arguments);
    }
    engine.hold();
    let mut plan = engine.dry_run(&options)?;
    if tensors == Tensors::InSibling && needs_tensors(&plan) {
        // What the remote has needs no tensors here.
        if engine.has_remote() {
            let names = plan.iter().map(|stage| stage.stage.as_str());
            engine.fetch_ahead(&options, &Console::new(verbosity, names))?;
            plan = engine.dry_run(&options)?;
        }
        if needs_tensors(&plan) {
            return go_on_with_tensors(engine);
        }
    }
    warn_of_slowness(&engine, &plan, &options);
    let planned = memory::planned(&engine, &plan)?;
    check_memory(&engine, &plan, &planned, &options)?;
    let jobs = jobs(&engine, &plan, &planned, &options, arguments);
    if jobs > 1 {
        engine = engine.with_executor(Box::new(Local { jobs }));
    }
    // What nobody is told of is not measured.
    let times = match verbosity {
        Verbosity::Quiet => None,
        _ => Times::of_run(&engine, &plan, device_of(&engine, &options))?,
    };
    let times = times.map(|times| times.with_jobs(jobs));
    let mut progress = RunProgress::of(&engine, &plan);
    progress.jobs = jobs;
    if let Some(times) = &times {
        progress.expect(|stage| times.of_stage(stage));
    }
    let cache = engine.project().cache();
    let mut console = Console::of_run(verbosity, progress)
        .write_progress(cache)
        .write_curves(TensorBoard::in_folder(&cache.join(tensorboard::FOLDER)));
    if arguments.json {
        console = console.on_finished(|stage| {
            if let Err(error) = output::print_json_text(&stage.json_line()) {
                output::error(&format!("warning: {error:#}"));
            }
        });
    }
    if verbosity == Verbosity::Verbose && console.has_stage_lines() {
        console.line(status::as_text(&plan).trim_end());
    }
    waiting::tell_by(console.printer());
    interrupt::listen(console.printer())?;
    console.begin(&options.targets, &plan);
    if let Some(times) = &times
        && times.whole().0 >= WORTH_A_WORD
        && console.has_stage_lines()
    {
        console.line(&format!(
            "takes {} in all: {}",
            times.in_all(),
            times.longest()
        ));
    }
    let ran = engine.run(&options, &console).and_then(|report| {
        let pages = report::write_all(&engine, &report)?;
        Ok((report, pages))
    });
    match ran {
        Ok((report, pages)) => {
            if let Some(times) = times {
                times.keep(&report, |stage| console.was_resumed(stage));
            }
            finish(&engine, &options, &report, &pages, &console, arguments.json)
        }
        // The cache is another than when the run was planned: somebody removed or changed something.
        Err(error) if error.is::<OnlyPlans>() && tensors == Tensors::InSibling => {
            drop(console);
            go_on_with_tensors(engine)
        }
        Err(error) => {
            console.end(RunState::Failed);
            console.run_finished(RunState::Failed, json!({"error": format!("{error:#}")}));
            Err(error)
        }
    }
}

/// Seconds from which on a run's time is told in the beginning.
const WORTH_A_WORD: f64 = 10.0;

/// Where the networks run.
fn device_of<'a>(engine: &'a Engine, options: &'a RunOptions) -> &'a str {
    let wanted = options.device.as_deref();
    wanted.unwrap_or_else(|| engine.project().device())
}

/// Stages at once: as many as were asked for, else as this machine has room for.
fn jobs(
    engine: &Engine,
    plan: &[StageStatus],
    planned: &[Option<MemoryEstimate>],
    options: &RunOptions,
    arguments: &Run,
) -> usize {
    let is_gpu = computes_on_gpu(device_of(engine, options));
    let room = || places::of_this_machine(engine, plan, planned, machine_memory(), is_gpu);
    arguments.jobs.map_or_else(room, usize::from)
}

/// As the same process; what is cached by now is.
fn go_on_with_tensors(engine: Engine) -> Result<ExitCode> {
    let handover = engine.handover();
    drop(engine); // nothing is dropped in a process that becomes another
    match sibling::become_tensor_program(Some(&handover))? {}
}

fn needs_tensors(plan: &[StageStatus]) -> bool {
    plan.iter()
        .any(|stage| stage.tensors && stage.state != StageState::Cached)
}

/// Before the sibling is started; with `--json` the fields that differ go to stdout as well.
fn check_locked(engine: &Engine, options: &RunOptions, json: bool) -> Result<()> {
    let Some(mismatch) = engine.lock_mismatch(options)? else {
        return Ok(());
    };
    if json {
        output::print_json(&mismatch)?;
    }
    Err(mismatch.refusal().into())
}

/// Tells what would take many times longer than it needs.
fn warn_of_slowness(engine: &Engine, plan: &[StageStatus], options: &RunOptions) {
    let processor = Processor::of_this_machine();
    if !processor.is_wide() && needs_tensors(plan) {
        output::error(&format!("warning: {}", processor.narrowness()));
    }
    if let Some(emulation) = Emulation::ahead(engine.project(), plan, options.device.as_deref()) {
        output::error(&emulation.warning());
    }
}

/// Refuses what a processor's memory can't hold, before anything runs.
fn check_memory(
    engine: &Engine,
    plan: &[StageStatus],
    planned: &[Option<MemoryEstimate>],
    options: &RunOptions,
) -> Result<()> {
    if computes_on_gpu(device_of(engine, options)) {
        return Ok(());
    }
    if let Some(machine) = machine_memory()
        && let Some(warning) = memory::check(plan, planned, machine)?
    {
        output::error(&warning);
    }
    Ok(())
}

fn dry_run(
    engine: &Engine,
    tensors: Tensors,
    options: &RunOptions,
    arguments: &Run,
) -> Result<ExitCode> {
    let stages = engine.dry_run(options)?;
    status::know_classes(engine, tensors, &stages);
    let planned = storage::planned(engine, &stages)?;
    let memories = memory::planned(engine, &stages)?;
    let jobs = jobs(engine, &stages, &memories, options, arguments);
    let times = Times::of_run(engine, &stages, device_of(engine, options))?;
    let times = times.map(|times| times.with_jobs(jobs));
    warn_of_slowness(engine, &stages, options);
    if arguments.json {
        let lines: Vec<String> = stages
            .iter()
            .zip(planned.iter().zip(&memories))
            .map(|(stage, (storage, memory))| {
                let mut line = status::as_json(stage, storage.as_ref());
                line["memory"] = memory::as_json(*memory);
                let time = times.as_ref().map(|times| times.as_json(&stage.stage));
                line["time"] = time.unwrap_or_default();
                line.to_string()
            })
            .collect();
        output::print_json_text(&lines.join("\n"))?;
    } else {
        let told = storage::lines(&stages, &planned) + &memory::lines(&stages, &memories);
        let told = told + &times.map_or_else(String::new, |times| times.lines());
        output::print(&(status::as_text(&stages) + &told))?;
    }
    check_memory(engine, &stages, &memories, options)?;
    // As the run would end, before anything runs.
    let mut code = ExitCode::SUCCESS;
    for fault in status::source_faults(&stages) {
        output::error(&format!("error: {fault}"));
        code = ExitCode::from(2);
    }
    if code == ExitCode::SUCCESS {
        engine.expect_sources(options)?;
    }
    Ok(code)
}

/// Tells the end: the counts, the results table, the pages that were written, and what failed.
fn finish(
    engine: &Engine,
    options: &RunOptions,
    run: &RunReport,
    pages: &[Page],
    console: &Console,
    json: bool,
) -> Result<ExitCode> {
    console.end(state(run));
    if !console.writes_json() {
        console.line(&summary(run));
    }
    if !json && !pages.is_empty() {
        output::print(&report::results_of(engine, pages)?)?;
    }
    for page in pages {
        let line = format!("report: {}", figures::path(&page.path));
        if json {
            console.line(&line);
        } else {
            output::print(&line)?;
        }
    }
    let code = match (run.cancelled(), run.failed()) {
        (true, _) => {
            output::error(&format!("interrupted; {}", kept(engine, options, run)?));
            ExitCode::FAILURE
        }
        (_, Some(failed)) => {
            output::error(&format!("error: {}", failure(engine.project(), failed)));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    };
    console.run_finished(state(run), in_numbers(run));
    Ok(code)
}

/// From where the same command goes on.
fn kept(engine: &Engine, options: &RunOptions, run: &RunReport) -> Result<String> {
    let stopped = run.stages.iter().find(|stage| is_cancelled(stage));
    let Some(stopped) = stopped else {
        return Ok("the same command goes on from there".to_owned());
    };
    let name = &stopped.stage;
    Ok(match engine.left_of(stopped, options)? {
        Some(left) => format!(
            "the same command goes on with `{name}` from {}",
            left.place()
        ),
        None => format!("nothing of `{name}` was finished yet: the same command begins it anew"),
    })
}

/// Which stage failed and what it says of itself, which may begin with its name.
fn failure(project: &Project, failed: &StageReport) -> String {
    let error = match &failed.error {
        Some(error) => format!("{error:#}"),
        None => "failed".to_owned(),
    };
    let name = format!("stage `{}`: ", failed.stage);
    let message = error.strip_prefix(&name).unwrap_or(&error);
    format!("{}: {name}{message}", project.path().display())
}

fn state(run: &RunReport) -> RunState {
    match (run.cancelled(), run.failed()) {
        (true, _) => RunState::Stopped,
        (_, Some(_)) => RunState::Failed,
        _ => RunState::Succeeded,
    }
}

/// What the last event says of the run.
fn in_numbers(run: &RunReport) -> Value {
    let stopped = stopped(run);
    json!({
        "seconds": (run.seconds * 1e3).round() / 1e3,
        "executed": run.count(Outcome::Executed),
        "fetched": run.count(Outcome::Fetched),
        "cached": run.count(Outcome::Cached),
        "failed": run.count(Outcome::Failed) - stopped,
        "stopped": stopped,
        "not_reached": run.not_reached(),
    })
}

fn stopped(run: &RunReport) -> usize {
    let stages = run.stages.iter();
    stages.filter(|stage| is_cancelled(stage)).count()
}

/// `9 stages: 2 executed, 7 cached, in 4.1 s`.
fn summary(report: &RunReport) -> String {
    let stopped = stopped(report);
    let counts = [
        (report.count(Outcome::Executed), "executed"),
        (report.count(Outcome::Fetched), "fetched"),
        (report.count(Outcome::Cached), "cached"),
        (report.count(Outcome::Failed) - stopped, "failed"),
        (stopped, "stopped"),
        (report.not_reached().len(), "not reached"),
    ];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let total = report.stages.len() + report.not_reached().len();
    format!(
        "{}: {}, in {}",
        figures::counted(total as u64, "stage"),
        parts.join(", "),
        figures::duration(report.seconds)
    )
}
