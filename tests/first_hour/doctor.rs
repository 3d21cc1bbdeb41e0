//! `doctor`: what is well, what isn't, and what to do.

use serde_json::Value;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox};

/// The finding of a subject.
fn finding<'a>(findings: &'a Value, subject: &str) -> &'a Value {
    let all = findings.as_array().unwrap();
    all.iter()
        .find(|finding| finding["subject"] == subject)
        .unwrap_or_else(|| panic!("{subject}: {findings}"))
}

#[test]
fn a_sound_folder_has_no_fault() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let finished = sandbox.run(&["doctor", "--json"]).succeeded();
    let findings = finished.json();
    for subject in [
        "libtorch",
        "gpu",
        "threads",
        "processor",
        "pipeline",
        "disk",
        "cache",
        "drafts",
        "remote",
    ] {
        assert_ne!(
            finding(&findings, subject)["severity"],
            "fault",
            "{findings}"
        );
    }
    let libtorch = finding(&findings, "libtorch")["message"].as_str().unwrap();
    assert!(libtorch.starts_with("version 2.11.0"), "{libtorch}");
    assert_eq!(finding(&findings, "remote")["message"], "none is set");
    assert!(!sandbox.path(".seedpipe").exists());
    let text = sandbox.run(&["doctor"]).succeeded().stdout;
    assert!(text.lines().count() > 9, "{text}");
}

#[test]
fn faults_are_told_with_remedies_and_exit_code_1() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.write(
        "pipeline.yaml",
        format!("cache: taken/cache\nremote: nowhere\ndevice: cuda:7\n{LIGHT_PIPELINE}"),
    );
    sandbox.write("taken", "a file where a folder should be");
    let findings = sandbox.run(&["doctor", "--json"]).exited_with(1).json();
    for (subject, part) in [
        ("cache", "can be written"),
        ("remote", "nowhere"),
        ("gpu", "cuda:7"),
    ] {
        let found = finding(&findings, subject);
        assert_eq!(found["severity"], "fault", "{found}");
        assert!(found["message"].as_str().unwrap().contains(part), "{found}");
        assert!(
            found["remedy"]
                .as_str()
                .is_some_and(|remedy| !remedy.is_empty()),
            "{found}"
        );
    }
}

#[test]
fn without_libtorch_the_remedy_is_told() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.write("broken/lib/libtorch_cpu.so", "");
    sandbox.write("broken/build-version", "2.4.1\n");
    let mut command = sandbox.command(&["doctor"]);
    command.env("LD_LIBRARY_PATH", sandbox.path("broken/lib"));
    let finished = sandbox.finish(&mut command).exited_with(1);
    let text = finished.stdout;
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("fault"), "{text}");
    assert!(
        first.contains("expected version 2.11.0, got 2.4.1"),
        "{text}"
    );
    assert!(text.contains("hint: run `make setup`"), "{text}");
}

#[test]
fn a_pipeline_that_is_missing_or_wrong_is_a_finding() {
    let sandbox = Sandbox::empty();
    let findings = sandbox.run(&["doctor", "--json"]).succeeded().json();
    let pipeline = finding(&findings, "pipeline");
    assert_eq!(pipeline["severity"], "warning");
    assert!(
        pipeline["remedy"]
            .as_str()
            .unwrap()
            .contains("seedpipe init"),
        "{pipeline}"
    );
    sandbox.write("pipeline.yaml", "stages: {a: {kind: ingset}}\n");
    let findings = sandbox.run(&["doctor", "--json"]).exited_with(1).json();
    let pipeline = finding(&findings, "pipeline");
    assert_eq!(pipeline["remedy"], "did you mean `ingest`?");
    sandbox
        .run(&["doctor", "--pipeline", "none.yaml"])
        .exited_with(2);
}

#[test]
fn work_that_no_stage_needs_is_a_warning() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let name = "ab".repeat(32);
    sandbox.write(&format!(".seedpipe/v1/drafts/{name}/content/x"), [0; 2000]);
    let findings = sandbox.run(&["doctor", "--json"]).succeeded().json();
    let drafts = finding(&findings, "drafts");
    assert_eq!(drafts["severity"], "warning");
    assert_eq!(
        drafts["message"],
        "1 draft that no stage of this plan needs (2.0 kB)"
    );
}

#[test]
fn images_that_are_not_there_are_a_fault_before_anything_runs() {
    let sandbox = Sandbox::with(&LIGHT_PIPELINE.replace("digits.parquet", "photoz"));
    let findings = sandbox.run(&["doctor", "--json"]).exited_with(1).json();
    let pipeline = finding(&findings, "pipeline");
    assert_eq!(pipeline["severity"], "fault");
    let message = pipeline["message"].as_str().unwrap();
    let fault = "stage `images`: source `photoz`: expected a file or folder, got nothing there";
    assert!(message.ends_with(fault), "{message}");
    let dry = sandbox.run(&["run", "--dry-run"]).exited_with(2);
    assert!(
        dry.stderr.starts_with(&format!("error: {fault}")),
        "{}",
        dry.stderr
    );
    sandbox.run(&["run", "--quiet"]).exited_with(2);
}
