//! `metrics`: the table that a run ends with, and the last value of every figure of every cached
//! stage, read from the `metrics/v1` artifacts; with `--over` and `--by` those of several stages
//! together; with `--diff` the headline figures against those of a lock; with `--confusion` the
//! matrix of one stage's predictions.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_artifact::{METRICS, interval_of, is_fraction, last_values};
use seedpipe_engine::{Engine, LockedStage, PipelineLock, StageStatus, lock_at};
use serde::Serialize;

use crate::commands::Invocation;
use crate::commands::arguments::{Overrides, TableForm};
use crate::commands::results::{confusion, grouped};
use crate::progress::console::Verbosity;
use crate::project::report;
use crate::terminal::figures::{self, Side};
use crate::terminal::output;
use crate::terminal::tabular::{Form, Table};

#[derive(Args, Debug)]
pub struct Metrics {
    /// These stages [default: all]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Mean and standard deviation of stages that differ only in this: a label of a matrix, a param
    /// as `training.epochs`, or `seed` (repeatable)
    #[arg(long, value_name = "KEY", value_delimiter = ',', conflicts_with_all = ["diff", "confusion"])]
    pub over: Vec<String>,
    /// A row for each value of these keys
    #[arg(long, value_name = "KEY,…", value_delimiter = ',', conflicts_with_all = ["diff", "confusion"])]
    pub by: Vec<String>,
    /// Old, new and change against a pipeline.lock, or against the one at a git revision
    #[arg(long, value_name = "LOCK|REV")]
    pub diff: Option<String>,
    /// What a stage's predictions took each class for: counts, true classes down, predicted ones
    /// across
    #[arg(long, value_name = "STAGE", conflicts_with_all = ["diff", "stages"])]
    pub confusion: Option<String>,
    #[command(flatten)]
    pub form: TableForm,
}

/// One figure; accuracies are fractions.
#[derive(Debug, Serialize)]
pub struct MetricLine {
    pub stage: String,
    pub split: String,
    pub name: String,
    pub value: f64,
}

/// One figure now and in a lock; `None` where it isn't.
#[derive(Debug, Serialize)]
struct FigureChange {
    stage: String,
    split: String,
    name: String,
    old: Option<f64>,
    new: Option<f64>,
    /// `new - old`.
    change: Option<f64>,
    /// Hundred times the change of what is a fraction.
    points: Option<f64>,
}

