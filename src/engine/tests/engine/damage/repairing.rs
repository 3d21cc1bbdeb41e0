//! What `repair` removes and what it leaves.

use fs_err as fs;
use seedpipe_engine::*;

use crate::world::*;

fn repair(world: &World) -> VerifyReport {
    world.engine().repair(VerifyScope::Cache, &Silent).unwrap()
}

#[test]
fn a_damaged_artifact_is_removed_and_the_next_run_makes_it_again() {
    let world = World::new(CHAIN);
    let before = world.run();
    let artifact = world.artifact("long");
    fs::write(&artifact.parts("text")[1], "damaged").unwrap();
    fs::write(world.artifact("raw").directory.join("text/extra"), "x").unwrap();
    let report = repair(&world);
    assert!(!report.is_good() && report.is_repaired());
    let told = report.to_string();
    assert!(
        told.contains("removed; `seedpipe run` makes it again")
            && told.contains("removed `text/extra`, which its manifest doesn't name"),
        "{told}"
    );
    assert!(!artifact.directory.exists());
    assert!(repair(&world).is_good());
    assert_eq!(
        fs::read_dir(world.path(".seedpipe/v1/trash"))
            .unwrap()
            .count(),
        0
    );
    let after = world.run();
    assert_eq!(
        outcomes(&after),
        ["raw cached", "clean cached", "long executed", "sum cached"]
    );
    assert_eq!(after.stages[2].content, before.stages[2].content);
}

/// Repairs as soon as its stage starts.
struct RepairingBeside<'a>(&'a World, std::sync::Mutex<Vec<VerifyReport>>);

impl Observer for RepairingBeside<'_> {
    fn event(&self, event: &Event) {
        if matches!(event, Event::StageStarted { stage: "sum", .. }) {
            self.1.lock().unwrap().push(repair(self.0));
        }
    }
}

#[test]
fn what_a_run_uses_that_is_alive_is_left() {
    let world = World::new(CHAIN);
    world.write("fail", "sum 0\n");
    world.run_with(&RunOptions::default(), &Silent);
    world.remove("fail");
    let observer = RepairingBeside(&world, std::sync::Mutex::default());
    fs::write(world.artifact("raw").directory.join("extra"), "x").unwrap();
    let run = world.run_with(&RunOptions::default(), &observer);
    assert!(run.failed().is_none(), "{:?}", run.failed());
    let reports = observer.1.into_inner().unwrap();
    assert_eq!(reports[0].repaired[0].repair, Repair::InUse);
    assert!(!reports[0].is_repaired());
    assert!(world.artifact("raw").directory.join("extra").exists());
    assert!(repair(&world).is_repaired());
    assert!(!world.artifact("raw").directory.join("extra").exists());
}

#[test]
fn verify_breaks_the_seal_of_what_a_disk_changed_without_its_stat() {
    let world = World::new(CHAIN);
    world.run();
    let part = world.artifact("long").parts("text")[1].clone();
    let seals = || {
        fs::read_dir(world.path(".seedpipe/v1/seals"))
            .unwrap()
            .count()
    };
    assert_eq!(seals(), 3, "raw, clean and long were looked up");
    let length = fs::read(&part).unwrap().len();
    fs::write(&part, "X".repeat(length)).unwrap();
    assert!(
        !world
            .engine()
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good()
    );
    assert_eq!(seals(), 2);
}

#[test]
fn gc_clears_the_seals_of_artifacts_that_go() {
    let world = World::new(CHAIN);
    world.run();
    world.run();
    let seals = || {
        fs::read_dir(world.path(".seedpipe/v1/seals"))
            .unwrap()
            .count()
    };
    assert_eq!(seals(), 4);
    world.write("pipeline.yaml", &CHAIN.replace("times: 3", "times: 4"));
    world.run();
    world.run();
    assert_eq!(seals(), 6);
    let at_once = GcOptions {
        grace: std::time::Duration::ZERO,
        ..GcOptions::default()
    };
    let report = world.engine().gc(&at_once).unwrap();
    assert_eq!((seals(), report.kept_artifacts), (4, 4), "{report}");
    assert!(world.engine().gc(&at_once).unwrap().items.is_empty());
}

/// Takes an artifact away as soon as `verify` has begun to hash.
struct TakingAway(std::path::PathBuf);

impl Observer for TakingAway {
    fn event(&self, event: &Event) {
        if matches!(
            event,
            Event::WorkStarted {
                stage: "verify",
                ..
            }
        ) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

#[test]
fn what_is_removed_beside_verify_is_not_damaged() {
    let world = World::new(CHAIN);
    world.run();
    let removed = TakingAway(world.artifact("raw").directory);
    let report = world.engine().verify(VerifyScope::Cache, &removed).unwrap();
    assert!(report.is_good(), "{report}");
    let left = world.engine().verify(VerifyScope::Cache, &Silent).unwrap();
    assert_eq!(report.artifacts.len(), left.artifacts.len());
}
