//! A checked pipeline: every kind known, every input connected to an output that it accepts, every value possible, no
//! cycle. Opening one touches no cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::durable::folder_of;
use crate::overrides::{self, Override};
use crate::parameters::ParameterError;
use crate::pipeline_error::PipelineError;
use crate::plan;
use crate::registry::{Kind, Registry};
use crate::spec::{self, Spec, StageSpec};
use crate::stage::{Arity, InputKinds, InputSlot};
use crate::suggestion;

/// A checked pipeline.
#[derive(Debug, Clone)]
pub struct Project {
    path: PathBuf,
    folder: PathBuf,
    cache: PathBuf,
    device: String,
    seed: u64,
    stages: Vec<StageNode>,
    order: Vec<usize>,
    overridden: bool,
}

/// A stage that passed the checks.
#[derive(Debug, Clone)]
pub struct StageNode {
    pub name: String,
    pub kind: String,
    pub seed: u64,
    /// The whole parameter block, defaults filled in.
    pub params: Value,
    /// Slot → what is connected, in file order; slots with nothing connected are absent.
    pub inputs: BTreeMap<String, Vec<Connection>>,
    /// Outside files or folders as written, relative to the pipeline's folder.
    pub sources: Vec<PathBuf>,
    /// Indices of the stages that are connected, in order of slots; may repeat.
    pub(crate) needs: Vec<usize>,
}

/// An output that is connected to an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub stage: String,
    pub output: String,
    /// The artifact kind.
    pub kind: String,
    pub(crate) index: usize,
}

impl Project {
    /// Reads pipeline.yaml, applies `--set` (`stage.key=value`, `stage.nested.key=value`, `seed=3`, and `stage.seed=3`
    /// where the kind has no such param) and checks everything that can be checked before anything runs.
    pub fn open(path: &Path, registry: &Registry, overrides: &[String]) -> Result<Project> {
        let place = path.display().to_string();
        let text = read_text(path, &place)?;
        let mut document = spec::parse(&place, &text)?;
        let overrides: Vec<Override> = overrides
            .iter()
            .map(|argument| overrides::parse(argument))
            .collect::<Result<_, _>>()?;
        for change in &overrides {
            overrides::apply(&mut document, change, |kind, key| {
                has_param(registry, kind, key)
            })?;
        }
        let spec = spec::read(&place, &document)?;
        let checker = Checker {
            place: &place,
            registry,
            overrides: &overrides,
            spec: &spec,
        };
        let stages = checker.stages()?;
        let needs: Vec<Vec<usize>> = stages.iter().map(|stage| stage.needs.clone()).collect();
        let order = plan::order(&needs).map_err(|cycle| cycle_error(&place, &stages, &cycle))?;
        let folder = folder_of(path).to_owned();
        let cache = match (&spec.cache, std::env::var_os("SEEDPIPE_CACHE")) {
            (Some(cache), _) => folder.join(cache),
            (None, Some(cache)) if !cache.is_empty() => PathBuf::from(cache),
            _ => folder.join(".seedpipe"),
        };
        Ok(Project {
            path: path.to_owned(),
            folder,
            cache,
            device: spec.device.unwrap_or_else(|| "auto".to_owned()),
            seed: spec.seed,
            stages,
            order,
            overridden: !overrides.is_empty(),
        })
    }

    /// pipeline.yaml, as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that holds pipeline.yaml; sources are relative to it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `cache:`, else SEEDPIPE_CACHE, else `.seedpipe` beside pipeline.yaml.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// `auto`, `cpu` or `cuda:N`.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The seed of stages that have none of their own.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All stages, in file order.
    pub fn stages(&self) -> &[StageNode] {
        &self.stages
    }

    /// The stage of that name, or the message that names the nearest one.
    pub fn stage(&self, name: &str) -> Result<&StageNode> {
        Ok(&self.stages[self.index(name)?])
    }

    pub(crate) fn index(&self, name: &str) -> Result<usize, PipelineError> {
        self.stages
            .iter()
            .position(|stage| stage.name == name)
            .ok_or_else(|| {
                let names: Vec<&str> = self
                    .stages
                    .iter()
                    .map(|stage| stage.name.as_str())
                    .collect();
                let message =
                    format!("expected the name of a stage, got `{name}`, which is unknown");
                PipelineError::new(self.path.display().to_string(), message)
                    .hint(suggestion::hint_for(name, "stages", &names))
            })
    }

    /// Indices of all stages, every stage after what it needs.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    pub(crate) fn needs(&self) -> Vec<Vec<usize>> {
        self.stages
            .iter()
            .map(|stage| stage.needs.clone())
            .collect()
    }

    /// Whether `--set` changed anything.
    pub(crate) fn overridden(&self) -> bool {
        self.overridden
    }
}

