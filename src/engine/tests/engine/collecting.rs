//! What `gc` removes and what it keeps.

use std::time::Duration;

use fs_err as fs;
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
            ..at_once
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
        })
        .unwrap();
    world.log();
    world.run();
    assert_eq!(world.log(), ["long 2", "sum 0"]);
}
