//! Faults of the machine: a disk that fills up, a cache or source that may not be touched, a clock
//! that was set back, a source that changes or goes while it is read.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use super::FAULT;
use super::leftovers::{clear, set_times};
use super::processes::wait_for_stop;
use crate::bad_input::cache::{SmallDisk, is_root};
use crate::sandbox::{Finished, LIGHT_PIPELINE, REPOSITORY, SEEDPIPE, Sandbox, contents, outcomes};

#[test]
fn a_disk_that_fills_up_at_any_moment_loses_nothing() {
    let expected = contents(&Sandbox::with(LIGHT_PIPELINE).run_json(&[]));
    let sandbox = Sandbox::with(&format!("cache: disk/cache\n{LIGHT_PIPELINE}"));
    for (full, pages) in (1..200).enumerate() {
        let Some(disk) = SmallDisk::mount(&sandbox, &format!("{}k", 4 * pages)) else {
            return;
        };
        let run = sandbox.run(&["run", "--quiet"]);
        if run.code == Some(0) {
            assert!(full > 10, "{full} sizes were too small");
            println!("{full} sizes too small, {} kB enough", 4 * pages);
            return;
        }
        let run = run.exited_with(1);
        assert!(
            run.stderr.contains("No space left on device") && run.stderr.contains("hint: "),
            "{pages} pages: {}",
            run.stderr
        );
        assert!(
            !run.stderr.contains("BUG") && !run.stderr.contains("panicked"),
            "{}",
            run.stderr
        );
        disk.grow("64m");
        let lines = sandbox.run_json(&[]);
        assert_eq!(contents(&lines), expected, "{pages} pages");
        sandbox.run(&["verify", "--quiet"]).succeeded();
    }
    panic!("the pipeline does not fit into 800 kB");
}

