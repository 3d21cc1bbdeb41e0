//! `status`: which stages are cached, which will run, and why. `run --dry-run` prints the same of
//! the wanted stages.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::{Engine, Next, StageState, StageStatus};
use seedpipe_stages::storage::StorageEstimate;
use serde_json::{Value, json};

use crate::commands::Invocation;
use crate::commands::arguments::Overrides;
use crate::commands::running::watch;
use crate::commands::values::{seconds, whole};
use crate::progress::console::Verbosity;
use crate::terminal::figures::{self, Side};
use crate::{Tensors, project::storage, terminal::output, torch::sibling};

#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    pub overrides: Overrides,
    /// Also ask the remote which stages it has
    #[arg(long)]
    pub remote: bool,
    /// Follow a run of this pipeline until it ends, looking every SECONDS; where none runs, wait
    /// for one [default: 1]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds, conflicts_with = "remote")]
    pub watch: Option<Duration>,
    /// With `--watch`: only the run of this process, even if it has just started or has already
    /// ended
    #[arg(long, value_name = "PID", requires = "watch", value_parser = whole::<u32>)]
    pub pid: Option<u32>,
    /// As JSON; with `--watch` a line for each change
    #[arg(long)]
    pub json: bool,
}

pub fn execute(invocation: Invocation, arguments: &Status) -> Result<ExitCode> {
    let is_verbose = invocation.verbosity == Verbosity::Verbose;
    let tensors = invocation.tensors;
    let engine = invocation.engine(&arguments.overrides.set)?;
    if let Some(interval) = arguments.watch {
        return watch::execute(&engine, interval, arguments.pid, arguments.json, is_verbose);
    }
    let mut stages = engine.status()?;
    know_classes(&engine, tensors, &stages);
    if arguments.remote {
        look_into_remote(&engine, &mut stages)?;
    }
    let planned = storage::planned(&engine, &stages)?;
    if arguments.json {
        let told = stages.iter().zip(&planned);
        let told = told.map(|(stage, storage)| as_json(stage, storage.as_ref()));
        output::print_json(&told.collect::<Vec<_>>())?;
    } else {
        output::print(&(as_text(&stages) + &storage::lines(&stages, &planned)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes on as the program with libtorch, where there is one, when only that can tell whether
/// unfinished work is of this machine's numerics class.
pub fn know_classes(engine: &Engine, tensors: Tensors, stages: &[StageStatus]) {
    let is_unknown = |stage: &StageStatus| {
        let left = stage.left.as_ref();
        left.is_some_and(|left| left.next == Next::Unknown)
    };
    if tensors == Tensors::InSibling && stages.iter().any(is_unknown) {
        // Without it what is known is told.
        let _ = sibling::become_tensor_program(Some(&engine.handover()));
    }
}

/// Which stages can't run, and why: `` stage `images`: source `photos`: … ``.
pub fn source_faults(stages: &[StageStatus]) -> impl Iterator<Item = String> {
    stages.iter().filter_map(|stage| {
        let fault = stage.source_fault.as_ref()?;
        Some(format!("stage `{}`: {fault}", stage.stage))
    })
}

/// Adds to the reasons of stages that will run whether the remote has them.
fn look_into_remote(engine: &Engine, stages: &mut [StageStatus]) -> Result<()> {
    for stage in stages {
        if let (StageState::WillRun, Some(fingerprint)) = (&stage.state, stage.fingerprint) {
            let has = engine.is_in_remote(fingerprint)?;
            let reason = if has {
                "in the remote: a run fetches it"
            } else {
                "not in the remote"
            };
            stage.reasons.push(reason.to_owned());
        }
    }
    Ok(())
}

/// A line a stage and a last one with the counts.
pub fn as_text(stages: &[StageStatus]) -> String {
    let mut rows = vec![
        ["stage", "kind", "state", "fingerprint", "why"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for stage in stages {
        let fingerprint = stage
            .fingerprint
            .map_or_else(|| "-".to_owned(), |digest| digest.short());
        rows.push(vec![
            stage.stage.clone(),
            stage.kind.clone(),
            state_name(&stage.state).to_owned(),
            fingerprint,
            stage.reasons.join("; "),
        ]);
    }
    let cached = stages
        .iter()
        .filter(|stage| matches!(stage.state, StageState::Cached))
        .count();
    format!(
        "{}{cached} of {} stages cached\n",
        figures::table(&[Side::Left; 5], &rows),
        stages.len()
    )
}

/// What a stage may wait for is among its reasons.
fn state_name(state: &StageState) -> &'static str {
    match state {
        StageState::Cached => "cached",
        StageState::WillRun => "will run",
        StageState::MayRun { .. } => "may run",
    }
}

/// One stage for machines, with what it will store of views.
pub fn as_json(stage: &StageStatus, planned: Option<&StorageEstimate>) -> Value {
    let depends_on = match &stage.state {
        StageState::MayRun { depends_on } => depends_on.as_slice(),
        StageState::Cached | StageState::WillRun => &[],
    };
    json!({
        "stage": stage.stage,
        "kind": stage.kind,
        "state": state_name(&stage.state).replace(' ', "_"),
        "depends_on": depends_on,
        "reasons": stage.reasons,
        "fingerprint": stage.fingerprint,
        "content": stage.artifact.as_ref().map(|artifact| artifact.content),
        "absent_sources": stage.absent_sources,
        "unfinished": stage.left,
        "stores": storage::as_json(planned),
    })
}
