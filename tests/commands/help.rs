//! Help, version, quiet use in pipes.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox};

#[test]
fn help_lists_the_commands() {
    assert_snapshot!(Sandbox::empty().run(&["--help"]).succeeded().stdout, @"");
}

#[test]
fn help_of_run_lists_its_options() {
    assert_snapshot!(Sandbox::empty().run(&["run", "--help"]).succeeded().stdout, @"");
}

#[test]
fn an_unknown_command_is_bad_usage() {
    let finished = Sandbox::empty().run(&["runn"]).exited_with(2);
    assert!(
        finished
            .stderr
            .contains("a similar subcommand exists: 'run'"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let mut child = sandbox
        .command(&["show", "views", "-n", "100"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_pipeline_is_found_from_a_folder_below_and_by_its_name() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    fs_err::create_dir_all(sandbox.path("deep/below")).unwrap();
    let expected = sandbox.run(&["status"]).succeeded().stdout;
    assert_eq!(expected.lines().count(), 4, "{expected}");
    let below = sandbox
        .finish(
            sandbox
                .command(&["status"])
                .current_dir(sandbox.path("deep/below")),
        )
        .succeeded();
    assert_eq!(below.stdout, expected);
    for name in [sandbox.path("pipeline.yaml"), sandbox.path("")] {
        let mut command = sandbox.command(&["status", "--pipeline"]);
        let named = sandbox
            .finish(command.arg(name).current_dir("/"))
            .succeeded();
        assert_eq!(named.stdout, expected);
    }
}
