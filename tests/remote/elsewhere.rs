//! Another machine that has the project from git and the remote, and not the images: everything
//! that was made of them is there, and nothing that reads them.

use insta::assert_snapshot;

use crate::remote::{files_below, published, pulled};
use crate::sandbox::{Finished, REPOSITORY, Sandbox, WHOLE_PIPELINE, outcomes};

const NOTE: &str = "source `digits.parquet` is not here: what pipeline.lock records of it counts\n";

/// A machine that has run the whole pipeline and pushed it.
fn shared() -> Sandbox {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let push = ["push", "--quiet", "--remote", "remote"];
    sandbox.run(&push).succeeded();
    sandbox
}

/// What git brings of it to another machine.
fn cloned(here: &Sandbox) -> Sandbox {
    let there = Sandbox::empty();
    let remote = here.path("remote");
    let pipeline = format!("remote: {}\n{WHOLE_PIPELINE}", remote.display());
    there.write("pipeline.yaml", pipeline);
    there.write("pipeline.lock", lock(here));
    there
}

fn lock(sandbox: &Sandbox) -> String {
    fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap()
}

/// What is said of the missing source, as often as it should be.
fn noted(finished: Finished) -> Finished {
    let finished = finished.succeeded();
    assert_eq!(
        finished.stderr.matches("is not here").count(),
        1,
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.contains(NOTE), "{}", finished.stderr);
    finished
}

