//! `metrics`: the last value of every figure of every cached stage, read from the `metrics/v1` artifacts.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use seedpipe_artifact::{METRICS, MetricsReader};
use seedpipe_engine::{Artifact, Engine};
use serde::Serialize;

use crate::cli::Metrics;
use crate::commands::Invocation;
use crate::console::Verbosity;
use crate::figures::{self, Side};
use crate::output;

/// One figure; accuracies are fractions.
#[derive(Debug, Serialize)]
struct Figure {
    stage: String,
    split: String,
    name: String,
    value: f64,
}

pub fn execute(invocation: Invocation, arguments: &Metrics) -> Result<ExitCode> {
    let all = invocation.verbosity == Verbosity::Verbose;
    let figures = collect(&invocation.engine(&arguments.overrides.set)?)?;
    if arguments.json {
        output::print_json(&figures)?;
    } else if figures.is_empty() {
        output::print("no stage with figures is cached; `seedpipe run` makes them")?;
    } else {
        output::print(&as_text(&figures, all))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn collect(engine: &Engine) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for status in engine.status()? {
        let Some(artifact) = status.artifact else {
            continue;
        };
        for ((split, name), value) in last_values(&artifact)? {
            figures.push(Figure {
                stage: status.stage.clone(),
                split,
                name,
                value,
            });
        }
    }
    Ok(figures)
}

/// (split, name) → the value of the last step.
fn last_values(artifact: &Artifact) -> Result<BTreeMap<(String, String), f64>> {
    let mut last: BTreeMap<(String, String), (u64, f64)> = BTreeMap::new();
    for (output, record) in &artifact.manifest.outputs {
        if record.kind != METRICS {
            continue;
        }
        for row in MetricsReader::open(&artifact.parts(output))?.read_all()? {
            let entry = last
                .entry((row.split, row.name))
                .or_insert((row.step, row.value));
            if row.step >= entry.0 {
                *entry = (row.step, row.value);
            }
        }
    }
    Ok(last
        .into_iter()
        .map(|(key, (_, value))| (key, value))
        .collect())
}

/// A line a figure; those of single classes (`knn_top1/3`) only when `all` are wanted.
fn as_text(figures: &[Figure], all: bool) -> String {
    let mut rows = vec![
        ["stage", "split", "name", "value"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let (shown, hidden): (Vec<&Figure>, Vec<&Figure>) = figures
        .iter()
        .partition(|figure| all || !figure.name.contains('/'));
    for figure in shown {
        let Figure {
            stage,
            split,
            name,
            value,
        } = figure;
        rows.push(vec![
            stage.clone(),
            split.clone(),
            name.clone(),
            figures::value(*value),
        ]);
    }
    let mut text = figures::table(&[Side::Left, Side::Left, Side::Left, Side::Right], &rows);
    if !hidden.is_empty() {
        text.push_str(&format!(
            "and {} of single classes: `--verbose` or `--json`\n",
            hidden.len()
        ));
    }
    text
}
