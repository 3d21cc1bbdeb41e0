//! Why a stage will run, or is still good: what differs from its last run, field by field, and
//! which stages above it caused that, as a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Result;
use seedpipe_base::{hinted, neutral, text};
use serde::Serialize;
use serde_json::Value;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::processes::history::LastRun;
use crate::cache::recipe::{Change, Recipe, differences, flatten, without};
use crate::cache::source::FileChange;
use crate::pipeline::plan;
use crate::pipeline::project::StageNode;
use crate::run::engine::Engine;
use crate::run::resolve::Resolved;
use crate::run::status::StageState;

/// Changed files that people are shown; `--json` has all.
const FILES_SHOWN: usize = 20;

/// Why a stage is as it is.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    pub stage: String,
    pub kind: String,
    pub state: StageState,
    /// Known when everything above it has run.
    pub fingerprint: Option<Digest>,
    pub content: Option<Digest>,
    pub reasons: Vec<String>,
    /// What differs from the last run of the stage of that name.
    pub changes: Vec<Change>,
    /// Files of folder sources that changed, where it is known which files there were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileChange>,
    /// The stages directly above it that changed.
    pub causes: Vec<Explanation>,
    /// The lock that it is held against; `None`: the last run here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, 0)
    }
}

impl Explanation {
    fn write(&self, formatter: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let indent = "  ".repeat(depth);
        write!(
            formatter,
            "{indent}{} ({}): {}",
            self.stage, self.kind, self.state
        )?;
        for reason in &self.reasons {
            write!(
                formatter,
                "\n{indent}  {}",
                reason.replace('\n', &format!("\n{indent}  "))
            )?;
        }
        for change in &self.changes {
            write!(formatter, "\n{indent}  {change}")?;
        }
        for file in self.files.iter().take(FILES_SHOWN) {
            let (source, name, how) = (&file.source, &file.file, file.how.as_str());
            let line = format!("sources.{source}: `{name}` {how}");
            write!(formatter, "\n{indent}  {}", neutral::line(&line))?;
        }
        if let Some(more @ 1..) = self.files.len().checked_sub(FILES_SHOWN) {
            write!(formatter, "\n{indent}  and {more} more files")?;
        }
        for cause in &self.causes {
            write!(formatter, "\n{indent}  because of")?;
            writeln!(formatter)?;
            cause.write(formatter, depth + 2)?;
        }
        Ok(())
    }
}

/// What an explanation is made from.
pub(crate) struct Facts {
    pub resolved: BTreeMap<usize, Resolved>,
    pub states: BTreeMap<usize, StageState>,
}

impl Engine {
    /// Explains a stage against its last run.
    pub fn explain(&self, stage: &str) -> Result<Explanation> {
        let index = self.project.index(stage)?;
        let facts = self.facts(index)?;
        Ok(self.explanation(&facts, index, &mut BTreeSet::new()))
    }

    /// What is known of a stage and all that it needs.
    pub(crate) fn facts(&self, index: usize) -> Result<Facts> {
        let wanted = plan::wanted(&self.project.needs(), [index]);
        let resolved = self.resolve(&wanted)?;
        let states = self.states(&wanted, &resolved, |_| false);
        Ok(Facts { resolved, states })
    }

    fn explanation(&self, facts: &Facts, index: usize, told: &mut BTreeSet<usize>) -> Explanation {
        let node = &self.project.stages()[index];
        let resolved = &facts.resolved[&index];
        let state = &facts.states[&index];
        let last = self.history.last(&node.name);
        let mut explanation = Explanation {
            stage: node.name.clone(),
            kind: node.kind.clone(),
            state: state.clone(),
            fingerprint: resolved.fingerprint,
            content: resolved
                .found
                .artifact
                .as_ref()
                .map(|artifact| artifact.content),
            reasons: Vec::new(),
            changes: Vec::new(),
            files: Vec::new(),
            causes: Vec::new(),
            against: None,
        };
        if !told.insert(index) {
            explanation.reasons.push("explained above".to_owned());
            return explanation;
        }
        explanation.changes = last
            .as_ref()
            .map_or_else(Vec::new, |last| self.changes(node, resolved, last));
        explanation.reasons =
            self.explained_reasons(node, resolved, state, last.as_ref(), &explanation.changes);
        explanation.files = self.file_changes(&explanation.changes);
        for cause in self.causes(facts, node, last.as_ref()) {
            explanation
                .causes
                .push(self.explanation(facts, cause, told));
        }
        explanation
    }

    /// What differs from the last run, as far as it is known before the stages above have run.
    fn changes(&self, node: &StageNode, resolved: &Resolved, last: &LastRun) -> Vec<Change> {
        let recipe = match &resolved.recipe {
            Some(recipe) => recipe.clone(),
            // What waits for a stage above counts as unchanged here; that stage is named as a
            // cause.
            None => Recipe {
                kind: node.kind.clone(),
                version: self.registry.known(&node.kind).version(),
                seed: node.seed,
                params: without(&node.params, self.registry.known(&node.kind).how()),
                inputs: last.recipe.inputs.clone(),
                sources: match resolved.source_fault {
                    Some(_) => last.recipe.sources.clone(),
                    None => resolved.sources.digests.clone(),
                },
                lineage: last.recipe.lineage.clone(),
            },
        };
        let mut changes = recipe.changes_since(&last.recipe);
        changes.extend(connection_changes(node, last));
        changes
    }

