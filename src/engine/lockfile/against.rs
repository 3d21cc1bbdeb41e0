//! Why a stage is not as another pipeline.lock records it: what differs, field by field, and which
//! stages above it caused that, down to the key or the source.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde_json::Value;

use crate::cache::recipe::{Change, differences};
use crate::lockfile::locked::{planned_facts, recorded_facts};
use crate::pipeline::pipeline_lock::{LockedStage, PipelineLock};
use crate::run::engine::Engine;
use crate::run::explain::{Explanation, Facts};

/// Another lock.
struct OtherLock<'a> {
    lock: &'a PipelineLock,
    /// Where it is from, for messages.
    place: &'a str,
}

impl Engine {
    /// Explains a stage against another lock. Read-only.
    ///
    /// - `place`: where the lock is from, for messages
    pub fn explain_against(
        &self,
        stage: &str,
        lock: &PipelineLock,
        place: &str,
    ) -> Result<Explanation> {
        let index = self.project.index(stage)?;
        let facts = self.facts(index)?;
        let against = OtherLock { lock, place };
        Ok(self.explanation_against(&facts, &against, index, &mut BTreeSet::new()))
    }

    fn explanation_against(
        &self,
        facts: &Facts,
        against: &OtherLock,
        index: usize,
        told: &mut BTreeSet<usize>,
    ) -> Explanation {
        let node = &self.project.stages()[index];
        let resolved = &facts.resolved[&index];
        let artifact = resolved.found.artifact.as_ref();
        let mut explanation = Explanation {
            stage: node.name.clone(),
            kind: node.kind.clone(),
            state: facts.states[&index].clone(),
            fingerprint: resolved.fingerprint,
            content: artifact.map(|artifact| artifact.content),
            reasons: Vec::new(),
            changes: Vec::new(),
            files: Vec::new(),
            causes: Vec::new(),
            against: Some(against.place.to_owned()),
        };
        if !told.insert(index) {
            explanation.reasons.push("explained above".to_owned());
            return explanation;
        }
        let place = against.place;
        let reasons = &mut explanation.reasons;
        reasons.extend(resolved.source_fault.clone());
        let Some(locked) = against.lock.stage(&node.name) else {
            reasons.push(format!("`{place}` has no stage of that name"));
            return explanation;
        };
        let planned = self.planned_changes(facts, index, locked);
        match artifact.map(|artifact| artifact.content) {
            None => reasons.push("its content is not known: it is not cached".to_owned()),
            Some(content) if content == locked.content => {
                reasons.push(format!(
                    "its content is that of `{place}`: {}",
                    content.short()
                ));
            }
            Some(content) => reasons.push(format!(
                "its content is {}, in `{place}` {}",
                content.short(),
                locked.content.short()
            )),
        }
        reasons.push(match planned.is_empty() {
            true => format!("nothing of its own differs from `{place}`"),
            false => format!("its own facts differ from those of `{place}`:"),
        });
        explanation.files = self.file_changes(&planned);
        explanation.changes = planned;
        explanation
            .changes
            .extend(self.result_changes(facts, index, locked));
        for connection in node.inputs.values().flatten() {
            let is_new = explanation
                .causes
                .iter()
                .all(|cause| cause.stage != connection.stage);
            if is_new && self.differs(facts, against, connection.index) {
                let cause = self.explanation_against(facts, against, connection.index, told);
                explanation.causes.push(cause);
            }
        }
        explanation
    }

    /// Whether a stage, or anything above it, is not as the lock records it.
    fn differs(&self, facts: &Facts, against: &OtherLock, index: usize) -> bool {
        let node = &self.project.stages()[index];
        let Some(locked) = against.lock.stage(&node.name) else {
            return true;
        };
        let artifact = facts.resolved[&index].found.artifact.as_ref();
        let is_content_other = artifact.is_some_and(|artifact| artifact.content != locked.content);
        is_content_other
            || facts.resolved[&index].source_fault.is_some()
            || !self.planned_changes(facts, index, locked).is_empty()
            || node
                .needs
                .iter()
                .any(|&need| self.differs(facts, against, need))
    }

    /// What was decided before anything ran.
    fn planned_changes(&self, facts: &Facts, index: usize, locked: &LockedStage) -> Vec<Change> {
        let node = &self.project.stages()[index];
        let version = self.registry.known(&node.kind).version();
        let planned = planned_facts(node, version, &facts.resolved[&index].sources.digests);
        differences(&recorded_facts(locked), &planned)
    }

    /// What came of it: rows, figures, numerics class; nothing while the stage is not cached.
    fn result_changes(&self, facts: &Facts, index: usize, locked: &LockedStage) -> Vec<Change> {
        let Some(artifact) = &facts.resolved[&index].found.artifact else {
            return Vec::new();
        };
        let now = LockedStage::of(&self.project.stages()[index], artifact);
        differences(&results(locked), &results(&now))
    }
}

fn results(locked: &LockedStage) -> BTreeMap<String, Value> {
    let is_result = |fact: &str| fact.starts_with("rows.") || fact.starts_with("metrics.");
    let facts = locked.facts.iter().filter(|(fact, _)| is_result(fact));
    let mut results: BTreeMap<String, Value> = facts
        .map(|(fact, value)| (fact.clone(), value.clone()))
        .collect();
    if !locked.numerics.is_empty() {
        results.insert("numerics".to_owned(), locked.numerics.as_str().into());
    }
    results
}
