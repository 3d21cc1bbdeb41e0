//! Which stages differ only in some keys: combinations of a matrix but for `seed`, or plain stages
//! but for a param, and whatever is made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use seedpipe_base::Refusal;
use serde_json::Value;

use crate::kind::reference::{Reference, name_of};
use crate::pipeline::project::Project;
use seedpipe_base::suggestion;

/// The key that stands for the seeds of a stage and of all that it comes from, also where no matrix
/// sets them.
pub const SEED: &str = "seed";

/// Names that a group of several is called by, at most.
const NAMED: usize = 3;
/// Keys that a message names at most.
const KNOWN: usize = 20;

/// A stage as far as it is grouped.
pub struct GroupedStage<'a> {
    pub name: &'a str,
    pub kind: &'a str,
    pub seed: u64,
    pub params: &'a Value,
    /// (slot, stage, output), in order.
    pub inputs: Vec<[&'a str; 3]>,
}

/// Stages, whose keys are labels of a matrix, params as dotted paths, and [`SEED`].
pub struct Grouping<'a> {
    stages: Vec<GroupedStage<'a>>,
    names: Vec<Reference<'a>>,
    index: BTreeMap<&'a str, usize>,
}

/// Stages that are told as one.
pub struct Groups {
    /// By their place among the stages; of equal ones the first.
    pub members: Vec<Vec<usize>>,
    /// Stage → group; none for one that is a member under another name.
    group_of: Vec<Option<usize>>,
}

impl Groups {
    /// The group that counts a stage.
    pub fn of(&self, stage: usize) -> Option<usize> {
        self.group_of[stage]
    }
}

impl<'a> Grouping<'a> {
    pub fn new(stages: Vec<GroupedStage<'a>>) -> Self {
        let names = stages.iter().map(|stage| Reference::parse(stage.name));
        let index = stages.iter().enumerate();
        Self {
            names: names.collect(),
            index: index.map(|(place, stage)| (stage.name, place)).collect(),
            stages,
        }
    }

    /// All stages of a pipeline, in file order.
    pub fn of(project: &'a Project) -> Self {
        let stages = project.stages().iter().map(|node| GroupedStage {
            name: &node.name,
            kind: &node.kind,
            seed: node.seed,
            params: &node.params,
            inputs: node
                .inputs
                .iter()
                .flat_map(|(slot, from)| {
                    let from = from.iter();
                    from.map(|from| [slot.as_str(), from.stage.as_str(), from.output.as_str()])
                })
                .collect(),
        });
        Self::new(stages.collect())
    }

    pub fn place(&self, stage: &str) -> Option<usize> {
        self.index.get(stage).copied()
    }

