//! The engine: a project, the kinds it may run, the store it keeps results in, and who is asked
//! about artifacts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use seedpipe_base::{Refusal, Tolerance};

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::processes::history::History;
use crate::cache::processes::lease::Lease;
use crate::cache::remote::{Remote, SharedRemote};
use crate::cache::store::{Lookup, Store};
use crate::kind::registry::{Kind, Registry};
use crate::kind::stage::Codec;
use crate::pipeline::plan;
use crate::pipeline::project::Project;
use crate::run::executor::Executor;

/// Runs and explains one project.
pub struct Engine {
    pub(crate) project: Project,
    pub(crate) registry: Registry,
    pub(crate) codec: Box<dyn Codec>,
    pub(crate) store: Store,
    pub(crate) history: History,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) numerics: NumericsOf,
    pub(crate) shared_remote: Option<SharedRemote>,
    pub(crate) executor: Option<Box<dyn Executor>>,
    /// Of a run that is being planned.
    lease: Mutex<Option<Lease>>,
    pub(crate) tell: Option<Tell>,
    /// Sources that were told of as not here.
    pub(crate) told: Mutex<BTreeSet<String>>,
}

/// Tells the user something, outside a run as well.
pub type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// A stage is to be run by a program that has no work of its kind. What a plan says may be otherwise
/// when the run comes to it; then nothing is lost, and a program that has the work goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "kind `{kind}`: expected a program that can run it, got one that only plans\nhint: run it with `seedpipe-torch`"
)]
pub struct OnlyPlans {
    pub kind: String,
}

/// The numerics class of a kind's work on a device by name; empty: unknown.
pub type NumericsOf = Box<dyn Fn(&Kind, &str) -> Result<String> + Send + Sync>;

/// What to run, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Names of stages; none: all. A stage brings what it needs.
    pub targets: Vec<String>,
    /// Run the targets even when they are cached.
    pub force: bool,
    /// Run the targets alone, on cached inputs.
    pub only: bool,
    /// Instead of the pipeline's own `device`.
    pub device: Option<String>,
    /// Refuse a plan that is not pipeline.lock's and content that contradicts it; don't write the
    /// lock.
    pub locked: bool,
}

