//! Any web server that serves a remote's folder is a remote to read from.

use crate::remote::server::StaticServer;
use crate::sandbox::{LIGHT_PIPELINE, Sandbox, outcomes};

#[test]
fn a_folder_behind_a_plain_web_server_is_pulled_from_and_not_pushed_to() {
    let (here, there) = (Sandbox::with(LIGHT_PIPELINE), Sandbox::with(LIGHT_PIPELINE));
    here.run(&["run", "--quiet"]).succeeded();
    here.run(&["push", "--quiet", "--remote", "web/remote"])
        .exited_with(1);
    fs_err::create_dir(here.path("web")).unwrap();
    here.run(&["push", "--quiet", "--remote", "web/remote"])
        .succeeded();
    let Some(server) = StaticServer::start(&here.path("web")) else {
        return;
    };
    let remote = format!("http://127.0.0.1:{}/remote", server.port);
    there
        .run(&["pull", "--quiet", "--remote", &remote])
        .succeeded();
    assert_eq!(
        outcomes(&there.run_json(&[])),
        ["images=cached", "views=cached"]
    );
    let refused = there.run(&["push", "--remote", &remote]).exited_with(1);
    assert!(
        refused
            .stderr
            .contains("expected one that can be written, got a read-only one"),
        "{}",
        refused.stderr
    );

    let third = Sandbox::with(&format!("remote: {remote}\n{LIGHT_PIPELINE}"));
    assert_eq!(
        outcomes(&third.run_json(&[])),
        ["images=fetched", "views=fetched"]
    );
    third.write(
        "pipeline.yaml",
        format!("remote: {remote}/nothing/here\n{LIGHT_PIPELINE}"),
    );
    assert_eq!(
        outcomes(&third.run_json(&["--set", "views.size=20"])),
        ["images=cached", "views=executed"]
    );
}
