//! `network list` and `network inspect FILE`.

use std::fmt::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use seedpipe_base::Refusal;
use seedpipe_stages::inspection::{Architecture, Inspection};
use seedpipe_stages::network_list::network_list;

use crate::commands::Invocation;
use crate::terminal::figures::{self, Side};
use crate::terminal::yaml_flow::yaml_flow;
use crate::{terminal::output, torch::sibling};

#[derive(Debug, Subcommand)]
pub enum Network {
    /// The networks that are known by name, with 1000 classes
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What a checkpoint holds, and which network it may be
    Inspect {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Tensors that are listed without `--verbose`, from each end of the file.
const LISTED: usize = 8;

pub fn execute(invocation: Invocation, arguments: &Network) -> Result<ExitCode> {
    match arguments {
        Network::List { json: true } => output::print_json(&network_list())?,
        Network::List { json: false } => output::print(&list())?,
        Network::Inspect { file, json } => {
            if !file.exists() {
                return Err(Refusal::new(format!("no file `{}`", figures::path(file)))
                    .hint("name a checkpoint: .safetensors, or what `torch.save` wrote")
                    .into());
            }
            let whole = invocation.verbosity == crate::progress::console::Verbosity::Verbose;
            let tools = sibling::tools(invocation.tools)?;
            let inspection = (tools.inspect)(file)?;
            if *json {
                output::print_json(&inspection)?;
            } else {
                output::print(&inspected(file, &inspection, whole)?)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line a network.
fn list() -> String {
    let mut rows = vec![
        [
            "network",
            "pixels",
            "features",
            "parameters",
            "multiply-adds",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for listed in network_list() {
        rows.push(vec![
            listed.name.to_owned(),
            listed.size.to_string(),
            listed.features.to_string(),
            figures::count(listed.parameters),
            figures::count(listed.multiply_adds),
        ]);
    }
    figures::table(
        &[
            Side::Left,
            Side::Right,
            Side::Right,
            Side::Right,
            Side::Right,
        ],
        &rows,
    )
}

/// As under `network:` in a pipeline, the name first and without what is so by default.
pub fn network(architecture: &Architecture) -> Result<String> {
    let mut value = serde_json::to_value(architecture)?;
    let Some(entries) = value.as_object_mut() else {
        return Ok(yaml_flow(&value));
    };
    if architecture.width == 1.0 {
        entries.remove("width");
    }
    let name = entries.remove("name");
    let rest = yaml_flow(&value);
    Ok(match name {
        None => rest,
        Some(name) if rest == "{}" => format!("{{name: {}}}", yaml_flow(&name)),
        Some(name) => rest.replacen('{', &format!("{{name: {}, ", yaml_flow(&name)), 1),
    })
}

/// Names, not all of many.
fn some(names: &[String], whole: bool) -> String {
    match names.len().saturating_sub(LISTED) {
        more if more > 0 && !whole => {
            let named = names[..LISTED].join(", ");
            format!("{named} and {more} more: `--verbose` lists them")
        }
        _ => names.join(", "),
    }
}

fn inspected(file: &Path, inspection: &Inspection, whole: bool) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{}: {}, {} tensors, {} numbers",
        figures::path(file),
        inspection.format,
        inspection.tensors.len(),
        figures::count(inspection.numbers)
    )?;
    for guess in &inspection.guesses {
        writeln!(text, "network: {}", network(&guess.network)?)?;
        // By way of text, in which an f32 is as short as it was written.
        let preprocessing = serde_json::to_string(&guess.preprocessing)?;
        let preprocessing = serde_json::from_str(&preprocessing)?;
        writeln!(text, "preprocessing: {}", yaml_flow(&preprocessing))?;
        writeln!(text, "  layout       {}", guess.layout)?;
        writeln!(text, "  parameters   {}", figures::count(guess.parameters))?;
        if !guess.others.is_empty() {
            let others = guess.others.join("`, `");
            writeln!(text, "  also under   `{others}`: `prefix` takes it")?;
        }
        if !guess.leftovers.is_empty() {
            writeln!(text, "  not used     {}", some(&guess.leftovers, whole))?;
        }
    }
    if let Some(nearest) = &inspection.nearest {
        writeln!(
            text,
            "no network that is known; nearest is `{}`, of whose {} tensors {} are missing or of another shape",
            nearest.network, nearest.of, nearest.unmatched
        )?;
    } else if inspection.guesses.is_empty() {
        writeln!(text, "no network that is known")?;
    }
    let sick = inspection.tensors.iter().filter(|tensor| !tensor.finite);
    let sick: Vec<&str> = sick.map(|tensor| tensor.name.as_str()).collect();
    if let [first, rest @ ..] = &sick[..] {
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        writeln!(
            text,
            "not finite: `{first}`{more}: NaN or infinity, which no command takes"
        )?;
    }
    writeln!(text, "tensors")?;
    let count = inspection.tensors.len();
    for (index, tensor) in inspection.tensors.iter().enumerate() {
        if !whole && count > 2 * LISTED && index >= LISTED && index < count - LISTED {
            if index == LISTED {
                writeln!(
                    text,
                    "  … {} more: `--verbose` lists them",
                    count - 2 * LISTED
                )?;
            }
            continue;
        }
        writeln!(
            text,
            "  {} {} {:?}",
            tensor.name, tensor.dtype, tensor.shape
        )?;
    }
    Ok(text)
}
