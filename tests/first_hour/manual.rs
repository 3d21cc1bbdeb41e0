//! Completions and manual pages are of the same commands as the help.

use std::process::Command;

use crate::sandbox::Sandbox;

#[test]
fn bash_takes_the_completions_and_completes_a_command() {
    let sandbox = Sandbox::empty();
    let script = sandbox.run(&["completions", "bash"]).succeeded().stdout;
    sandbox.write("completions.bash", &script);
    let asked = "source completions.bash; COMP_WORDS=(seedpipe pre); COMP_CWORD=1; _seedpipe seedpipe pre seedpipe; echo ${COMPREPLY[@]}";
    let output = Command::new("bash")
        .args(["-c", asked])
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        told.split_whitespace().collect::<Vec<_>>(),
        ["predict", "preview"]
    );
}

#[test]
fn every_shell_has_completions_and_another_is_refused() {
    let sandbox = Sandbox::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.run(&["completions", shell]).succeeded().stdout;
        assert!(script.contains("doctor"), "{shell}");
    }
    sandbox.run(&["completions", "sh"]).exited_with(2);
}

#[test]
fn there_is_a_manual_page_a_command() {
    let sandbox = Sandbox::empty();
    let page = sandbox.run(&["man"]).succeeded().stdout;
    assert!(page.contains(".TH seedpipe 1"), "{page}");
    sandbox.run(&["man", "pages/man1"]).succeeded();
    for (name, part) in [
        ("seedpipe.1", "Exit codes"),
        ("seedpipe-run.1", "dry\\-run"),
        ("seedpipe-network-inspect.1", "checkpoint"),
        ("seedpipe-preview.1", "contact sheet"),
    ] {
        let page = fs_err::read_to_string(sandbox.path(&format!("pages/man1/{name}"))).unwrap();
        assert!(page.contains(part), "{name}: {page}");
    }
}
