//! What the outside files hold that stages read: what lies here, or, of a source that is not here,
//! what pipeline.lock says that it held. So the results of files that are elsewhere can be looked
//! up and fetched; work that reads them is refused.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use anyhow::{Result, bail};
use fs_err as fs;
use seedpipe_base::{Refusal, text};

use crate::base::digest::Digest;
use crate::cache::recipe::flatten;
use crate::cache::source::Snapshot;
use crate::cache::stat_cache::StatCache;
use crate::pipeline::pipeline_lock::{PipelineLock, path_for};
use crate::pipeline::plan;
use crate::pipeline::project::StageNode;
use crate::run::engine::{Engine, RunOptions};
use crate::run::session::Session;
use crate::run::status::StageState;

/// The sources of a stage.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// By path as written in the params.
    pub digests: BTreeMap<String, Digest>,
    /// Those of them that are not here.
    pub absent: Vec<String>,
}

/// Sources as they are at one moment.
pub(crate) struct SourceLook<'a> {
    engine: &'a Engine,
    snapshot: Snapshot,
    /// Read when a source is not here.
    lock: OnceCell<Result<PipelineLock, String>>,
}

impl SourceLook<'_> {
    /// Of a stage; the message names the key that holds the path.
    pub fn of(&self, node: &StageNode) -> Result<Sources, Refusal> {
        let mut sources = Sources::default();
        for path in &node.sources {
            let written = path.display().to_string();
            let looked_for = fs::metadata(self.engine.project.folder().join(path));
            let is_absent = looked_for.is_err_and(|error| {
                matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
            });
            let recorded = match is_absent {
                true => self.recorded(node, &written)?,
                false => None,
            };
            let digest = match recorded {
                Some(digest) => {
                    sources.absent.push(written.clone());
                    digest
                }
                None => self.engine.source_digest(node, &written, &self.snapshot)?,
            };
            sources.digests.insert(written, digest);
        }
        Ok(sources)
    }

    /// What pipeline.lock says of a source: in the stage's own entry, else what all other entries
    /// of its kind say alike. A digest is of the files alone, not of what the stage does with them.
    fn recorded(&self, node: &StageNode, source: &str) -> Result<Option<Digest>, Refusal> {
        let path = path_for(self.engine.project.path());
        let lock = self.lock.get_or_init(|| {
            let lock = PipelineLock::read(&path).map_err(|error| format!("{error:#}"))?;
            Ok(lock.unwrap_or_default())
        });
        let lock = lock.as_ref().map_err(|error| {
            let message =
                format!("source `{source}` is not here, and what it held can't be read: {error}");
            Refusal::new(message)
                .place(self.engine.place())
                .stage(&node.name)
                .hint("bring pipeline.lock back from git, or correct the path")
        })?;
        let field = format!("sources.{source}");
        let entries = lock.stages.iter();
        let said: BTreeMap<&str, Digest> = entries
            .filter(|(_, locked)| locked.kind == node.kind)
            .filter_map(|(name, locked)| {
                let digest = locked.facts.get(&field)?.as_str()?.parse().ok()?;
                Some((name.as_str(), digest))
            })
            .collect();
        if let Some(own) = said.get(node.name.as_str()) {
            return Ok(Some(*own));
        }
        let distinct: BTreeSet<Digest> = said.into_values().collect();
        Ok(match distinct.len() {
            1 => distinct.first().copied(),
            _ => None,
        })
    }
}

