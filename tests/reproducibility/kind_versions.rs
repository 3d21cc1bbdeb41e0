//! A kind's version can't be forgotten: for a fixture of every kind, what its recipe gave is kept
//! in `tests/kind_versions.yaml`.
//!
//! An entry names its recipe by the fingerprint, which holds the kind's version and its inputs'
//! contents: so when content moves, the kind that moved it is told, and not those below it. Kinds
//! without tensors have one entry for every machine; others one a numerics class. Every machine
//! tests two: its own, and that of its processor without AVX-512.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use regex::Regex;
use seedpipe_engine::{Kind, LockedStage, PipelineLock};

use crate::reproducibility::every_kind::with_every_kind;
use crate::requirements::left_out;
use crate::sandbox::{AVX2, REPOSITORY};

/// Set, the test adds the entries that are missing.
const RECORD: &str = "SEEDPIPE_RECORD_KIND_VERSIONS";
const FILE: &str = "tests/kind_versions.yaml";
const EVERY_MACHINE: &str = "every machine";
const HEADER: &str = "\
# What a fixture of each kind gave, by recipe (tests/reproducibility/kind_versions.rs). One line each; lines are only added:
#     SEEDPIPE_RECORD_KIND_VERSIONS=1 cargo test --workspace --test main kind_versions
# A line that contradicts one that is there is refused: content moved, so the kind's VERSION must.
";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    kind: String,
    stage: String,
    version: u32,
    class: String,
    fingerprint: String,
    content: String,
}

fn read(text: &str) -> Vec<Entry> {
    let line = Regex::new(
        r#"^- \{kind: (\w+), fixture: (\w+), version: (\d+), class: "([^"]+)", fingerprint: "([0-9a-f]{64})", content: "([0-9a-f]{64})"\}$"#,
    )
    .unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|text| {
            let found = line
                .captures(text)
                .unwrap_or_else(|| panic!("{FILE}: no entry: {text}"));
            Entry {
                kind: found[1].to_owned(),
                stage: found[2].to_owned(),
                version: found[3].parse().unwrap(),
                class: found[4].to_owned(),
                fingerprint: found[5].to_owned(),
                content: found[6].to_owned(),
            }
        })
        .collect()
}

fn written(entries: &[Entry]) -> String {
    let mut text = HEADER.to_owned();
    for Entry {
        kind,
        stage,
        version,
        class,
        fingerprint,
        content,
    } in entries
    {
        writeln!(
            text,
            r#"- {{kind: {kind}, fixture: {stage}, version: {version}, class: "{class}", fingerprint: "{fingerprint}", content: "{content}"}}"#
        )
        .unwrap();
    }
    text
}

/// What the fixtures gave here. A stage whose inputs depend on a numerics class depends on it too.
fn found(lock: &PipelineLock) -> Vec<Entry> {
    let mut classes: BTreeMap<String, String> = BTreeMap::new();
    let mut entries = Vec::new();
    for (stage, locked) in &lock.stages {
        let own = match locked.numerics.starts_with("cpu") || locked.numerics.starts_with("cuda") {
            true => locked.numerics.as_str(),
            false => EVERY_MACHINE,
        };
        let above = inputs(locked);
        let inherited = above.iter().map(|name| classes[name].as_str());
        let class = inherited.chain([own]).find(|class| *class != EVERY_MACHINE);
        let class = class.unwrap_or(EVERY_MACHINE).to_owned();
        classes.insert(stage.clone(), class.clone());
        entries.push(Entry {
            kind: locked.kind.clone(),
            stage: stage.clone(),
            version: locked.version,
            class,
            fingerprint: locked.fingerprint.to_string(),
            content: locked.content.to_string(),
        });
    }
    entries
}

/// Names of the stages that are connected.
fn inputs(locked: &LockedStage) -> Vec<String> {
    let facts = locked
        .facts
        .iter()
        .filter(|(fact, _)| fact.starts_with("inputs."));
    let names = facts.flat_map(|(_, value)| value.as_array().unwrap());
    names
        .map(|name| name.as_str().unwrap().split('.').next().unwrap().to_owned())
        .collect()
}

/// What is wrong, and the entries that are missing.
fn held_against(known: &[Entry], found: &[Entry]) -> (Vec<String>, Vec<Entry>) {
    let (mut faults, mut missing) = (Vec::new(), Vec::new());
    for entry in found {
        let same = |other: &&Entry| {
            (&other.fingerprint, &other.class) == (&entry.fingerprint, &entry.class)
        };
        match known.iter().find(same) {
            Some(golden) if golden.content == entry.content => {}
            Some(golden) => faults.push(format!(
                "kind `{}` version {}: its fixture `{}` gave content {}, now {}, of one recipe\n  hint: raise VERSION of `{}`, add a line to its version log, and record the new content with {RECORD}=1",
                entry.kind,
                entry.version,
                entry.stage,
                &golden.content[..12],
                &entry.content[..12],
                entry.kind
            )),
            None => missing.push(entry.clone()),
        }
    }
    (faults, missing)
}

/// The stages whose entries are missing only because nobody has recorded them in this class: their
/// kind's version is known of another class, and of this one neither it nor what it is made from.
///
/// - `missing`: a stage behind those that it is made from
/// - `above`: what a stage is made from
fn known_of_other_classes(
    known: &[Entry],
    missing: &[Entry],
    above: &BTreeMap<&str, Vec<String>>,
) -> BTreeSet<String> {
    let mut stages: BTreeSet<String> = BTreeSet::new();
    for entry in missing {
        let same = |other: &&Entry| {
            (&other.kind, &other.stage, other.version) == (&entry.kind, &entry.stage, entry.version)
        };
        let mut recorded = known.iter().filter(same).peekable();
        let is_known = recorded.peek().is_some();
        let is_known_here = recorded.any(|other| other.class == entry.class);
        let moved_above = || {
            above[entry.stage.as_str()]
                .iter()
                .any(|name| stages.contains(name))
        };
        if is_known && (!is_known_here || moved_above()) {
            stages.insert(entry.stage.clone());
        }
    }
    stages
}

