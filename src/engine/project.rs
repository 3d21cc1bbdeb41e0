//! A checked pipeline: every kind known, every input connected to an output that it accepts, every value possible, no
//! cycle. Opening one touches no cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::checker::Checker;
use crate::durable::folder_of;
use crate::overrides::{self, Override};
use crate::pipeline_error::PipelineError;
use crate::plan;
use crate::registry::{Kind, Registry};
use crate::remote_spec::{self, RemoteSpec};
use crate::spec;
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
    remote: Option<RemoteSpec>,
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
            remote: spec.remote.or_else(remote_spec::of_environment),
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

    /// `remote:`, else SEEDPIPE_REMOTE.
    pub fn remote(&self) -> Option<&RemoteSpec> {
        self.remote.as_ref()
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
