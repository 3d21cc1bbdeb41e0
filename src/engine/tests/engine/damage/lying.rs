//! A remote that lies: each lie is refused and named by a pull, and a run makes the stage itself.

use fs_err as fs;
use seedpipe_engine::*;

use crate::sharing::{ARTIFACTS, pull, shared, with};
use crate::shelf::Shelf;
use crate::world::{CHAIN, Recorder, World, outcomes};

const BLOBS: &str = "seedpipe/v1/blobs/";

/// The key of a stage's first file.
fn blob_key(world: &World, shelf: &Shelf, stage: &str) -> String {
    let artifact = world.artifact(stage);
    let part = &artifact.manifest.outputs["text"].parts[0];
    shelf.key(BLOBS, &part.blake3.to_string())
}

/// The key of a stage's manifest.
fn manifest_key(world: &World, shelf: &Shelf, stage: &str) -> String {
    let artifact = world.artifact(stage);
    let content = &artifact.content.to_string()[..16];
    shelf.key(
        &format!("{ARTIFACTS}{}/{content}", artifact.fingerprint),
        ".json",
    )
}

/// What a pull into an empty cache says of a shelf that lies. Nothing of the stage may be
/// published, and a run must make it itself.
fn refused(shelf: &Shelf, stage: &str) -> String {
    let there = World::new(CHAIN);
    let message = format!("{:#}", pull(&there, shelf).unwrap_err());
    assert_eq!(there.engine().find(stage).unwrap(), None);
    let recorder = Recorder::default();
    let report = with(&there, shelf)
        .run(&RunOptions::default(), &recorder)
        .unwrap();
    assert!(report.failed().is_none());
    assert!(
        outcomes(&report).contains(&format!("{stage} executed")),
        "{:?}",
        outcomes(&report)
    );
    let warning = format!("{stage}: warning: remote `shelf`: object");
    assert!(
        recorder
            .lines()
            .iter()
            .any(|line| line.starts_with(&warning)),
        "{:?}",
        recorder.lines()
    );
    assert!(
        there
            .engine()
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good()
    );
    message
}

#[test]
fn a_flipped_bit_in_an_object_is_refused_and_named() {
    let (world, shelf) = shared();
    let key = blob_key(&world, &shelf, "long");
    let mut bytes = shelf.get(&key);
    bytes[1] ^= 1;
    shelf.put(&key, bytes);
    let message = refused(&shelf, "long");
    assert!(
        message.starts_with(&format!("remote `shelf`: object `{key}`: expected BLAKE3 ")),
        "{message}"
    );
}

#[test]
fn an_object_of_another_length_is_refused_and_named() {
    let (world, shelf) = shared();
    let key = blob_key(&world, &shelf, "long");
    shelf.put(&key, "x");
    let message = refused(&shelf, "long");
    assert!(
        message.contains(&format!("object `{key}`: expected ")) && message.contains("got 1 bytes"),
        "{message}"
    );
}

#[test]
fn an_object_that_is_gone_is_refused_and_named() {
    let (world, shelf) = shared();
    shelf.take(&blob_key(&world, &shelf, "long"));
    assert!(refused(&shelf, "long").contains("bytes, got no such object"));
}

#[test]
fn a_claimed_length_of_100_gb_is_refused_before_anything_is_written() {
    let (world, shelf) = shared();
    let key = manifest_key(&world, &shelf, "long");
    let bytes = world.artifact("long").manifest.outputs["text"].parts[0].bytes;
    shelf.falsify(
        &key,
        &format!("\"bytes\": {bytes},"),
        "\"bytes\": 100000000000,",
    );
    let there = World::new(CHAIN);
    pull(&there, &shelf).unwrap_err();
    assert_eq!(
        fs::read_dir(there.path(".seedpipe/v1/drafts"))
            .unwrap()
            .count(),
        0
    );
    assert!(refused(&shelf, "long").contains("expected 100000000000 bytes, got "));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let (world, shelf) = shared();
    let key = manifest_key(&world, &shelf, "long");
    let original = shelf.get(&key);
    let name = world.artifact("long").manifest.outputs["text"].parts[0]
        .name
        .clone();
    for lie in ["../../../../escaped.txt", "/tmp/escaped.txt", "..", "a/b"] {
        shelf.falsify(
            &key,
            &format!("\"name\": \"{name}\""),
            &format!("\"name\": \"{lie}\""),
        );
        let message = refused(&shelf, "long");
        assert!(
            message.contains(&format!("expected a plain file name, got `{lie}`")),
            "{message}"
        );
        shelf.put(&key, original.clone());
    }
}

#[test]
fn an_index_that_leads_elsewhere_is_refused() {
    let (world, shelf) = shared();
    let key = format!(
        "{ARTIFACTS}{}/index.json",
        world.artifact("long").fingerprint
    );
    shelf.put(&key, "{\"format\": 1, \"contents\": [\"../../../../x\"]}");
    assert!(
        refused(&shelf, "long")
            .contains("expected contents of 16 hexadecimal digits, got `../../../../x`")
    );
}

#[test]
fn an_index_that_is_too_large_is_refused() {
    let (world, shelf) = shared();
    let key = format!(
        "{ARTIFACTS}{}/index.json",
        world.artifact("long").fingerprint
    );
    shelf.put(&key, " ".repeat(2 << 20));
    assert!(refused(&shelf, "long").contains("expected at most 1048576 bytes, got 2097152 bytes"));
}

#[test]
fn a_manifest_of_another_artifact_is_refused() {
    let (world, shelf) = shared();
    let other = shelf.get(&manifest_key(&world, &shelf, "clean"));
    shelf.put(&manifest_key(&world, &shelf, "long"), other);
    assert!(refused(&shelf, "long").contains("expected the manifest of its name, got that of "));
}

#[test]
fn a_falsified_recipe_is_refused() {
    let (world, shelf) = shared();
    shelf.falsify(
        &manifest_key(&world, &shelf, "long"),
        "\"times\": 3",
        "\"times\": 4",
    );
    assert!(refused(&shelf, "long").contains("expected the recipe of fingerprint "));
}

#[test]
fn a_manifest_with_a_flipped_bit_is_refused() {
    let (world, shelf) = shared();
    let key = manifest_key(&world, &shelf, "long");
    let mut bytes = shelf.get(&key);
    bytes[40] ^= 1;
    shelf.put(&key, bytes);
    assert!(refused(&shelf, "long").contains("expected a whole manifest, got one that is none"));
}

#[test]
fn files_that_are_not_the_claimed_content_are_refused() {
    let (world, shelf) = shared();
    let key = manifest_key(&world, &shelf, "long");
    let (lie, part) = (
        b"liar",
        world.artifact("long").manifest.outputs["text"].parts[0].clone(),
    );
    let blake3 = Digest::of(lie);
    let digits = blake3.to_string();
    shelf.put(&format!("{BLOBS}{}/{digits}", &digits[..2]), lie.as_slice());
    shelf.falsify(&key, &part.blake3.to_string(), &digits);
    shelf.falsify(
        &key,
        &format!("\"bytes\": {},", part.bytes),
        &format!("\"bytes\": {},", lie.len()),
    );
    let message = refused(&shelf, "long");
    assert!(
        message.contains("expected files of `text` with content "),
        "{message}"
    );
}
