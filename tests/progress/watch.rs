//! `status --watch`: a run seen from another terminal.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::Value;

use super::terminal::Terminal;
use super::{endless_teacher, wait_until};
use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE};

/// `status --watch` at work, and the lines that it prints.
struct Watcher {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut child = sandbox
            .command(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Watcher { child, lines }
    }

    /// The next line that is so.
    fn find(&mut self, is_so: impl Fn(&str) -> bool) -> String {
        let found = self
            .lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| is_so(line));
        found.expect("the watcher ended")
    }

    fn find_json(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        let line = self.find(|line| is_so(&serde_json::from_str(line).unwrap()));
        serde_json::from_str(&line).unwrap()
    }

    /// The lines that are left, and the exit code.
    fn end(mut self) -> (Vec<String>, Option<i32>) {
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the runs of a cache told last.
fn told_in(folder: &Path) -> Vec<Value> {
    let entries = fs_err::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter_map(|path| serde_json::from_slice(&fs_err::read(path).ok()?).ok())
        .collect()
}

fn stage<'a>(picture: &'a Value, name: &str) -> &'a Value {
    let stages = picture["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["stage"] == name).unwrap()
}

#[test]
fn a_run_is_followed_from_before_it_begins_until_it_is_stopped() {
    let sandbox = Sandbox::with(&endless_teacher());
    let mut watcher = Watcher::start(&sandbox, &["status", "--watch", "0.1", "--json"]);
    assert_eq!(watcher.find_json(|_| true)["state"], "idle");
    // Looking on leaves nothing behind.
    assert!(!sandbox.path(".seedpipe").exists());
    let mut run = sandbox.start(&["run", "--quiet"]);
    let picture = watcher.find_json(|picture| {
        picture["state"] == "running"
            && stage(picture, "teacher")["work"]["values"]["loss"].is_f64()
    });
    assert_eq!(picture["pid"], run.pid());
    let teacher = stage(&picture, "teacher");
    assert_eq!(teacher["state"], "running");
    assert_eq!(teacher["work"]["unit"], "images");
    assert!(teacher["work"]["done"].as_u64().unwrap() > 0, "{teacher}");
    let targets = stage(&picture, "targets");
    assert_eq!(targets["state"], "waiting");
    assert_eq!(targets["why"], "waits for the content of `teacher`");
    run.signal(Signal::INT);
    let (rest, code) = watcher.end();
    assert_eq!(run.output().status.code(), Some(1));
    assert_eq!(code, Some(1));
    let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(last["state"], "stopped");
    assert_eq!(stage(&last, "targets")["state"], "skipped");
}

