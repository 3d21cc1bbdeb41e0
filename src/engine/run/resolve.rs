//! What is known of stages without running anything: recipes as far as upstream content is known,
//! and what the store has for them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use anyhow::Result;

use crate::base::digest::Digest;
use crate::cache::artifact::Artifact;
use crate::cache::recipe::Recipe;
use crate::cache::store::Lookup;
use crate::run::engine::Engine;
use crate::run::sources::Sources;

/// What is known of a stage.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// Empty where one has no digest.
    pub sources: Sources,
    /// Why a source has no digest.
    pub source_fault: Option<String>,
    /// Stages directly connected that have no artifact yet, in order of slots.
    pub waits_for: Vec<String>,
    /// `None` while it waits for a stage or a source.
    pub recipe: Option<Recipe>,
    pub fingerprint: Option<Digest>,
    pub found: Lookup,
}

impl Engine {
    /// Resolves stages; `stages` holds everything that its members need.
    pub(crate) fn resolve(&self, stages: &BTreeSet<usize>) -> Result<BTreeMap<usize, Resolved>> {
        let look = self.look_at_sources();
        let mut resolved: BTreeMap<usize, Resolved> = BTreeMap::new();
        for index in self.in_order(stages) {
            let node = &self.project.stages()[index];
            let mut stage = Resolved::default();
            match look.of(node) {
                Ok(sources) => stage.sources = sources,
                Err(error) => stage.source_fault = Some(error.message.clone()),
            }
            for connection in node.inputs.values().flatten() {
                let is_there = resolved[&connection.index].found.artifact.is_some();
                if !is_there && !stage.waits_for.contains(&connection.stage) {
                    stage.waits_for.push(connection.stage.clone());
                }
            }
            if stage.source_fault.is_none() && stage.waits_for.is_empty() {
                let recipe = self.recipe(index, stage.sources.digests.clone(), |other| {
                    resolved[&other].found.artifact.as_ref()
                });
                let fingerprint = recipe.fingerprint();
                stage.found = self.look(fingerprint)?;
                stage.fingerprint = Some(fingerprint);
                stage.recipe = Some(recipe);
            }
            resolved.insert(index, stage);
        }
        self.tell_of_absent(resolved.values().map(|stage| &stage.sources));
        Ok(resolved)
    }

    /// The recipe of a stage whose inputs are all there.
    pub(crate) fn recipe<A: Deref<Target = Artifact>>(
        &self,
        index: usize,
        sources: BTreeMap<String, Digest>,
        artifact: impl Fn(usize) -> Option<A>,
    ) -> Recipe {
        let node = &self.project.stages()[index];
        let kind = self.registry.known(&node.kind);
        let there =
            |index| artifact(index).expect("BUG: a recipe is only made when its inputs are there");
        let inputs = node.inputs.iter().map(|(slot, connections)| {
            let contents = connections.iter().map(|connection| {
                there(connection.index).manifest.outputs[&connection.output].content
            });
            (slot.clone(), contents.collect())
        });
        let lineage = match kind.lineage() {
            true => self.ancestors(index),
            false => Vec::new(),
        };
        Recipe {
            kind: node.kind.clone(),
            version: kind.version(),
            seed: node.seed,
            params: node.deciding_params(),
            inputs: inputs.collect(),
            sources,
            lineage: lineage
                .into_iter()
                .map(|ancestor| {
                    (
                        self.project.stages()[ancestor].name.clone(),
                        there(ancestor).fingerprint,
                    )
                })
                .collect(),
        }
    }
}