pub fn execute(invocation: Invocation, arguments: &Metrics) -> Result<ExitCode> {
    let all = invocation.verbosity == Verbosity::Verbose;
    let engine = invocation.engine(&arguments.overrides.set)?;
    let mut wanted = BTreeSet::new();
    for name in &arguments.stages {
        let stages = engine.project().select(name)?;
        wanted.extend(stages.into_iter().map(|stage| stage.name.clone()));
    }
    let is_wanted = |stage: &str| wanted.is_empty() || wanted.contains(stage);
    if let Some(old) = &arguments.diff {
        let (old, _) = lock_at(engine.project().path(), old)?;
        diff(&engine, &old, arguments, all, is_wanted)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(stage) = &arguments.confusion {
        confusion::print(&engine, stage, arguments.form.form(), all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let statuses = engine.status()?;
    let figures = collect(&statuses, is_wanted)?;
    let form = arguments.form.form();
    let is_grouped = !(arguments.over.is_empty() && arguments.by.is_empty());
    match form {
        _ if is_grouped => grouped::print(&engine, &figures, &statuses, arguments, is_wanted, all)?,
        None => output::print_json(&figures)?,
        Some(Form::Aligned) if figures.is_empty() => {
            output::print("no stage with figures is cached; `seedpipe run` makes them")?;
        }
        Some(Form::Aligned) => {
            if wanted.is_empty() {
                let results = report::results(&engine)?;
                let gap = if results.is_empty() { "" } else { "\n" };
                output::print(&(results + gap))?;
            }
            output::print(&as_text(&figures, all))?;
        }
        Some(form) => output::print(&table(figures.iter(), ToString::to_string).text(form))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn collect(statuses: &[StageStatus], is_wanted: impl Fn(&str) -> bool) -> Result<Vec<MetricLine>> {
    let mut figures = Vec::new();
    for status in statuses.iter().filter(|status| is_wanted(&status.stage)) {
        let Some(artifact) = &status.artifact else {
            continue;
        };
        let outputs = artifact.manifest.outputs.iter();
        for (output, _) in outputs.filter(|(_, record)| record.kind == METRICS) {
            for ((split, name), value) in last_values(&artifact.parts(output))? {
                figures.push(MetricLine {
                    stage: status.stage.clone(),
                    split,
                    name,
                    value,
                });
            }
        }
    }
    Ok(figures)
}

/// A line a figure.
fn table<'a>(
    figures: impl Iterator<Item = &'a MetricLine>,
    value: impl Fn(&f64) -> String,
) -> Table {
    let mut rows = vec![
        ["stage", "split", "name", "value"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(figures.map(|figure| {
        vec![
            figure.stage.clone(),
            figure.split.clone(),
            figure.name.clone(),
            value(&figure.value),
        ]
    }));
    Table {
        sides: vec![Side::Left, Side::Left, Side::Left, Side::Right],
        rows,
    }
}

/// Intervals stand beside their figures. Figures of single classes (`knn_top1/3`) only when `all`
/// are wanted.
fn as_text(figures: &[MetricLine], all: bool) -> String {
    let by_name: BTreeMap<[&str; 3], f64> = figures
        .iter()
        .map(|figure| {
            let key = [&figure.stage, &figure.split, &figure.name].map(String::as_str);
            (key, figure.value)
        })
        .collect();
    let beside = |figure: &MetricLine, name: &str| {
        let key = [figure.stage.as_str(), figure.split.as_str(), name];
        by_name.get(&key).copied()
    };
    let is_end = |figure: &MetricLine| {
        interval_of(&figure.name).is_some_and(|name| beside(figure, name).is_some())
    };
    let interval = |figure: &MetricLine| {
        let end = |ending: &str| beside(figure, &format!("{}{ending}", figure.name));
        let (low, high) = (end("_low")?, end("_high")?);
        Some(format!(
            "{} to {}",
            figures::value(low),
            figures::value(high)
        ))
    };
    let is_shown = |figure: &&MetricLine| all || !figure.name.contains('/');
    let rows: Vec<&MetricLine> = figures
        .iter()
        .filter(|figure| is_shown(figure) && !is_end(figure))
        .collect();
    let mut table = table(rows.iter().copied(), |value| figures::value(*value));
    let intervals: Vec<Option<String>> = rows.iter().map(|figure| interval(figure)).collect();
    if intervals.iter().any(Option::is_some) {
        table.sides.push(Side::Left);
        let cells = intervals.into_iter().map(Option::unwrap_or_default);
        let heading = std::iter::once("95 % interval".to_owned());
        for (row, cell) in table.rows.iter_mut().zip(heading.chain(cells)) {
            row.push(cell);
        }
    }
    let mut text = table.text(Form::Aligned);
    let hidden = figures.iter().filter(|figure| !is_shown(figure)).count();
    if hidden > 0 {
        text.push_str(&format!(
            "and {hidden} of single classes: `--verbose` or `--json`\n"
        ));
    }
    text
}

/// The ends of intervals are compared for people only when `all` are wanted.
fn diff(
    engine: &Engine,
    old: &PipelineLock,
    arguments: &Metrics,
    all: bool,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut missing = Vec::new();
    let mut changes = Vec::new();
    for status in engine.status()? {
        if !is_wanted(&status.stage) {
            continue;
        }
        let node = engine.project().stage(&status.stage)?;
        let new = status
            .artifact
            .map(|artifact| LockedStage::of(node, &artifact).figures());
        let old = old.stage(&status.stage).map(LockedStage::figures);
        if new.is_none() && old.as_ref().is_some_and(|old| !old.is_empty()) {
            missing.push(format!("`{}`", status.stage));
        }
        changes.extend(compare(
            &status.stage,
            &old.unwrap_or_default(),
            &new.unwrap_or_default(),
        ));
    }
    for (stage, locked) in &old.stages {
        if engine.project().stage(stage).is_err() && is_wanted(stage) {
            changes.extend(compare(stage, &locked.figures(), &BTreeMap::new()));
        }
    }
    let Some(form) = arguments.form.form() else {
        return output::print_json(&changes);
    };
    if !all && form != Form::Csv {
        changes.retain(|change| interval_of(&change.name).is_none());
    }
    if changes.is_empty() && form == Form::Aligned {
        output::print("no figures here, and none in the lock")?;
    } else {
        output::print(&diff_table(&changes, form).text(form))?;
    }
    if !missing.is_empty() && form == Form::Aligned {
        output::print(&format!(
            "not cached: {}; `seedpipe run` makes them",
            missing.join(", ")
        ))?;
    }
    Ok(())
}

/// Every figure of either side.
fn compare(
    stage: &str,
    old: &BTreeMap<String, f64>,
    new: &BTreeMap<String, f64>,
) -> Vec<FigureChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changes = names.into_iter().map(|full| {
        let (split, name) = full.split_once('/').unwrap_or(("", full));
        let (old, new) = (old.get(full).copied(), new.get(full).copied());
        let change = old.zip(new).map(|(old, new)| new - old);
        FigureChange {
            stage: stage.to_owned(),
            split: split.to_owned(),
            name: name.to_owned(),
            old,
            new,
            change,
            points: change
                .filter(|_| is_fraction(name))
                .map(|change| change * 100.0),
        }
    });
    changes.collect()
}

fn diff_table(changes: &[FigureChange], form: Form) -> Table {
    let people = form != Form::Csv;
    let mut heading = vec!["stage", "split", "name", "old", "new", "change"];
    if !people {
        heading.push("points");
    }
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect()];
    let value = |value: Option<f64>| match value {
        Some(value) if people => figures::value(value),
        Some(value) => value.to_string(),
        None if people => "-".to_owned(),
        None => String::new(),
    };
    for change in changes {
        let mut row = vec![
            change.stage.clone(),
            change.split.clone(),
            change.name.clone(),
            value(change.old),
            value(change.new),
        ];
        if people {
            row.push(match (change.points, change.change) {
                (Some(points), _) => format!("{points:+.2} points"),
                (None, Some(change)) => format!("{change:+.4}"),
                (None, None) => "-".to_owned(),
            });
        } else {
            row.extend([value(change.change), value(change.points)]);
        }
        rows.push(row);
    }
    let mut sides = vec![Side::Left; 3];
    sides.resize(rows[0].len(), Side::Right);
    Table { sides, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_stands_beside_its_figure_and_a_name_alone_stays() {
        let figures = [
            ("knn", "top1", 0.5),
            ("knn", "top1_high", 0.625),
            ("knn", "top1_low", 0.25),
            ("knn", "top1/3", 1.0),
            ("other", "score_low", 3.0),
        ];
        let figures = figures.map(|(stage, name, value)| MetricLine {
            stage: stage.into(),
            split: "test".into(),
            name: name.into(),
            value,
        });
        assert_eq!(
            as_text(&figures, false),
            "stage  split  name        value  95 % interval\n\
             knn    test   top1       0.5000  0.2500 to 0.6250\n\
             other  test   score_low       3\n\
             and 1 of single classes: `--verbose` or `--json`\n"
        );
    }

    #[test]
    fn accuracies_change_in_points_and_losses_as_they_are() {
        let old = [
            ("test/knn_top1", 0.5),
            ("train/loss", 2.5),
            ("test/gone", 1.0),
        ];
        let new = [("test/knn_top1", 0.625), ("train/loss", 1.75)];
        let figures = |figures: &[(&str, f64)]| {
            figures
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect::<BTreeMap<_, _>>()
        };
        let changes = compare("probe", &figures(&old), &figures(&new));
        assert_eq!(
            diff_table(&changes, Form::Aligned).text(Form::Aligned),
            "stage  split  name         old     new         change\n\
             probe  test   gone      1.0000       -              -\n\
             probe  test   knn_top1  0.5000  0.6250  +12.50 points\n\
             probe  train  loss      2.5000  1.7500        -0.7500\n"
        );
        assert_eq!(
            diff_table(&changes, Form::Csv).text(Form::Csv),
            "stage,split,name,old,new,change,points\n\
             probe,test,gone,1,,,\n\
             probe,test,knn_top1,0.5,0.625,0.125,12.5\n\
             probe,train,loss,2.5,1.75,-0.75,\n"
        );
    }
}
