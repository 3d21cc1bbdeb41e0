//! Completions and manual pages are of the same commands as the help.

use std::process::Command;

use crate::sandbox::{SEEDPIPE, Sandbox};

/// What bash offers for the last of these words, in the sandbox's folder.
fn completed(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let script = sandbox.run(&["completions", "bash"]).succeeded().stdout;
    sandbox.write("completions.bash", &script);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let asked = format!(
        "source completions.bash; COMP_WORDS=({}); COMP_CWORD={}; _clap_complete_seedpipe seedpipe '{}' x 2> told; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1,
        words.last().unwrap()
    );
    let programs = std::path::Path::new(SEEDPIPE).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &asked])
        .env("PATH", path)
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    told.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_the_pipelines_own_words() {
    let sandbox = Sandbox::empty();
    sandbox.write(
        "pipeline.yaml",
        "stages:\n  images: {kind: ingest, params: {source: photos}}\n  views: {kind: augment, inputs: {images: images}, params: {recipe: mocov2, size: 32, views_per_image: 3}}\n",
    );
    sandbox.write("photos/a/1.png", "not read");
    let of = |words: &[&str]| completed(&sandbox, words);
    assert_eq!(of(&["seedpipe", "pre"]), ["predict", "preview"]);
    assert_eq!(of(&["seedpipe", "run", "vi"]), ["views"]);
    assert_eq!(
        of(&["seedpipe", "run", "--set", "views.vi"]),
        ["views.views_per_image="]
    );
    assert_eq!(
        of(&["seedpipe", "run", "--set", "views.views_per_image="]),
        ["views.views_per_image=3"]
    );
    assert_eq!(
        of(&["seedpipe", "export", "views", "--format", "t"]),
        ["torchscript"]
    );
    assert_eq!(
        of(&["seedpipe", "predict", "x.pth", "--network", "mobilenet_v3"]),
        ["mobilenet_v3_small", "mobilenet_v3_large"]
    );
    assert_eq!(of(&["seedpipe", "run", "--device", "cu"]), ["cuda"]);
    // Without a pipeline a shell is told nothing, and no error.
    sandbox.write("pipeline.yaml", "stages: [");
    assert_eq!(of(&["seedpipe", "run", "vi"]), [""]);
    assert_eq!(fs_err::read_to_string(sandbox.path("told")).unwrap(), "");
}

#[test]
fn every_shell_has_completions_and_another_is_refused() {
    let sandbox = Sandbox::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.run(&["completions", shell]).succeeded().stdout;
        assert!(script.contains("COMPLETE"), "{shell}");
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
        ("seedpipe-predict.1", "seedpipe predict student"),
        ("seedpipe-network-inspect.1", "checkpoint"),
        ("seedpipe-preview.1", "contact sheet"),
    ] {
        let page = fs_err::read_to_string(sandbox.path(&format!("pages/man1/{name}"))).unwrap();
        assert!(page.contains(part), "{name}: {page}");
    }
}
