//! Several processes on one cache.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::leftovers::{age, clear};
use super::{FAULT, REDUCED_PIPELINE};
use crate::requirements::missing;
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

/// A command in a container of its own, as far as process numbers go: `seedpipe` is the second
/// process there. A process group, so that a signal reaches it from outside.
fn in_container(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let inner = sandbox.command(arguments);
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "sh", "-c"])
        .args(["\"$@\"; exit $?", "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(sandbox.path(""))
        .process_group(0);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn containers_with_equal_process_numbers_do_not_disturb_each_other() {
    let mut probe = Command::new("unshare");
    probe.args(["--pid", "--fork", "--mount-proc", "true"]);
    if !probe.status().is_ok_and(|status| status.success()) {
        missing(
            "namespaces for processes (`unshare --pid`)",
            "run the tests as root",
        );
        return;
    }
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    // What the first container takes is of nobody's last run.
    for arguments in [["--set", "seed=5"], ["--set", "seed=0"]] {
        let arguments = [&["run", "--quiet", "images"], &arguments[..]].concat();
        sandbox.run(&arguments).succeeded();
    }
    let mut first = in_container(&sandbox, &["run", "--json", "--set", "seed=5"]);
    first.env(FAULT, "shard.begin=stop").stdout(Stdio::piped());
    let first = first.stderr(Stdio::piped()).spawn().unwrap();
    let has_draft = || {
        let entries = sandbox.cache_entries("drafts");
        entries.iter().any(|entry| entry.ends_with("draft.json"))
    };
    while !has_draft() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut second = in_container(&sandbox, &["run", "--quiet"]);
    sandbox.finish(&mut second).succeeded();
    let mut third = in_container(&sandbox, &["gc", "--grace", "0s"]);
    sandbox.finish(&mut third).succeeded();
    assert!(has_draft(), "gc took what another container works at");
    let group = Pid::from_child(&first);
    kill_process_group(group, Signal::CONT).unwrap();
    let lines = Finished::of(first.wait_with_output().unwrap(), &sandbox.path(""));
    let lines = lines.succeeded().json_lines();
    assert_eq!(outcomes(&lines), ["images=cached", "views=executed"]);
    clear(&sandbox, "containers");
}

/// Each keeps what the lock has of other stages.
#[test]
fn two_runs_that_end_at_once_are_both_in_the_lock() {
    let more = LIGHT_PIPELINE
        .replace("train: 60", "train: 30")
        .replace("images: {kind", "more: {kind");
    let more = more.lines().nth(1).unwrap();
    let sandbox = Sandbox::with(&format!("{LIGHT_PIPELINE}{more}\n"));
    let mut first = sandbox.start_with(&["run", "--quiet", "images"], |command| {
        command.env(FAULT, "pipeline-lock.create=stop");
    });
    wait_for_stop(first.pid());
    let mut second = sandbox.start(&["run", "--quiet", "more"]);
    // It waits for the first one's end; if it doesn't, it must have been here by then.
    for _ in 0..100 {
        if second.has_ended() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    first.signal(Signal::CONT);
    for run in [first, second] {
        Finished::of(run.output(), &sandbox.path("")).succeeded();
    }
    let lock = fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap();
    for stage in ["  images:", "  more:"] {
        assert!(lock.contains(stage), "{lock}");
    }
}

/// `gc` may come between the plan and the run. What the plan found is kept from it.
#[test]
fn what_a_plan_found_is_there_when_the_run_comes_to_it() {
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    let other = ["run", "--quiet", "--set", "seed=2", "targets"];
    sandbox.run(&other).succeeded();
    sandbox.run(&["run", "--quiet", "targets"]).succeeded();
    let start = || {
        let planned = sandbox.start_with(
            &["run", "--json", "--set", "seed=2", "targets"],
            |command| {
                command.env(FAULT, "cache.create=stop");
            },
        );
        wait_for_stop(planned.pid());
        planned
    };
    let mut planned = start();
    let collected = sandbox
        .run(&["gc", "--json", "--grace", "0s"])
        .succeeded()
        .json();
    let items = collected["items"].as_array().unwrap();
    assert!(
        items.iter().all(|item| item["what"] != "artifact"),
        "{collected}"
    );
    planned.signal(Signal::CONT);
    let lines = Finished::of(planned.output(), &sandbox.path(""))
        .succeeded()
        .json_lines();
    assert!(
        outcomes(&lines)
            .iter()
            .all(|outcome| outcome.ends_with("=cached")),
        "{lines:?}"
    );
    // Whoever else removes it: the program that has the tensors goes on.
    let mut planned = start();
    fs_err::remove_dir_all(sandbox.path(".seedpipe/v1/artifacts")).unwrap();
    planned.signal(Signal::CONT);
    wait_for_stop(planned.pid());
    planned.signal(Signal::CONT);
    let finished = Finished::of(planned.output(), &sandbox.path("")).succeeded();
    let lines = finished.json_lines();
    let made = |stage: &str| outcomes(&lines).contains(&format!("{stage}=executed"));
    assert!(made("teacher") && made("targets"), "{lines:?}");
    clear(&sandbox, "planned");
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