fn read_text(path: &Path, place: &str) -> Result<String> {
    match fs_err::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| {
            PipelineError::new(place, "expected UTF-8 text, got other bytes")
                .hint("name a pipeline.yaml")
                .into()
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(PipelineError::new(
            place,
            "expected a pipeline, got no such file",
        )
        .hint("go to the folder that holds pipeline.yaml, or name the file")
        .into()),
        Err(error) => Err(error).with_context(|| format!("{place}: cannot be read")),
    }
}

fn has_param(registry: &Registry, kind: &str, key: &str) -> bool {
    let schema = registry.kind(kind).map(Kind::schema);
    schema.is_some_and(|schema| schema["properties"].get(key).is_some())
}

fn cycle_error(place: &str, stages: &[StageNode], cycle: &[usize]) -> PipelineError {
    let names: Vec<String> = cycle
        .iter()
        .chain(cycle.first())
        .map(|&index| format!("`{}`", stages[index].name))
        .collect();
    PipelineError::new(
        place,
        format!(
            "expected stages without a cycle, got one: {}",
            names.join(" needs ")
        ),
    )
    .stage(&stages[cycle[0]].name)
    .key("inputs")
    .hint("remove one of these inputs")
}

/// Checks the stages of a spec against the kinds.
struct Checker<'a> {
    place: &'a str,
    registry: &'a Registry,
    overrides: &'a [Override],
    spec: &'a Spec,
}