#[test]
fn content_moves_only_with_a_kinds_version() {
    let path = format!("{REPOSITORY}/{FILE}");
    let mut known = match fs_err::read_to_string(&path) {
        Ok(text) => read(&text),
        Err(error) => panic!("{error}"),
    };
    let records = std::env::var_os(RECORD).is_some();
    for switches in [&[][..], &AVX2] {
        let new = hold(&known, switches, records);
        known.extend(new);
        if !cfg!(target_arch = "x86_64") {
            break;
        }
    }
    if records {
        known.sort();
        fs_err::write(&path, written(&known)).unwrap();
    }
}

/// Runs the fixtures under switches of the environment, and holds what they gave against what is
/// known. Gives the entries to be recorded.
///
/// - `records`: whether those that are missing will be recorded, which is a fault otherwise
fn hold(known: &[Entry], switches: &[(&str, &str)], records: bool) -> Vec<Entry> {
    let sandbox = with_every_kind();
    let mut run = sandbox.command(&["run", "--quiet", "--device", "cpu"]);
    run.envs(switches.iter().copied());
    sandbox.finish(&mut run).succeeded();
    let lock = PipelineLock::read(&sandbox.path("pipeline.lock"))
        .unwrap()
        .unwrap();
    let found = found(&lock);

    let registry = seedpipe_stages::light_registry();
    let registered: BTreeSet<&str> = registry.kinds().map(Kind::name).collect();
    let covered: BTreeSet<&str> = found.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(
        covered, registered,
        "every kind needs a stage in every_kind.rs"
    );

    let (faults, missing) = held_against(known, &found);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    if records {
        return missing;
    }
    let above = lock.stages.iter();
    let above = above.map(|(stage, locked)| (stage.as_str(), inputs(locked)));
    let elsewhere = known_of_other_classes(known, &missing, &above.collect());
    let (new_classes, new_recipes): (Vec<Entry>, Vec<Entry>) = missing
        .into_iter()
        .partition(|entry| elsewhere.contains(&entry.stage));
    let names = |entries: &[Entry]| {
        let names: Vec<&str> = entries.iter().map(|entry| entry.stage.as_str()).collect();
        names.join(", ")
    };
    assert!(
        new_recipes.is_empty(),
        "{FILE} has no entry for the recipes of {}: a version, a default or an input changed\n  hint: look at what changed, then record with {RECORD}=1 and commit the file",
        names(&new_recipes)
    );
    if let Some(entry) = new_classes.first() {
        // Those of every machine were compared; the others would be whatever they are here.
        left_out(
            &format!(
                "entries of {FILE} for the numerics class `{}`: contents of {} not compared",
                entry.class,
                names(&new_classes)
            ),
            &format!("record them with {RECORD}=1, on a machine of this class"),
        );
    }
    Vec::new()
}

#[test]
fn a_moved_content_is_told_of_the_kind_that_moved_it() {
    let entry = |stage: &str, fingerprint: &str, content: &str| Entry {
        kind: "augment".into(),
        stage: stage.into(),
        version: 1,
        class: EVERY_MACHINE.into(),
        fingerprint: fingerprint.repeat(64),
        content: content.repeat(64),
    };
    let known = [entry("views", "1", "a"), entry("below", "2", "b")];
    assert_eq!(read(&written(&known)), known);
    let moved = [entry("views", "1", "c"), entry("below", "3", "d")];
    let (faults, missing) = held_against(&known, &moved);
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].contains("raise VERSION of `augment`"),
        "{}",
        faults[0]
    );
    assert_eq!(missing, [entry("below", "3", "d")]);
    assert_eq!(held_against(&known, &known), (vec![], vec![]));
}

#[test]
fn a_class_that_nobody_recorded_is_told_from_a_recipe_that_nobody_did() {
    let entry = |stage: &str, version: u32, class: &str| Entry {
        kind: "encode".into(),
        stage: stage.into(),
        version,
        class: class.into(),
        fingerprint: "1".repeat(64),
        content: "a".repeat(64),
    };
    let known = [
        entry("targets", 2, "old"),
        entry("below", 1, "old"),
        entry("targets", 3, "new"),
        entry("below", 1, "new"),
        entry("alone", 1, "old"),
    ];
    let above = BTreeMap::from([
        ("targets", vec![]),
        ("below", vec!["targets".to_owned()]),
        ("alone", vec![]),
    ]);
    let names = |missing: &[Entry]| -> Vec<String> {
        known_of_other_classes(&known, missing, &above)
            .into_iter()
            .collect()
    };
    // Version 3 was recorded of `new` alone, so what is made from it is another recipe on `old`.
    let missing = [entry("targets", 3, "old"), entry("below", 1, "old")];
    assert_eq!(names(&missing), ["below", "targets"]);
    assert_eq!(names(&[entry("targets", 3, "third")]), ["targets"]);
    // A version that nobody recorded, and another recipe of one that was.
    assert!(names(&[entry("targets", 4, "old")]).is_empty());
    assert!(names(&[entry("alone", 1, "old")]).is_empty());
}
