//! Several processes on one cache.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::leftovers::{age, clear};
use super::{FAULT, REDUCED_PIPELINE};
use crate::sandbox::{Finished, LIGHT_PIPELINE, Sandbox, contents, outcomes};

#[test]
fn eight_processes_run_each_stage_once() {
    let expected = contents(&Sandbox::with(REDUCED_PIPELINE).run_json(&[]));
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    let started: Vec<_> = (0..8).map(|_| sandbox.start(&["run", "--json"])).collect();
    let mut executed: BTreeMap<String, usize> = BTreeMap::new();
    for process in started {
        let lines = Finished::of(process.output(), &sandbox.path(""))
            .succeeded()
            .json_lines();
        assert_eq!(contents(&lines), expected);
        for outcome in outcomes(&lines) {
            let (stage, outcome) = outcome.split_once('=').unwrap();
            *executed.entry(stage.to_owned()).or_default() += usize::from(outcome == "executed");
        }
    }
    assert_eq!(executed.len(), 10);
    assert!(executed.values().all(|times| *times == 1), "{executed:?}");
    sandbox.run(&["verify", "--quiet"]).succeeded();
    clear(&sandbox, "eight processes");
    println!("8 processes: {executed:?}");
}

/// Waits until a process has stopped itself.
pub fn wait_for_stop(pid: u32) {
    loop {
        let text = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let state = text.rsplit(')').next().unwrap().trim_start().chars().next();
        match state {
            Some('T') => return,
            Some('Z') => panic!("the process ended before it stopped"),
            _ => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
}

#[test]
fn a_waiter_says_for_whom_and_takes_over_when_the_holder_is_killed() {
    let expected = contents(&Sandbox::with(REDUCED_PIPELINE).run_json(&[]));
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    // It stops in the middle of its training, with a checkpoint and the lock.
    let holder = sandbox.start_with(&["run", "--quiet"], |command| {
        command.env(FAULT, "training.step:4=stop");
    });
    let pid = holder.pid();
    wait_for_stop(pid);
    let mut waiter = sandbox.command(&["run"]);
    let mut waiter = waiter
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    let mut lines = BufReader::new(waiter.stderr.take().unwrap()).lines();
    for line in lines.by_ref() {
        said.push(line.unwrap());
        if said.last().unwrap().contains("waits for") {
            break;
        }
    }
    let told = said.last().unwrap();
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let expected_words = format!("waits for pid {pid} on {host}, stage `teacher`, since 2");
    assert!(told.contains(&expected_words), "{said:?}");
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
    drop(holder.output());
    said.extend(lines.map(Result::unwrap));
    assert!(waiter.wait().unwrap().success(), "{said:?}");
    let lines = sandbox.run_json(&[]);
    assert!(
        outcomes(&lines)
            .iter()
            .all(|outcome| outcome.ends_with("=cached"))
    );
    assert_eq!(contents(&lines), expected);
    clear(&sandbox, "taken over");
}

#[test]
fn two_pipelines_on_one_cache_do_not_disturb_each_other() {
    let other = LIGHT_PIPELINE
        .replace("size: 16", "size: 20")
        .replace("  views:", "  looks:");
    let alone = Sandbox::with(&other).run_json(&[]);
    let first = Sandbox::with(LIGHT_PIPELINE).run_json(&[]);
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.write("other.yaml", &other);
    let started: Vec<_> = (0..6)
        .map(|number| match number % 2 {
            0 => sandbox.start(&["run", "--json"]),
            _ => sandbox.start(&["--pipeline", "other.yaml", "run", "--json"]),
        })
        .collect();
    for (number, process) in started.into_iter().enumerate() {
        let lines = Finished::of(process.output(), &sandbox.path(""))
            .succeeded()
            .json_lines();
        let expected = if number % 2 == 0 { &first } else { &alone };
        assert_eq!(contents(&lines), contents(expected));
    }
    sandbox.run(&["verify", "--quiet"]).succeeded();
    age(&sandbox.path(".seedpipe"));
    sandbox.run(&["gc"]).succeeded();
    for pipeline in ["pipeline.yaml", "other.yaml"] {
        let lines = sandbox.run_json(&["--pipeline", pipeline]);
        assert!(
            outcomes(&lines)
                .iter()
                .all(|outcome| outcome.ends_with("=cached")),
            "{lines:?}"
        );
    }
}

#[test]
fn gc_in_a_loop_beside_a_run_removes_nothing_that_it_needs() {
    let expected = contents(&Sandbox::with(REDUCED_PIPELINE).run_json(&[]));
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    // What another run made with other params is nobody's once that run is over.
    sandbox
        .run(&["run", "--quiet", "--set", "views.size=10", "views"])
        .succeeded();
    sandbox
        .run(&["run", "--quiet", "--set", "seed=1", "views"])
        .succeeded();
    let is_over = AtomicBool::new(false);
    let (collected, lines) = std::thread::scope(|scope| {
        let collecting = scope.spawn(|| {
            let mut collected = 0;
            while !is_over.load(Ordering::SeqCst) {
                age_artifacts(&sandbox);
                let report = sandbox.run(&["gc", "--json"]).succeeded().json();
                collected += report["items"].as_array().unwrap().len();
            }
            collected
        });
        let lines: Vec<_> = (0..3)
            .map(|_| {
                let run = sandbox.run(&["run", "--json"]);
                is_over.store(run.code != Some(0), Ordering::SeqCst);
                run.succeeded().json_lines()
            })
            .collect();
        is_over.store(true, Ordering::SeqCst);
        (collecting.join().unwrap(), lines)
    });
    assert!(lines.iter().all(|lines| contents(lines) == expected));
    let first = outcomes(&lines[0]);
    assert!(
        first[1..]
            .iter()
            .all(|outcome| outcome.ends_with("=executed")),
        "{first:?}"
    );
    for again in &lines[1..] {
        assert!(
            outcomes(again)
                .iter()
                .all(|outcome| outcome.ends_with("=cached")),
            "{again:?}"
        );
    }
    assert!(collected > 0, "there was something to collect");
    sandbox.run(&["verify", "--quiet"]).succeeded();
}

/// Lets artifacts count as old: by their manifests and folders, not by the files that a run may be
/// hashing.
fn age_artifacts(sandbox: &Sandbox) {
    let moment = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    for entry in sandbox.cache_entries("artifacts") {
        let path = sandbox.path(".seedpipe/v1/artifacts").join(&entry);
        if entry.ends_with("manifest.json") || path.is_dir() {
            // It may be gone by now.
            if let Ok(file) = fs_err::File::open(&path) {
                file.file().set_modified(moment).unwrap();
            }
        }
    }
}