impl Checker<'_> {
    fn stages(&self) -> Result<Vec<StageNode>, PipelineError> {
        for stage in &self.spec.stages {
            self.registry
                .expect_kind(self.place, &stage.name, &stage.kind)?;
        }
        self.spec
            .stages
            .iter()
            .map(|stage| self.stage(stage))
            .collect()
    }

    fn stage(&self, stage: &StageSpec) -> Result<StageNode, PipelineError> {
        let kind = self.registry.known(&stage.kind);
        let inputs = self.inputs(stage, kind)?;
        let kinds = InputKinds::new(inputs.iter().map(|(slot, connections)| {
            let kinds = connections.iter().map(|connection| connection.kind.clone());
            (slot.clone(), kinds.collect())
        }));
        let checked = kind
            .check(stage.params.clone(), &kinds)
            .map_err(|error| self.parameter_error(stage, error))?;
        Ok(StageNode {
            name: stage.name.clone(),
            kind: stage.kind.clone(),
            seed: stage.seed.unwrap_or(self.spec.seed),
            params: checked.params,
            sources: checked.sources,
            needs: inputs
                .values()
                .flatten()
                .map(|connection| connection.index)
                .collect(),
            inputs,
        })
    }

    fn error(&self, stage: &StageSpec, key: String, message: String) -> PipelineError {
        PipelineError::new(self.place, message)
            .stage(&stage.name)
            .key(key)
    }

    fn inputs(
        &self,
        stage: &StageSpec,
        kind: &Kind,
    ) -> Result<BTreeMap<String, Vec<Connection>>, PipelineError> {
        let slots: Vec<&str> = kind.inputs().iter().map(|slot| slot.name).collect();
        let mut connected = BTreeMap::new();
        for (name, references) in &stage.inputs {
            let Some(slot) = kind.inputs().iter().find(|slot| slot.name == name) else {
                let message = format!("unknown input of kind `{}`", kind.name());
                return Err(self
                    .error(stage, format!("inputs.{name}"), message)
                    .hint(suggestion::hint_for(name, "inputs", &slots)));
            };
            if slot.arity != Arity::Many && references.len() > 1 {
                let message = format!("expected one stage, got {}", references.len());
                return Err(self
                    .error(stage, format!("inputs.{name}"), message)
                    .hint("name the one to use"));
            }
            let connections = references
                .iter()
                .map(|reference| self.connection(stage, slot, reference));
            let connections = connections.collect::<Result<Vec<_>, _>>()?;
            if !connections.is_empty() {
                connected.insert(name.clone(), connections);
            }
        }
        let missing = kind
            .inputs()
            .iter()
            .find(|slot| slot.arity != Arity::Optional && !connected.contains_key(slot.name));
        match missing {
            None => Ok(connected),
            Some(slot) => {
                let message = format!("missing input, expected {}", suggestion::list(slot.accepts));
                let hint = format!(
                    "add `{}: STAGE` under `inputs:`{}",
                    slot.name,
                    self.givers(stage, slot)
                );
                Err(self
                    .error(stage, format!("inputs.{}", slot.name), message)
                    .hint(hint))
            }
        }
    }

    /// "; `a`, `b` would do": stages with an output that the slot accepts.
    fn givers(&self, stage: &StageSpec, slot: &InputSlot) -> String {
        let others = self
            .spec
            .stages
            .iter()
            .filter(|other| other.name != stage.name);
        let fitting = others.filter(|other| {
            let outputs = self.registry.known(&other.kind).outputs();
            outputs
                .iter()
                .any(|output| slot.accepts.contains(&output.kind))
        });
        let names: Vec<&str> = fitting.map(|other| other.name.as_str()).take(5).collect();
        if names.is_empty() {
            String::new()
        } else {
            format!("; {} would do", suggestion::list(&names))
        }
    }

    fn connection(
        &self,
        stage: &StageSpec,
        slot: &InputSlot,
        reference: &str,
    ) -> Result<Connection, PipelineError> {
        let error = |message: String| self.error(stage, format!("inputs.{}", slot.name), message);
        let (name, output) = match reference.split_once('.') {
            Some((name, output)) => (name, Some(output)),
            None => (reference, None),
        };
        let Some(index) = self.spec.stages.iter().position(|other| other.name == name) else {
            let names: Vec<&str> = self
                .spec
                .stages
                .iter()
                .map(|other| other.name.as_str())
                .collect();
            return Err(error(format!(
                "expected the name of a stage, got `{name}`, which is unknown"
            ))
            .hint(suggestion::hint_for(name, "stages", &names)));
        };
        let outputs = self.registry.known(&self.spec.stages[index].kind).outputs();
        let found = match output {
            Some(output) => outputs
                .iter()
                .find(|known| known.name == output)
                .ok_or_else(|| {
                    let names: Vec<&str> = outputs.iter().map(|known| known.name).collect();
                    error(format!(
                        "expected an output of `{name}`, got `{output}`, which it doesn't have"
                    ))
                    .hint(suggestion::hint_for(output, "outputs", &names))
                })?,
            None => {
                let accepted = outputs
                    .iter()
                    .filter(|known| slot.accepts.contains(&known.kind));
                let accepted: Vec<_> = accepted.collect();
                match accepted.as_slice() {
                    [one] => one,
                    [] => outputs.first().ok_or_else(|| {
                        error(format!(
                            "expected {}, and `{name}` has no output",
                            suggestion::list(slot.accepts)
                        ))
                        .hint("connect another stage")
                    })?,
                    several => {
                        let names: Vec<String> = several
                            .iter()
                            .map(|known| format!("{name}.{}", known.name))
                            .collect();
                        return Err(error(format!(
                            "expected one output, and `{name}` has several that fit"
                        ))
                        .hint(format!("write one of {}", suggestion::list(&names))));
                    }
                }
            }
        };
        if !slot.accepts.contains(&found.kind) {
            let others = self.givers(stage, slot);
            let hint = match others.strip_prefix("; ") {
                Some(others) => others.to_owned(),
                None => format!(
                    "put a stage that gives {} between `{name}` and `{}`",
                    suggestion::list(slot.accepts),
                    stage.name
                ),
            };
            let message = format!(
                "holds `{}`, expected {}",
                found.kind,
                suggestion::list(slot.accepts)
            );
            return Err(error(message).hint(hint));
        }
        Ok(Connection {
            stage: name.to_owned(),
            output: found.name.to_owned(),
            kind: found.kind.to_owned(),
            index,
        })
    }

    /// The message of a refused param, naming `--set` where that is what set it.
    fn parameter_error(&self, stage: &StageSpec, error: ParameterError) -> PipelineError {
        let (key, message, hint) = match error {
            ParameterError::Unknown { key, hint } => (
                key,
                format!("unknown key of kind `{}`", stage.kind),
                Some(hint),
            ),
            ParameterError::Missing { key } => {
                let hint = format!("add `{key}:` under `params:`");
                (key, "missing key".to_owned(), Some(hint))
            }
            ParameterError::Wrong { key, message, hint } => (
                key,
                message,
                hint.or_else(|| Some("see the kind's documentation for its values".to_owned())),
            ),
            ParameterError::Invalid(invalid) => {
                let message = format!("expected {}, got {}", invalid.expected, invalid.got);
                (invalid.key, message, Some(invalid.hint))
            }
        };
        let culprit = self
            .overrides
            .iter()
            .rev()
            .find(|change| change.sets(&stage.name, &key));
        let place = culprit.map_or_else(|| self.place.to_owned(), Override::place);
        let key = if key.is_empty() {
            "params".to_owned()
        } else {
            format!("params.{key}")
        };
        let mut error = PipelineError::new(place, message)
            .stage(&stage.name)
            .key(key);
        error.hint = hint.filter(|hint| !hint.is_empty());
        error
    }
}
