//! Experiments: one stage for each combination of a `matrix:`, and of the stages that use them, so
//! that everything after this knows only plain stages.
//!
//! A slot of one input that names a matrix stage makes its own stage one for each combination as
//! well; shared labels are joined on equal values, others multiply. A slot of many takes all
//! combinations in order. Names are no part of a recipe, so what is equal is made once.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;
use serde_json::Value as Json;

use crate::kind::reference::{Reference, name_of};
use crate::kind::registry::Registry;
use crate::kind::stage::Arity;
use crate::pipeline::matrix_axes::{Axis, AxisValue};
use crate::pipeline::overrides::Override;
use crate::pipeline::plan;
use crate::pipeline::spec::{Spec, StageSpec};
use seedpipe_base::suggestion;

/// Stages of a pipeline with a matrix.
const MAXIMAL_STAGES: usize = 10_000;
/// Connections of all of them.
const MAXIMAL_CONNECTIONS: usize = 1_000_000;
/// Letters of a stage's name, combination included.
const MAXIMAL_NAME: usize = 400;

/// (label, value's text), in the order of the name.
type Combination = Vec<(String, String)>;

/// A spec with one stage for each combination; unchanged when no stage has a matrix.
///
/// - `has_param(kind, name)`: whether the kind's params have that key at their top
///
/// # Errors
/// What can't be expanded; mistakes that have nothing to do with a matrix are left to the checker.
pub(crate) fn expand(
    place: &str,
    spec: Spec,
    registry: &Registry,
    overrides: &[Override],
    has_param: impl Fn(&str, &str) -> bool,
) -> Result<Spec, Refusal> {
    if spec.stages.iter().all(|stage| stage.matrix.is_empty()) {
        return Ok(spec);
    }
    for stage in &spec.stages {
        registry.expect_kind(place, &stage.name, &stage.kind)?;
        check_overrides(stage, overrides)?;
    }
    let mut expansion = Expansion {
        place,
        registry,
        has_param: &has_param,
        index: spec
            .stages
            .iter()
            .enumerate()
            .map(|(index, stage)| (stage.name.as_str(), index))
            .collect(),
        combinations: vec![Vec::new(); spec.stages.len()],
        stages: 0,
        connections: 0,
    };
    let mut expanded = vec![Vec::new(); spec.stages.len()];
    for index in expansion.order(&spec.stages)? {
        expanded[index] = expansion.stage(&spec.stages[index])?;
        expansion.combinations[index] = expanded[index]
            .iter()
            .map(|stage| stage.combination.clone())
            .collect();
    }
    Ok(Spec {
        stages: expanded.into_iter().flatten().collect(),
        ..spec
    })
}

/// `--set` can't change what a matrix sets.
fn check_overrides(stage: &StageSpec, overrides: &[Override]) -> Result<(), Refusal> {
    for change in overrides
        .iter()
        .filter(|change| change.stage.as_ref() == Some(&stage.name))
    {
        let clash = stage.matrix.iter().find(|axis| {
            axis.param.starts_with(&change.key) || change.key.starts_with(&axis.param)
        });
        if let Some(axis) = clash {
            let message = format!(
                "expected a param that `matrix:` leaves alone, got one that it sets as `{}`",
                axis.label
            );
            return Err(Refusal::new(message)
                .place(change.place())
                .stage(&stage.name)
                .key(format!("params.{}", change.key.join(".")))
                .hint(format!(
                    "run one combination, such as `{}`, or edit `matrix:`",
                    first_name(stage)
                )));
        }
    }
    Ok(())
}

fn first_name(stage: &StageSpec) -> String {
    let first = stage
        .matrix
        .iter()
        .map(|axis| (axis.label.clone(), axis.values[0].text.clone()));
    name_of(&stage.name, &first.collect::<Combination>())
}

struct Expansion<'a> {
    place: &'a str,
    registry: &'a Registry,
    has_param: &'a dyn Fn(&str, &str) -> bool,
    index: BTreeMap<&'a str, usize>,
    /// Of the stages that were expanded already, by index.
    combinations: Vec<Vec<Combination>>,
    stages: usize,
    connections: usize,
}

/// A combination in the making.
#[derive(Clone, Default)]
struct CombinationDraft<'a> {
    combination: Combination,
    /// Names of stages with their output, slot by slot.
    inputs: Vec<Vec<String>>,
    /// Axis → its value here.
    values: Vec<(&'a Axis, &'a AxisValue)>,
}

impl<'a> Expansion<'a> {
    /// Every stage after what it needs.
    fn order(&self, stages: &[StageSpec]) -> Result<Vec<usize>, Refusal> {
        let needs = stages.iter().map(|stage| {
            let references = stage.inputs.iter().flat_map(|(_, references)| references);
            references
                .filter_map(|reference| self.index.get(Reference::parse(reference).base).copied())
                .collect()
        });
        let needs: Vec<Vec<usize>> = needs.collect();
        plan::order(&needs).map_err(|cycle| {
            let names: Vec<&str> = cycle
                .iter()
                .map(|&index| stages[index].name.as_str())
                .collect();
            plan::cycle_error(self.place, &names)
        })
    }

