//! Numbers that no one means, and work that the machine's memory can't hold: refused before anything
//! begins.

use super::refused_at_once;
use crate::sandbox::{Sandbox, WHOLE_PIPELINE};

#[test]
fn what_is_beyond_any_machine_is_refused_by_its_key() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    for (set, expected) in [
        (
            "teacher.training.threads=100000",
            "key `params.training.threads`: expected 1 to 1024, got 100000\nhint: this machine has ",
        ),
        (
            "teacher.training.epochs=4000000000",
            "key `params.training.epochs`: expected 1 to 1000000, got 4000000000\nhint: lower it",
        ),
        (
            "student.training.batch=1000000000000",
            "key `params.training.batch`: expected 1 to 1048576",
        ),
        (
            "student.training.accumulate=18446744073709551615",
            "key `params.training.accumulate`: expected 1 to 1000000",
        ),
        (
            "teacher.queue=1099511627776",
            "key `params.queue`: expected 1 to 67108864",
        ),
        (
            "teacher.queue=0",
            "key `params.queue`: expected 1 to 67108864",
        ),
        (
            "teacher.temperature=1e-308",
            "key `params.temperature`: expected a number from 0.000001 to 1000000, got 1e-308",
        ),
        (
            "teacher.training.checkpoint_minutes=1e300",
            "key `params.training.checkpoint_minutes`: expected 0 to 1000000",
        ),
        (
            "targets.batch=1000000000000",
            "key `params.batch`: expected 1 to 1048576",
        ),
        (
            "targets.batch=0",
            "key `params.batch`: expected 1 to 1048576, got 0\nhint: raise it",
        ),
        (
            "neighbours.k=[1000000000]",
            "key `params.k`: expected 1 to 1048576, got 1000000000",
        ),
        (
            "probe.lbfgs.max_iterations=4000000000",
            "key `params.lbfgs.max_iterations`: expected 1 to 1000000",
        ),
        (
            "student.head_hidden=[9000000000]",
            "key `params.head_hidden`: expected 1 to 1048576",
        ),
        (
            "images.max_pixels=18446744073709551615",
            "key `params.max_pixels`: expected 1 to 10000000000",
        ),
    ] {
        let message = refused_at_once(&sandbox, &["run", "--quiet", "--set", set]);
        assert!(message.contains(expected), "{set}: {message}");
    }
}

#[test]
fn what_takes_more_memory_than_the_machine_has_is_refused_before_it_begins() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let set = "teacher.network.head={hidden: [1000000, 1000000], out: 16}";
    for arguments in [
        &["run", "--quiet", "--device", "cpu", "--set", set][..],
        &["run", "--dry-run", "--device", "cpu", "--set", set],
    ] {
        let finished = sandbox.run(arguments).exited_with(2);
        assert!(
            finished
                .stderr
                .starts_with("error: stage `teacher`: takes about "),
            "{}",
            finished.stderr
        );
        for part in [
            "TB of memory: weights ",
            "this machine has ",
            "SEEDPIPE_ANY_MEMORY=1",
        ] {
            assert!(finished.stderr.contains(part), "{}", finished.stderr);
        }
        assert!(!sandbox.path(".seedpipe").exists());
    }
    let mut insisting = sandbox.command(&["run", "--dry-run", "--device", "cpu", "--set", set]);
    insisting.env("SEEDPIPE_ANY_MEMORY", "1");
    let finished = sandbox.finish(&mut insisting).succeeded();
    assert!(
        finished
            .stderr
            .starts_with("warning: stage `teacher`: takes about "),
        "{}",
        finished.stderr
    );
}

#[test]
fn the_plan_tells_what_each_network_takes_of_memory() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    let total = |set: &str, stage: usize| {
        let arguments = [
            "run",
            "--dry-run",
            "--json",
            "--device",
            "cpu",
            "--set",
            set,
        ];
        let lines = sandbox.run(&arguments).succeeded().json_lines();
        assert!(lines[0]["memory"].is_null() && lines[1]["memory"].is_null());
        let memory = &lines[stage]["memory"];
        let parts = memory.as_object().unwrap().iter();
        let sum: u64 = parts
            .filter(|(name, _)| *name != "total")
            .map(|(_, bytes)| bytes.as_u64().unwrap())
            .sum();
        assert_eq!(memory["total"], sum);
        sum
    };
    let (teacher, student) = (2, 4);
    let usual = total("seed=0", teacher);
    for more in [
        "teacher.training.batch=32",
        "teacher.queue=1600000",
        "teacher.network.width=4",
        "views.size=64",
    ] {
        assert!(total(more, teacher) > usual, "{more}");
    }
    let adamw = "student.training.optimiser={kind: adamw}";
    assert!(total(adamw, student) > total("seed=0", student));
    let told = sandbox.run(&["run", "--dry-run"]).succeeded().stdout;
    assert!(told.contains("\nteacher: takes about "), "{told}");
}