    pub fn stage(&self, place: usize) -> &'a str {
        self.stages[place].name
    }

    /// # Errors
    /// A key that no stage has.
    pub fn check(&self, key: &str) -> Result<(), Refusal> {
        let path: Vec<&str> = key.split('.').collect();
        let is_param = |stage: &GroupedStage| at(stage.params, &path).is_some();
        if key == SEED || self.is_label(key) || self.stages.iter().any(is_param) {
            return Ok(());
        }
        let known = self.known();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let message = format!(
            "expected a label of a matrix, a param or `{SEED}`, got `{key}`, which is unknown"
        );
        let hint = suggestion::hint_or_list(key, "keys", &known);
        Err(Refusal::new(message).hint(hint))
    }

    /// Labels of matrices, `seed`, and params in which stages of one kind differ.
    fn known(&self) -> Vec<String> {
        let labels = self.names.iter().flat_map(|name| &name.picks);
        let labels: BTreeSet<&str> = labels.map(|(label, _)| *label).collect();
        let mut values: BTreeMap<(&str, String), BTreeSet<String>> = BTreeMap::new();
        for stage in &self.stages {
            let mut leaves = Vec::new();
            leaves_of(stage.params, "", &mut leaves);
            for (path, value) in leaves {
                values.entry((stage.kind, path)).or_default().insert(value);
            }
        }
        let several = values.into_iter().filter(|(_, values)| values.len() > 1);
        let params: BTreeSet<String> = several.map(|((_, path), _)| path).collect();
        let mut known: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let others = [SEED.to_owned()].into_iter().chain(params);
        known.extend(others.filter(|key| !labels.contains(key.as_str())));
        known.truncate(KNOWN);
        known
    }

    fn is_label(&self, key: &str) -> bool {
        let mut picks = self.names.iter().flat_map(|name| &name.picks);
        picks.any(|(label, _)| *label == key)
    }

    /// What a key is for a stage: its own label or param, else that of the nearest stages that it
    /// comes from.
    pub fn value(&self, stage: usize, key: &str) -> Option<String> {
        if self.is_label(key) {
            return self.pick(stage, key).map(str::to_owned);
        }
        let path: Vec<&str> = key.split('.').collect();
        // Most stages have the pipeline's seed, which says nothing of what they come from.
        let usual = (key == SEED).then(|| self.usual_seed());
        let own = |stage: &GroupedStage| match at(stage.params, &path) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(value) => Some(value.to_string()),
            None => {
                let is_own = usual.is_some_and(|usual| stage.seed != usual);
                is_own.then(|| stage.seed.to_string())
            }
        };
        let (mut level, mut seen) = (vec![stage], BTreeSet::from([stage]));
        while !level.is_empty() {
            let mut found: Vec<String> = Vec::new();
            for value in level.iter().filter_map(|&stage| own(&self.stages[stage])) {
                if !found.contains(&value) {
                    found.push(value);
                }
            }
            if !found.is_empty() {
                return Some(found.join(" + "));
            }
            let above = level.iter().flat_map(|&stage| &self.stages[stage].inputs);
            let above = above.filter_map(|[_, from, _]| self.place(from));
            level = above.filter(|stage| seen.insert(*stage)).collect();
        }
        usual.map(|usual| usual.to_string())
    }

    fn usual_seed(&self) -> u64 {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for stage in &self.stages {
            *counts.entry(stage.seed).or_default() += 1;
        }
        let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
        most.map_or(0, |(seed, _)| seed)
    }

    fn pick(&self, stage: usize, label: &str) -> Option<&'a str> {
        let mut picks = self.names[stage].picks.iter();
        picks
            .find(|(known, _)| *known == label)
            .map(|(_, text)| *text)
    }

    /// The stages that differ only in these keys, in the order of their first ones. What is the
    /// same stage under two names is counted once.
    pub fn groups<K: AsRef<str>>(&self, keys: &[K]) -> Groups {
        let count = self.stages.len();
        let mut root: Vec<usize> = (0..count).collect();
        let named = keys.iter().map(AsRef::as_ref);
        let (mut labels, params): (Vec<&str>, Vec<&str>) =
            named.partition(|key| self.is_label(key));
        let params = params.iter().map(|key| key.split('.').collect());
        let mut params: Vec<Vec<&str>> = params.collect();
        if labels.contains(&SEED) {
            params.push(vec![SEED]);
            // Seeds are told by what stages are, unless the label stands for something else.
            let first = self.stages.first().map(|stage| stage.seed);
            let is_one = self.stages.iter().all(|stage| Some(stage.seed) == first);
            labels.retain(|label| *label != SEED || is_one);
        }
        if !labels.is_empty() {
            let rest = (0..count).map(|stage| {
                let picks = self.names[stage].picks.iter();
                let rest = picks.filter(|(label, _)| !labels.contains(label));
                (self.names[stage].base, rest.collect::<Vec<_>>())
            });
            join(&mut root, rest);
        }
        let whole = match keys.is_empty() {
            true => Vec::new(),
            false => self.identities(&[]),
        };
        if !params.is_empty() {
            let without = self.identities(&params);
            let differs: BTreeSet<u64> = {
                let mut first: BTreeMap<u64, u64> = BTreeMap::new();
                let all = without.iter().zip(&whole);
                all.filter(|(without, whole)| *first.entry(**without).or_insert(**whole) != **whole)
                    .map(|(without, _)| *without)
                    .collect()
            };
            let apart = without.iter().enumerate().map(|(stage, identity)| {
                // Equal stages under two names differ in nothing.
                let alone = (!differs.contains(identity)).then_some(stage);
                (*identity, alone)
            });
            join(&mut root, apart);
        }
        let mut groups = Groups {
            members: Vec::new(),
            group_of: vec![None; count],
        };
        let mut of_root: BTreeMap<usize, usize> = BTreeMap::new();
        for stage in 0..count {
            let group = *of_root.entry(find(&root, stage)).or_insert_with(|| {
                groups.members.push(Vec::new());
                groups.members.len() - 1
            });
            let members = &mut groups.members[group];
            if !members.iter().any(|&member| whole[member] == whole[stage]) {
                members.push(stage);
                groups.group_of[stage] = Some(group);
            }
        }
        groups
    }

    /// What each stage is but for its name and for some params, in itself and in all that it comes
    /// from.
    fn identities(&self, without: &[Vec<&str>]) -> Vec<u64> {
        let mut known = vec![None; self.stages.len()];
        let stages = 0..self.stages.len();
        stages
            .map(|stage| self.identity(stage, without, &mut known))
            .collect()
    }

    fn identity(&self, place: usize, without: &[Vec<&str>], known: &mut [Option<u64>]) -> u64 {
        if let Some(known) = known[place] {
            return known;
        }
        let stage = &self.stages[place];
        let mut params = stage.params.clone();
        without.iter().for_each(|path| remove(&mut params, path));
        let is_seedless = without.iter().any(|path| path == &[SEED]);
        let seed = (!is_seedless).then_some(stage.seed);
        let mut hasher = DefaultHasher::new();
        (stage.kind, params.to_string(), seed).hash(&mut hasher);
        for [slot, from, output] in &stage.inputs {
            let maker = self.place(from);
            let maker = maker.map(|maker| self.identity(maker, without, known));
            (slot, output, maker).hash(&mut hasher);
        }
        let hash = hasher.finish();
        known[place] = Some(hash);
        hash
    }

    /// What some stages are called together: by the labels that they share, but for the keys.
    pub fn name<K: AsRef<str>>(&self, members: &[usize], keys: &[K]) -> String {
        let Some((first, others)) = members.split_first() else {
            return String::new();
        };
        let is_key = |label: &str| keys.iter().any(|key| key.as_ref() == label);
        let shared = self.names[*first].picks.iter().filter(|(label, text)| {
            let has = |&other: &usize| self.pick(other, label) == Some(*text);
            !is_key(label) && others.iter().all(has)
        });
        let shared = shared.map(|(label, text)| ((*label).to_owned(), (*text).to_owned()));
        let shared: Vec<(String, String)> = shared.collect();
        let mut bases: Vec<&str> = Vec::new();
        for base in members.iter().map(|&member| self.names[member].base) {
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        let named = bases.iter().take(NAMED).map(|base| name_of(base, &shared));
        let named = named.collect::<Vec<_>>().join(", ");
        match bases.len().checked_sub(NAMED).filter(|more| *more > 0) {
            Some(more) => format!("{named} and {more} more"),
            None => named,
        }
    }
}

