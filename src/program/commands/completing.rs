//! What a shell is offered for a value: stages and params of the pipeline that is meant, networks,
//! devices. Options whose values are a few words say these themselves.
//!
//! A shell asks the program itself each time, so it knows the pipeline as it is now.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use clap_complete::engine::ValueCompleter;
use clap_complete::{ArgValueCompleter, CompletionCandidate, PathCompleter};
use seedpipe_engine::{Project, StageNode};
use seedpipe_stages::network_list::network_list;
use serde_json::Value;

use crate::project::pipeline_file;

/// The same command line, whose arguments know what may be written, by what they are called in the
/// help.
pub fn with_completions(command: Command) -> Command {
    command
        .mut_args(completed)
        .mut_subcommands(with_completions)
}

fn completed(argument: Arg) -> Arg {
    let called = argument.get_value_names().and_then(<[_]>::first);
    let completer = match called.map(|name| name.as_str()) {
        Some("STAGE") => ArgValueCompleter::new(stages),
        Some("STAGE|FILE" | "FILE.parquet|STAGE") => ArgValueCompleter::new(stages_and_files),
        Some("STAGE.KEY=VALUE") => ArgValueCompleter::new(params),
        Some("NETWORK") => ArgValueCompleter::new(networks),
        Some("DEVICE") => ArgValueCompleter::new(devices),
        _ => return argument,
    };
    argument.add(completer)
}

/// Candidates that go on where the word ends.
fn beginning(
    word: &OsStr,
    candidates: impl IntoIterator<Item = String>,
) -> Vec<CompletionCandidate> {
    let word = word.to_string_lossy();
    let candidates = candidates.into_iter();
    let meant = candidates.filter(|candidate| candidate.starts_with(&*word));
    meant.map(CompletionCandidate::new).collect()
}

/// The pipeline that the command line names, or the one here; none when it can't be read.
fn project() -> Option<Project> {
    let mut words = std::env::args_os().skip_while(|word| word != "--pipeline");
    let named = words.nth(1).map(PathBuf::from);
    let path = pipeline_file::find(named.as_deref().map(Path::new)).ok()?;
    Project::open(&path, &seedpipe_stages::light_registry(), &[]).ok()
}

/// Of a matrix, the stage's own name and each combination's.
fn stages(word: &OsStr) -> Vec<CompletionCandidate> {
    let project = project();
    let stages = project.iter().flat_map(Project::stages);
    let mut names: Vec<String> = stages
        .flat_map(|stage| [stage.base.clone(), stage.name.clone()])
        .collect();
    names.dedup();
    names.sort();
    names.dedup();
    beginning(word, names)
}

fn stages_and_files(word: &OsStr) -> Vec<CompletionCandidate> {
    let mut candidates = stages(word);
    candidates.extend(PathCompleter::file().complete(word));
    candidates
}

fn networks(word: &OsStr) -> Vec<CompletionCandidate> {
    beginning(
        word,
        network_list()
            .into_iter()
            .map(|known| known.name.to_owned()),
    )
}

fn devices(word: &OsStr) -> Vec<CompletionCandidate> {
    beginning(word, ["auto", "cpu", "cuda"].map(str::to_owned))
}

/// `student.training.epochs=`, and behind the sign the value that it has now.
fn params(word: &OsStr) -> Vec<CompletionCandidate> {
    let project = project();
    let stages = project.iter().flat_map(Project::stages);
    let mut found = Vec::new();
    for stage in stages {
        let StageNode { base, params, .. } = stage;
        leaves(base, params, &mut found);
    }
    found.sort();
    found.dedup();
    let has_value = word.to_string_lossy().contains('=');
    let candidates = found.into_iter().map(|(key, value)| match has_value {
        true => format!("{key}={value}"),
        false => format!("{key}="),
    });
    beginning(word, candidates)
}

/// Every single value below `key`, with its path.
fn leaves(key: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) => {
            for (inner, value) in entries {
                leaves(&format!("{key}.{inner}"), value, found);
            }
        }
        Value::Null => found.push((key.to_owned(), String::new())),
        Value::String(text) => found.push((key.to_owned(), text.clone())),
        other => found.push((key.to_owned(), other.to_string())),
    }
}
