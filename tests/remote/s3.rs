//! A real S3 server: push from one machine, pull into another's empty cache, deaths in the middle,
//! damage on its disk.

use crate::remote::server::{ACCESS_KEY, SECRET_KEY, Server};
use crate::remote::{files_below, flip_a_bit, largest_blob, published, pulled};
use crate::sandbox::{Finished, LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE, contents, outcomes};

/// All digits: enough bytes for a death in the middle.
fn many_digits() -> String {
    LIGHT_PIPELINE.replace(", take: {train: 60, test: 20}", "")
}

fn run(server: &Server, sandbox: &Sandbox, arguments: &[&str]) -> Finished {
    sandbox.finish(&mut server.command(sandbox, arguments, server.port()))
}

/// Of everything that a program printed.
fn assert_no_credentials(finished: &Finished) {
    for text in [&finished.stdout, &finished.stderr] {
        for secret in [ACCESS_KEY, SECRET_KEY, "K7MDENG"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn a_push_from_one_machine_and_a_pull_on_another_leave_nothing_to_run() {
    let Some(server) = Server::start() else {
        return;
    };
    let (here, there) = (Sandbox::with(WHOLE_PIPELINE), Sandbox::with(WHOLE_PIPELINE));
    let made = here.run_json(&[]);
    let pushed = run(&server, &here, &["push"]).succeeded();
    assert!(
        pushed.stdout.starts_with("9 artifacts in the remote: "),
        "{}",
        pushed.stdout
    );
    let report = run(&server, &here, &["push", "--json"]).succeeded().json();
    assert_eq!(
        (
            &report["files"],
            &report["artifacts"].as_array().unwrap().len()
        ),
        (&0.into(), &9)
    );

    let report = run(&server, &there, &["pull", "--json"]).succeeded();
    assert!(
        pulled(&report)
            .iter()
            .all(|stage| stage.ends_with("=fetched")),
        "{:?}",
        pulled(&report)
    );
    let lines = there.run_json(&[]);
    assert!(
        outcomes(&lines)
            .iter()
            .all(|stage| stage.ends_with("=cached")),
        "{lines:?}"
    );
    assert_eq!(contents(&lines), contents(&made));
    there.run(&["verify"]).succeeded();
}

#[test]
fn a_run_of_the_light_program_alone_fetches_what_needs_tensors() {
    let Some(server) = Server::start() else {
        return;
    };
    let (here, there) = (Sandbox::with(WHOLE_PIPELINE), Sandbox::with(WHOLE_PIPELINE));
    here.run(&["run", "--quiet"]).succeeded();
    run(&server, &here, &["push", "--quiet"]).succeeded();
    // Alone in its folder, it could not hand over to `seedpipe-torch`.
    let program = there.path("bin/seedpipe");
    fs_err::create_dir_all(program.parent().unwrap()).unwrap();
    fs_err::copy(crate::sandbox::SEEDPIPE, &program).unwrap();
    let mut command = std::process::Command::new(program);
    let like = server.command(&there, &["run", "--json"], server.port());
    command.args(like.get_args()).current_dir(there.path(""));
    for (name, value) in like.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let lines = there.finish(&mut command).succeeded().json_lines();
    assert_eq!(lines.len(), 9);
    assert!(
        outcomes(&lines)
            .iter()
            .all(|stage| stage.ends_with("=fetched")),
        "{lines:?}"
    );
}

#[test]
fn a_server_that_dies_during_a_push_leaves_nothing_half_there_and_the_push_goes_on_later() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let (here, there) = (Sandbox::with(&many_digits()), Sandbox::with(&many_digits()));
    here.run(&["run", "--quiet"]).succeeded();
    for budget in [3_000, 40_000, 150_000] {
        let proxy = server.deadly_proxy(budget);
        let failed = here
            .finish(&mut server.command(&here, &["push"], proxy.port))
            .exited_with(1);
        assert!(proxy.has_killed(), "{}", failed.stderr);
        assert!(
            failed
                .stderr
                .contains("error: remote `s3://shared/some/prefix`: "),
            "{}",
            failed.stderr
        );
        assert_no_credentials(&failed);
        server.restart();
        let report = run(&server, &there, &["pull", "--json", "--quiet"]);
        assert!(
            report.code == Some(1)
                || pulled(&report)
                    .iter()
                    .all(|stage| stage.ends_with("=fetched"))
        );
        there.run(&["verify"]).succeeded();
    }
    run(&server, &here, &["push"]).succeeded();
    run(&server, &there, &["pull"]).succeeded();
    assert!(
        outcomes(&there.run_json(&[]))
            .iter()
            .all(|stage| stage.ends_with("=cached"))
    );
}

#[test]
fn a_server_that_dies_during_a_pull_leaves_nothing_half_there_and_the_pull_goes_on_later() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let (here, there) = (Sandbox::with(&many_digits()), Sandbox::with(&many_digits()));
    here.run(&["run", "--quiet"]).succeeded();
    run(&server, &here, &["push", "--quiet"]).succeeded();
    let proxy = server.deadly_proxy(60_000);
    let failed = there
        .finish(&mut server.command(&there, &["pull"], proxy.port))
        .exited_with(1);
    assert!(proxy.has_killed(), "{}", failed.stderr);
    assert_no_credentials(&failed);
    assert!(published(&there) < 2);
    there.run(&["verify"]).succeeded();
    server.restart();
    run(&server, &there, &["pull"]).succeeded();
    assert_eq!(published(&there), 2);
    assert_eq!(
        outcomes(&there.run_json(&[])),
        ["images=cached", "views=cached"]
    );
    assert_eq!(there.cache_entries("drafts"), [""; 0]);
}

#[test]
fn an_object_that_was_damaged_on_the_servers_disk_is_refused_and_named() {
    let Some(server) = Server::start() else {
        return;
    };
    let (here, there) = (Sandbox::with(LIGHT_PIPELINE), Sandbox::with(LIGHT_PIPELINE));
    here.run(&["run", "--quiet"]).succeeded();
    run(&server, &here, &["push", "--quiet"]).succeeded();
    let blob = largest_blob(&server.disk());
    flip_a_bit(&blob);
    let name = blob.file_name().unwrap().to_str().unwrap();
    let refused = run(&server, &there, &["pull", "--quiet"]).exited_with(1);
    let expected = format!(
        "error: remote `s3://shared/some/prefix`: object `seedpipe/v1/blobs/{}/{name}`: expected BLAKE3 {name}, got BLAKE3 ",
        &name[..2]
    );
    assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);
    there.run(&["verify"]).succeeded();
    let lines = run(&server, &there, &["run", "--json", "--quiet"]).succeeded();
    assert!(
        lines
            .stderr
            .contains("it is refused, and the stage runs here"),
        "{}",
        lines.stderr
    );
    assert_eq!(contents(&lines.json_lines()), contents(&here.run_json(&[])));
}

#[test]
fn wrong_credentials_are_an_error_that_does_not_show_them() {
    let Some(server) = Server::start() else {
        return;
    };
    let here = Sandbox::with(LIGHT_PIPELINE);
    here.run(&["run", "--quiet"]).succeeded();
    let (key, secret) = ("AKIDWRONGEXAMPLE9999", "wrongwrong/SECRET/wrongwrong");
    for arguments in [
        &["push"][..],
        &["pull", "--verbose"],
        &["run", "--force", "--verbose"],
    ] {
        let mut command = server.command(&here, arguments, server.port());
        command
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", secret);
        let finished = here.finish(&mut command);
        let text = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!text.contains(key) && !text.contains(secret), "{text}");
        if arguments[0] == "push" {
            assert_eq!(finished.code, Some(1), "{text}");
        }
    }
    for file in files_below(&here.path(".seedpipe"))
        .iter()
        .chain(&files_below(&server.disk()))
    {
        let bytes = fs_err::read(file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains(ACCESS_KEY) && !text.contains(key),
            "{}",
            file.display()
        );
    }
}
