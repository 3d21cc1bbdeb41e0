//! What a run shows of its `report` stages: the page, written out of the cache to where the `path`
//! param says, and the same results as a table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use seedpipe_artifact::FilesReader;
use seedpipe_base::Refusal;
use seedpipe_engine::{Artifact, Engine, Outcome, Project, RunReport, StageNode, durable};
use seedpipe_stages::PAGE;
use seedpipe_stages::report::{Report, Source, results_over_text, results_text};
use seedpipe_stages::results::Together;

use crate::terminal::figures;

const OUTPUT: &str = "report";

/// A page that was written.
pub struct Page {
    /// The stage that made it.
    pub stage: String,
    pub path: PathBuf,
}

/// Where a report stage's page goes; none: the stage is no report.
fn path(project: &Project, stage: &StageNode) -> Option<PathBuf> {
    let report = stage.of_kind::<Report>()?;
    Some(project.folder().join(report.path))
}

/// Refuses two report stages that would write one file.
///
/// # Errors
/// [`Refusal`] naming both.
pub fn check_paths(project: &Project) -> Result<()> {
    let stages = project.stages().iter();
    let reports: Vec<(&StageNode, PathBuf)> = stages
        .filter_map(|stage| Some((stage, path(project, stage)?)))
        .collect();
    for (position, (stage, path)) in reports.iter().enumerate() {
        if let Some((earlier, _)) = reports[..position].iter().find(|(_, other)| other == path) {
            let message = format!(
                "expected a file of its own, got `{}`, which stage `{}` writes",
                figures::path(path),
                earlier.name
            );
            return Err(Refusal::new(message)
                .place(project.path().display().to_string())
                .stage(&stage.name)
                .key("params.path")
                .hint(format!("set `path` of `{}` to another name", stage.name))
                .into());
        }
    }
    Ok(())
}

/// Writes the pages of the report stages that a run has done.
///
/// # Errors
/// When an artifact holds no page, or a file can't be written.
pub fn write_all(engine: &Engine, run: &RunReport) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for done in run
        .stages
        .iter()
        .filter(|stage| stage.outcome != Outcome::Failed)
    {
        let stage = engine.project().stage(&done.stage)?;
        let Some(path) = path(engine.project(), stage) else {
            continue;
        };
        if let Some(artifact) = engine.find(&done.stage)? {
            write(&artifact, &path)?;
            pages.push(Page {
                stage: done.stage.clone(),
                path,
            });
        }
    }
    Ok(pages)
}

/// Writes the page, in one step, when the file differs from it.
///
/// # Errors
/// When the artifact holds no page, or the file can't be written.
fn write(artifact: &Artifact, path: &Path) -> Result<()> {
    let files = FilesReader::open(&artifact.parts(OUTPUT))?.read_all()?;
    let page = files
        .into_iter()
        .find(|file| file.name == PAGE)
        .with_context(|| format!("`{}` holds no `{PAGE}`", artifact.directory.display()))?;
    let found = fs_err::metadata(path);
    let may_be_equal =
        found.is_ok_and(|found| found.is_file() && found.len() == page.bytes.len() as u64);
    if may_be_equal && fs_err::read(path)? == page.bytes {
        return Ok(());
    }
    let folder = durable::folder_of(path);
    fs_err::create_dir_all(folder)?;
    // `gc` looks beside pipeline.yaml; the page may lie elsewhere.
    for entry in fs_err::read_dir(folder)? {
        durable::remove_abandoned(&entry?.path())?;
    }
    Ok(durable::write(path, &page.bytes)?)
}

/// What a run that wrote these pages ends with: the results of everything above them, as a table
/// with what students gained; empty when nothing was measured.
///
/// # Errors
/// When the cache can't be read.
pub fn results_of(engine: &Engine, pages: &[Page]) -> Result<String> {
    let stages = pages.iter().map(|page| page.stage.as_str());
    Ok(results_text(above(engine, stages.collect())?))
}

/// What a run of the whole pipeline ends with, by all that is cached.
///
/// # Errors
/// When the cache can't be read.
pub fn results(engine: &Engine) -> Result<String> {
    Ok(results_text(above(engine, reports(engine))?))
}

/// The table of the same results, where some stages are told as one.
///
/// # Errors
/// When the cache can't be read.
pub fn results_over(engine: &Engine, together: &Together) -> Result<String> {
    Ok(results_over_text(above(engine, reports(engine))?, together))
}

fn reports(engine: &Engine) -> Vec<&str> {
    let project = engine.project();
    let stages = project.stages().iter();
    let reports = stages.filter(|stage| path(project, stage).is_some());
    reports.map(|stage| stage.name.as_str()).collect()
}

/// The cached stages that these are made of; of none, all.
fn above<'a>(engine: &'a Engine, stages: Vec<&'a str>) -> Result<Vec<Source>> {
    let mut wanted: BTreeSet<&str> = BTreeSet::new();
    let mut open = stages;
    while let Some(name) = open.pop() {
        if wanted.insert(name) {
            let inputs = engine.project().stage(name)?.inputs.values().flatten();
            open.extend(inputs.map(|from| from.stage.as_str()));
        }
    }
    sources(engine, |stage| wanted.is_empty() || wanted.contains(stage))
}

/// The stages that are cached, as results are told of them.
fn sources(engine: &Engine, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for status in engine.status()? {
        if let Some(artifact) = status.artifact
            && is_wanted(&status.stage)
        {
            let stage = engine.project().stage(&status.stage)?;
            let stage = engine.ancestor(stage, &artifact);
            sources.push(Source::of(&stage, |_, _| None));
        }
    }
    Ok(sources)
}
