//! Several processes at one cache that run, verify, push and collect, and are interrupted,
//! terminated or killed at random moments. `SEEDPIPE_STORM_SECONDS` (default 10) says for how long,
//! `SEEDPIPE_STORM_SEED` (default 1) which.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::crash_replay::{TRAINING, ends_well, pipeline, sandbox, undisturbed};
use crate::faults::leftovers::age;
use crate::numbers::{Numbers, setting};
use crate::sandbox::{Finished, Sandbox, contents};

/// Processes at a time.
const PROCESSES: u64 = 4;

/// What a process does; `run` more often, since the others need something to do it to.
const CALLS: [&[&str]; 10] = [
    &["run", "--json"],
    &["run", "--json"],
    &["run", "--json"],
    &["run", "--quiet", "--force", "views"],
    &["run", "--quiet", "--force", "teacher"],
    &["run", "--quiet", "--set", "views.size=9", "views"],
    &["gc", "--grace", "0s"],
    &["verify", "--quiet"],
    &["verify", "--repair", "--quiet"],
    &["push", "--quiet", "--remote", "remote"],
];

/// One call, with or without a signal in its middle; gives what it was and how it ended.
fn call(sandbox: &Sandbox, numbers: &mut Numbers, expected: &[(String, String)]) -> String {
    let arguments = CALLS[numbers.below(CALLS.len())];
    let signal = [
        None,
        None,
        Some(Signal::KILL),
        Some(Signal::TERM),
        Some(Signal::INT),
    ][numbers.below(5)];
    // 1 ms to 1 s, as many short ones as long ones: calls take as different times.
    let pause = Duration::from_secs_f64(1000_f64.powf(numbers.next() - 1.0));
    let mut started = sandbox.start(arguments);
    let Some(signal) = signal else {
        let ended = Finished::of(started.output(), &sandbox.path("")).succeeded();
        if arguments == CALLS[0] {
            assert_eq!(contents(&ended.json_lines()), expected);
        }
        return format!("{} ended", arguments[0]);
    };
    std::thread::sleep(pause);
    let was_alive = !started.has_ended();
    if was_alive {
        started.signal(signal);
    }
    let output = started.output();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !said.contains("panicked") && !said.contains("BUG"),
        "{arguments:?} with {signal:?}: {said}"
    );
    match was_alive {
        true => format!("{} with {signal:?}", arguments[0]),
        false => format!("{} ended", arguments[0]),
    }
}

#[test]
fn a_storm_of_calls_and_signals_leaves_a_cache_that_is_whole() {
    let pipeline = pipeline(TRAINING);
    let expected = undisturbed(&pipeline);
    let sandbox = sandbox(&pipeline);
    fs_err::create_dir(sandbox.path("remote")).unwrap();
    let seed = setting("SEEDPIPE_STORM_SEED", 1);
    let seconds = Duration::from_secs(setting("SEEDPIPE_STORM_SECONDS", 10));
    let counts = Mutex::new(BTreeMap::<String, usize>::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for process in 0..PROCESSES {
            let (sandbox, expected, counts) = (&sandbox, &expected, &counts);
            scope.spawn(move || {
                let mut numbers = Numbers(seed * PROCESSES + process);
                while begun.elapsed() < seconds {
                    let done = call(sandbox, &mut numbers, expected);
                    *counts.lock().unwrap().entry(done).or_default() += 1;
                }
            });
        }
    });
    age(&sandbox.path("remote"));
    ends_well(&sandbox, &expected, &format!("storm of seed {seed}"));
    sandbox
        .run(&["push", "--quiet", "--remote", "remote"])
        .succeeded();
    let other = super::sandbox(&format!(
        "remote: {}\n{pipeline}",
        sandbox.path("remote").display()
    ));
    other.run(&["pull", "--quiet"]).succeeded();
    ends_well(&other, &expected, "another machine after the storm");
    let counts = counts.into_inner().unwrap();
    println!(
        "seed {seed}: {} calls in {:.0} s, and all is whole: {counts:?}",
        counts.values().sum::<usize>(),
        begun.elapsed().as_secs_f64()
    );
}