/// The light binary as another user, for whom permissions count.
fn as_nobody(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    if !is_root() {
        return sandbox.command(arguments);
    }
    // Nobody may not be able to reach the binary where it was built.
    if !sandbox.path("seedpipe").exists() {
        fs_err::set_permissions(sandbox.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        // By a process of its own: a child that another test starts meanwhile would inherit the
        // file while it is open for writing, and then it can't be executed.
        let copy = Command::new("cp")
            .arg(SEEDPIPE)
            .arg(sandbox.path("seedpipe"))
            .status();
        assert!(copy.unwrap().success());
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(sandbox.path("seedpipe"))
        .args(arguments)
        .current_dir(sandbox.path(""))
        .env_remove("SEEDPIPE_CACHE");
    command
}

#[test]
fn a_cache_that_may_only_be_read_can_be_looked_at() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run_json(&[]);
    set_modes(&sandbox.path(".seedpipe"), 0o555, 0o444);
    let finish = |arguments: &[&str]| sandbox.finish(&mut as_nobody(&sandbox, arguments));
    let status = finish(&["status"]).succeeded();
    assert!(
        status.stdout.contains("2 of 2 stages cached"),
        "{}",
        status.stdout
    );
    let verified = finish(&["verify", "--quiet"]).succeeded();
    assert!(verified.stdout.contains("all good"), "{}", verified.stdout);
    finish(&["explain", "views"]).succeeded();
    finish(&["show", "views"]).succeeded();
    let refused = finish(&["run", "--quiet"]).exited_with(1);
    assert!(
        refused
            .stderr
            .contains("expected a folder that can be written")
            && refused.stderr.contains("hint: "),
        "{}",
        refused.stderr
    );
    set_modes(&sandbox.path(".seedpipe"), 0o755, 0o644);
    assert_eq!(
        outcomes(&sandbox.run_json(&[])),
        ["images=cached", "views=cached"]
    );
}

fn set_modes(path: &std::path::Path, folders: u32, files: u32) {
    let mode = if path.is_dir() { folders } else { files };
    if path.is_dir() {
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        for entry in fs_err::read_dir(path).unwrap() {
            set_modes(&entry.unwrap().path(), folders, files);
        }
    }
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_source_that_may_not_be_read_is_named() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    fs_err::create_dir(sandbox.path(".seedpipe")).unwrap();
    fs_err::set_permissions(sandbox.path(".seedpipe"), PermissionsExt::from_mode(0o777)).unwrap();
    fs_err::set_permissions(
        sandbox.path("digits.parquet"),
        PermissionsExt::from_mode(0o000),
    )
    .unwrap();
    let refused = sandbox
        .finish(&mut as_nobody(&sandbox, &["run", "--quiet"]))
        .exited_with(2);
    for part in ["stage `images`", "`digits.parquet`", "Permission denied"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_eq!(sandbox.cache_entries(""), [""; 0]);
}

#[test]
fn files_of_the_future_are_used_and_never_trusted() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let first = sandbox.run_json(&[]);
    // As if the clock had been set back by a day since.
    let future = SystemTime::now() + Duration::from_secs(86_400);
    set_times(&sandbox.path(""), future);
    for _ in 0..2 {
        let again = sandbox.run_json(&[]);
        assert_eq!(outcomes(&again), ["images=cached", "views=cached"]);
    }
    sandbox.run(&["verify", "--quiet"]).succeeded();
    sandbox.run(&["gc"]).succeeded();
    let entries = sandbox.cache_entries("artifacts");
    let part = entries
        .iter()
        .find(|entry| entry.ends_with(".parquet"))
        .unwrap();
    let part = sandbox.path(".seedpipe/v1/artifacts").join(part);
    let mut bytes = fs_err::read(&part).unwrap();
    bytes[60] ^= 1;
    fs_err::write(&part, bytes).unwrap();
    set_times(&part, future);
    let healed = sandbox.run_json(&[]);
    assert_eq!(
        outcomes(&healed)
            .iter()
            .filter(|outcome| outcome.ends_with("=executed"))
            .count(),
        1
    );
    assert_eq!(contents(&healed), contents(&first));
    sandbox.run(&["verify", "--quiet"]).succeeded();
}

fn sample(name: &str) -> Vec<u8> {
    fs_err::read(format!("{REPOSITORY}/src/imaging/testdata/images/{name}")).unwrap()
}

/// Ingests a folder of two pictures and does `change` after `ingest` has begun, before it reads the
/// pictures to store them.
fn changed_while_it_is_read(change: impl FnOnce(&Sandbox)) -> (Sandbox, Finished) {
    let sandbox = Sandbox::with("stages:\n  images: {kind: ingest, params: {source: photos}}\n");
    sandbox.write("photos/a.png", sample("rgb.png"));
    sandbox.write("photos/b.png", sample("gray.png"));
    let run = sandbox.start_with(&["run", "--quiet"], |command| {
        command.env(FAULT, "shard.begin=stop");
    });
    wait_for_stop(run.pid());
    change(&sandbox);
    kill_process(Pid::from_raw(run.pid() as i32).unwrap(), Signal::CONT).unwrap();
    let finished = Finished::of(run.output(), &sandbox.path("")).exited_with(1);
    assert_eq!(
        sandbox.cache_entries("artifacts"),
        [""; 0],
        "nothing is published"
    );
    assert!(!sandbox.path("pipeline.lock").exists());
    clear(&sandbox, "a source that changes");
    (sandbox, finished)
}

#[test]
fn a_picture_that_is_edited_while_it_is_read_is_noticed_and_nothing_is_published() {
    let (sandbox, finished) = changed_while_it_is_read(|sandbox| {
        sandbox.write("photos/b.png", sample("rgb.png"));
    });
    assert!(
        finished
            .stderr
            .contains("`b.png` changed while it was read")
            && finished.stderr.contains("hint: "),
        "{}",
        finished.stderr
    );
    assert_eq!(outcomes(&sandbox.run_json(&[])), ["images=executed"]);
}

#[test]
fn a_picture_that_comes_while_others_are_read_is_noticed_and_nothing_is_published() {
    let (sandbox, finished) = changed_while_it_is_read(|sandbox| {
        sandbox.write("photos/c.png", sample("rgb.png"));
    });
    assert!(
        finished
            .stderr
            .contains("source `photos`: expected it at rest"),
        "{}",
        finished.stderr
    );
    assert_eq!(outcomes(&sandbox.run_json(&[])), ["images=executed"]);
}

#[test]
fn a_source_that_vanishes_while_it_is_read_is_named_and_nothing_is_published() {
    let (sandbox, finished) = changed_while_it_is_read(|sandbox| {
        fs_err::remove_dir_all(sandbox.path("photos")).unwrap();
    });
    assert!(finished.stderr.contains("photos"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("BUG"), "{}", finished.stderr);
    sandbox.run(&["run", "--quiet"]).exited_with(2);
    sandbox.write("photos/a.png", sample("rgb.png"));
    assert_eq!(outcomes(&sandbox.run_json(&[])), ["images=executed"]);
}
