//! Stages as written against the kinds: names, connections and params, each with the message that a
//! mistake deserves.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;
use serde_json::{Map, Value};

use crate::kind::reference::Reference;
use crate::kind::registry::{Kind, Registry};
use crate::kind::stage::{Arity, Connection, InputKinds, InputSlot};
use crate::pipeline::overrides::Override;
use crate::pipeline::project::{StageNode, StagePrecision};
use crate::pipeline::spec::{Spec, StageSpec};
use seedpipe_base::suggestion;

/// Checks the stages of a spec against the kinds.
pub(crate) struct Checker<'a> {
    place: &'a str,
    registry: &'a Registry,
    overrides: &'a [Override],
    spec: &'a Spec,
    index: BTreeMap<&'a str, usize>,
}

/// The value at a dotted path; a null counts as nothing.
fn at<'value>(params: &'value Value, path: &str) -> Option<&'value Value> {
    let value = path
        .split('.')
        .try_fold(params, |value, key| value.get(key));
    value.filter(|value| !value.is_null())
}

impl<'a> Checker<'a> {
    pub fn new(
        place: &'a str,
        registry: &'a Registry,
        overrides: &'a [Override],
        spec: &'a Spec,
    ) -> Self {
        let names = spec.stages.iter().map(|stage| stage.name.as_str());
        Checker {
            place,
            registry,
            overrides,
            spec,
            index: names.zip(0..).collect(),
        }
    }

    /// All stages, in file order, or the first thing that is wrong.
    pub fn stages(&self) -> Result<Vec<StageNode>, Refusal> {
        for stage in &self.spec.stages {
            self.registry
                .expect_kind(self.place, &stage.name, &stage.kind)?;
        }
        self.spec
            .stages
            .iter()
            .map(|stage| self.stage(stage))
            .collect()
    }

    fn stage(&self, stage: &StageSpec) -> Result<StageNode, Refusal> {
        let kind = self.registry.known(&stage.kind);
        let inputs = self.inputs(stage, kind)?;
        let kinds = InputKinds::new(inputs.iter().map(|(slot, connections)| {
            let kinds = connections.iter().map(|connection| connection.kind.clone());
            (slot.clone(), kinds.collect())
        }));
        let checked = kind
            .check(self.with_precision(stage, kind), &kinds)
            .map_err(|error| self.parameter_error(stage, &error))?;
        let precision = kind.precision().and_then(|param| {
            Some(StagePrecision {
                param,
                value: at(&checked.params, param)?.as_str()?.to_owned(),
                is_pipelines: at(&stage.params, param).is_none(),
            })
        });
        Ok(StageNode {
            name: stage.name.clone(),
            base: stage.base.clone(),
            combination: stage.combination.clone(),
            kind: stage.kind.clone(),
            seed: stage.seed.unwrap_or(self.spec.seed),
            params: checked.params,
            precision,
            how: kind.how(),
            sources: checked.sources,
            needs: inputs
                .values()
                .flatten()
                .map(|connection| connection.index)
                .collect(),
            inputs,
        })
    }

    /// The stage's params, with the pipeline's precision where they leave theirs out.
    fn with_precision(&self, stage: &StageSpec, kind: &Kind) -> Value {
        let mut params = stage.params.clone();
        if let (Some(param), Some(precision)) = (kind.precision(), &self.spec.precision)
            && at(&params, param).is_none()
        {
            let mut place = Some(&mut params);
            for key in param.split('.') {
                // What is no mapping is left for the kind to refuse.
                place = place.and_then(Value::as_object_mut).map(|entries| {
                    entries
                        .entry(key)
                        .or_insert_with(|| Value::Object(Map::new()))
                });
            }
            if let Some(place) = place {
                *place = Value::from(precision.as_str());
            }
        }
        params
    }

    fn error(&self, stage: &StageSpec, key: String, message: String) -> Refusal {
        Refusal::new(message)
            .place(self.place)
            .stage(&stage.name)
            .key(key)
    }

    fn inputs(
        &self,
        stage: &StageSpec,
        kind: &Kind,
    ) -> Result<BTreeMap<String, Vec<Connection>>, Refusal> {
        let slots: Vec<&str> = kind.inputs().iter().map(|slot| slot.name).collect();
        let mut connected = BTreeMap::new();
        for (name, references) in &stage.inputs {
            let Some(slot) = kind.inputs().iter().find(|slot| slot.name == name) else {
                let message = format!("unknown input of kind `{}`", kind.name());
                return Err(self
                    .error(stage, format!("inputs.{name}"), message)
                    .hint(suggestion::hint_or_list(name, "inputs", &slots)));
            };
            let takes_one = matches!(slot.arity, Arity::One | Arity::Optional);
            if takes_one && references.len() > 1 {
                let message = format!("expected one stage, got {}", references.len());
                return Err(self
                    .error(stage, format!("inputs.{name}"), message)
                    .hint("name the one to use"));
            }
            let connections = references
                .iter()
                .map(|reference| self.connection(stage, slot, reference));
            let connections = connections.collect::<Result<Vec<_>, _>>()?;
            if !connections.is_empty() {
                connected.insert(name.clone(), connections);
            }
        }
        let missing = kind
            .inputs()
            .iter()
            .find(|slot| !slot.arity.may_be_none() && !connected.contains_key(slot.name));
        match missing {
            None => Ok(connected),
            Some(slot) => {
                let message = format!("missing input, expected {}", suggestion::list(slot.accepts));
                let hint = format!(
                    "add `{}: STAGE` under `inputs:`{}",
                    slot.name,
                    self.givers(stage, slot)
                );
                Err(self
                    .error(stage, format!("inputs.{}", slot.name), message)
                    .hint(hint))
            }
        }
    }

