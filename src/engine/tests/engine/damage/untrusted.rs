//! Texts from anybody: the examples with random damage go through what the fuzz targets do. No
//! panic, no hang.

use fs_err as fs;
use proptest::prelude::*;

use crate::matrix::GRID;
use crate::targets;
use crate::toy::registry;
use crate::world::*;

/// What a text is likely to break at.
const TOKENS: [&str; 24] = [
    "&a ",
    "*a ",
    "<<: *a",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "? ",
    "!!float ",
    "!x ",
    ".nan",
    "1e999",
    "-0.0",
    "\n",
    "  ",
    "'",
    "\"",
    "../",
    "\u{0}",
    "matrix: {times: [1, 2]}",
    "[times=1]",
    "18446744073709551616",
];

/// Places in the text, what happens there, and how much.
type Damage = Vec<(prop::sample::Index, u8, prop::sample::Index)>;

fn damage() -> impl Strategy<Value = Damage> {
    prop::collection::vec(
        any::<(prop::sample::Index, u8, prop::sample::Index)>(),
        1..6,
    )
}

fn damaged(text: &str, damage: &Damage) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for (at, what, other) in damage {
        if letters.is_empty() {
            break;
        }
        let (at, other) = (at.index(letters.len()), other.index(letters.len()));
        let (start, end) = (at.min(other), at.max(other).min(at.min(other) + 80));
        match what % 4 {
            0 => {
                letters.splice(at..at, TOKENS[other % TOKENS.len()].chars());
            }
            1 => drop(letters.splice(start..end, [])),
            2 => {
                let copy: Vec<char> = letters[start..end].to_vec();
                letters.splice(at..at, copy);
            }
            _ => letters[at] = char::from(what / 2),
        }
    }
    letters.into_iter().collect()
}

fn manifest_text() -> String {
    let world = World::new(CHAIN);
    world.run();
    fs::read_to_string(world.artifact("sum").directory.join("manifest.json")).unwrap()
}

fn lock_text() -> String {
    let world = World::new(GRID);
    fs::read_to_string(world.run().lock_file.unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_pipeline_brings_the_reader_down(which in 0..2_usize, damage in damage()) {
        targets::spec(&damaged([CHAIN, GRID][which], &damage), &registry());
    }
}

#[test]
fn no_manifest_brings_the_reader_down() {
    let text = manifest_text();
    let body = text.split(",\n  \"~checksum\"").next().unwrap().to_owned();
    targets::manifest(&text);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&damage(), |damage| {
            targets::manifest(&damaged(&body, &damage));
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_lock_brings_the_reader_down() {
    let text = lock_text();
    targets::lock(&text);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&damage(), |damage| {
            targets::lock(&damaged(&text, &damage));
            Ok(())
        })
        .unwrap();
}

/// A part that is a link may hold the right bytes today and lead anywhere.
#[test]
fn an_artifact_with_a_link_in_it_is_not_used() {
    let world = World::new(CHAIN);
    world.run();
    let artifact = world.artifact("clean");
    let part = artifact.parts("text").remove(0);
    let outside = world.path("outside");
    fs::rename(&part, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &part).unwrap();
    assert!(world.engine().find("clean").unwrap().is_none());
    let report = world
        .engine()
        .verify(
            seedpipe_engine::VerifyScope::Cache,
            &seedpipe_engine::Silent,
        )
        .unwrap();
    let faults: Vec<String> = report
        .faults()
        .map(|(_, fault)| format!("{}: {}", fault.file, fault.found))
        .collect();
    assert_eq!(faults, ["text/p0.parquet: a link, or a folder"]);
    world.run();
    assert!(
        fs::symlink_metadata(world.artifact("clean").parts("text").remove(0))
            .unwrap()
            .is_file()
    );
    assert_eq!(fs::read(outside).unwrap(), b"hello");
}

#[test]
fn a_pipeline_that_never_ends_is_not_read() {
    let world = World::new(CHAIN);
    world.remove("pipeline.yaml");
    std::os::unix::fs::symlink("/dev/zero", world.path("pipeline.yaml")).unwrap();
    let message = world.open(&[]).err().unwrap().to_string();
    assert!(
        message.contains("expected UTF-8 text of at most 8388608 bytes"),
        "{message}"
    );
    world.remove("pipeline.yaml");
    world.write("pipeline.yaml", CHAIN);
    std::os::unix::fs::symlink("/dev/zero", world.path("pipeline.lock")).unwrap();
    let message = format!(
        "{:#}",
        seedpipe_engine::PipelineLock::read(&world.path("pipeline.lock")).unwrap_err()
    );
    assert!(
        message.contains("expected a file, got something else"),
        "{message}"
    );
}
