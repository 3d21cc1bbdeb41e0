//! What stages gave in a run so far: filled and asked from several threads.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::cache::artifact::Artifact;

/// Stage → its artifact.
#[derive(Debug, Default)]
pub(crate) struct Given(RwLock<BTreeMap<usize, Arc<Artifact>>>);

impl Given {
    pub fn get(&self, stage: usize) -> Option<Arc<Artifact>> {
        let given = self.0.read().unwrap_or_else(PoisonError::into_inner);
        given.get(&stage).cloned()
    }

    /// # Panics
    /// When the stage gave nothing yet: its turn comes before those that need it.
    pub fn of(&self, stage: usize) -> Arc<Artifact> {
        self.get(stage)
            .unwrap_or_else(|| panic!("BUG: stage {stage} has no artifact yet"))
    }

    pub fn has(&self, stage: usize) -> bool {
        self.get(stage).is_some()
    }

    pub fn insert(&self, stage: usize, artifact: Artifact) {
        let mut given = self.0.write().unwrap_or_else(PoisonError::into_inner);
        given.insert(stage, Arc::new(artifact));
    }

    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
