//! `precision:` of the whole pipeline, and what is said where a processor emulates it.

use serde_json::Value;

use crate::sandbox::{Finished, Sandbox, WHOLE_PIPELINE};

/// On every machine a processor without bf16, as oneDNN sees it.
fn run(sandbox: &Sandbox, arguments: &[&str]) -> Finished {
    let mut command = sandbox.command(arguments);
    command.env("ONEDNN_MAX_CPU_ISA", "AVX2");
    sandbox.finish(&mut command)
}

fn on_cpu() -> Sandbox {
    Sandbox::with(&format!("device: cpu\n{WHOLE_PIPELINE}"))
}

/// (stage, param) → what it computes in, of all stages that say it.
fn precisions(sandbox: &Sandbox, set: &[&str]) -> Vec<String> {
    let arguments: Vec<&str> = ["params", "--json"].iter().chain(set).copied().collect();
    let params = run(sandbox, &arguments).succeeded().json();
    let fields = params.as_array().unwrap().iter();
    let of_precision = fields.filter(|field| {
        let name = field["field"].as_str().unwrap();
        name.ends_with("precision")
    });
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    of_precision
        .map(|field| {
            [&field["stage"], &field["field"], &field["value"]]
                .map(text)
                .join(" ")
        })
        .collect()
}

#[test]
fn the_pipelines_precision_counts_where_a_stage_has_none_of_its_own() {
    let sandbox = on_cpu();
    let own = "--set=student.training.precision=f32";
    assert_eq!(
        precisions(&sandbox, &["--set=precision=bf16", own]),
        [
            "teacher params.training.precision bf16",
            "targets params.precision bf16",
            "student params.training.precision f32",
            "features params.precision bf16",
        ]
    );
    let plain = precisions(&sandbox, &[]);
    assert!(plain.iter().all(|line| line.ends_with(" f32")), "{plain:?}");
    let refused = run(&sandbox, &["status", "--set", "precision=auto"]).exited_with(2);
    assert!(
        refused
            .stderr
            .contains("key `precision`: expected one of `f32`, `bf16`, `f16`, got `auto`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn an_emulated_precision_is_told_before_it_is_waited_for() {
    let sandbox = on_cpu();
    let set = [
        "--set",
        "precision=bf16",
        "--set",
        "student.training.precision=f16",
    ];
    let told = |finished: &Finished| {
        let mut lines = finished.stderr.lines();
        let warning = lines.find(|line| line.contains("this processor emulates"));
        (
            warning.unwrap_or_default().to_owned(),
            lines.next().unwrap_or_default().to_owned(),
        )
    };
    let dry = run(&sandbox, &[&["run", "--dry-run"][..], &set].concat()).succeeded();
    let (warning, hint) = told(&dry);
    assert!(
        warning.starts_with(
            "warning: `teacher`, `targets`, `student` and 1 more compute in bf16 and f16,"
        ),
        "{warning}"
    );
    assert!(warning.contains("times slower"), "{warning}");
    assert_eq!(
        hint,
        "hint: `--set precision=f32 --set student.training.precision=f32`, or the same in pipeline.yaml"
    );

    let ran = run(&sandbox, &[&["run", "targets"][..], &set].concat()).succeeded();
    assert!(
        told(&ran)
            .0
            .starts_with("warning: `teacher`, `targets` compute in bf16,")
    );
    assert_eq!(ran.stderr.matches("emulates").count(), 1, "{}", ran.stderr);
    // What is cached is not waited for.
    let again = run(&sandbox, &[&["run", "targets"][..], &set].concat()).succeeded();
    assert!(!again.stderr.contains("emulates"), "{}", again.stderr);
    let plain = run(&sandbox, &["run", "--dry-run"]).succeeded();
    assert!(!plain.stderr.contains("emulates"), "{}", plain.stderr);

    sandbox.write(
        "pipeline.yaml",
        format!("device: cpu\nprecision: bf16\n{WHOLE_PIPELINE}"),
    );
    let findings = run(&sandbox, &["doctor", "--json"]).succeeded().json();
    let findings = findings.as_array().unwrap();
    let found = findings
        .iter()
        .find(|found| found["subject"] == "precision");
    let found = found.unwrap();
    assert_eq!(found["severity"], "warning", "{found}");
    assert!(
        found["remedy"]
            .as_str()
            .unwrap()
            .contains("--set precision=f32"),
        "{found}"
    );
}
