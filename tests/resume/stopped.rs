//! Ctrl-C, SIGTERM and time limits lose no step: the training keeps what it learned before it ends,
//! between two checkpoints as well; and what is unfinished, and from where it goes on, is told.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE, contents};

#[test]
fn a_stop_between_checkpoints_keeps_the_step_at_hand() {
    // 15 steps an epoch, no checkpoint before its end.
    let pipeline = WHOLE_PIPELINE.replace(
        "{epochs: 1, batch: 16}",
        "{epochs: 2, batch: 4, checkpoint_minutes: 0, threads: 1}",
    );
    let expected = contents(&Sandbox::with(&pipeline).run_json(&["teacher"]));
    // `timeout` sends to the process and to its group: two signals for one wish. Batch systems and
    // limits of the processor's time send theirs as often as they like.
    for signals in [
        &[Signal::INT][..],
        &[Signal::TERM, Signal::INT],
        &[Signal::XCPU, Signal::XCPU],
        &[Signal::USR1],
        &[Signal::USR2],
    ] {
        let sandbox = Sandbox::with(&pipeline);
        let mut started = sandbox.start_with(&["run", "teacher"], |command| {
            command.env("SEEDPIPE_FAULT", "training.step:3=stop");
        });
        wait_until_it_halts(started.pid());
        for &signal in signals {
            started.signal(signal);
        }
        started.signal(Signal::CONT);
        let output = started.output();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let after = said.split("stopped after step ").nth(1).expect(&said);
        let step: u64 = after.split(' ').next().unwrap().parse().unwrap();
        assert!(step >= 3 && !step.is_multiple_of(15), "{said}");
        let kept = format!("step-{step:020}.safetensors");
        let drafts = sandbox.cache_entries("drafts");
        assert!(
            drafts.iter().any(|entry| entry.ends_with(&kept)),
            "{drafts:?}"
        );
        let place = format!("epoch {} of 2, step {step} of 30", step.div_ceil(15));
        let end = format!("interrupted; the same command goes on with `teacher` from {place}\n");
        assert!(said.ends_with(&end), "{said}");
        if signals == [Signal::INT] {
            is_told_everywhere(&sandbox, step, &place);
        }
        assert_eq!(contents(&sandbox.run_json(&["teacher"])), expected);
        assert!(!sandbox.run(&["status"]).stdout.contains("goes on"));
    }
}

/// By every command that says what a run would do.
fn is_told_everywhere(sandbox: &Sandbox, step: u64, place: &str) {
    let goes_on = format!("goes on from {place}");
    for command in [&["status"][..], &["run", "--dry-run"], &["doctor"]] {
        let told = sandbox.run(command).stdout;
        assert!(told.contains(&goes_on), "{command:?}: {told}");
    }
    let reached = json!([
        {"unit": "epoch", "done": step.div_ceil(15), "total": 2},
        {"unit": "step", "done": step, "total": 30},
    ]);
    let status = sandbox.run(&["status", "--json"]).succeeded().json();
    let dry_run = sandbox.run(&["run", "--dry-run", "--json"]).json_lines();
    for stages in [status.as_array().unwrap(), &dry_run] {
        let unfinished = |stage: &str| {
            let mut stages = stages.iter();
            &stages.find(|found| found["stage"] == stage).unwrap()["unfinished"]
        };
        assert_eq!(unfinished("teacher")["reached"], reached);
        assert_eq!(unfinished("teacher")["next"], "goes_on");
        assert_eq!(unfinished("images"), &Value::Null);
    }
    // Another class doesn't take it, and says so.
    let mut other = sandbox.command(&["status"]);
    let other = other.env("ATEN_CPU_CAPABILITY", "default");
    let told = sandbox
        .finish(other.env("ONEDNN_MAX_CPU_ISA", "SSE41"))
        .stdout;
    let anew =
        format!("begins anew: unfinished work ({place}) is of another numerics class, `cpu ");
    assert!(told.contains(&anew), "{told}");
    let forced = sandbox
        .run(&["run", "--dry-run", "--force", "teacher"])
        .stdout;
    assert!(
        forced.contains(&format!(
            "begins anew: unfinished work ({place}) was not forced"
        )),
        "{forced}"
    );
}

/// A shard of embeddings may take many minutes.
#[test]
fn a_stop_in_a_shard_of_embeddings_keeps_the_batches_that_were_done() {
    let expected = contents(&Sandbox::with(WHOLE_PIPELINE).run_json(&["targets"]));
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "--quiet", "teacher"]).succeeded();
    // 4 batches of 16 images, twice stopped.
    for (batch, place) in [(1, "view 32 of 120"), (2, "view 96 of 120")] {
        let mut started = sandbox.start_with(&["run", "targets"], |command| {
            command.env("SEEDPIPE_FAULT", format!("encode.batch:{batch}=stop"));
        });
        wait_until_it_halts(started.pid());
        started.signal(Signal::USR1);
        started.signal(Signal::CONT);
        let said = String::from_utf8(started.output().stderr).unwrap();
        let end = format!("interrupted; the same command goes on with `targets` from {place}\n");
        assert!(said.ends_with(&end), "{said}");
        let told = sandbox.run(&["status"]).stdout;
        assert!(told.contains(&format!("goes on from {place}")), "{told}");
    }
    let mut command = sandbox.command(&["run", "--json", "targets"]);
    let command = command.env("SEEDPIPE_FAULT_LOG", sandbox.path("log"));
    let lines = sandbox.finish(command).succeeded().json_lines();
    assert_eq!(contents(&lines), expected);
    let log = fs_err::read_to_string(sandbox.path("log")).unwrap();
    assert_eq!(log.matches("encode.batch").count(), 1);
    assert_eq!(sandbox.cache_entries("drafts"), [""; 0]);
}

#[test]
fn a_stop_of_what_has_nothing_finished_says_so() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let mut started = sandbox.start_with(&["run"], |command| {
        command.env("SEEDPIPE_FAULT", "shard.begin=stop");
    });
    wait_until_it_halts(started.pid());
    started.signal(Signal::USR1);
    started.signal(Signal::CONT);
    let said = String::from_utf8(started.output().stderr).unwrap();
    let end =
        "interrupted; nothing of `images` was finished yet: the same command begins it anew\n";
    assert!(said.ends_with(end), "{said}");
    assert!(!sandbox.run(&["status"]).stdout.contains("begins anew"));
}

fn wait_until_it_halts(pid: u32) {
    let begun = Instant::now();
    let halted = || {
        let state = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let after_name = state.rsplit(')').next().unwrap();
        after_name.trim_start().starts_with('T')
    };
    while !halted() {
        assert!(begun.elapsed() < Duration::from_secs(300), "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}
