//! `report`: one HTML file on all that is cached, for people who were not there: the page of the
//! kind `report`, and what that one must not hold: times, waiting, rates, machines, and with
//! `--against` what changed since another lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use seedpipe_base::Refusal;
use seedpipe_engine::{Aside, Engine, Kind, PipelineLock, StageStatus, durable, lock_at};
use seedpipe_stages::report::{self, EarlierState, FieldChange, Making, Material, Source, page};
use serde_json::Value;

use crate::commands::Invocation;
use crate::commands::arguments::Overrides;
use crate::torch::processor::Processor;
use crate::{terminal::figures, terminal::output, torch::libtorch};

#[derive(Args, Debug)]
pub struct Report {
    /// Old, new and change against a pipeline.lock, or against the one at a git revision
    #[arg(long, value_name = "LOCK|REV")]
    pub against: Option<String>,
    /// The file [default: the pipeline's name with `-report.html`, here]
    #[arg(short, long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,
    /// The page's heading [default: that of the pipeline's `report` stage, else the pipeline's
    /// name]
    #[arg(long)]
    pub title: Option<String>,
    /// Also when stages are not cached: a page on what there is
    #[arg(long)]
    pub partial: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

pub fn execute(invocation: Invocation, arguments: &Report) -> Result<ExitCode> {
    let engine = invocation.engine(&arguments.overrides.set)?;
    let statuses: Vec<StageStatus> = engine
        .status()?
        .into_iter()
        .filter(|status| is_told(&engine, &status.kind))
        .collect();
    check_cached(&statuses, arguments.partial)?;
    let against = match &arguments.against {
        Some(text) => {
            let (lock, name) = lock_at(engine.project().path(), text)?;
            Some(against(&engine, &statuses, &lock, name)?)
        }
        None => None,
    };
    let mut sources = Vec::new();
    for status in &statuses {
        if let Some(artifact) = &status.artifact {
            let stage = engine.project().stage(&status.stage)?;
            let stage = engine.ancestor(stage, artifact);
            sources.push(Source {
                making: Some(Making::of(&stage)),
                ..Source::of(&stage, |slot, _| Some(artifact.parts(slot)))
            });
        }
    }
    let aside = Aside::begin("writing the report", "", 0);
    let html = page(&Material {
        title: title(&engine, arguments),
        environment: environment(&sources),
        sources,
        against,
    })?;
    drop(aside);
    let path = arguments
        .output
        .clone()
        .unwrap_or_else(|| default_path(engine.project().path()));
    durable::write(&path, html.as_bytes())
        .with_context(|| format!("`{}` can't be written", path.display()))?;
    output::print(&format!(
        "wrote `{}`, {}",
        figures::path(&path),
        figures::bytes(html.len() as u64)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the page tells of a kind's stages: of those that tell of others themselves it doesn't.
fn is_told(engine: &Engine, kind: &str) -> bool {
    !engine.registry().kind(kind).is_some_and(Kind::lineage)
}

/// Refuses a page that would lack something, unless that is what is wanted.
fn check_cached(statuses: &[StageStatus], partial: bool) -> Result<()> {
    let missing: Vec<String> = statuses
        .iter()
        .filter(|status| status.artifact.is_none())
        .map(|status| format!("`{}`", status.stage))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if missing.len() == statuses.len() {
        bail!(
            Refusal::failure("no stage of the pipeline is cached, so there is nothing to report")
                .hint("run `seedpipe run`")
        );
    }
    let named = missing.join(", ");
    if !partial {
        bail!(
            Refusal::failure(format!("not cached, so the page would lack them: {named}"))
                .hint("run `seedpipe run`, or add `--partial` for a page on what there is")
        );
    }
    output::error(&format!(
        "warning: not cached, so the page lacks them: {named}"
    ));
    Ok(())
}

/// The name that was given, else that of the pipeline's `report` stage, else the pipeline's.
fn title(engine: &Engine, arguments: &Report) -> String {
    let of_stage = || {
        let mut stages = engine.project().stages().iter();
        let report = stages.find_map(|stage| stage.of_kind::<report::Report>())?;
        Some(report.title).filter(|title| *title != report::default_title())
    };
    let of_file = || {
        let pipeline = engine.project().path();
        let full = fs_err::canonicalize(pipeline).unwrap_or_else(|_| pipeline.to_owned());
        let stem = full.file_stem().unwrap_or_default().to_string_lossy();
        if stem != "pipeline" {
            return stem.into_owned();
        }
        let folder = full.parent().and_then(Path::file_name);
        folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    let title = arguments.title.clone().or_else(of_stage);
    title.unwrap_or_else(of_file)
}

/// `pipeline-report.html` here: not the file that a `report` stage writes.
fn default_path(pipeline: &Path) -> PathBuf {
    let stem = pipeline.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("{stem}-report.html"))
}

/// What a lock says of figures and settings, and which settings differ now.
fn against(
    engine: &Engine,
    statuses: &[StageStatus],
    lock: &PipelineLock,
    name: String,
) -> Result<EarlierState> {
    let figures = lock
        .stages
        .iter()
        .filter(|(_, locked)| is_told(engine, &locked.kind))
        .map(|(stage, locked)| (stage.clone(), locked.figures()))
        .filter(|(_, figures)| !figures.is_empty());
    let mut changes = Vec::new();
    for status in statuses {
        let fields = engine.project().stage(&status.stage)?.fields();
        match lock.stage(&status.stage) {
            Some(locked) => changes.extend(differing(&status.stage, &locked.fields(), &fields)),
            None => changes.push(whole(&status.stage, "", "new stage")),
        }
    }
    for (stage, locked) in &lock.stages {
        if is_told(engine, &locked.kind) && engine.project().stage(stage).is_err() {
            changes.push(whole(stage, "a stage", ""));
        }
    }
    Ok(EarlierState {
        name,
        figures: figures.collect(),
        changes,
    })
}

/// A stage that is only on one side, as one change.
fn whole(stage: &str, old: &str, new: &str) -> FieldChange {
    FieldChange {
        stage: stage.to_owned(),
        field: "stage".to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
    }
}

fn differing(
    stage: &str,
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let text = |value: Option<&Value>| value.map_or_else(String::new, Value::to_string);
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|field| FieldChange {
            stage: stage.to_owned(),
            field: field.clone(),
            old: text(old.get(field)),
            new: text(new.get(field)),
        })
        .collect()
}

/// This program and this machine, which need not be the one that made the results.
fn environment(sources: &[Source]) -> Vec<(String, String)> {
    let processor = Processor::of_this_machine();
    let newest = sources
        .iter()
        .filter_map(|source| source.making.as_ref())
        .map(|making| making.created.as_str())
        .max()
        .unwrap_or_default();
    let facts = [
        ("newest result", newest.to_owned()),
        ("seedpipe", env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch that it is made for", libtorch::VERSION.to_owned()),
        (
            "processor of this machine",
            format!("{}, {} threads", processor.name, processor.threads),
        ),
        ("its extensions", processor.features.join(" ")),
    ];
    facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