/// Joins those with equal keys.
fn join<K: Ord>(root: &mut [usize], keys: impl Iterator<Item = K>) {
    let mut first: BTreeMap<K, usize> = BTreeMap::new();
    for (stage, key) in keys.enumerate() {
        let other = *first.entry(key).or_insert(stage);
        let (one, other) = (find(root, stage), find(root, other));
        root[one.max(other)] = one.min(other);
    }
}

fn find(root: &[usize], mut stage: usize) -> usize {
    while root[stage] != stage {
        stage = root[stage];
    }
    stage
}

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    let mut found = value;
    for step in path {
        found = match found {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            other => other.get(step)?,
        };
    }
    (!found.is_null()).then_some(found)
}

fn remove(value: &mut Value, path: &[&str]) {
    match (value, path) {
        (Value::Object(entries), [last]) => {
            entries.remove(*last);
        }
        (Value::Object(entries), [first, rest @ ..]) => {
            if let Some(inner) = entries.get_mut(*first) {
                remove(inner, rest);
            }
        }
        (Value::Array(items), [first, rest @ ..]) => {
            let index = first.parse::<usize>().ok();
            if let Some(item) = index.and_then(|index| items.get_mut(index)) {
                match rest.is_empty() {
                    true => *item = Value::Null,
                    false => remove(item, rest),
                }
            }
        }
        _ => {}
    }
}