#[test]
fn a_run_that_succeeds_ends_the_watching_with_its_code() {
    let sandbox =
        Sandbox::with(&WHOLE_PIPELINE.replace("training: {epochs: 1,", "training: {epochs: 60,"));
    let mut watcher = Watcher::start(&sandbox, &["status", "--watch", "0.05"]);
    let idle = watcher.find(|_| true);
    assert_eq!(
        idle,
        "no run of this pipeline; waiting for one, Ctrl-C ends"
    );
    sandbox.run(&["run", "--quiet", "teacher"]).succeeded();
    let (lines, code) = watcher.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    let is_training =
        |line: &String| line.starts_with("teacher  running") && line.contains("loss ");
    assert!(lines.iter().any(is_training), "{lines:#?}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("the run succeeded after "), "{last}");
    assert!(
        last.ends_with("2 cached, 1 done") || last.ends_with("3 done"),
        "{last}"
    );
}

#[test]
fn a_run_that_was_over_before_is_told_of_by_its_process_number() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let run = sandbox.start(&["run", "--quiet", "views"]);
    let pid = run.pid().to_string();
    assert_eq!(run.output().status.code(), Some(0));
    let watch = ["status", "--watch", "--pid", &pid];
    let told = sandbox.run(&watch).succeeded().stdout;
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("images  done"), "{told}");
    assert!(
        lines.last().unwrap().ends_with("s: 2 done") && lines.len() == 3,
        "{told}"
    );
    // A run that finds everything cached tells that too.
    let run = sandbox.start(&["run", "--quiet", "views"]);
    let cached = run.pid().to_string();
    assert_eq!(run.output().status.code(), Some(0));
    let told = sandbox
        .run(&["status", "--watch", "--pid", &cached])
        .succeeded();
    assert!(told.stdout.ends_with("s: 2 cached\n"), "{}", told.stdout);
    // Of a process that was no run there is nothing to wait for.
    let mut other = Command::new("true").spawn().unwrap();
    let pid = other.id().to_string();
    other.wait().unwrap();
    let watch = ["status", "--watch", "--pid", &pid];
    let finished = sandbox.run(&watch).exited_with(1);
    assert!(
        finished.stderr.contains(&format!(
            "error: process {pid} has told of no run of this pipeline, and is over\nhint: without `--pid`"
        )),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_run_that_is_killed_is_told_of() {
    let sandbox = Sandbox::with(&endless_teacher());
    let mut run = sandbox.start(&["run", "--quiet"]);
    let mut watcher = Watcher::start(&sandbox, &["status", "--watch", "0.1", "--json"]);
    watcher.find_json(|picture| {
        picture["state"] == "running" && stage(picture, "teacher")["work"]["step"].is_u64()
    });
    run.signal(Signal::KILL);
    drop(run.output());
    let (rest, code) = watcher.end();
    assert_eq!(code, Some(1));
    let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!(last["state"], "died");
    // A run clears what it left, when that is old.
    let folder = sandbox.path(".seedpipe/progress");
    for entry in fs_err::read_dir(&folder).unwrap() {
        let file = fs_err::File::options()
            .write(true)
            .open(entry.unwrap().path());
        let an_hour_ago = SystemTime::now() - Duration::from_secs(3_600);
        file.unwrap()
            .into_parts()
            .0
            .set_modified(an_hour_ago)
            .unwrap();
    }
    assert!(fs_err::read_dir(&folder).unwrap().count() >= 2);
    let mut next = sandbox.start(&["run", "--quiet"]);
    wait_until("a new telling", || {
        let told = told_in(&folder);
        (told.len() == 1 && told[0]["pid"] == next.pid()).then_some(())
    });
    next.signal(Signal::KILL);
}

#[test]
fn runs_of_another_pipeline_in_the_same_cache_are_not_shown() {
    let sandbox = Sandbox::with(&endless_teacher());
    sandbox.write(
        "other/pipeline.yaml",
        LIGHT_PIPELINE.replace("digits.parquet", "../digits.parquet"),
    );
    let cache = sandbox.path("cache");
    let with_cache = |command: &mut Command| {
        command.env("SEEDPIPE_CACHE", &cache);
    };
    let mut run = sandbox.start_with(&["run", "--quiet"], with_cache);
    wait_until("a telling", || {
        let told = told_in(&cache.join("progress"));
        told.iter()
            .any(|told| told["pid"] == run.pid())
            .then_some(())
    });
    let mut watch = sandbox.command(&["--pipeline", "other", "status", "--watch", "0.1", "--json"]);
    watch.env("SEEDPIPE_CACHE", &cache).stdout(Stdio::piped());
    let mut child = watch.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut watcher = Watcher { child, lines };
    assert_eq!(watcher.find_json(|_| true)["state"], "idle");
    run.signal(Signal::KILL);
}

#[test]
fn on_a_terminal_the_run_is_drawn_as_it_draws_itself() {
    let sandbox = Sandbox::with(&endless_teacher());
    let mut run = sandbox.start(&["run", "--quiet"]);
    let mut command = sandbox.command(&["status", "--watch", "0.1"]);
    command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
    let mut terminal = Terminal::start(&mut command, 30, 120);
    let pid = run.pid();
    let text = terminal.wait_for("the training", |text| text.contains("loss "));
    assert!(text.contains(&format!("pid {pid} on ")), "{text}");
    assert!(
        text.contains("  └ teacher") && text.contains("running"),
        "{text}"
    );
    run.signal(Signal::INT);
    assert_eq!(terminal.end(), Some(1));
    let text = terminal.text();
    assert!(text.contains("the run was stopped after "), "{text}");
    assert_eq!(text.matches("neighbours").count(), 1, "{text}");
}
