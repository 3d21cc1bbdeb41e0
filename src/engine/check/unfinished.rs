//! What interrupted runs left in the cache, for a run to go on with or for `gc` to remove.

use std::collections::BTreeMap;

use anyhow::Result;
use fs_err as fs;

use crate::base::digest::Digest;
use crate::cache::left::Left;
use crate::cache::store::{fingerprint_of_draft, folders_in};
use crate::check::verify::files_below;
use crate::run::engine::Engine;

/// A stage's unfinished work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub fingerprint: Digest,
    /// The stage of the current plan that a run would go on with; `None`: no stage's.
    pub stage: Option<String>,
    pub bytes: u64,
    /// How far it is; `None`: no stage's, or nothing of it is finished.
    pub left: Option<Left>,
}

impl Engine {
    /// Drafts in the cache, sorted by fingerprint. Reads and changes nothing else; also tells those
    /// that a live run works on.
    ///
    /// # Errors
    /// When the cache can't be read.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>> {
        let planned: BTreeMap<Digest, String> = self
            .status()?
            .into_iter()
            .filter_map(|stage| Some((stage.fingerprint?, stage.stage)))
            .collect();
        let mut found = Vec::new();
        for folder in folders_in(&self.store.drafts())? {
            let Some(fingerprint) = fingerprint_of_draft(&folder) else {
                continue;
            };
            let mut bytes = 0;
            for file in files_below(&folder)? {
                // Gone, when a live run has just finished.
                bytes += fs::symlink_metadata(&file).map_or(0, |about| about.len());
            }
            let stage = planned.get(&fingerprint).cloned();
            let left = match &stage {
                None => None,
                Some(stage) => {
                    let index = self.project.index(stage)?;
                    let numerics = self.class_of(index, self.project.device());
                    self.left_in(&folder, fingerprint, numerics.as_deref(), false)?
                }
            };
            found.push(Unfinished {
                fingerprint,
                stage,
                bytes,
                left,
            });
        }
        Ok(found)
    }
}
