//! Ctrl-C and SIGTERM lose no step: the training keeps what it learned before it ends, between two
//! checkpoints as well.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::sandbox::{Sandbox, WHOLE_PIPELINE, contents};

#[test]
fn a_stop_between_checkpoints_keeps_the_step_at_hand() {
    // 30 steps an epoch, no checkpoint before its end.
    let pipeline = WHOLE_PIPELINE.replace(
        "{epochs: 1, batch: 16}",
        "{epochs: 2, batch: 2, checkpoint_minutes: 0, threads: 1}",
    );
    let expected = contents(&Sandbox::with(&pipeline).run_json(&["teacher"]));
    for signal in [Signal::INT, Signal::TERM] {
        let sandbox = Sandbox::with(&pipeline);
        let mut started = sandbox.start_with(&["run", "teacher"], |command| {
            command.env("SEEDPIPE_FAULT", "training.step:3=stop");
        });
        wait_until_it_halts(started.pid());
        started.signal(signal);
        started.signal(Signal::CONT);
        let output = started.output();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let after = said.split("stopped after step ").nth(1).expect(&said);
        let step: u64 = after.split(' ').next().unwrap().parse().unwrap();
        assert!(step >= 3 && !step.is_multiple_of(30), "{said}");
        let kept = format!("step-{step:020}.safetensors");
        let drafts = sandbox.cache_entries("drafts");
        assert!(
            drafts.iter().any(|entry| entry.ends_with(&kept)),
            "{drafts:?}"
        );
        assert_eq!(contents(&sandbox.run_json(&["teacher"])), expected);
    }
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