/// Paths of the single values.
fn leaves_of(value: &Value, path: &str, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) => {
            for (key, inner) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                leaves_of(inner, &format!("{path}{dot}{key}"), leaves);
            }
        }
        other => leaves.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Stages as (name, kind, seed, params, what it is made of).
    type Stages = Vec<(&'static str, &'static str, u64, Value, Vec<&'static str>)>;

    fn told(stages: &Stages, keys: &[&str]) -> Vec<String> {
        with(stages, |grouping| {
            let groups = grouping.groups(keys);
            let members = groups.members.iter();
            members
                .map(|members| format!("{} × {}", grouping.name(members, keys), members.len()))
                .collect()
        })
    }

    fn with<T>(stages: &Stages, of: impl Fn(Grouping) -> T) -> T {
        let stages = stages
            .iter()
            .map(|(name, kind, seed, params, inputs)| GroupedStage {
                name,
                kind,
                seed: *seed,
                params,
                inputs: inputs.iter().map(|from| ["in", *from, "out"]).collect(),
            });
        of(Grouping::new(stages.collect()))
    }

    fn sweep() -> Stages {
        let mut stages = vec![("images", "ingest", 0, json!({}), vec![])];
        for (student, probe, width, seed) in [
            ("s[width=1,seed=0]", "p[width=1,seed=0]", 1, 0),
            ("s[width=1,seed=1]", "p[width=1,seed=1]", 1, 1),
            ("s[width=2,seed=0]", "p[width=2,seed=0]", 2, 0),
            ("s[width=2,seed=1]", "p[width=2,seed=1]", 2, 1),
        ] {
            let params = json!({"network": {"width": width}});
            stages.push((student, "distill", seed, params, vec!["images"]));
            stages.push((probe, "probe", 0, json!({}), vec!["images", student]));
        }
        stages
    }

    #[test]
    fn a_label_is_left_out_of_stages_and_of_what_is_made_of_them() {
        let over_seed = [
            "images × 1",
            "s[width=1] × 2",
            "p[width=1] × 2",
            "s[width=2] × 2",
            "p[width=2] × 2",
        ];
        assert_eq!(told(&sweep(), &["seed"]), over_seed);
        assert_eq!(
            told(&sweep(), &["width", "seed"]),
            ["images × 1", "s × 4", "p × 4"]
        );
        // The param that the label sets does the same.
        let over_width = [
            "images × 1",
            "s[seed=0] × 2",
            "p[seed=0] × 2",
            "s[seed=1] × 2",
            "p[seed=1] × 2",
        ];
        assert_eq!(told(&sweep(), &["network.width"]), over_width);
        assert_eq!(told(&sweep(), &["width"]), over_width);
        assert_eq!(
            told(&sweep(), &["network.width", "seed"]),
            ["images × 1", "s × 4", "p × 4"]
        );
        assert_eq!(told(&sweep(), &[]).len(), 9);
    }

    #[test]
    fn plain_stages_are_grouped_by_what_they_are_and_equal_ones_count_once() {
        let tuned = |epochs: u32| json!({"training": {"epochs": epochs}});
        let stages = vec![
            ("short", "tune", 0, tuned(2), vec![]),
            ("long", "tune", 0, tuned(4), vec![]),
            ("again", "tune", 0, tuned(4), vec![]),
            ("other", "tune", 3, tuned(2), vec![]),
            ("knn", "knn", 0, json!({}), vec!["short"]),
            ("knn_long", "knn", 0, json!({}), vec!["long"]),
            ("knn_other", "knn", 0, json!({}), vec!["other"]),
        ];
        assert_eq!(
            told(&stages, &["training.epochs"]),
            [
                "short, long × 2",
                "other × 1",
                "knn, knn_long × 2",
                "knn_other × 1"
            ]
        );
        assert_eq!(
            told(&stages, &["seed"]),
            [
                "short, other × 2",
                "long × 1",
                "again × 1",
                "knn, knn_other × 2",
                "knn_long × 1"
            ]
        );
        with(&stages, |grouping| {
            let value = |stage: &str, key: &str| {
                let place = grouping.place(stage).unwrap();
                grouping.value(place, key)
            };
            assert_eq!(value("knn_long", "training.epochs").unwrap(), "4");
            assert_eq!(value("knn_other", "seed").unwrap(), "3");
            assert_eq!(value("knn", "seed").unwrap(), "0");
        });
    }

    #[test]
    fn an_unknown_key_is_refused_with_those_that_are_known() {
        with(&sweep(), |grouping| {
            for key in ["seed", "width", "network.width", "network"] {
                assert!(grouping.check(key).is_ok(), "{key}");
            }
            let refused = |key: &str| grouping.check(key).unwrap_err().to_string();
            assert_eq!(
                refused("depth"),
                "expected a label of a matrix, a param or `seed`, got `depth`, which is unknown\nhint: keys: `seed`, `width`, `network.width`"
            );
            assert!(refused("widht").ends_with("did you mean `width`?"));
        });
    }
}