    /// Which files of folder sources make the changed digests.
    pub(crate) fn file_changes(&self, changes: &[Change]) -> Vec<FileChange> {
        let digest = |value: &Option<Value>| value.as_ref()?.as_str()?.parse::<Digest>().ok();
        let sources = changes.iter().filter_map(|change| {
            let source = change.field.strip_prefix("sources.")?;
            let records = self.folder_records(source, digest(&change.new)?)?;
            Some(
                self.history
                    .file_changes(source, digest(&change.old)?, &records),
            )
        });
        sources.flatten().collect()
    }

    fn explained_reasons(
        &self,
        node: &StageNode,
        resolved: &Resolved,
        state: &StageState,
        last: Option<&LastRun>,
        changes: &[Change],
    ) -> Vec<String> {
        let mut reasons = Vec::new();
        match (state, last) {
            (_, None) => reasons.push(format!(
                "no run of a stage called `{}` is known here",
                node.name
            )),
            (_, Some(_)) if !changes.is_empty() => {
                reasons.push("its recipe differs from the last run's:".to_owned());
            }
            (StageState::MayRun { .. }, Some(_)) => {
                reasons.push("nothing of its own differs from the last run".to_owned());
            }
            (_, Some(_)) => reasons.push("its recipe is the last run's".to_owned()),
        }
        reasons.extend(resolved.source_fault.clone());
        match (&resolved.found.artifact, state) {
            (Some(artifact), _) => {
                let files = artifact.files().count();
                let class = match artifact.manifest.telemetry.numerics.as_str() {
                    "" => String::new(),
                    class => format!(" in the numerics class `{class}`"),
                };
                let what = format!(
                    "artifact {} of content {}, made {}{class}, is whole: {files} {}, {}",
                    artifact.fingerprint.short(),
                    artifact.content.short(),
                    artifact.manifest.created,
                    if files == 1 { "file" } else { "files" },
                    text::bytes(artifact.bytes())
                );
                reasons.push(what);
                reasons.extend(still_good(resolved, artifact));
                reasons.extend(crate::run::status::contents_warning(
                    artifact,
                    &resolved.found.others,
                ));
            }
            (None, StageState::WillRun)
                if resolved.fingerprint.is_some() && resolved.found.faults.is_empty() =>
            {
                reasons.push("no artifact of its recipe is in the cache".to_owned());
            }
            (None, _) => {}
        }
        reasons.extend(
            resolved
                .found
                .faults
                .iter()
                .map(|fault| format!("damaged: {fault}")),
        );
        // Changes follow the reasons, so the line that announces them comes last.
        if !changes.is_empty() && last.is_some() {
            reasons.rotate_left(1);
        }
        reasons
    }

    /// Stages directly above that are not as they were when this one ran last, or that will or may
    /// run.
    fn causes(&self, facts: &Facts, node: &StageNode, last: Option<&LastRun>) -> Vec<usize> {
        let mut causes = Vec::new();
        for (slot, connections) in &node.inputs {
            for (position, connection) in connections.iter().enumerate() {
                let above = &facts.resolved[&connection.index];
                let is_settled = facts.states[&connection.index] == StageState::Cached;
                let before = last.and_then(|last| last.inputs.get(slot)?.get(position));
                let now = above
                    .found
                    .artifact
                    .as_ref()
                    .map(|artifact| artifact.manifest.outputs[&connection.output].content);
                let is_same = match (before, last) {
                    (Some(before), _) => Some(before.content) == now,
                    (None, Some(_)) => false,
                    (None, None) => true,
                };
                if (!is_settled || !is_same) && !causes.contains(&connection.index) {
                    causes.push(connection.index);
                }
            }
        }
        causes
    }
}

/// What else an artifact's being good rests on: that its manifest holds the recipe, and its
/// sources.
fn still_good(resolved: &Resolved, artifact: &Artifact) -> Vec<String> {
    let changes = match &resolved.recipe {
        Some(recipe) => artifact.manifest.recipe.changes_since(recipe),
        None => Vec::new(),
    };
    if !changes.is_empty() {
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let text = format!(
            "its manifest holds another recipe than its name says: {}",
            changes.join(", ")
        );
        return vec![hinted(
            text,
            "it was changed by hand; see `seedpipe verify`",
        )];
    }
    let sources = resolved.sources.digests.iter();
    sources
        .map(|(path, digest)| {
            let how = match resolved.sources.absent.contains(path) {
                true => "not here, and taken as pipeline.lock records it",
                false => "unchanged since",
            };
            format!("source `{path}` is {how}: {}", digest.short())
        })
        .collect()
}

/// Inputs that are connected to other stages than at the last run.
fn connection_changes(node: &StageNode, last: &LastRun) -> Vec<Change> {
    let name = |stage: &str, output: &str| Value::from(format!("{stage}.{output}"));
    let old = last.inputs.iter().map(|(slot, inputs)| {
        let names: Value = inputs
            .iter()
            .map(|input| name(&input.stage, &input.output))
            .collect();
        (format!("connection of {slot}"), names)
    });
    let new = node.inputs.iter().map(|(slot, inputs)| {
        let names: Value = inputs
            .iter()
            .map(|input| name(&input.stage, &input.output))
            .collect();
        (format!("connection of {slot}"), names)
    });
    let flat = |pairs: serde_json::Map<String, Value>| flatten(&Value::Object(pairs));
    differences(&flat(old.collect()), &flat(new.collect()))
}
