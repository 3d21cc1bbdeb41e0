//! One of several processes that fill a draft. It takes the recipe from there, takes no lock that
//! another waits for, and digests no source: whoever opened the draft did, and publishes what comes
//! of it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use seedpipe_base::Refusal;

use crate::base::digest::Digest;
use crate::cache::draft::{About, Draft};
use crate::cache::processes::lease::Lease;
use crate::cache::store::Store;
use crate::kind::context::{SampledRows, StageContext, State};
use crate::kind::earlier::Search;
use crate::kind::job::{Job, check_inputs};
use crate::kind::observer::Observer;
use crate::kind::registry::{Kind, Registry};
use crate::kind::share::Share;
use crate::run::engine::NumericsOf;
use crate::run::execute::with_remedy;

/// Works on drafts of one cache.
pub struct Worker {
    store: Store,
    registry: Registry,
    numerics: NumericsOf,
}

/// A draft that this worker may join.
struct Found {
    folder: PathBuf,
    about: About,
    job: Job,
}

impl Worker {
    /// - `numerics`: as of [`Engine::with_numerics`](crate::Engine::with_numerics)
    pub fn new(cache: &Path, registry: Registry, numerics: NumericsOf) -> Worker {
        Worker {
            store: Store::new(cache),
            registry,
            numerics,
        }
    }

    /// Does a share of the work on the draft of a fingerprint. What is finished by then, or by
    /// another worker meanwhile, is left out.
    ///
    /// # Errors
    /// When there is no draft that this machine may work on, or the work fails.
    pub fn work(&self, fingerprint: Digest, share: Share, observer: &dyn Observer) -> Result<()> {
        self.work_on(fingerprint, share, observer)
            .map_err(with_remedy)
    }

    fn work_on(&self, fingerprint: Digest, share: Share, observer: &dyn Observer) -> Result<()> {
        let Found { folder, about, job } = self.find(fingerprint)?;
        let kind = self.kind_of(&about)?;
        let work = self.registry.work(kind.name()).with_context(|| {
            format!(
                "kind `{}`: expected a program that can do its work, got one that only plans",
                kind.name()
            )
        })?;
        let lease = Lease::begin(&self.store)?;
        let inputs = job.inputs.values().flatten().map(|input| input.fingerprint);
        for used in inputs.chain([fingerprint]) {
            lease.use_while(used, || Ok(()))?;
        }
        let inputs = job.inputs(&self.store)?;
        check_inputs(&inputs, &about.recipe.inputs)?;
        let slots: Vec<&str> = kind.outputs().iter().map(|slot| slot.name).collect();
        let draft = Draft::join(&folder, &about.numerics, &slots)?;
        let context = StageContext {
            stage: &about.stage,
            kind,
            seed: about.recipe.seed,
            device: &job.device,
            folder: &job.folder,
            inputs,
            lineage: Vec::new(),
            checkpoints: draft.checkpoints(),
            content: draft.writing(),
            observer,
            sample: None,
            nudged: false,
            search: job.may_reuse.then_some(Search {
                store: self.store.clone(),
                lease: &lease,
                recipe: &about.recipe,
                numerics: about.numerics.clone(),
            }),
            share,
            state: Mutex::new(State {
                draft,
                sharded: false,
                sampled: SampledRows::new(),
            }),
        };
        let (worked, State { draft, .. }) = context.perform(work, &job.params);
        draft.leave(share.index(), &worked?)
    }

    /// The draft of this machine's numerics class: what two classes made together would be the
    /// result of neither.
    fn find(&self, fingerprint: Digest) -> Result<Found> {
        let mut others = Vec::new();
        for folder in self.store.drafts_of(fingerprint)? {
            let Some(about) = About::read(&folder) else {
                continue;
            };
            let job = Job::read(&folder)?;
            let class = (self.numerics)(self.kind_of(&about)?, &job.device)?;
            if class == about.numerics {
                return Ok(Found { folder, about, job });
            }
            others.push((class, about.numerics));
        }
        let short = fingerprint.short();
        match others.first() {
            Some((class, other)) => bail!(Refusal::failure(format!(
                "work on {short}: expected a machine of the numerics class `{other}`, got one of `{class}`"
            ))
            .hint("let the run and its workers be on machines of one kind")),
            None => bail!(Refusal::failure(format!(
                "work on {short}: expected a run that has begun it, got no unfinished work in the cache"
            ))
            .hint("it may be finished by now; only a run starts workers")),
        }
    }

    fn kind_of(&self, about: &About) -> Result<&Kind> {
        let recipe = &about.recipe;
        let kind = self.registry.kind(&recipe.kind);
        match kind.filter(|kind| kind.version() == recipe.version) {
            Some(kind) => Ok(kind),
            None => {
                bail!(Refusal::failure(format!(
                "stage `{}`: expected a program that knows version {} of `{}`, got another one",
                about.stage, recipe.version, recipe.kind
            ))
            .hint("let the run and its workers be of one build"))
            }
        }
    }
}
