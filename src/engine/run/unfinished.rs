//! What interrupted runs left of stages, and what a run would do with it.

use std::path::Path;

use anyhow::Result;

use crate::base::digest::Digest;
use crate::cache::left::{Left, Next};
use crate::cache::processes::locks;
use crate::kind::report::StageReport;
use crate::run::engine::{Engine, RunOptions};

impl Engine {
    /// What is left of a stage that was stopped in a run with these options.
    pub fn left_of(&self, stopped: &StageReport, options: &RunOptions) -> Result<Option<Left>> {
        let index = self.project.index(&stopped.stage)?;
        let device = options.device.as_deref().unwrap_or(self.project.device());
        let forced = options.force && self.targets(options)?.contains(&index);
        match stopped.fingerprint {
            Some(fingerprint) => self.left(index, fingerprint, device, forced),
            None => Ok(None),
        }
    }

    /// What is left of a stage: first what a run on that device goes on with.
    pub(crate) fn left(
        &self,
        index: usize,
        fingerprint: Digest,
        device: &str,
        forced: bool,
    ) -> Result<Option<Left>> {
        let drafts = self.store.drafts_of(fingerprint)?;
        if drafts.is_empty() {
            return Ok(None); // who asks for the class of a GPU waits for it
        }
        let numerics = self.class_of(index, device);
        let mut left = Vec::new();
        for draft in &drafts {
            left.extend(self.left_in(draft, fingerprint, numerics.as_deref(), forced)?);
        }
        Ok(left
            .into_iter()
            .min_by_key(|left| left.next == Next::OtherClass))
    }

    /// What is left in the folder of a draft.
    pub(crate) fn left_in(
        &self,
        draft: &Path,
        fingerprint: Digest,
        numerics: Option<&str>,
        forced: bool,
    ) -> Result<Option<Left>> {
        let mut left = Left::read(draft, numerics, forced);
        let lock = self.store.locks().join(format!("{fingerprint}.lock"));
        if let Some(left) = &mut left
            && left.next != Next::OtherClass
            && !locks::is_free(&lock)?
        {
            left.next = Next::AtWork;
        }
        Ok(left)
    }

    /// The numerics class that a stage would be done in; `None` where it can't be told here.
    pub(crate) fn class_of(&self, index: usize, device: &str) -> Option<String> {
        let kind = self.registry.known(&self.project.stages()[index].kind);
        let numerics = (self.numerics)(kind, device).ok()?;
        (!numerics.is_empty() || !kind.tensors()).then_some(numerics)
    }
}
