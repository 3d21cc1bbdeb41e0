//! What `gc` removes and what it keeps.

use std::time::Duration;

use fs_err as fs;
use seedpipe_base::Refusal;
use seedpipe_engine::*;

use crate::toy::*;
use crate::world::*;

#[test]
fn gc_removes_what_nobody_refers_to_and_nothing_else() {
    let world = World::new(CHAIN);
    let run = |times: &str| {
        world.write("pipeline.yaml", &CHAIN.replace("times: 3", times));
        world.run();
    };
    run("times: 3");
    run("times: 4");
    run("times: 5");
    let young = world.engine().gc(&GcOptions::default()).unwrap();
    assert!(young.items.is_empty(), "{young}");
    let at_once = GcOptions {
        dry_run: true,
        grace: Duration::ZERO,
        ..GcOptions::default()
    };
    let told = world.engine().gc(&at_once).unwrap();
    let artifacts = |report: &GcReport| {
        report
            .items
            .iter()
            .filter(|item| item.what == GcWhat::Artifact)
            .count()
    };
    assert_eq!(artifacts(&told), 4, "{told}");
    assert!(told.bytes > 0 && told.items.iter().all(|item| item.path.exists()));
    let done = world
        .engine()
        .gc(&GcOptions {
            dry_run: false,
            ..at_once.clone()
        })
        .unwrap();
    assert_eq!((artifacts(&done), done.kept_artifacts), (4, 4), "{done}");
    assert!(done.items.iter().all(|item| !item.path.exists()));
    assert_eq!(world.run().count(Outcome::Cached), 4);
    let again = world
        .engine()
        .gc(&GcOptions {
            dry_run: false,
            grace: Duration::ZERO,
            ..GcOptions::default()
        })
        .unwrap();
    assert!(again.items.is_empty(), "{again}");
}

#[test]
fn gc_keeps_other_pipelines_and_clears_what_crashes_left() {
    let world = World::new(CHAIN);
    world.run();
    world.write("other.yaml", &CHAIN.replace("times: 3", "times: 9"));
    let other = Project::open(&world.path("other.yaml"), &registry(), &[]).unwrap();
    Engine::new(other, registry(), Box::new(ToyCodec))
        .unwrap()
        .run(&RunOptions::default(), &Silent)
        .unwrap();
    let v1 = world.path(".seedpipe/v1");
    fs::create_dir_all(v1.join("trash/old")).unwrap();
    fs::write(v1.join("trash/old/file"), "x").unwrap();
    let fingerprint = Digest::of(b"x");
    fs::create_dir_all(v1.join(format!("drafts/{fingerprint}/content"))).unwrap();
    fs::write(v1.join(format!("locks/{fingerprint}.lock")), "").unwrap();
    fs::write(v1.join("locks/run-1-1.lease"), "").unwrap();
    fs::write(v1.join("locks/.seedpipe-tmp-2147483647-1"), "").unwrap();
    let done = world
        .engine()
        .gc(&GcOptions {
            dry_run: false,
            grace: Duration::ZERO,
            ..GcOptions::default()
        })
        .unwrap();
    let mut whats: Vec<_> = done
        .items
        .iter()
        .map(|item| format!("{:?}", item.what))
        .collect();
    whats.sort();
    assert_eq!(whats, ["Draft", "Lock", "Lock", "Stray", "Stray"], "{done}");
    assert_eq!(done.kept_artifacts, 6);
    world.remove("other.yaml");
    world.remove("other.lock");
    let done = world
        .engine()
        .gc(&GcOptions {
            dry_run: false,
            grace: Duration::ZERO,
            ..GcOptions::default()
        })
        .unwrap();
    assert!(
        done.items.iter().any(|item| item.what == GcWhat::History),
        "{done}"
    );
    assert_eq!(done.kept_artifacts, 4, "{done}");
}

