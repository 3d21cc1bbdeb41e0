//! `show STAGE[.output]`: columns and first rows of what a stage made, and its provenance: recipe,
//! upstream, telemetry.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_artifact::Preview;
use seedpipe_base::Refusal;
use seedpipe_engine::{Artifact, Engine, Manifest, Reference, StageNode};
use serde_json::{Value, json};

use crate::commands::Invocation;
use crate::commands::arguments::Overrides;
use crate::commands::values::whole;
use crate::project::cached::{TO_SHOW, cached};
use crate::{terminal::figures, terminal::output};

#[derive(Args, Debug)]
pub struct Show {
    /// A stage, or one of its outputs
    #[arg(value_name = "STAGE[.OUTPUT]")]
    pub target: String,
    /// How many of the first rows
    #[arg(short = 'n', long, default_value_t = 10, value_parser = whole::<usize>)]
    pub rows: usize,
    /// Print where its Parquet files lie, a path a line, for pandas, polars and others
    #[arg(long, conflicts_with_all = ["rows", "json"])]
    pub path: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

pub fn execute(invocation: Invocation, arguments: &Show) -> Result<ExitCode> {
    let engine = invocation.engine(&arguments.overrides.set)?;
    let target = Reference::parse(&arguments.target);
    let stage = engine.project().stage(target.stage)?;
    let (name, wanted) = (stage.name.as_str(), target.output);
    let artifact = cached(&engine, name, TO_SHOW)?;
    let outputs = outputs(&artifact, name, wanted)?;
    if arguments.path {
        let parts = outputs.iter().flat_map(|output| artifact.parts(output));
        for part in parts.filter(|part| !seedpipe_artifact::is_apart(part)) {
            let path = std::path::absolute(part)?;
            output::print(&format!("{}\n", path.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let previews = previews(&artifact, &outputs, arguments.rows)?;
    if arguments.json {
        output::print_json(&as_json(stage, &artifact, &previews))?;
    } else {
        output::print(&as_text(&engine, stage, &artifact, &previews)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The wanted output, or all.
fn outputs<'artifact>(
    artifact: &'artifact Artifact,
    stage: &str,
    wanted: Option<&str>,
) -> Result<Vec<&'artifact String>, Refusal> {
    let all = artifact.manifest.outputs.keys();
    let Some(wanted) = wanted else {
        return Ok(all.collect());
    };
    let found: Vec<&String> = all.clone().filter(|output| *output == wanted).collect();
    if found.is_empty() {
        let known: Vec<String> = all.map(|output| format!("`{stage}.{output}`")).collect();
        return Err(
            Refusal::new(format!("stage `{stage}` has no output `{wanted}`"))
                .hint(format!("it has {}", known.join(", "))),
        );
    }
    Ok(found)
}

/// The first rows of each output, by name.
fn previews(
    artifact: &Artifact,
    outputs: &[&String],
    rows: usize,
) -> Result<Vec<(String, Preview)>> {
    let of = |output: &&String| {
        let preview = seedpipe_artifact::preview(&artifact.parts(output), rows)?;
        Ok(((*output).clone(), preview))
    };
    outputs.iter().map(of).collect()
}

fn as_json(stage: &StageNode, artifact: &Artifact, previews: &[(String, Preview)]) -> Value {
    let Manifest {
        created,
        recipe,
        telemetry,
        outputs,
        ..
    } = &artifact.manifest;
    let shown: serde_json::Map<String, Value> = previews
        .iter()
        .map(|(output, preview)| {
            let mut value = preview.json();
            value["content"] = json!(outputs[output].content);
            (output.clone(), value)
        })
        .collect();
    json!({
        "stage": stage.name,
        "kind": stage.kind,
        "fingerprint": artifact.fingerprint,
        "content": artifact.content,
        "created": created,
        "bytes": artifact.bytes(),
        "directory": artifact.directory,
        "outputs": shown,
        "upstream": upstream(stage),
        "recipe": recipe,
        "telemetry": telemetry,
    })
}

/// slot → the outputs that are connected to it, as `stage.output`.
fn upstream(stage: &StageNode) -> serde_json::Map<String, Value> {
    stage
        .inputs
        .iter()
        .map(|(slot, connections)| {
            let names = connections
                .iter()
                .map(|from| format!("{}.{}", from.stage, from.output));
            (slot.clone(), names.collect())
        })
        .collect()
}

fn as_text(
    engine: &Engine,
    stage: &StageNode,
    artifact: &Artifact,
    previews: &[(String, Preview)],
) -> Result<String> {
    let mut text = String::new();
    for (output, preview) in previews {
        writeln!(text, "{}.{output}", stage.name)?;
        writeln!(text, "{}\n", preview.text()?.trim_end())?;
    }
    let manifest = &artifact.manifest;
    writeln!(text, "provenance")?;
    let mut lines = vec![
        (
            "kind",
            format!(
                "{} version {}",
                manifest.recipe.kind, manifest.recipe.version
            ),
        ),
        ("fingerprint", artifact.fingerprint.to_string()),
        ("content", artifact.content.to_string()),
        ("created", manifest.created.clone()),
        ("size", figures::bytes(artifact.bytes())),
        ("directory", figures::path(&artifact.directory)),
        ("took", figures::duration(manifest.telemetry.seconds)),
        ("device", manifest.telemetry.device.clone()),
    ];
    let versions: Vec<String> = manifest
        .telemetry
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    if !manifest.telemetry.numerics.is_empty() {
        lines.push(("numerics", manifest.telemetry.numerics.clone()));
    }
    lines.push(("versions", versions.join(", ")));
    for (name, value) in lines {
        writeln!(text, "  {name:<11}  {value}")?;
    }
    if !manifest.telemetry.values.is_empty() {
        writeln!(text, "telemetry")?;
        for (name, value) in &manifest.telemetry.values {
            writeln!(text, "  {name}  {value}")?;
        }
    }
    if !stage.inputs.is_empty() {
        writeln!(text, "upstream")?;
        for (slot, connections) in &stage.inputs {
            for from in connections {
                let content = engine.find(&from.stage)?.and_then(|artifact| {
                    artifact
                        .manifest
                        .outputs
                        .get(&from.output)
                        .map(|record| record.content.short())
                });
                let content = content.unwrap_or_else(|| "not cached".to_owned());
                writeln!(
                    text,
                    "  {slot} = {}.{}  {}  {content}",
                    from.stage, from.output, from.kind
                )?;
            }
        }
    }
    writeln!(text, "recipe")?;
    for line in manifest.recipe.canonical().lines() {
        writeln!(text, "  {line}")?;
    }
    Ok(text)
}
