//! `run`: what it prints, what it reruns, how it ends.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, Started, WHOLE_PIPELINE, contents, outcomes};

#[test]
fn a_run_tells_on_stderr_what_it_does() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let finished = sandbox.run(&["run"]).succeeded();
    assert_eq!(finished.stdout, "");
    assert_snapshot!(finished.refusal(), @r"
    images  starts  (ingest)
    images  done     80 images, [time]
    views   starts  (augment)
    views   done     120 views, [time]
    2 stages: 2 executed, in [time]
    exit code 0
    ");
    assert_snapshot!(sandbox.run(&["run"]).succeeded().refusal(), @r"
    images  cached
    views   cached
    2 stages: 2 cached, in [time]
    exit code 0
    ");
    let quiet = sandbox.run(&["run", "--quiet"]).succeeded();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn json_has_one_line_a_stage() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let lines = sandbox.run_json(&[]);
    assert_eq!(outcomes(&lines), ["images=executed", "views=executed"]);
    for line in &lines {
        let keys: Vec<&str> = line
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys.len(), 6, "{line}");
        for key in [
            "stage",
            "kind",
            "outcome",
            "fingerprint",
            "content",
            "seconds",
        ] {
            assert!(keys.contains(&key), "{line}");
        }
        assert_eq!(line["fingerprint"].as_str().unwrap().len(), 64);
        assert_eq!(line["content"].as_str().unwrap().len(), 64);
        assert!(line["seconds"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(
        outcomes(&sandbox.run_json(&[])),
        ["images=cached", "views=cached"]
    );
}

#[test]
fn a_stage_that_is_named_brings_what_it_needs_and_no_more() {
    let sandbox = Sandbox::with(&format!(
        "{LIGHT_PIPELINE}  more: {{kind: augment, inputs: {{images: images}}, params: {{recipe: eval, size: 16}}}}\n"
    ));
    assert_eq!(
        outcomes(&sandbox.run_json(&["more"])),
        ["images=executed", "more=executed"]
    );
    assert_eq!(
        outcomes(&sandbox.run_json(&["views", "--only"])),
        ["views=executed"]
    );
}

#[test]
fn force_reruns_the_named_stages_only() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let first = sandbox.run_json(&[]);
    let forced = sandbox.run_json(&["views", "--force"]);
    assert_eq!(outcomes(&forced), ["images=cached", "views=executed"]);
    assert_eq!(contents(&forced), contents(&first));
    assert_eq!(
        outcomes(&sandbox.run_json(&["--force"])),
        ["images=executed", "views=executed"]
    );
}

#[test]
fn changing_a_param_reruns_only_what_is_below_it() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let lines = sandbox.run_json(&["--set", "student.temperature_student=0.3"]);
    let executed: Vec<String> = outcomes(&lines)
        .into_iter()
        .filter(|line| line.ends_with("=executed"))
        .collect();
    assert_eq!(
        executed,
        [
            "student=executed",
            "features=executed",
            "neighbours=executed",
            "probe=executed",
            "report=executed"
        ]
    );
    assert!(
        outcomes(&sandbox.run_json(&[]))
            .iter()
            .all(|line| line.ends_with("=cached"))
    );
}

#[test]
fn a_dry_run_says_what_would_run_and_runs_nothing() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let dry = sandbox.run(&["run", "--dry-run"]).succeeded();
    assert_snapshot!(dry.stable_stdout(), @r"
    stage   kind     state     fingerprint   why
    images  ingest   will run  [short]  never run
    views   augment  may run   -             waits for the content of `images`
    0 of 2 stages cached
    ");
    assert!(!sandbox.path(".seedpipe").exists());
    let lines = sandbox
        .run(&["run", "views", "--dry-run", "--json"])
        .succeeded()
        .json_lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["state"], "will_run");
    assert_eq!(lines[1]["state"], "may_run");
    assert_eq!(lines[1]["depends_on"][0], "images");
}

#[test]
fn the_whole_road_ends_with_a_table_and_a_report() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let finished = sandbox.run(&["run"]).succeeded();
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert!(lines[0].starts_with("network"), "{}", finished.stdout);
    assert!(
        lines.iter().any(|line| line.starts_with("student ")),
        "{}",
        finished.stdout
    );
    assert_eq!(*lines.last().unwrap(), "report: report.html");
    let page = fs_err::read_to_string(sandbox.path("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>"));

    let written = fs_err::metadata(sandbox.path("report.html"))
        .unwrap()
        .modified()
        .unwrap();
    let again = sandbox.run(&["run"]).succeeded();
    assert_eq!(again.stdout, finished.stdout);
    assert_eq!(
        fs_err::metadata(sandbox.path("report.html"))
            .unwrap()
            .modified()
            .unwrap(),
        written
    );

    fs_err::write(sandbox.path("report.html"), "changed").unwrap();
    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_eq!(
        fs_err::read_to_string(sandbox.path("report.html")).unwrap(),
        page
    );
}

