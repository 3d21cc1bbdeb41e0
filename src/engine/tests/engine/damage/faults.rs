//! What is kept, refused and found when things go wrong.

use std::path::Path;

use fs_err as fs;
use seedpipe_base::Refusal;
use seedpipe_engine::*;

use crate::world::*;

#[test]
fn a_failed_stage_stops_the_run_and_its_finished_shards_are_reused() {
    let world = World::new(CHAIN);
    world.write("fail", "long 2\n");
    let report = world.run_with(&RunOptions::default(), &Silent);
    assert_eq!(
        outcomes(&report),
        ["raw executed", "clean executed", "long failed"]
    );
    assert_eq!(report.not_reached(), ["sum"]);
    let error = report.failed().unwrap().error.as_ref().unwrap();
    assert_eq!(format!("{error:#}"), "shard 2 of 3: the world has a fault");
    let status = world.engine().status().unwrap();
    let left = status[2].left.as_ref().unwrap();
    assert_eq!(left.to_string(), "goes on from 2 of 3 shards");
    assert_eq!(left.reached, [Reached::new("shard", 2, 3)]);
    assert_eq!(status[2].reasons.last(), Some(&left.to_string()));
    assert!(
        [&status[1], &status[3]]
            .iter()
            .all(|stage| stage.left.is_none())
    );
    let options = RunOptions {
        force: true,
        ..targets(&["long"])
    };
    let forced = world.engine().dry_run(&options).unwrap();
    assert_eq!(
        forced[2].reasons,
        [
            "forced",
            "begins anew: unfinished work (2 of 3 shards) was not forced"
        ]
    );
    assert_eq!(
        world.engine().unfinished().unwrap()[0].left.as_ref(),
        Some(left)
    );
    world.log();
    world.remove("fail");
    let recorder = Recorder::default();
    let resumed = world.run_with(&RunOptions::default(), &recorder);
    assert_eq!(outcomes(&resumed)[2..], ["long executed", "sum executed"]);
    assert_eq!(world.log(), ["long 2", "sum 0"]);
    assert!(
        recorder
            .lines()
            .contains(&"long: resumed 2 of 3".to_owned()),
        "{:?}",
        recorder.lines()
    );
    let uninterrupted = World::new(CHAIN).run();
    assert_eq!(resumed.stages[3].content, uninterrupted.stages[3].content);
    assert_eq!(
        fs::read_dir(world.path(".seedpipe/v1/drafts"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_stage_that_writes_other_rows_than_its_inputs_demand_publishes_nothing() {
    let world = World::new(CHAIN);
    for (fault, got) in [("few", 1), ("many", 6)] {
        world.write("rows", fault);
        let report = world.run_with(&RunOptions::default(), &Silent);
        assert_eq!(outcomes(&report)[1..], ["clean failed"]);
        let error = report.failed().unwrap().error.as_ref().unwrap();
        let expected = format!(
            "output `text`: expected 5 rows, as the inputs demand, got {got}; nothing is published"
        );
        assert!(format!("{error:#}").starts_with(&expected), "{error:#}");
        assert_eq!(world.engine().find("clean").unwrap(), None);
    }
    // Nothing of it is taken when the kind is mended.
    world.remove("rows");
    world.log();
    world.run();
    assert_eq!(world.log()[0], "clean 0");
}

#[test]
fn a_half_written_file_of_a_crash_is_never_part_of_the_artifact() {
    let world = World::new(CHAIN);
    world.write("fail", "long 1\n");
    world.run_with(&RunOptions::default(), &Silent);
    world.remove("fail");
    let draft = fs::read_dir(world.path(".seedpipe/v1/drafts"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::write(draft.join("content/text/p1.parquet"), "half").unwrap();
    fs::write(draft.join("content/text/p9.parquet"), "stray").unwrap();
    fs::write(draft.join("content/text/p0.parquet"), "damaged").unwrap();
    world.log();
    let report = world.run();
    assert_eq!(world.log(), ["long 0", "long 1", "long 2", "sum 0"]);
    assert_eq!(
        report.stages[3].content,
        World::new(CHAIN).run().stages[3].content
    );
}

#[test]
fn a_failure_that_leaves_nothing_of_worth_leaves_no_draft() {
    let world = World::new(CHAIN);
    world.write("fail", "raw 0\n");
    let report = world.run_with(&RunOptions::default(), &Silent);
    assert_eq!(outcomes(&report), ["raw failed"]);
    assert_eq!(report.lock_file, None);
    assert!(!world.path("pipeline.lock").exists());
    for folder in ["drafts", "artifacts", "trash"] {
        assert_eq!(
            fs::read_dir(world.path(".seedpipe/v1").join(folder))
                .unwrap()
                .count(),
            0,
            "{folder}"
        );
    }
    let locks = fs::read_dir(world.path(".seedpipe/v1/locks")).unwrap();
    let names: Vec<_> = locks.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["gc.gate"]);
}

#[test]
fn every_damage_is_found_by_verify_and_by_a_run_which_heals_it() {
    let world = World::new(CHAIN);
    world.run();
    assert!(
        world
            .engine()
            .verify(VerifyScope::Pipeline, &Silent)
            .unwrap()
            .is_good()
    );
    let folder = world.artifact("long").directory;
    let files = ["manifest.json", "text/p0.parquet", "text/p2.parquet"];
    for file in files {
        let path = folder.join(file);
        let whole = fs::read(&path).unwrap();
        for damage in ["flip", "truncate", "empty", "delete"] {
            match damage {
                "flip" => fs::write(&path, flipped(&whole)).unwrap(),
                "truncate" => fs::write(&path, &whole[..whole.len() - 1]).unwrap(),
                "empty" => fs::write(&path, "").unwrap(),
                _ => fs::remove_file(&path).unwrap(),
            }
            let report = world.engine().verify(VerifyScope::Cache, &Silent).unwrap();
            let faults: Vec<_> = report
                .faults()
                .map(|(artifact, fault)| (artifact.stages.clone(), fault.file.clone()))
                .collect();
            assert_eq!(
                faults,
                [(vec!["long".to_owned()], file.to_owned())],
                "{damage} {file}"
            );
            let name = format!("{damage} {file}");
            assert!(world.engine().find("long").unwrap().is_none(), "{name}");
            let recorder = Recorder::default();
            let run = world.run_with(&RunOptions::default(), &recorder);
            assert_eq!(
                outcomes(&run)[2..],
                ["long executed", "sum cached"],
                "{name}"
            );
            let lines = recorder.lines();
            let told = lines
                .iter()
                .find(|line| line.starts_with("long: warning: damaged and not used"));
            assert!(
                told.is_some_and(|line| line.contains(file)),
                "{name}: {lines:?}"
            );
            assert!(
                world
                    .engine()
                    .verify(VerifyScope::Cache, &Silent)
                    .unwrap()
                    .is_good()
            );
        }
    }
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bytes.len() / 2] ^= 1;
    flipped
}

#[test]
fn forcing_heals_a_flipped_bit() {
    let world = World::new(CHAIN);
    world.run();
    let part = world.artifact("long").parts("text")[1].clone();
    let whole = fs::read(&part).unwrap();
    fs::write(&part, flipped(&whole)).unwrap();
    let message = world
        .engine()
        .verify(VerifyScope::Pipeline, &Silent)
        .unwrap()
        .to_string();
    assert!(
        message.contains("`text/p1.parquet`: expected BLAKE3 "),
        "{message}"
    );
    assert!(message.contains("1 fault\nhint: "), "{message}");
    world.run_with(
        &RunOptions {
            force: true,
            ..targets(&["long"])
        },
        &Silent,
    );
    assert_eq!(fs::read(&part).unwrap(), whole);
    assert!(
        world
            .engine()
            .verify(VerifyScope::Pipeline, &Silent)
            .unwrap()
            .is_good()
    );
}

#[test]
fn a_file_that_does_not_belong_to_an_artifact_is_named() {
    let world = World::new(CHAIN);
    world.run();
    fs::write(world.artifact("long").directory.join("text/extra"), "x").unwrap();
    let report = world
        .engine()
        .verify(VerifyScope::Pipeline, &Silent)
        .unwrap();
    let faults: Vec<_> = report
        .faults()
        .map(|(_, fault)| fault.file.as_str())
        .collect();
    assert_eq!(faults, ["text/extra"]);
}

#[test]
fn a_cache_that_cannot_be_written_stops_a_run_and_not_looking() {
    let world = World::new(&format!("cache: /proc/seedpipe\n{CHAIN}"));
    let error = world
        .engine()
        .run(&RunOptions::default(), &Silent)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cache `/proc/seedpipe`: expected a folder that can be written, got: "),
        "{error}"
    );
    assert!(error.contains("\nhint: "), "{error}");
    assert_eq!(world.states()[0], "raw: will run");
    assert_eq!(world.engine().explain("sum").unwrap().stage, "sum");
    assert!(
        world
            .engine()
            .verify(VerifyScope::Cache, &Silent)
            .unwrap()
            .is_good()
    );
    assert!(world.engine().find("raw").unwrap().is_none());
    assert!(
        world
            .engine()
            .gc(&GcOptions::default())
            .unwrap()
            .items
            .is_empty()
    );
}

#[test]
fn looking_makes_no_cache() {
    let world = World::new(CHAIN);
    world.engine().status().unwrap();
    world.engine().explain("sum").unwrap();
    world
        .engine()
        .verify(VerifyScope::Pipeline, &Silent)
        .unwrap();
    world.engine().gc(&GcOptions::default()).unwrap();
    world
        .engine()
        .needs_tensors(&RunOptions::default())
        .unwrap();
    assert!(!world.path(".seedpipe").exists());
}

#[test]
fn a_missing_source_stops_the_run_before_anything_runs() {
    let world = World::new(CHAIN);
    world.remove("input.txt");
    let error = world
        .engine()
        .run(&RunOptions::default(), &Silent)
        .unwrap_err();
    assert!(error.is::<Refusal>());
    let message = error.to_string();
    assert!(message.contains("stage `raw`: key `params.path`: source `input.txt`: expected a file or folder, got nothing there\nhint: "), "{message}");
    let status = world.engine().status().unwrap();
    assert_eq!(
        status[0].reasons,
        ["source `input.txt`: expected a file or folder, got nothing there"]
    );
}

#[test]
fn a_source_that_is_edited_while_it_is_read_publishes_nothing() {
    let world = World::new(CHAIN);
    world.write("edit-while-reading", "other");
    let report = world.run_with(&RunOptions::default(), &Silent);
    let error = format!("{:#}", report.failed().unwrap().error.as_ref().unwrap());
    assert!(
        error.starts_with("source `input.txt`: expected it at rest"),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(world.path(".seedpipe/v1/artifacts"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(
        fs::read_dir(world.path(".seedpipe/v1/drafts"))
            .unwrap()
            .count(),
        0
    );
    world.remove("edit-while-reading");
    world.run();
    assert_eq!(
        fs::read_to_string(&world.artifact("raw").parts("text")[0]).unwrap(),
        "other"
    );
}

#[test]
fn nothing_outside_the_cache_and_the_lock_is_written() {
    let world = World::new(CHAIN);
    world.run();
    world.log();
    let mut names: Vec<_> = fs::read_dir(world.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [".seedpipe", "input.txt", "pipeline.lock", "pipeline.yaml"]
    );
    assert!(Path::new(&world.path(".seedpipe/.gitignore")).exists());
}
