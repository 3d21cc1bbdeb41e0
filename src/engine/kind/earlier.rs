//! Earlier results that a stage may take rows from: artifacts of the store whose recipe differs
//! only in what is connected to some slots.
//!
//! What is given is whole (every file hashed, or sealed as `seal` tells) and of this run's numerics
//! class, and so are the inputs that it was made of. Nothing is given to a stage that is forced or
//! made again by `verify --rerun`: those are to compute.
//!
//! Files that equal ones may be a second name of ([`StageContext::stored`]) come from any recipe.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::processes::lease::Lease;
use crate::cache::recipe::Recipe;
use crate::cache::store::Store;
use crate::kind::context::StageContext;

/// Looked at, at most; the newest first.
const MOST: usize = 4;

/// An earlier artifact of nearly the same recipe.
#[derive(Debug, Clone)]
pub struct Earlier {
    artifact: Artifact,
    /// Slot → parts of each output that was connected to it, as far as it was asked for.
    inputs: BTreeMap<String, Vec<Vec<PathBuf>>>,
}

impl Earlier {
    pub fn fingerprint(&self) -> Digest {
        self.artifact.fingerprint
    }

    /// The files of an output in logical row order.
    pub fn parts(&self, output: &str) -> Vec<PathBuf> {
        self.artifact.parts(output)
    }

    /// The files of the first output that was connected to one of the slots asked for.
    pub fn input(&self, slot: &str) -> Option<&[PathBuf]> {
        let inputs = self.inputs.get(slot)?;
        inputs.first().map(Vec::as_slice)
    }
}

/// A file of the cache that a part may become another name of
/// ([`share`](crate::kind::context::Shard::share)).
#[derive(Debug, Clone)]
pub struct StoredFile {
    pub path: PathBuf,
    pub(crate) blake3: Digest,
}

/// Where a running stage may look for earlier results.
pub(crate) struct Search<'a> {
    pub store: Store,
    pub lease: &'a Lease,
    pub recipe: &'a Recipe,
    /// Of this run.
    pub numerics: String,
}

impl StageContext<'_> {
    /// Earlier artifacts of a recipe that equals this one but for the inputs of some slots, newest
    /// first, with those inputs. None in a run that is to compute everything.
    pub fn earlier(&self, slots: &[&str]) -> Result<Vec<Earlier>> {
        match &self.search {
            Some(search) => search.find(slots),
            None => Ok(Vec::new()),
        }
    }

    /// The files of every output of a kind in the cache, equal ones once, whatever recipe made them.
    /// Only their lengths were looked at, and they may go at any time. None in a run that is to
    /// compute everything.
    pub fn stored(&self, kind: &str) -> Result<Vec<StoredFile>> {
        let artifacts = match &self.search {
            Some(search) => search.artifacts()?,
            None => Vec::new(),
        };
        let mut seen = BTreeSet::new();
        let mut files = Vec::new();
        for artifact in &artifacts {
            for (slot, part) in artifact.files() {
                if artifact.manifest.outputs[slot].kind == kind && seen.insert(part.blake3) {
                    files.push(StoredFile {
                        path: artifact.directory.join(slot).join(&part.name),
                        blake3: part.blake3,
                    });
                }
            }
        }
        Ok(files)
    }
}

impl Search<'_> {
    fn find(&self, slots: &[&str]) -> Result<Vec<Earlier>> {
        let artifacts = self.artifacts()?;
        let mut outputs: BTreeMap<Digest, Vec<(&Artifact, &str)>> = BTreeMap::new();
        for artifact in &artifacts {
            for (name, output) in &artifact.manifest.outputs {
                let known = outputs.entry(output.content).or_default();
                known.push((artifact, name));
            }
        }
        let wanted = but_for(self.recipe, slots);
        let mut alike: Vec<&Artifact> = artifacts
            .iter()
            .filter(|artifact| {
                let manifest = &artifact.manifest;
                manifest.telemetry.numerics == self.numerics
                    && !self.numerics.is_empty()
                    && but_for(&manifest.recipe, slots) == wanted
                    && manifest.check().is_ok()
            })
            .collect();
        alike.sort_by(|one, other| other.manifest.created.cmp(&one.manifest.created));
        let mut found = Vec::new();
        for artifact in alike {
            if found.len() == MOST {
                break;
            }
            let inputs = slots.iter().filter_map(|slot| {
                let digests = artifact.manifest.recipe.inputs.get(*slot)?;
                let parts = digests
                    .iter()
                    .map(|digest| self.whole_output(outputs.get(digest)?))
                    .collect::<Option<Vec<_>>>();
                Some(parts.map(|parts| ((*slot).to_owned(), parts)))
            });
            let Some(inputs) = inputs.collect::<Option<BTreeMap<_, _>>>() else {
                continue;
            };
            if self.is_whole(artifact) {
                let artifact = artifact.clone();
                found.push(Earlier { artifact, inputs });
            }
        }
        Ok(found)
    }

    /// Every entry of the store that counts by its manifest and its files' lengths.
    fn artifacts(&self) -> Result<Vec<Artifact>> {
        let mut artifacts = Vec::new();
        for fingerprint in self.store.fingerprints()? {
            let entries = self.store.entries(fingerprint)?;
            artifacts.extend(entries.into_iter().filter_map(|entry| entry.state.ok()));
        }
        Ok(artifacts)
    }

    /// The parts of the first of some equal outputs whose artifact is whole.
    fn whole_output(&self, candidates: &[(&Artifact, &str)]) -> Option<Vec<PathBuf>> {
        let whole = candidates
            .iter()
            .find(|(artifact, _)| self.is_whole(artifact));
        whole.map(|(artifact, output)| artifact.parts(output))
    }

    /// Keeps the artifact from `gc` until the run ends, and looks whether every file has the bytes
    /// that the manifest says.
    fn is_whole(&self, artifact: &Artifact) -> bool {
        let kept = self.lease.use_while(artifact.fingerprint, || {
            Ok(self.store.seals().check(artifact))
        });
        matches!(kept, Ok(Ok(())))
    }
}

/// A recipe without what is connected to some slots.
fn but_for(recipe: &Recipe, slots: &[&str]) -> Recipe {
    let mut recipe = recipe.clone();
    recipe
        .inputs
        .retain(|slot, _| !slots.contains(&slot.as_str()));
    recipe
}