    /// "; `a`, `b` would do": stages with an output that the slot accepts.
    fn givers(&self, stage: &StageSpec, slot: &InputSlot) -> String {
        let others = self
            .spec
            .stages
            .iter()
            .filter(|other| other.base != stage.base);
        let fitting = others.filter(|other| {
            let outputs = self.registry.known(&other.kind).outputs();
            outputs
                .iter()
                .any(|output| slot.accepts.contains(&output.kind))
        });
        let mut names: Vec<&str> = fitting.map(|other| other.base.as_str()).collect();
        names.dedup();
        names.truncate(5);
        if names.is_empty() {
            String::new()
        } else {
            format!("; {} would do", suggestion::list(&names))
        }
    }

    fn connection(
        &self,
        stage: &StageSpec,
        slot: &InputSlot,
        reference: &str,
    ) -> Result<Connection, Refusal> {
        let error = |message: String| self.error(stage, format!("inputs.{}", slot.name), message);
        let Reference {
            stage: name,
            output,
            ..
        } = Reference::parse(reference);
        let Some(index) = self.index.get(name).copied() else {
            let names = self
                .spec
                .stages
                .iter()
                .map(|other| match name.contains('[') {
                    true => other.name.as_str(),
                    false => other.base.as_str(),
                });
            let mut names: Vec<&str> = names.collect();
            names.dedup();
            return Err(error(format!(
                "expected the name of a stage, got `{name}`, which is unknown"
            ))
            .hint(suggestion::hint_or_list(name, "stages", &names)));
        };
        let outputs = self.registry.known(&self.spec.stages[index].kind).outputs();
        let found = match output {
            Some(output) => outputs
                .iter()
                .find(|known| known.name == output)
                .ok_or_else(|| {
                    let names: Vec<&str> = outputs.iter().map(|known| known.name).collect();
                    error(format!(
                        "expected an output of `{name}`, got `{output}`, which it doesn't have"
                    ))
                    .hint(suggestion::hint_or_list(output, "outputs", &names))
                })?,
            None => {
                let accepted = outputs
                    .iter()
                    .filter(|known| slot.accepts.contains(&known.kind));
                let accepted: Vec<_> = accepted.collect();
                match accepted.as_slice() {
                    [one] => one,
                    [] => outputs.first().ok_or_else(|| {
                        error(format!(
                            "expected {}, and `{name}` has no output",
                            suggestion::list(slot.accepts)
                        ))
                        .hint("connect another stage")
                    })?,
                    several => {
                        let names: Vec<String> = several
                            .iter()
                            .map(|known| format!("{name}.{}", known.name))
                            .collect();
                        return Err(error(format!(
                            "expected one output, and `{name}` has several that fit"
                        ))
                        .hint(format!("write one of {}", suggestion::list(&names))));
                    }
                }
            }
        };
        if !slot.accepts.contains(&found.kind) {
            let others = self.givers(stage, slot);
            let hint = match others.strip_prefix("; ") {
                Some(others) => others.to_owned(),
                None => format!(
                    "put a stage that gives {} between `{name}` and `{}`",
                    suggestion::list(slot.accepts),
                    stage.name
                ),
            };
            let message = format!(
                "holds `{}`, expected {}",
                found.kind,
                suggestion::list(slot.accepts)
            );
            return Err(error(message).hint(hint));
        }
        Ok(Connection {
            stage: name.to_owned(),
            output: found.name.to_owned(),
            kind: found.kind.to_owned(),
            index,
        })
    }

    /// The refusal of a param, naming `--set` where that is what set it.
    fn parameter_error(&self, stage: &StageSpec, refusal: &Refusal) -> Refusal {
        let key = refusal.key.clone().unwrap_or_default();
        let culprit = self
            .overrides
            .iter()
            .rev()
            .find(|change| change.sets(&stage.base, &key));
        let place = culprit.map_or_else(|| self.place.to_owned(), Override::place);
        let key = if key.is_empty() {
            "params".to_owned()
        } else if key.starts_with("inputs.") {
            key
        } else {
            format!("params.{key}")
        };
        Refusal::new(&refusal.message)
            .place(place)
            .stage(&stage.name)
            .key(key)
            .hint_if(refusal.hint.clone())
    }
}
