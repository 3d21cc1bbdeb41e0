//! `params`: what decides each stage, defaults filled in; with `--diff` the fields that differ from
//! a lock's.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::{LockedStage, PipelineLock, Project, StageNode, lock_at};
use serde::Serialize;
use serde_json::Value;

use crate::commands::Invocation;
use crate::commands::arguments::{Overrides, TableForm};
use crate::terminal::figures::Side;
use crate::terminal::output;
use crate::terminal::tabular::{Form, Table};

#[derive(Args, Debug)]
pub struct Params {
    /// These stages [default: all]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Only the fields that differ from a pipeline.lock, or from the one at a git revision
    #[arg(long, value_name = "LOCK|REV")]
    pub diff: Option<String>,
    #[command(flatten)]
    pub form: TableForm,
}

/// One field of a stage.
#[derive(Debug, Serialize)]
struct ParamField {
    stage: String,
    field: String,
    value: Value,
}

/// A field that differs; absent where it isn't.
#[derive(Debug, Serialize)]
struct ParamChange {
    stage: String,
    field: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Value>,
}

pub fn execute(invocation: Invocation, arguments: &Params) -> Result<ExitCode> {
    let engine = invocation.engine(&arguments.overrides.set)?;
    let project = engine.project();
    let mut stages: Vec<&StageNode> = Vec::new();
    for name in &arguments.stages {
        stages.extend(project.select(name)?);
    }
    let everything = arguments.stages.is_empty();
    if everything {
        stages = project.stages().iter().collect();
    }
    match &arguments.diff {
        Some(old) => diff(
            project,
            &stages,
            &lock_at(project.path(), old)?.0,
            everything,
            arguments,
        )?,
        None => list(&stages, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(stages: &[&StageNode], arguments: &Params) -> Result<()> {
    let fields = stages.iter().flat_map(|stage| {
        stage
            .fields()
            .into_iter()
            .filter(|(field, _)| !field.starts_with("inputs.") && field != "kind")
            .map(|(field, value)| ParamField {
                stage: stage.name.clone(),
                field,
                value,
            })
    });
    let fields: Vec<ParamField> = fields.collect();
    let Some(form) = arguments.form.form() else {
        return output::print_json(&fields);
    };
    let mut rows = vec![["stage", "field", "value"].map(str::to_owned).to_vec()];
    rows.extend(
        fields
            .into_iter()
            .map(|field| vec![field.stage, field.field, field.value.to_string()]),
    );
    let sides = vec![Side::Left; 3];
    output::print(&Table { sides, rows }.text(form))
}

fn diff(
    project: &Project,
    stages: &[&StageNode],
    old: &PipelineLock,
    everything: bool,
    arguments: &Params,
) -> Result<()> {
    let mut changes = Vec::new();
    for stage in stages {
        let locked = old.stage(&stage.name).map(LockedStage::fields);
        changes.extend(compare(
            &stage.name,
            &locked.unwrap_or_default(),
            &stage.fields(),
        ));
    }
    if everything {
        for (stage, locked) in &old.stages {
            if project.stage(stage).is_err() {
                changes.extend(compare(stage, &locked.fields(), &BTreeMap::new()));
            }
        }
    }
    let Some(form) = arguments.form.form() else {
        return output::print_json(&changes);
    };
    if changes.is_empty() && form == Form::Aligned {
        return output::print("nothing differs");
    }
    let absent = if form == Form::Csv { "" } else { "-" };
    let text =
        |value: Option<Value>| value.map_or_else(|| absent.to_owned(), |value| value.to_string());
    let mut rows = vec![["stage", "field", "old", "new"].map(str::to_owned).to_vec()];
    rows.extend(changes.into_iter().map(|change| {
        vec![
            change.stage,
            change.field,
            text(change.old),
            text(change.new),
        ]
    }));
    let sides = vec![Side::Left; 4];
    output::print(&Table { sides, rows }.text(form))
}

/// The fields that differ.
fn compare(
    stage: &str,
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
) -> Vec<ParamChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name));
    let changes = differing.map(|field| ParamChange {
        stage: stage.to_owned(),
        field: field.clone(),
        old: old.get(field).cloned(),
        new: new.get(field).cloned(),
    });
    changes.collect()
}
