//! A folder as the remote, and what pipeline.yaml, the environment and the command line say of it.

use insta::assert_snapshot;

use crate::remote::{files_below, flip_a_bit, largest_blob, published, pulled};
use crate::sandbox::{LIGHT_PIPELINE, Sandbox, outcomes};

/// A pipeline with a `remote:` line.
fn with_remote(remote: &str) -> String {
    format!("remote: {remote}\n{LIGHT_PIPELINE}")
}

/// A sandbox that has run and pushed into its folder `remote`.
fn shared() -> Sandbox {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    sandbox
        .run(&["push", "--quiet", "--remote", "remote"])
        .succeeded();
    sandbox
}

/// Another machine with the same pipeline, whose `remote:` is that of `shared`.
fn beside(shared: &Sandbox) -> Sandbox {
    Sandbox::with(&with_remote(&shared.path("remote").display().to_string()))
}

#[test]
fn push_and_pull_tell_what_they_did() {
    let here = Sandbox::with(LIGHT_PIPELINE);
    here.run(&["run", "views", "--quiet"]).succeeded();
    assert_snapshot!(here.run(&["push", "--remote", "remote"]).succeeded().stable_stdout(), @"2 artifacts in the remote: 5 files, [size] pushed in [time] ([size]/s)");
    assert_snapshot!(here.run(&["push", "--remote", "remote"]).succeeded().stable_stdout(), @"2 artifacts in the remote: 0 files, 0 B pushed in [time]; 5 files, [size] were there");
    let there = beside(&here);
    let finished = there.run(&["pull"]).succeeded();
    assert_snapshot!(finished.stable_stdout(), @"2 stages: 2 fetched; 5 files, [size] came in [time] ([size]/s)");
    assert_snapshot!(finished.refusal(), @r"
    images  fetched  [time]
    views   fetched  [time]
    exit code 0
    ");
    assert_snapshot!(there.run(&["run"]).succeeded().refusal(), @r"
    images  cached
    views   cached
    2 stages: 2 cached, in [time]
    exit code 0
    ");
}

#[test]
fn a_run_fetches_what_the_remote_has_and_executes_the_rest() {
    let here = shared();
    let there = beside(&here);
    assert_snapshot!(there.run(&["run", "--set", "views.size=20"]).succeeded().refusal(), @r"
    images  fetched  [time]
    views   starts  (augment)
    views   done     120 views, [time]
    2 stages: 1 executed, 1 fetched, in [time]
    exit code 0
    ");
    assert_eq!(
        outcomes(&there.run_json(&[])),
        ["images=cached", "views=fetched"]
    );
    let third = beside(&here);
    assert_eq!(
        outcomes(&third.run_json(&["--no-remote"])),
        ["images=executed", "views=executed"]
    );
}

#[test]
fn stages_that_are_not_in_the_remote_are_listed() {
    let here = shared();
    let there = beside(&here);
    let lacking = there
        .run(&["pull", "--set", "images.take.train=50"])
        .exited_with(1);
    assert_snapshot!(lacking.stable_stdout(), @r"
    2 stages: 1 not in the remote, 1 below those; 0 files, 0 B came in [time]
    not in the remote: images
    not known before those are there: views
    ");
    assert_eq!(published(&there), 0);
}

#[test]
fn status_asks_the_remote_only_when_told_to() {
    let here = shared();
    let there = beside(&here);
    let silent = there.run(&["status"]).succeeded().stdout;
    assert!(!silent.contains("remote"), "{silent}");
    let asked = there.run(&["status", "--remote"]).succeeded();
    assert_snapshot!(asked.stable_stdout(), @r"
    stage   kind     state     fingerprint   why
    images  ingest   will run  [short]  never run; in the remote: a run fetches it
    views   augment  may run   -             waits for the content of `images`
    0 of 2 stages cached
    ");
    fs_err::remove_dir_all(here.path("remote")).unwrap();
    assert_eq!(there.run(&["status"]).succeeded().stdout, silent);
    assert_snapshot!(there.run(&["status", "--remote"]).exited_with(1).stderr.replace(&here.path("").display().to_string(), "[folder]/"), @r"
    error: remote `[folder]/remote`: connecting: expected a folder, got none there
    hint: check the address, the connection, and the credentials in the environment
    ");
}

#[test]
fn a_remote_that_can_not_be_reached_stops_a_pull_and_not_a_run() {
    let there = Sandbox::with(&with_remote("http://127.0.0.1:9/nobody"));
    let run = there.run(&["run", "--quiet"]).succeeded();
    assert_eq!(
        run.stderr
            .matches("warning: remote `http://127.0.0.1:9/nobody`: ")
            .count(),
        1,
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("this run goes on without it"),
        "{}",
        run.stderr
    );
    let cached = there.run(&["run", "--quiet"]).succeeded();
    assert_eq!(cached.stderr, "");
    let pull = there
        .run(&["pull", "--set", "images.take.train=50"])
        .exited_with(1);
    assert!(
        pull.stderr
            .starts_with("error: remote `http://127.0.0.1:9/nobody`: "),
        "{}",
        pull.stderr
    );
}

#[test]
fn a_run_writes_back_when_the_pipeline_says_so() {
    let here = Sandbox::with(&with_remote("{url: shared, write: true}"));
    here.run(&["run", "--quiet"]).succeeded();
    let pull = |arguments: &[&str]| {
        let there = Sandbox::with(LIGHT_PIPELINE);
        let mut command = there.command(&["pull", "--json", "--quiet"]);
        let command = command
            .args(arguments)
            .env("SEEDPIPE_REMOTE", here.path("shared"));
        pulled(&there.finish(command))
    };
    assert_eq!(pull(&[]), ["images=fetched", "views=fetched"]);
    let reader = Sandbox::with(&with_remote(&format!(
        "{{url: {}}}",
        here.path("shared").display()
    )));
    reader
        .run(&["run", "--quiet", "--set", "views.size=20"])
        .succeeded();
    assert_eq!(
        pull(&["--set", "views.size=20"]),
        ["images=fetched", "views=absent"]
    );
}

#[test]
fn damage_in_the_remote_is_refused_and_named_and_a_run_makes_it_itself() {
    let here = shared();
    flip_a_bit(&largest_blob(&here.path("remote")));
    let there = beside(&here);
    let refused = there.run(&["pull", "--quiet"]).exited_with(1);
    let message = refused
        .stderr
        .replace(&here.path("").display().to_string(), "[other]/");
    let message = message.replace(
        largest_blob(&here.path("remote"))
            .file_name()
            .unwrap()
            .to_str()
            .unwrap(),
        "[blob]",
    );
    assert!(
        message.starts_with("error: remote `[other]/remote`: object `seedpipe/v1/blobs/"),
        "{message}"
    );
    assert!(
        message.contains("`: expected BLAKE3 [blob], got BLAKE3 "),
        "{message}"
    );
    assert!(
        message.contains("it is refused, and nothing of it is kept\nhint: push it again"),
        "{message}"
    );
    let run = there.run(&["run", "--json", "--quiet"]).succeeded();
    assert!(
        run.stderr
            .contains("it is refused, and the stage runs here"),
        "{}",
        run.stderr
    );
    assert!(
        outcomes(&run.json_lines())
            .iter()
            .any(|stage| stage.ends_with("=executed"))
    );
    there.run(&["verify"]).succeeded();
}

#[test]
fn wrong_remotes_are_refused_and_credentials_never_shown() {
    let refused = |remote: &str| {
        let finished = Sandbox::with(&with_remote(remote))
            .run(&["status"])
            .exited_with(2);
        assert!(!finished.stderr.contains("hunter2"), "{}", finished.stderr);
        finished.refusal()
    };
    assert_snapshot!(refused("\"s3://me:hunter2@bucket/x\""), @r"
    error: pipeline.yaml: key `remote`: expected a URL without user name and password, got one with them
    hint: leave them out; credentials come from the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    exit code 2
    ");
    assert_snapshot!(refused("{url: \"https://host/x?token=hunter2\"}"), @r"
    error: pipeline.yaml: key `remote`: expected a URL that ends with its path, got one with `?` or `#`
    hint: leave that out; options and credentials come from the environment
    exit code 2
    ");
    assert_snapshot!(refused("ftp://host/x"), @r"
    error: pipeline.yaml: key `remote`: expected one of `s3://`, `gs://`, `az://`, `https://`, `http://`, `file://` or a folder, got `ftp://`
    hint: correct the beginning of the URL
    exit code 2
    ");
    assert_snapshot!(refused("{url: \"https://host/x\", write: true}"), @r"
    error: pipeline.yaml: key `remote`: expected a remote that can be written, got `https://host/x`, which is read-only
    hint: leave `write` out, or name s3://, gs://, az:// or a folder
    exit code 2
    ");
    assert_snapshot!(refused("{url: x, wirte: true}"), @r"
    error: pipeline.yaml: key `remote.wirte`: unknown key
    hint: did you mean `write`?
    exit code 2
    ");
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let named = sandbox
        .run(&["push", "--remote", "https://me:hunter2@host"])
        .exited_with(2);
    assert!(
        named
            .stderr
            .starts_with("error: --remote: expected a URL without user name and password"),
        "{}",
        named.stderr
    );
    assert_snapshot!(sandbox.run(&["pull"]).exited_with(2).refusal(), @r"
    error: pipeline.yaml: key `remote`: expected a remote, got none
    hint: add `remote: s3://bucket/prefix` (or a folder, gs://, az://, https://), set SEEDPIPE_REMOTE, or name it with `--remote URL`
    exit code 2
    ");
}

/// However a URL comes into a message, and however it is mistyped.
#[test]
fn credentials_of_a_mistyped_remote_are_never_shown() {
    let urls = [
        "https://me:hunter2@ho st/x",
        "htps://me:hunter2@host/x",
        "https:/me:hunter2@host/x",
        "https//me:hunter2@host/x",
        "//me:hunter2@host/x",
        "me:hunter2@host/x",
        "me:hunter2@https://host/x",
        "s3://AKIA:hun/hunter2@bucket",
        "S3://AKIA:hunter2@bucket",
        "https://host/x?X-Amz-Signature=hunter2",
        "host/x?sig=hunter2",
        "host/x?token=hunter2",
    ];
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    for url in urls {
        sandbox.write(
            "remote.yaml",
            with_remote(&format!("{{url: \"{url}\", write: true}}")),
        );
        let ways: [&[&str]; 7] = [
            &["push", "--remote", url],
            &["pull", "--remote", url],
            &["push", url],
            &["push", "--remot", url],
            &["run", "--set", &format!("remote={url}")],
            &["--pipeline", "remote.yaml", "pull"],
            &["--pipeline", url, "status"],
        ];
        for way in ways {
            let finished = sandbox.run(way);
            let said = finished.stdout.clone() + &finished.stderr;
            assert!(!said.contains("hunter2"), "{way:?}: {said}");
            // Nobody asks for what is in the cache.
            assert!(
                finished.code != Some(0) || way.contains(&"pull"),
                "{way:?}: {said}"
            );
        }
        let mut command = sandbox.command(&["run", "--log-format", "json", "--force"]);
        let finished = sandbox.finish(command.env("SEEDPIPE_REMOTE", url));
        assert!(
            !finished.stderr.contains("hunter2"),
            "{url}: {}",
            finished.stderr
        );
    }
}

#[test]
fn a_named_pipe_in_a_remote_is_not_waited_for() {
    let shared = shared();
    let there = beside(&shared);
    for path in files_below(&shared.path("remote")) {
        if path.ends_with("index.json") {
            fs_err::remove_file(&path).unwrap();
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, 0o600.into()).unwrap();
        }
    }
    let pulled = there.run(&["pull"]).exited_with(1);
    let said = "expected a file, got something else";
    assert!(pulled.stderr.contains(said), "{}", pulled.stderr);
    let run = there.run(&["run", "--json"]).succeeded();
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert!(
        outcomes(&run.json_lines())
            .iter()
            .all(|stage| stage.ends_with("=executed"))
    );
}