    fn error(&self, stage: &StageSpec, key: impl Into<String>, message: String) -> Refusal {
        Refusal::new(message)
            .place(self.place)
            .stage(&stage.name)
            .key(key)
    }

    fn stage(&mut self, stage: &'a StageSpec) -> Result<Vec<StageSpec>, Refusal> {
        let slots = self.registry.known(&stage.kind).inputs();
        let mut rows = vec![CombinationDraft::default()];
        for (name, references) in &stage.inputs {
            let key = format!("inputs.{name}");
            let slot = slots.iter().find(|slot| slot.name == name);
            let arity = slot.map_or(Arity::One, |slot| slot.arity);
            let chosen = references
                .iter()
                .map(|reference| self.choose(stage, &key, reference));
            let chosen = chosen.collect::<Result<Vec<_>, _>>()?;
            if !arity.gathers() && (arity.is_list_in_order() || chosen.len() == 1) {
                rows.iter_mut().for_each(|row| row.inputs.push(Vec::new()));
                for one in &chosen {
                    rows = self.join(stage, &key, rows, one, |row, reference| {
                        row.inputs
                            .last_mut()
                            .expect("BUG: the input was begun")
                            .push(reference.clone())
                    })?;
                }
                self.count_connections(stage, &key, rows.len().saturating_mul(chosen.len()))?;
            } else {
                // Several for a slot of one: the checker says so.
                let all: Vec<String> = match arity.gathers() {
                    true => chosen
                        .into_iter()
                        .flatten()
                        .map(|(_, reference)| reference)
                        .collect(),
                    false => references.clone(),
                };
                self.count_connections(stage, &key, rows.len().saturating_mul(all.len()))?;
                rows.iter_mut().for_each(|row| row.inputs.push(all.clone()));
            }
        }
        for axis in &stage.matrix {
            let values: Vec<_> = axis
                .values
                .iter()
                .map(|value| (vec![(axis.label.clone(), value.text.clone())], value))
                .collect();
            let key = format!("matrix.{}", axis.label);
            rows = self.join(stage, &key, rows, &values, |row, value| {
                row.values.push((axis, value))
            })?;
        }
        self.stages += rows.len();
        if self.stages > MAXIMAL_STAGES {
            return Err(self.too_many(stage, "matrix"));
        }
        rows.into_iter()
            .map(|row| self.finish(stage, row))
            .collect()
    }

    /// What a reference stands for: (the combination's labels that it leaves open,
    /// `stage[…].output`), in order.
    fn choose(
        &self,
        stage: &StageSpec,
        key: &str,
        text: &str,
    ) -> Result<Vec<(Combination, String)>, Refusal> {
        let reference = Reference::parse(text);
        let Some(&index) = self.index.get(reference.base) else {
            return Ok(vec![(Vec::new(), text.to_owned())]); // the checker says that it is unknown
        };
        let output = reference
            .output
            .map_or_else(String::new, |output| format!(".{output}"));
        let meant = self.combinations[index]
            .iter()
            .filter(|combination| reference.means(reference.base, combination));
        let chosen: Vec<_> = meant
            .map(|combination| {
                let is_open = |(label, _): &&(String, String)| {
                    !reference.picks.iter().any(|(picked, _)| picked == label)
                };
                let open = combination.iter().filter(is_open).cloned().collect();
                (
                    open,
                    format!("{}{output}", name_of(reference.base, combination)),
                )
            })
            .collect();
        if chosen.is_empty() {
            let names: Vec<String> = self.combinations[index]
                .iter()
                .map(|combination| name_of(reference.base, combination))
                .collect();
            let message = format!(
                "expected combinations of `{}`, got `{}`, which are none",
                reference.base, reference.stage
            );
            let shown: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
            return Err(self
                .error(stage, key, message)
                .hint(suggestion::hint_or_list(
                    reference.stage,
                    "combinations",
                    &shown,
                )));
        }
        Ok(chosen)
    }

