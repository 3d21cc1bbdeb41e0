//! A checked pipeline: every kind known, every input connected to an output that it accepts, every
//! value possible, no cycle. Opening one touches no cache.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use seedpipe_base::{Refusal, Tolerance};
use serde_json::Value;

use crate::base::durable::folder_of;
use crate::base::untrusted;
use crate::base::yaml;
use crate::kind::comparison::{self, Tolerances};
use crate::kind::reference::Reference;
use crate::kind::registry::{Kind, Registry};
use crate::kind::stage::{Connection, Stage};
use crate::pipeline::checker::Checker;
use crate::pipeline::matrix;
use crate::pipeline::overrides::{self, Override};
use crate::pipeline::pipeline_lock;
use crate::pipeline::plan;
use crate::pipeline::remote_spec::{self, RemoteSpec};
use crate::pipeline::spec;
use seedpipe_base::suggestion;

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
    tolerances: Tolerances,
    remote: Option<RemoteSpec>,
}

/// A stage that passed the checks.
#[derive(Debug, Clone)]
pub struct StageNode {
    /// With its combination, if it is one of a matrix: `student[width=2,lr=0.3]`.
    pub name: String,
    /// As in pipeline.yaml: `student`.
    pub base: String,
    /// (label, value) of its matrix, and of those above it.
    pub combination: Vec<(String, String)>,
    pub kind: String,
    pub seed: u64,
    /// The whole parameter block, defaults filled in.
    pub params: Value,
    /// What its networks compute in, where the kind has such a param.
    pub precision: Option<StagePrecision>,
    /// Params that say how to work, not what comes out: no part of the recipe.
    pub(crate) how: &'static [&'static str],
    /// Slot → what is connected, in file order; slots with nothing connected are absent.
    pub inputs: BTreeMap<String, Vec<Connection>>,
    /// Outside files or folders as written, relative to the pipeline's folder.
    pub sources: Vec<PathBuf>,
    /// Indices of the stages that are connected, in order of slots; may repeat.
    pub(crate) needs: Vec<usize>,
}

impl StageNode {
    /// The params, of a stage of the kind `S`.
    pub fn of_kind<S: Stage>(&self) -> Option<S> {
        (self.kind == S::KIND).then(|| {
            serde_json::from_value(self.params.clone())
                .expect("BUG: params that were checked can be read again")
        })
    }
}

/// What a stage's networks compute in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePrecision {
    /// The param, as a dotted path.
    pub param: &'static str,
    /// `f32`, `bf16` or `f16`.
    pub value: String,
    /// The stage doesn't say it: the pipeline's `precision` counts.
    pub is_pipelines: bool,
}

impl Project {
    /// Reads pipeline.yaml, applies `--set` (`stage.key=value`, `stage.nested.key=value`, `seed=3`,
    /// `precision=bf16`, and `stage.seed=3` where the kind has no such param) and checks everything
    /// that can be checked before anything runs.
    pub fn open(path: &Path, registry: &Registry, overrides: &[String]) -> Result<Project> {
        let text = read_text(path, &path.display().to_string())?;
        Ok(Self::parse(path, &text, registry, overrides)?)
    }

