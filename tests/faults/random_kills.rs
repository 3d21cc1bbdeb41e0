//! `kill -9` at random moments of a pipeline that has every kind. Moments are uniform over the time
//! that an uninterrupted run takes; `SEEDPIPE_KILLS` (default 20) says how many,
//! `SEEDPIPE_KILL_SEED` (default 1) which.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::leftovers::clear;
use super::{CHECKPOINT_STEPS, FAULT_LOG, LOG, REDUCED_PIPELINE, count, logged, passed};
use crate::numbers::{Numbers, setting};
use crate::sandbox::{Sandbox, contents};

/// Starts a run and kills it after `pause`. Whether it was still running.
fn killed_after(sandbox: &Sandbox, pause: Duration) -> bool {
    let log = sandbox.path(LOG);
    let mut started = sandbox.start_with(&["run", "--quiet"], |command| {
        command.env(FAULT_LOG, log);
    });
    std::thread::sleep(pause);
    if started.has_ended() {
        assert_eq!(started.output().status.code(), Some(0));
        return false;
    }
    started.signal(Signal::KILL); // whatever program it has become by `exec` has the same pid
    started.output().status.code().is_none()
}

#[test]
fn killed_at_random_moments_every_next_run_ends_as_an_uninterrupted_one() {
    let (kills, seed) = (
        setting("SEEDPIPE_KILLS", 20),
        setting("SEEDPIPE_KILL_SEED", 1),
    );
    let mut numbers = Numbers(seed);
    let whole = Sandbox::with(REDUCED_PIPELINE);
    let begun = Instant::now();
    whole
        .finish(&mut logged(&whole, &["run", "--quiet"]))
        .succeeded();
    let duration = begun.elapsed();
    let points = passed(&whole);
    let expected = contents(&whole.run_json(&[]));

    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    let (mut done, mut too_late, mut rounds, mut steps_again, mut shards_again) = (0, 0, 0, 0, 0);
    while done < kills {
        // In turn: a fresh cache and one kill, a fresh cache and a second kill of the run that goes
        // on.
        let planned = 1 + rounds % 2;
        rounds += 1;
        let mut round = 0;
        for _ in 0..planned {
            match killed_after(&sandbox, duration.mul_f64(numbers.next())) {
                true => round += 1,
                false => too_late += 1,
            }
        }
        let context = format!("seed {seed}, kill {} of {kills}", done + round);
        let last = sandbox.finish(&mut logged(&sandbox, &["run", "--json"]));
        assert_eq!(last.code, Some(0), "{context}: {}", last.stderr);
        assert_eq!(contents(&last.json_lines()), expected, "{context}");
        assert!(
            !last.stderr.contains("warning"),
            "{context}: {}",
            last.stderr
        );
        // A step or shard that was done and lost is done again.
        let all = passed(&sandbox);
        let again = |name: &str| count(&all, name).saturating_sub(count(&points, name));
        let (steps, shards) = (again("training.step"), again("shard.begin"));
        assert!(
            steps <= round as usize * CHECKPOINT_STEPS,
            "{context}: {steps} steps again"
        );
        assert!(shards <= round as usize, "{context}: {shards} shards again");
        let verified = sandbox.run(&["verify", "--quiet"]);
        assert_eq!(verified.code, Some(0), "{context}: {}", verified.stdout);
        clear(&sandbox, &context);
        fs_err::remove_dir_all(sandbox.path(".seedpipe")).unwrap();
        fs_err::remove_file(sandbox.path("pipeline.lock")).unwrap();
        fs_err::remove_file(sandbox.path("report.html")).unwrap();
        done += round;
        steps_again += steps;
        shards_again += shards;
        assert!(too_late < 20 + 2 * kills, "runs end before they are killed");
    }
    println!(
        "seed {seed}: {done} kills in {rounds} caches ({too_late} came too late), uninterrupted {:.2} s: digests equal in all, \
         {steps_again} training steps and {shards_again} shards done again",
        duration.as_secs_f64()
    );
}