impl Engine {
    /// Looks at sources; what is hashed is remembered where the cache lets it.
    pub(crate) fn look_at_sources(&self) -> SourceLook<'_> {
        SourceLook {
            engine: self,
            snapshot: Snapshot::new(StatCache::optional(&self.store.stat_cache())),
            lock: OnceCell::new(),
        }
    }

    /// The sources of these stages.
    pub(crate) fn sources_of(&self, stages: &BTreeSet<usize>) -> Result<BTreeMap<usize, Sources>> {
        let look = self.look_at_sources();
        let of_stage = |&index: &usize| Ok((index, look.of(&self.project.stages()[index])?));
        let sources: BTreeMap<usize, Sources> =
            stages.iter().map(of_stage).collect::<Result<_>>()?;
        self.tell_of_absent(sources.values());
        Ok(sources)
    }

    /// Tells, once, which sources are not here.
    pub(crate) fn tell_of_absent<'a>(&self, sources: impl IntoIterator<Item = &'a Sources>) {
        let absent: BTreeSet<&String> = sources
            .into_iter()
            .flat_map(|sources| &sources.absent)
            .collect();
        let Some(tell) = self.tell.as_ref().filter(|_| !absent.is_empty()) else {
            return;
        };
        let mut told = self.told.lock().unwrap_or_else(|told| told.into_inner());
        let new: Vec<&str> = absent
            .into_iter()
            .filter(|source| told.insert((*source).clone()))
            .map(String::as_str)
            .collect();
        let (what, them) = match new.len() {
            0 => return,
            1 => ("source", "it"),
            _ => ("sources", "them"),
        };
        let verb = if them == "it" { "is" } else { "are" };
        let named = named(&new);
        tell(&format!(
            "{what} {named} {verb} not here: what pipeline.lock records of {them} counts"
        ));
    }

    /// The digest of a source that is here.
    pub(crate) fn source_digest(
        &self,
        node: &StageNode,
        source: &str,
        snapshot: &Snapshot,
    ) -> Result<Digest, Refusal> {
        let counts = self.registry.known(&node.kind).counts();
        let path = self.project.folder().join(source);
        snapshot.digest(&path, counts).map_err(|error| {
            let cause = Refusal::of_chain(error.chain());
            let usual = "correct the path; a relative one starts at the pipeline's folder";
            self.source_refusal(node, source, &cause.message)
                .place(self.place())
                .hint(cause.hint.as_deref().unwrap_or(usual))
        })
    }

    fn source_refusal(&self, node: &StageNode, source: &str, what: &str) -> Refusal {
        let leaves = flatten(&node.params);
        let key = leaves
            .iter()
            .find(|(_, value)| value.as_str() == Some(source));
        let key = key.map_or_else(|| "params".to_owned(), |(key, _)| format!("params.{key}"));
        Refusal::new(format!("source `{source}`: {what}"))
            .stage(&node.name)
            .key(key)
    }

    /// The refusal of work on a source that is not here.
    ///
    /// - `why`: it is to be done
    pub(crate) fn absence(&self, node: &StageNode, source: &str, why: &str) -> Refusal {
        let what = format!("expected it here, got nothing there, and {why}");
        let hint = format!(
            "bring `{source}` here, or run the stage and `seedpipe push` its result where that is"
        );
        self.source_refusal(node, source, &what).hint(hint)
    }

    /// Refuses work on sources that are not here, when nothing else is left.
    pub(crate) fn expect_here(
        &self,
        session: &Session,
        index: usize,
        fingerprint: Digest,
    ) -> Result<(), Refusal> {
        let Some(source) = session.sources[&index].absent.first() else {
            return Ok(());
        };
        let node = &self.project.stages()[index];
        Err(self
            .absence(node, source, &self.nowhere(fingerprint))
            .failed())
    }

    /// Refuses a run that comes to work on sources that are not here, as far as that is known
    /// before it begins. Asks the remote, where there is one, for the results of such work alone.
    pub fn expect_sources(&self, options: &RunOptions) -> Result<()> {
        let targets = self.targets(options)?;
        let needed = plan::wanted(&self.project.needs(), targets.iter().copied());
        let sources = self.sources_of(&needed)?;
        let wanted = if options.only { &targets } else { &needed };
        self.expect_sources_of(wanted, &sources, |index| {
            options.force && targets.contains(&index)
        })
    }

    /// As [`Self::expect_sources`].
    ///
    /// - `sources`: of all that is needed
    pub(crate) fn expect_sources_of(
        &self,
        wanted: &BTreeSet<usize>,
        sources: &BTreeMap<usize, Sources>,
        is_forced: impl Fn(usize) -> bool,
    ) -> Result<()> {
        if sources.values().all(|sources| sources.absent.is_empty()) {
            return Ok(());
        }
        let resolved = self.resolve(&sources.keys().copied().collect())?;
        let states = self.states(wanted, &resolved, &is_forced);
        for index in self.in_order(wanted) {
            let Some(source) = sources[&index].absent.first() else {
                continue;
            };
            let why = match (&states[&index], resolved[&index].fingerprint) {
                _ if is_forced(index) => "the stage is forced to run".to_owned(),
                (StageState::WillRun, Some(fingerprint)) if !self.may_be_fetched(fingerprint) => {
                    self.nowhere(fingerprint)
                }
                _ => continue,
            };
            let refusal = self.absence(&self.project.stages()[index], source, &why);
            bail!(refusal.place(self.place()));
        }
        Ok(())
    }

    /// Whether the remote has it, or can't be asked: then the run says so.
    fn may_be_fetched(&self, fingerprint: Digest) -> bool {
        let is_up = self
            .shared_remote
            .as_ref()
            .is_some_and(|shared| shared.is_up());
        is_up && self.is_in_remote(fingerprint).unwrap_or(true)
    }

    /// Where a result was looked for.
    fn nowhere(&self, fingerprint: Digest) -> String {
        let short = fingerprint.short();
        match &self.shared_remote {
            None => format!("its result {short} is not in the cache, and no remote is asked"),
            Some(shared) if shared.is_up() => {
                let name = shared.remote.name();
                format!("its result {short} is neither in the cache nor in the remote `{name}`")
            }
            Some(_) => {
                format!("its result {short} is not in the cache, and the remote can't be asked")
            }
        }
    }
}

fn named(sources: &[&str]) -> String {
    let first: Vec<String> = sources
        .iter()
        .take(text::NAMED)
        .map(|source| format!("`{source}`"))
        .collect();
    text::named(&first, sources.len())
}
