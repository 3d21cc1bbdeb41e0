//! The light pipeline dies, or its disk fails, at every fault point in turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::leftovers::{age, clear};
use super::{counted, faulted, logged, passed};
use crate::sandbox::{LIGHT_PIPELINE, Sandbox, contents};

/// Writes that a run can do without: who only looks may fail to keep what it hashed, and `gc`
/// clears what isn't removed.
const DISPENSABLE: [&str; 4] = ["seal.", "stat.", "lock.remove", "lease.remove"];

fn pipeline() -> String {
    LIGHT_PIPELINE.replace("{train: 60, test: 20}", "{train: 12, test: 4}")
}

/// A sandbox where nothing ran, or where one artifact is damaged.
fn sandbox(is_damaged: bool) -> Sandbox {
    let sandbox = Sandbox::with(&pipeline());
    if is_damaged {
        sandbox.run(&["run", "--quiet"]).succeeded();
        damage_images(&sandbox);
    }
    sandbox
}

fn damage_images(sandbox: &Sandbox) {
    let entries = sandbox.cache_entries("artifacts");
    let part = entries
        .iter()
        .find(|entry| entry.ends_with("images/part-00000.parquet"))
        .unwrap();
    let path = sandbox.path(".seedpipe/v1/artifacts").join(part);
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[100] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

/// Lets a run fail at every point; after each, the next run ends as an uninterrupted one, and
/// nothing is left.
fn at_every_point(action: &str, message: &str, is_damaged: bool) {
    let whole = sandbox(is_damaged);
    whole
        .finish(&mut logged(&whole, &["run", "--quiet"]))
        .succeeded();
    let points = passed(&whole);
    let expected = contents(&whole.run_json(&[]));
    assert!(points.len() > 40, "{points:?}");

    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let hit = next.fetch_add(1, Ordering::Relaxed);
                    let Some(point) = points.get(hit) else { break };
                    let context = format!(
                        "{action} at point {} of {}, `{point}`",
                        hit + 1,
                        points.len()
                    );
                    let sandbox = sandbox(is_damaged);
                    let fault = format!("*:{}={action}", hit + 1);
                    let struck = faulted(&sandbox, &["run", "--quiet"], &fault);
                    if action == "kill" {
                        assert_eq!(struck.code, None, "{context}");
                    } else if struck.code == Some(0) {
                        let is_dispensable =
                            DISPENSABLE.iter().any(|start| point.starts_with(start));
                        assert!(is_dispensable, "{context} was not noticed");
                    } else {
                        let struck = struck.exited_with(1);
                        assert!(
                            struck.stderr.contains(message)
                                && !struck.stderr.contains("panicked")
                                && !struck.stderr.contains("BUG"),
                            "{context}: {}",
                            struck.stderr
                        );
                    }
                    let lines = sandbox.run_json(&[]);
                    assert_eq!(contents(&lines), expected, "{context}");
                    let verified = sandbox.run(&["verify", "--quiet"]);
                    assert_eq!(verified.code, Some(0), "{context}: {}", verified.stdout);
                    clear(&sandbox, &context);
                }
            });
        }
    });
    println!(
        "{action}: {} points, of {} names",
        points.len(),
        counted(&points).len()
    );
}

#[test]
fn killed_at_every_point_the_next_run_ends_as_an_uninterrupted_one() {
    at_every_point("kill", "", false);
}

#[test]
fn killed_at_every_point_while_it_heals_a_damaged_artifact_the_next_run_ends_well() {
    at_every_point("kill", "", true);
}

#[test]
fn a_disk_that_is_full_at_any_point_is_a_clear_error_and_nothing_is_lost() {
    at_every_point("enospc", "No space left on device", false);
}

#[test]
fn a_disk_that_fails_at_any_point_is_a_clear_error_and_nothing_is_lost() {
    at_every_point("eio", "Input/output error", false);
}

#[test]
fn killed_at_every_point_of_gc_and_of_repair_nothing_is_lost() {
    let prepared = || {
        let sandbox = Sandbox::with(&pipeline());
        let other = ["run", "--quiet", "--set", "views.size=20"];
        sandbox.run(&other).succeeded();
        sandbox.run(&["run", "--quiet"]).succeeded();
        damage_images(&sandbox);
        age(&sandbox.path(".seedpipe"));
        sandbox
    };
    let expected = contents(&Sandbox::with(&pipeline()).run_json(&[]));
    let commands: [&[&str]; 2] = [&["gc"], &["verify", "--repair"]];
    for arguments in commands {
        let whole = prepared();
        whole.finish(&mut logged(&whole, arguments)).succeeded();
        let points = passed(&whole);
        assert!(points.contains(&"trash.rename".to_owned()), "{points:?}");
        for (hit, point) in points.iter().enumerate() {
            let context = format!("{arguments:?} killed at `{point}`");
            let sandbox = prepared();
            let struck = faulted(&sandbox, arguments, &format!("*:{}=kill", hit + 1));
            assert_eq!(struck.code, None, "{context}");
            assert_eq!(contents(&sandbox.run_json(&[])), expected, "{context}");
            sandbox.run(&["verify", "--quiet"]).succeeded();
            clear(&sandbox, &context);
        }
        println!("{arguments:?}: {} points", points.len());
    }
}

#[test]
fn every_write_of_store_draft_lock_history_and_seal_is_a_point() {
    let sandbox = sandbox(true);
    sandbox
        .finish(&mut logged(&sandbox, &["run", "--quiet"]))
        .succeeded();
    let counts = counted(&passed(&sandbox));
    for subject in ["manifest", "draft", "shard", "seal"] {
        for step in ["create", "write", "rename"] {
            let name = format!("{subject}.{step}");
            assert!(counts.contains_key(&name), "{name} is not among {counts:?}");
        }
    }
    for name in [
        "lease.create",
        "lease.write",
        "lease.remove",
        "lock.open",
        "lock.write",
        "lock.remove",
        "part.fsync",
        "part.fsync-folder",
        "publish.create",
        "publish.rename",
        "publish.fsync-folder",
        "trash.rename",
        "trash.remove",
    ] {
        assert!(counts.contains_key(name), "{name} is not among {counts:?}");
    }
}