    /// Each row with each of the others that has equal values where labels are shared.
    fn join<T>(
        &mut self,
        stage: &StageSpec,
        key: &str,
        rows: Vec<CombinationDraft<'a>>,
        others: &[(Combination, T)],
        add: impl Fn(&mut CombinationDraft<'a>, &T),
    ) -> Result<Vec<CombinationDraft<'a>>, Refusal>
    where
        T: Clone,
    {
        let has = |combination: &Combination, label: &str| {
            combination.iter().any(|(known, _)| known == label)
        };
        let (Some(first), Some((other, _))) = (rows.first(), others.first()) else {
            return Ok(rows);
        };
        let shared: Vec<String> = first
            .combination
            .iter()
            .map(|(label, _)| label.clone())
            .filter(|label| has(other, label))
            .collect();
        let values_of = |combination: &Combination| -> Vec<String> {
            let value = |label: &String| {
                combination
                    .iter()
                    .find(|(known, _)| known == label)
                    .map(|(_, text)| text.clone())
            };
            shared.iter().filter_map(value).collect()
        };
        let mut by_values: BTreeMap<Vec<String>, Vec<&(Combination, T)>> = BTreeMap::new();
        for other in others {
            by_values
                .entry(values_of(&other.0))
                .or_default()
                .push(other);
        }
        let partners = |row: &CombinationDraft| {
            by_values
                .get(&values_of(&row.combination))
                .map_or(&[][..], Vec::as_slice)
        };
        let count: usize = rows.iter().map(|row| partners(row).len()).sum();
        if count == 0 {
            let message = format!(
                "expected combinations with equal {}, got none",
                suggestion::list(&shared)
            );
            return Err(self
                .error(stage, key, message)
                .hint("give both stages a common value, or one of them another label"));
        }
        if count > MAXIMAL_STAGES {
            return Err(self.too_many(stage, key));
        }
        self.count_connections(stage, key, count)?;
        let mut joined = Vec::with_capacity(count);
        for row in rows {
            for (combination, item) in partners(&row) {
                let mut next = row.clone();
                let new = combination
                    .iter()
                    .filter(|(label, _)| !has(&row.combination, label));
                next.combination.extend(new.cloned());
                add(&mut next, item);
                joined.push(next);
            }
        }
        Ok(joined)
    }

    fn too_many(&self, stage: &StageSpec, key: &str) -> Refusal {
        let message =
            format!("expected at most {MAXIMAL_STAGES} stages with all combinations, got more");
        self.error(stage, key, message)
            .hint("leave values out, or name one combination as input: `STAGE[LABEL=VALUE]`")
    }

    fn count_connections(
        &mut self,
        stage: &StageSpec,
        key: &str,
        count: usize,
    ) -> Result<(), Refusal> {
        self.connections = self.connections.saturating_add(count);
        if self.connections <= MAXIMAL_CONNECTIONS {
            return Ok(());
        }
        let message = format!(
            "expected at most {MAXIMAL_CONNECTIONS} connections with all combinations, got more"
        );
        Err(self
            .error(stage, key, message)
            .hint("leave values out, or name some combinations as input: `STAGE[LABEL=VALUE]`"))
    }

    fn finish(&self, stage: &StageSpec, row: CombinationDraft) -> Result<StageSpec, Refusal> {
        let name = name_of(&stage.name, &row.combination);
        if name.len() > MAXIMAL_NAME {
            let message = format!(
                "expected names of at most {MAXIMAL_NAME} letters, got one of {}",
                name.len()
            );
            return Err(self
                .error(stage, "matrix", message)
                .hint("give the axes shorter labels, or name their values"));
        }
        let slots = stage.inputs.iter().map(|(slot, _)| slot.clone());
        let mut one = StageSpec {
            name,
            inputs: slots.zip(row.inputs).collect(),
            combination: row.combination,
            matrix: Vec::new(),
            ..stage.clone()
        };
        for (axis, AxisValue { value, .. }) in row.values {
            let key = format!("matrix.{}", axis.label);
            if axis.param == ["seed"] && !(self.has_param)(&stage.kind, "seed") {
                let seed = value.as_u64().ok_or_else(|| {
                    let message = format!("expected a whole number of 0 or more, got `{value}`");
                    self.error(stage, key, message)
                        .hint("write `matrix: {seed: [0, 1, 2]}`")
                })?;
                one.seed = Some(seed);
            } else {
                set(&mut one.params, &axis.param, value).map_err(|message| {
                    self.error(stage, key, message)
                        .hint("name a key that holds a mapping, or an index within a list")
                })?;
            }
        }
        Ok(one)
    }
}

/// Sets a nested key; mappings on the way are made when they are not there.
fn set(target: &mut Json, path: &[String], value: &Json) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        *target = value.clone();
        return Ok(());
    };
    if target.is_null() {
        *target = Json::Object(serde_json::Map::new());
    }
    match target {
        Json::Object(entries) => set(
            entries.entry(first.as_str()).or_insert(Json::Null),
            rest,
            value,
        ),
        Json::Array(items) => {
            let length = items.len();
            match first
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get_mut(index))
            {
                Some(item) => set(item, rest, value),
                None => Err(format!("expected an index below {length}, got `{first}`")),
            }
        }
        other => Err(format!("expected a mapping above `{first}`, got `{other}`")),
    }
}