#[test]
fn gc_keeps_the_draft_that_the_next_run_goes_on_with() {
    let world = World::new(CHAIN);
    world.write("fail", "long 2\n");
    world.run_with(&RunOptions::default(), &Silent);
    world.remove("fail");
    world
        .engine()
        .gc(&GcOptions {
            dry_run: false,
            grace: Duration::ZERO,
            ..GcOptions::default()
        })
        .unwrap();
    world.log();
    world.run();
    assert_eq!(world.log(), ["long 2", "sum 0"]);
}

/// A git revision, or here a lock, keeps what it names; this pipeline's last runs don't count then.
#[test]
fn named_locks_keep_what_they_name_in_place_of_the_last_runs() {
    let world = World::new(CHAIN);
    let run = |times: &str, lock: &str| {
        world.write("pipeline.yaml", &CHAIN.replace("times: 3", times));
        world.run();
        fs::copy(world.path("pipeline.lock"), world.path(lock)).unwrap();
    };
    run("times: 3", "three.lock");
    run("times: 4", "four.lock");
    run("times: 5", "five.lock");
    // An experiment: only the last runs know of it.
    let experiment = world.open(&["long.times=6"]).unwrap();
    experiment.run(&RunOptions::default(), &Silent).unwrap();
    let gc = |keep: &[&str]| {
        let keep = keep
            .iter()
            .map(|name| world.path(name).display().to_string());
        let options = GcOptions {
            grace: Duration::ZERO,
            keep: keep.collect(),
            ..GcOptions::default()
        };
        world.engine().gc(&options)
    };
    let count = |report: &GcReport| {
        report
            .items
            .iter()
            .filter(|item| item.what == GcWhat::Artifact)
            .count()
    };
    let error = gc(&["six.lock"]).unwrap_err();
    assert!(error.is::<Refusal>(), "{error:#}");
    assert_eq!(
        count(&gc(&["three.lock", "four.lock"]).unwrap()),
        2,
        "the experiment goes"
    );
    let cached = |times: &str| {
        world.write("pipeline.yaml", &CHAIN.replace("times: 3", times));
        world
            .states()
            .iter()
            .filter(|state| state.ends_with(": cached"))
            .count()
    };
    assert_eq!(
        [
            cached("times: 6"),
            cached("times: 3"),
            cached("times: 4"),
            cached("times: 5")
        ],
        [2, 4, 4, 4]
    );
    assert_eq!(count(&gc(&["four.lock"]).unwrap()), 2);
    assert_eq!(
        [cached("times: 3"), cached("times: 4"), cached("times: 5")],
        [2, 4, 4]
    );
}

#[test]
fn age_and_budget_take_the_oldest_of_what_nobody_needs() {
    let world = World::new(CHAIN);
    let hour = Duration::from_secs(3_600);
    for (hours, times) in [(50, "times: 3"), (26, "times: 4"), (2, "times: 5")] {
        world.write("pipeline.yaml", &CHAIN.replace("times: 3", times));
        world.run();
        for stage in ["long", "sum"] {
            let manifest = world.artifact(stage).directory.join("manifest.json");
            let made = std::time::SystemTime::now() - hour * hours;
            fs::File::open(manifest)
                .unwrap()
                .file()
                .set_modified(made)
                .unwrap();
        }
    }
    let gc = |older_than: Option<Duration>, max_bytes: Option<u64>| {
        let options = GcOptions {
            older_than,
            max_bytes,
            dry_run: true,
            ..GcOptions::default()
        };
        world.engine().gc(&options).unwrap()
    };
    assert_eq!(gc(None, None).items.len(), 4);
    assert_eq!(gc(Some(hour * 24), None).items.len(), 4);
    let old = gc(Some(hour * 48), None);
    assert_eq!((old.items.len(), old.kept_artifacts), (2, 6), "{old}");
    assert_eq!(gc(None, Some(old.kept_bytes)).items.len(), 2);
    assert_eq!(gc(None, Some(old.kept_bytes + old.bytes)).items.len(), 0);
    let none = gc(None, Some(1));
    assert_eq!((none.items.len(), none.kept_artifacts), (4, 4));
    assert_eq!(none.over_budget_bytes, Some(none.kept_bytes - 1));
}
