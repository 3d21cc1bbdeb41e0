//! A stage's work, written down for other processes: `job.json` in its draft, beside `draft.json`,
//! which has the recipe. With both a worker needs no pipeline: it digests no source, and knows where
//! its inputs lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::digest::Digest;
use crate::base::{durable, untrusted};
use crate::cache::artifact::Artifact;
use crate::cache::store::Store;
use crate::kind::context::Input;

const JOB: &str = "job.json";

/// What a worker must know beside the recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    /// The whole block, with what only says how the work is done.
    pub params: Value,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// The pipeline's: relative paths of the params start there.
    pub folder: PathBuf,
    /// Slot → what is connected.
    pub inputs: BTreeMap<String, Vec<JobInput>>,
    /// Whether rows may be taken from earlier results of the store.
    pub may_reuse: bool,
}

/// An output of an artifact of the same store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobInput {
    pub stage: String,
    pub output: String,
    pub fingerprint: Digest,
    /// Of the whole artifact.
    pub content: Digest,
}

impl JobInput {
    fn read(&self, store: &Store) -> Result<Input> {
        let JobInput { stage, output, .. } = self;
        let entries = store.entries(self.fingerprint)?.into_iter();
        let mut artifacts = entries.filter_map(|entry| entry.state.ok());
        let is_it = |artifact: &Artifact| artifact.content == self.content;
        let (artifact, record) = artifacts
            .find(is_it)
            .and_then(|artifact| {
                let record = artifact.manifest.outputs.get(output)?.clone();
                Some((artifact, record))
            })
            .with_context(|| {
                let (short, content) = (self.fingerprint.short(), self.content.short());
                format!("expected the output `{output}` of `{stage}` in the cache ({short}, content {content}), got nothing there")
            })?;
        Ok(Input {
            stage: stage.clone(),
            output: output.clone(),
            kind: record.kind,
            content: record.content,
            parts: artifact.parts(output),
            recipe: artifact.manifest.recipe,
        })
    }
}

impl Job {
    pub fn write(&self, draft: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).expect("BUG: a job is JSON");
        durable::write_if_changed(&draft.join(JOB), text.as_bytes())?;
        Ok(())
    }

    pub fn read(draft: &Path) -> Result<Job> {
        let path = draft.join(JOB);
        let read = || -> Result<Job> {
            Ok(untrusted::from_json(&untrusted::read_text(
                &path,
                untrusted::MAXIMAL_RECORD,
            )?)?)
        };
        read().with_context(|| format!("`{}`", path.display()))
    }

    /// The inputs' files, as the store has them.
    pub fn inputs(&self, store: &Store) -> Result<BTreeMap<String, Vec<Input>>> {
        let slots = self.inputs.iter().map(|(slot, inputs)| {
            let inputs = inputs.iter().map(|input| input.read(store));
            Ok((slot.clone(), inputs.collect::<Result<Vec<_>>>()?))
        });
        slots.collect()
    }
}

/// What the recipe says of the inputs must be what lies there.
pub(crate) fn check_inputs(
    inputs: &BTreeMap<String, Vec<Input>>,
    recipe: &BTreeMap<String, Vec<Digest>>,
) -> Result<()> {
    let contents = inputs.iter().map(|(slot, inputs)| {
        let contents = inputs.iter().map(|input| input.content);
        (slot.clone(), contents.collect::<Vec<_>>())
    });
    if contents.collect::<BTreeMap<_, _>>() != *recipe {
        bail!("expected a job on the recipe's inputs, got one on others");
    }
    Ok(())
}