impl Engine {
    /// Creates nothing on disk.
    pub fn new(project: Project, registry: Registry, codec: Box<dyn Codec>) -> Result<Engine> {
        let store = Store::new(project.cache());
        let history = History::new(&store, project.path())?;
        let versions =
            BTreeMap::from([("seedpipe".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
        Ok(Engine {
            project,
            registry,
            codec,
            store,
            history,
            versions,
            numerics: Box::new(|_, _| Ok(String::new())),
            shared_remote: None,
            executor: None,
            lease: Mutex::new(None),
            tell: None,
            told: Mutex::default(),
        })
    }

    /// From now on what is found in the cache is kept from `gc`, until the next run of this engine
    /// is over: so a run finds what its plan found. Does nothing where there is no cache that can be
    /// written.
    pub fn hold(&self) {
        let has_cache = self.store.locks().exists();
        *self.held() = has_cache.then(|| Lease::begin(&self.store).ok()).flatten();
    }

    fn held(&self) -> MutexGuard<'_, Option<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run's lease: the one that it was planned under, if it was.
    pub(crate) fn begin_lease(&self) -> Result<Lease> {
        match self.held().take() {
            Some(lease) => Ok(lease),
            None => Lease::begin(&self.store).map_err(|error| self.store.unwritable(&error)),
        }
    }

    /// What the store has, kept from `gc` when a run is being planned.
    pub(crate) fn look(&self, fingerprint: Digest) -> Result<Lookup> {
        let look = || Ok(self.store.find(fingerprint)?);
        match &*self.held() {
            Some(lease) => lease.use_while(fingerprint, look),
            None => look(),
        }
    }

    /// How to learn the numerics class of a kind's work: the engine knows neither processors nor
    /// tensors.
    #[must_use]
    pub fn with_numerics(mut self, numerics: NumericsOf) -> Engine {
        self.numerics = numerics;
        self
    }

    /// Versions that manifests tell as telemetry, beside seedpipe's own.
    #[must_use]
    pub fn with_versions(mut self, versions: BTreeMap<String, String>) -> Engine {
        self.versions.extend(versions);
        self
    }

    /// What is to be told of sources that are not here, once each.
    #[must_use]
    pub fn with_tell(mut self, tell: Tell) -> Engine {
        self.tell = Some(tell);
        self
    }

    /// A remote that a run looks into before it executes a stage.
    ///
    /// - `write_back`: whether a run pushes what it executed
    #[must_use]
    pub fn with_remote(mut self, remote: Box<dyn Remote>, write_back: bool) -> Engine {
        self.shared_remote = Some(SharedRemote::new(remote, write_back));
        self
    }

    /// Who works on the stages of a run instead of this process, several of them at once.
    #[must_use]
    pub fn with_executor(mut self, executor: Box<dyn Executor>) -> Engine {
        self.executor = Some(executor);
        self
    }

    /// Works as if no remote were named.
    #[must_use]
    pub fn without_remote(mut self) -> Engine {
        self.shared_remote = None;
        self
    }

    pub fn has_remote(&self) -> bool {
        self.shared_remote.is_some()
    }

    /// What another process must know to go on with this run: what was fetched for it, and whether
    /// the remote failed.
    pub fn handover(&self) -> String {
        self.shared_remote
            .as_ref()
            .map_or_else(String::new, SharedRemote::handover)
    }

    /// Goes on with a run that another process began.
    pub fn take_over(&self, handover: &str) {
        if let Some(shared) = &self.shared_remote {
            shared.take_over(handover);
        }
    }

    pub(crate) fn expect_remote(&self) -> Result<&SharedRemote, Refusal> {
        self.shared_remote.as_ref().ok_or_else(|| {
            Refusal::new("expected a remote, got none").place(self.place())
                .key("remote")
                .hint("add `remote: s3://bucket/prefix` (or a folder, gs://, az://, https://), set SEEDPIPE_REMOTE, or name it with `--remote URL`")
        })
    }

    /// What may differ between numerics classes in an output of this kind.
    pub(crate) fn tolerance(&self, kind: &str) -> Tolerance {
        let declared = self.project.tolerance(kind);
        declared.unwrap_or_else(|| self.codec.tolerance(kind))
    }

    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The kinds that the project was checked by.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The current artifact of a stage; `None` when it, or something that it needs, is not in the
    /// cache.
    pub fn find(&self, stage: &str) -> Result<Option<Artifact>> {
        let index = self.project.index(stage)?;
        let mut resolved = self.resolve(&plan::wanted(&self.project.needs(), [index]))?;
        Ok(resolved
            .remove(&index)
            .and_then(|stage| stage.found.artifact))
    }

    /// The place that messages name: pipeline.yaml as given.
    pub(crate) fn place(&self) -> String {
        self.project.path().display().to_string()
    }

    /// Indices of the named stages, of all when none is named.
    pub(crate) fn targets(&self, options: &RunOptions) -> Result<BTreeSet<usize>, Refusal> {
        if options.targets.is_empty() {
            if options.only {
                return Err(Refusal::new("expected a stage with `--only`, got none")
                    .place(self.place())
                    .hint("name the stages that are to run alone"));
            }
            return Ok((0..self.project.stages().len()).collect());
        }
        let targets = options.targets.iter();
        let indices = targets.map(|name| self.project.indices(name));
        Ok(indices
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// All that the stage needs, directly or not, in the order of the plan.
    pub(crate) fn ancestors(&self, index: usize) -> Vec<usize> {
        let needs = self.project.needs();
        let mut wanted = plan::wanted(&needs, [index]);
        wanted.remove(&index);
        self.in_order(&wanted)
    }

    /// These stages in the order of the plan.
    pub(crate) fn in_order(&self, stages: &BTreeSet<usize>) -> Vec<usize> {
        self.project
            .order()
            .iter()
            .copied()
            .filter(|index| stages.contains(index))
            .collect()
    }
}