#[test]
fn a_second_machine_without_the_images_has_all_results() {
    let here = shared();
    let there = cloned(&here);
    let status = noted(there.run(&["status", "--remote"]));
    assert!(
        status.stdout.contains("in the remote: a run fetches it"),
        "{}",
        status.stdout
    );
    noted(there.run(&["run", "--dry-run"]));
    assert_snapshot!(noted(there.run(&["run"])).refusal(), @r"
    source `digits.parquet` is not here: what pipeline.lock records of it counts
    images      fetched  [time]
    views       fetched  [time]
    teacher     fetched  [time]
    targets     fetched  [time]
    student     fetched  [time]
    features    fetched  [time]
    neighbours  fetched  [time]
    probe       fetched  [time]
    report      fetched  [time]
    9 stages: 9 fetched, in [time]
    exit code 0
    ");
    assert_eq!(published(&there), 9);
    assert_eq!(lock(&there), lock(&here));
    let locked = noted(there.run(&["run", "--locked", "--json"]));
    assert!(
        outcomes(&locked.json_lines())
            .iter()
            .all(|stage| stage.ends_with("=cached"))
    );
    let quiet = there.run(&["run", "--quiet"]).succeeded();
    assert_eq!(quiet.stderr, "");

    for command in [
        &["metrics"][..],
        &["metrics", "--confusion", "probe"],
        &["show", "images"],
    ] {
        let (one, other) = (here.run(command), noted(there.run(command)));
        assert_eq!(other.stdout, one.stdout, "{command:?}");
    }
    noted(there.run(&["verify"]));
    noted(there.run(&["explain", "images"]));
    noted(there.run(&["doctor"]));
    let file = |sandbox: &Sandbox, name: &str, command: &[&str]| {
        sandbox.run(&[command, &["-o", name]].concat()).succeeded();
        fs_err::read(sandbox.path(name)).unwrap()
    };
    let export = ["export", "student", "--format", "onnx"];
    assert_eq!(
        file(&there, "student.onnx", &export),
        file(&here, "student.onnx", &export)
    );
    noted(there.run(&["report", "--output", "page.html"]));
    let sheet = there.path("sheet.png");
    noted(there.run(&["preview", "images", "-o", sheet.to_str().unwrap()]));
    let image = format!("{REPOSITORY}/docs/images/views.png");
    for call in [
        &["embed", "student"][..],
        &["predict", "student", "--with-head", "probe"],
    ] {
        let call = [call, &[image.as_str()]].concat();
        assert_eq!(
            noted(there.run(&call)).stdout,
            here.run(&call).succeeded().stdout
        );
    }
}

#[test]
fn another_class_uses_the_results_of_the_first_and_goes_on_from_them() {
    let here = shared();
    let there = cloned(&here);
    let run = |arguments: &[&str]| {
        let mut command = there.command(&[&["run", "--json"], arguments].concat());
        let command = command
            .env("ATEN_CPU_CAPABILITY", "default")
            .env("ONEDNN_MAX_CPU_ISA", "SSE41");
        outcomes(&there.finish(command).succeeded().json_lines())
    };
    let mut expected = vec![
        "images",
        "views",
        "teacher",
        "targets",
        "student",
        "features",
        "neighbours",
        "probe",
        "report",
    ];
    expected.sort_unstable();
    let mut fetched = run(&["--locked"]);
    fetched.sort();
    let expected: Vec<String> = expected
        .iter()
        .map(|stage| format!("{stage}=fetched"))
        .collect();
    assert_eq!(fetched, expected);
    // Another student, of targets that came from there.
    let other = run(&["student", "--set", "student.training.epochs=1"]);
    assert_eq!(
        other
            .iter()
            .filter(|stage| stage.ends_with("=cached"))
            .count(),
        4
    );
    assert!(other.contains(&"student=executed".to_owned()), "{other:?}");
    assert_eq!(lock(&there), lock(&here));
}

#[test]
fn what_the_remote_lacks_is_named_and_nothing_is_begun() {
    let here = shared();
    let lacking = |stage: &str| {
        let lines = here.run(&["status", "--json"]).succeeded().json();
        let stages = lines.as_array().unwrap().iter();
        let mut found = stages.filter(|found| found["stage"] == stage);
        let fingerprint = found.next().unwrap()["fingerprint"].as_str().unwrap();
        let there = cloned(&here);
        let gone = here.path("gone");
        let artifact = files_below(&here.path("remote"))
            .into_iter()
            .find(|path| path.ends_with(format!("{fingerprint}/index.json")))
            .unwrap();
        fs_err::rename(&artifact, &gone).unwrap();
        (there, artifact, gone)
    };
    let (there, artifact, gone) = lacking("images");
    let text = |finished: Finished| {
        let remote = here.path("remote").display().to_string();
        let said = finished.exited_with(2).refusal();
        said.replace(&remote, "[remote]")
    };
    let refused = text(there.run(&["run"]));
    assert_snapshot!(refused, @r"
    source `digits.parquet` is not here: what pipeline.lock records of it counts
    error: pipeline.yaml: stage `images`: key `params.source`: source `digits.parquet`: expected it here, got nothing there, and its result [short] is neither in the cache nor in the remote `[remote]`
    hint: bring `digits.parquet` here, or run the stage and `seedpipe push` its result where that is
    exit code 2
    ");
    assert_eq!(text(there.run(&["run", "--dry-run"])), refused);
    assert_eq!(published(&there), 0);
    let pull = there.run(&["pull", "--json", "views"]).exited_with(1);
    assert_eq!(pulled(&pull), ["images=absent", "views=unknown"]);
    assert_snapshot!(text(there.run(&["run", "--no-remote", "views"])), @r"
    source `digits.parquet` is not here: what pipeline.lock records of it counts
    error: pipeline.yaml: stage `images`: key `params.source`: source `digits.parquet`: expected it here, got nothing there, and its result [short] is not in the cache, and no remote is asked
    hint: bring `digits.parquet` here, or run the stage and `seedpipe push` its result where that is
    exit code 2
    ");
    fs_err::rename(gone, artifact).unwrap();

    // A stage that reads no source is made here.
    let (there, ..) = lacking("neighbours");
    let made = noted(there.run(&["run", "--json", "neighbours"]));
    assert!(
        outcomes(&made.json_lines()).contains(&"neighbours=executed".to_owned()),
        "{}",
        made.stdout
    );
}
