//! Help, version, quiet use in pipes.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox};

#[test]
fn help_lists_the_commands() {
    assert_snapshot!(Sandbox::empty().run(&["--help"]).succeeded().stdout, @r"
    Distils big image networks into small ones, as a pipeline of cached stages

    Usage: seedpipe [OPTIONS] <COMMAND>

    Commands:
      run          Run the stages that are not cached
      status       Which stages are cached, and which will run
      explain      Why a stage will run: what differs from its last run, and where that began
      graph        Draw the pipeline
      show         What a stage made: columns, first rows, and where they come from
      metrics      The figures of every stage that is cached
      params       What decides every stage, as its recipe holds it
      export       Write a trained network as a file for other programs
      embed        The embeddings of image files by a trained network, as JSON lines, CSV or Parquet
      predict      The classes of image files by a trained network, as JSON lines, CSV or Parquet
      evaluate     What a trained network is worth on a new labelled folder
      duplicates   Images that a network finds nearly the same: pairs in two splits first
      network      The networks that are known, and what a checkpoint holds
      verify       Hash every file of the cache again and compare; with `--rerun`, run stages again and compare
      push         Copy cached results into the remote
      pull         Bring results from the remote into the cache
      gc           Delete what the pipeline no longer needs from the cache
      init         Write a pipeline.yaml that suits a folder of images and this machine
      doctor       What this machine has and lacks for the pipeline, with remedies
      preview      A contact sheet of images and their views, as PNG
      report       All results as one HTML page that needs nothing else: tables, curves, mistakes, maps, times
      schema       JSON Schema of pipeline.yaml, by which editors complete and check
      completions  A script by which a shell completes commands and options
      man          Manual pages: this program's on stdout, or one a command into a folder
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Options of every command:
          --pipeline <PATH>      The pipeline: a file, or a folder with a `pipeline.yaml` [default: `pipeline.yaml` here or in a folder above]
      -q, --quiet                No progress: only results, warnings and errors
      -v, --verbose              More about every stage: why it runs, its fingerprint, rows and figures
          --log-format <FORMAT>  How progress, warnings and errors are written to stderr; `json` is an event a line [default: text] [possible values: text, json]

    Exit codes: 0 done; 1 a stage failed or was stopped, something is not there yet, or a check found faults; 2 bad usage or a
    bad pipeline.
    ");
}

#[test]
fn help_of_run_lists_its_options() {
    assert_snapshot!(Sandbox::empty().run(&["run", "--help"]).succeeded().stdout, @r"
    Run the stages that are not cached

    Usage: seedpipe run [OPTIONS] [STAGE]...

    Arguments:
      [STAGE]...  These stages and what they need [default: all]

    Options:
          --force                  Run the named stages (or all, when none is named) even if they are cached
          --only                   Run the named stages alone, on cached inputs
          --set <STAGE.KEY=VALUE>  Another value for a param, as `student.training.epochs=5`, or the seed, as `seed=1` (repeatable)
          --device <DEVICE>        Where the networks run: `auto`, `cpu`, `cuda` or `cuda:N` [default: the pipeline's, else `auto`]
          --jobs <N>               Stages at once, each in a process of its own [default: as many as there are trainings that may run beside each other and have cores and memory of their own; 1 on a GPU]
          --locked                 Run exactly what pipeline.lock records, or refuse; the lock is not written
          --no-remote              Neither fetch from the remote nor write to it
          --dry-run                Say what would run, and run nothing
          --json                   One line of JSON a stage on stdout
      -h, --help                   Print help

    Options of every command:
          --pipeline <PATH>      The pipeline: a file, or a folder with a `pipeline.yaml` [default: `pipeline.yaml` here or in a folder above]
      -q, --quiet                No progress: only results, warnings and errors
      -v, --verbose              More about every stage: why it runs, its fingerprint, rows and figures
          --log-format <FORMAT>  How progress, warnings and errors are written to stderr; `json` is an event a line [default: text] [possible values: text, json]

    Examples:
      seedpipe run                                  # everything that is not cached
      seedpipe run student                          # a stage and what it needs
      seedpipe run --set student.training.epochs=5  # with another value
      seedpipe run --dry-run                        # what would run
    ");
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