    /// As [`Project::open`], of a text that is already read; `path` is where it would lie. Touches
    /// no file.
    pub fn parse(
        path: &Path,
        text: &str,
        registry: &Registry,
        overrides: &[String],
    ) -> Result<Project, Refusal> {
        let place = path.display().to_string();
        let mut document = yaml::parse(&place, text)?;
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
        let tolerances = comparison::read(&place, registry, document.get("verify"))?;
        let spec = matrix::expand(&place, spec, registry, &overrides, |kind, key| {
            has_param(registry, kind, key)
        })?;
        let stages = Checker::new(&place, registry, &overrides, &spec).stages()?;
        let needs: Vec<Vec<usize>> = stages.iter().map(|stage| stage.needs.clone()).collect();
        let order = plan::order(&needs).map_err(|cycle| {
            let names: Vec<&str> = cycle
                .iter()
                .map(|&index| stages[index].name.as_str())
                .collect();
            plan::cycle_error(&place, &names)
        })?;
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
            tolerances,
            remote: spec.remote.or_else(remote_spec::of_environment),
        })
    }

    /// pipeline.yaml, as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// pipeline.lock beside pipeline.yaml, there or not.
    pub fn lock_file(&self) -> PathBuf {
        pipeline_lock::path_for(&self.path)
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

    /// The stages that a name stands for: `student` for all combinations of its matrix,
    /// `student[width=2]` for those of that width.
    pub fn select(&self, name: &str) -> Result<Vec<&StageNode>> {
        let indices = self.indices(name)?.into_iter();
        Ok(indices.map(|index| &self.stages[index]).collect())
    }

    /// The one stage of that name.
    pub(crate) fn index(&self, name: &str) -> Result<usize, Refusal> {
        let found = self.indices(name)?;
        match found.as_slice() {
            [one] => Ok(*one),
            several => {
                let names: Vec<&str> = several
                    .iter()
                    .take(5)
                    .map(|&index| self.stages[index].name.as_str())
                    .collect();
                let message = format!(
                    "expected one stage, got `{name}`, which stands for {}",
                    several.len()
                );
                Err(Refusal::new(message)
                    .place(self.path.display().to_string())
                    .hint(format!(
                        "name one of them, such as {}",
                        suggestion::list(&names)
                    )))
            }
        }
    }

    /// Indices of the stages that a name stands for; never empty.
    pub(crate) fn indices(&self, name: &str) -> Result<Vec<usize>, Refusal> {
        if let Some(index) = self.stages.iter().position(|stage| stage.name == name) {
            return Ok(vec![index]);
        }
        let reference = Reference::parse(name);
        let all = self.stages.iter().enumerate();
        let meant = all.filter(|(_, stage)| {
            reference.output.is_none() && reference.means(&stage.base, &stage.combination)
        });
        let meant: Vec<usize> = meant.map(|(index, _)| index).collect();
        if !meant.is_empty() {
            return Ok(meant);
        }
        let known = self
            .stages
            .iter()
            .map(|stage| match reference.picks.is_empty() {
                true => stage.base.as_str(),
                false => stage.name.as_str(),
            });
        let mut known: Vec<&str> = known.collect();
        known.dedup();
        let message = format!("expected the name of a stage, got `{name}`, which is unknown");
        Err(Refusal::new(message)
            .place(self.path.display().to_string())
            .hint(suggestion::hint_or_list(name, "stages", &known)))
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

    /// What `verify.tolerance` says of an artifact kind.
    pub fn tolerance(&self, kind: &str) -> Option<Tolerance> {
        self.tolerances.get(comparison::plain_name(kind)).copied()
    }

    /// Whether `--set` changed anything.
    pub(crate) fn overridden(&self) -> bool {
        self.overridden
    }
}

fn read_text(path: &Path, place: &str) -> Result<String> {
    match untrusted::read_named_text(path, yaml::PIPELINE.bytes as u64) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            let message = format!(
                "expected UTF-8 text of at most {} bytes, got something else",
                yaml::PIPELINE.bytes
            );
            Err(Refusal::new(message)
                .place(place)
                .hint("name a pipeline.yaml, and keep data out of it: stages read their sources")
                .into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Refusal::new("expected a pipeline, got no such file")
                .place(place)
                .hint("go to the folder that holds pipeline.yaml, or name the file")
                .into())
        }
        Err(error) => Err(error).with_context(|| format!("{place}: cannot be read")),
    }
}

fn has_param(registry: &Registry, kind: &str, key: &str) -> bool {
    let schema = registry.kind(kind).map(Kind::schema);
    schema.is_some_and(|schema| schema["properties"].get(key).is_some())
}