#[test]
fn an_unfinished_stage_fails_the_run_and_what_does_not_need_it_still_stands() {
    let sandbox = Sandbox::with(&LIGHT_PIPELINE.replace(
        "take: {train: 60, test: 20}",
        "take: {train: 60, test: 20000}",
    ));
    let failed = sandbox.run(&["run", "--json", "--quiet"]).exited_with(1);
    let lines = failed.json_lines();
    assert_eq!(outcomes(&lines), ["images=failed"]);
    assert!(
        lines[0]["error"].as_str().unwrap().contains("take.test"),
        "{}",
        lines[0]
    );
    assert_snapshot!(failed.refusal(), @r"
    error: pipeline.yaml: stage `images`: key `params.take.test`: expected at most the 1000 images of the split, got 20000
    hint: lower it
    exit code 1
    ");
}

/// Starts a training stage and waits until it has written a checkpoint.
fn in_training(sandbox: &Sandbox, stage: &str) -> Started {
    in_training_with(sandbox, stage, |_| {})
}

fn in_training_with(sandbox: &Sandbox, stage: &str, change: impl FnOnce(&mut Command)) -> Started {
    let mut started = sandbox.start_with(&["run", stage], change);
    let begun = Instant::now();
    while !has_checkpoint(sandbox) {
        assert!(!started.has_ended(), "the run ended without a checkpoint");
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "no checkpoint was written in 300 s"
        );
        thread::sleep(Duration::from_millis(5));
    }
    started
}

fn has_checkpoint(sandbox: &Sandbox) -> bool {
    let entries = sandbox.cache_entries("drafts");
    entries.iter().any(|entry| entry.ends_with(".safetensors"))
}

#[test]
fn ctrl_c_stops_cleanly_and_says_how_to_go_on() {
    let long = "epochs: 5000, checkpoint_steps: 5,";
    let sandbox = Sandbox::with(&WHOLE_PIPELINE.replace("epochs: 1,", long));
    let mut started = in_training(&sandbox, "teacher");
    started.signal(Signal::INT);
    let output = started.output();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in [
        "teacher  stopped",
        "1 stopped",
        "interrupted; the same command goes on with `teacher` from epoch ",
    ] {
        assert!(stderr.contains(part), "`{part}` is not in\n{stderr}");
    }
    assert!(has_checkpoint(&sandbox));
}

/// As `nohup` and a shell in the background start a program.
#[test]
fn signals_that_were_ignored_before_stay_ignored() {
    let long = "epochs: 5000, checkpoint_steps: 5,";
    let sandbox = Sandbox::with(&WHOLE_PIPELINE.replace("epochs: 1,", long));
    let ignored = [libc::SIGHUP, libc::SIGINT];
    let ignore = move || {
        for signal in ignored {
            // SAFETY: nothing but `signal`, which may be called between fork and exec.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        Ok(())
    };
    let mut started = in_training_with(&sandbox, "teacher", |command| {
        // SAFETY: see there.
        unsafe { command.pre_exec(ignore) };
    });
    started.signal(Signal::HUP);
    started.signal(Signal::INT);
    // Had one of them counted, this would be the second, which stops at once.
    started.signal(Signal::TERM);
    let output = started.output();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.matches("stopping as soon as").count(), 1, "{stderr}");
}

#[test]
fn a_second_ctrl_c_stops_at_once() {
    // Steps that take long beside the 200 ms between the two, which are two wishes.
    let slow = WHOLE_PIPELINE
        .replace(
            "{name: cifar_resnet8, width: 0.25}",
            "{name: cifar_resnet56}",
        )
        .replace("size: 16", "size: 48")
        .replace(
            "{epochs: 2, batch: 16}",
            "{epochs: 50, batch: 32, checkpoint_steps: 1}",
        );
    let sandbox = Sandbox::with(&slow);
    sandbox.run(&["run", "targets", "--quiet"]).succeeded();
    let mut started = in_training(&sandbox, "student");
    thread::sleep(Duration::from_millis(100)); // into the next step, away from where it looks whether it is to stop
    for _ in 0..2 {
        started.signal(Signal::INT);
        thread::sleep(Duration::from_millis(200));
    }
    let output = started.output();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(has_checkpoint(&sandbox));
}
