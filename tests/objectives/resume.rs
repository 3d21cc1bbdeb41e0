//! A training of each objective, killed in an epoch, goes on from its newest checkpoint to the bits
//! of an uninterrupted run.

use super::{STUDENTS, with_students};
use crate::sandbox::{Sandbox, contents_by_name, outcomes};

#[test]
fn every_objective_killed_in_an_epoch_gives_the_bits_of_an_uninterrupted_run() {
    let expected = contents_by_name(&Sandbox::with(&with_students()).run_json(&[]));
    let distinct: std::collections::BTreeSet<&String> =
        expected.iter().map(|(_, content)| content).collect();
    assert_eq!(
        distinct.len(),
        expected.len(),
        "no two stages learn the same"
    );

    let sandbox = Sandbox::with(&with_students());
    sandbox
        .run(&["run", "--quiet", "targets", "small_targets"])
        .succeeded();
    for (name, _) in STUDENTS {
        let stage = format!("student_{name}");
        let mut run = sandbox.command(&["run", "--quiet", &stage]);
        // After step 8 of 10, in the second epoch; the newest checkpoint is that of step 6.
        let struck = sandbox.finish(run.env("SEEDPIPE_FAULT", "training.step:8=kill"));
        assert_eq!(struck.code, None, "{stage}: {}", struck.stderr);
        let kept = sandbox.cache_entries("drafts");
        assert!(
            kept.iter()
                .any(|entry| entry.ends_with("000006.safetensors")),
            "{stage}: {kept:?}"
        );
    }
    let lines = sandbox.run_json(&[]);
    assert_eq!(contents_by_name(&lines), expected);
    let executed = outcomes(&lines)
        .iter()
        .filter(|line| line.ends_with("=executed"))
        .count();
    assert_eq!(executed, STUDENTS.len());
}
