//! `matrix:`, `metrics --diff`, `params --diff`, `gc --keep`: experiments beside each other and
//! against the past.

use std::process::Command;

use insta::assert_snapshot;

use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE, outcomes};

/// Two sizes of views on one ingest.
fn sizes() -> String {
    LIGHT_PIPELINE.replace(
        "params: {recipe: custom, size: 16,",
        "matrix: {size: [16, 20]}, params: {recipe: custom,",
    )
}

fn git(sandbox: &Sandbox, arguments: &[&str]) {
    let done = Command::new("git")
        .current_dir(sandbox.path(""))
        .args([
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@x",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn a_matrix_makes_one_stage_for_each_combination() {
    let sandbox = Sandbox::with(&sizes());
    assert_eq!(
        outcomes(&sandbox.run_json(&["views[size=20]"])),
        ["images=executed", "views[size=20]=executed"]
    );
    assert_eq!(
        outcomes(&sandbox.run_json(&["views"])),
        [
            "images=cached",
            "views[size=16]=executed",
            "views[size=20]=cached"
        ]
    );
    assert_snapshot!(sandbox.run(&["status"]).succeeded().stable_stdout(), @r"
    stage           kind     state   fingerprint   why
    images          ingest   cached  [short]  made [date]
    views[size=16]  augment  cached  [short]  made [date]
    views[size=20]  augment  cached  [short]  made [date]
    3 of 3 stages cached
    ");
    let shown = sandbox
        .run(&["show", "views[size=20].views", "--json"])
        .succeeded()
        .json();
    assert_eq!(shown["recipe"]["params"]["size"], 20);
    sandbox.run(&["explain", "views[size=16]"]).succeeded();
    let several = sandbox.run(&["show", "views"]).exited_with(2);
    assert_snapshot!(several.refusal(), @r"
    error: pipeline.yaml: expected one stage, got `views`, which stands for 2
    hint: name one of them, such as `views[size=16]`, `views[size=20]`
    exit code 2
    ");
    // Without the matrix the plain stage is the same work.
    sandbox.write("pipeline.yaml", LIGHT_PIPELINE);
    assert_eq!(
        outcomes(&sandbox.run_json(&[])),
        ["images=cached", "views=cached"]
    );
}

#[test]
fn params_are_listed_and_compared_with_a_revision() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let listed = sandbox.run(&["params", "images"]).succeeded().stdout;
    assert!(
        listed.contains("images  params.take.train         60\n"),
        "{listed}"
    );
    assert!(!listed.contains("views"), "{listed}");
    git(&sandbox, &["init", "--quiet"]);
    git(&sandbox, &["add", "pipeline.lock"]);
    git(&sandbox, &["commit", "--quiet", "-m", "first"]);
    assert_eq!(
        sandbox
            .run(&["params", "--diff", "HEAD"])
            .succeeded()
            .stdout,
        "nothing differs\n"
    );
    let edited = LIGHT_PIPELINE
        .replace("size: 16", "size: 20")
        .replace("train: 60", "train: 50");
    sandbox.write("pipeline.yaml", edited);
    assert_snapshot!(sandbox.run(&["params", "--diff", "HEAD"]).succeeded().stdout, @r"
    stage   field              old  new
    images  params.take.train  60   50
    views   params.size        16   20
    ");
    assert_snapshot!(sandbox.run(&["params", "views", "--diff", "pipeline.lock", "--markdown"]).succeeded().stdout, @r"
    | stage | field | old | new |
    | --- | --- | --- | --- |
    | views | params.size | 16 | 20 |
    ");
    let csv = sandbox
        .run(&["params", "views", "--diff", "HEAD", "--csv"])
        .succeeded();
    assert_eq!(csv.stdout, "stage,field,old,new\nviews,params.size,16,20\n");
    let json = sandbox
        .run(&["params", "--diff", "HEAD", "--json"])
        .succeeded()
        .json();
    assert_eq!(
        json[1],
        serde_json::json!({"stage": "views", "field": "params.size", "old": 16, "new": 20})
    );
    sandbox.write("pipeline.yaml", LIGHT_PIPELINE.replace("views:", "looks:"));
    let renamed = sandbox
        .run(&["params", "--diff", "HEAD"])
        .succeeded()
        .stdout;
    for line in ["looks  kind ", "views  kind "] {
        assert!(renamed.contains(line), "{renamed}");
    }
    let unknown = sandbox.run(&["params", "--diff", "nowhere"]).exited_with(2);
    assert!(
        unknown.stderr.contains(
            "nowhere: expected a file or a git revision, got no such file, and git says: "
        ),
        "{}",
        unknown.stderr
    );
    sandbox.run(&["params", "--json", "--csv"]).exited_with(2);
}

#[test]
fn metrics_are_compared_with_a_lock() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    fs_err::copy(sandbox.path("pipeline.lock"), sandbox.path("before.lock")).unwrap();
    let same = sandbox
        .run(&["metrics", "--diff", "before.lock", "--json"])
        .succeeded()
        .json();
    let same = same.as_array().unwrap();
    assert!(same.iter().any(|row| row["stage"] == "neighbours"
        && row["name"] == "knn_top1"
        && row["points"] == 0.0));
    assert!(same.iter().all(|row| row["change"] == 0.0), "{same:?}");
    // The lock of a run that was better by 5 points, with a stage that is gone.
    let lock = fs_err::read_to_string(sandbox.path("before.lock")).unwrap();
    let value = |text: &str| {
        text.split("metrics.test/knn_top1: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    let now: f64 = value(&lock).parse().unwrap();
    let better = lock
        .replace(
            &format!("metrics.test/knn_top1: {}", value(&lock)),
            &format!("metrics.test/knn_top1: {}", now + 0.05),
        )
        .replace("  probe:\n", "  gone:\n");
    sandbox.write("before.lock", better);
    let table = sandbox
        .run(&["metrics", "--diff", "before.lock"])
        .succeeded()
        .stdout;
    let line = |stage: &str, name: &str| -> Vec<String> {
        let line = table
            .lines()
            .find(|line| line.starts_with(stage) && line.contains(&format!(" {name} ")));
        line.unwrap_or_else(|| panic!("{stage} {name}: {table}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(line("neighbours", "knn_top1")[5..], ["-5.00", "points"]);
    assert_eq!(line("gone", "linear_top1")[4..], ["-", "-"]);
    assert_eq!(line("probe", "linear_top1")[3], "-");
    sandbox.write("pipeline.yaml", WHOLE_PIPELINE.replace("k: [5]", "k: [3]"));
    let missing = sandbox
        .run(&["metrics", "--diff", "before.lock"])
        .succeeded()
        .stdout;
    assert!(
        missing.ends_with("not cached: `neighbours`; `seedpipe run` makes them\n"),
        "{missing}"
    );
    let csv = sandbox.run(&["metrics", "--csv"]).succeeded().stdout;
    assert!(csv.starts_with("stage,split,name,value\n"), "{csv}");
    let markdown = sandbox.run(&["metrics", "--markdown"]).succeeded().stdout;
    assert!(
        markdown.starts_with("| stage | split | name | value |\n| --- | --- | --- | ---: |\n"),
        "{markdown}"
    );
}

#[test]
fn gc_keeps_what_a_lock_names_and_says_what_it_would_delete() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    fs_err::copy(sandbox.path("pipeline.lock"), sandbox.path("small.lock")).unwrap();
    sandbox.write(
        "pipeline.yaml",
        LIGHT_PIPELINE.replace("size: 16", "size: 20"),
    );
    sandbox.run(&["run", "--quiet"]).succeeded();
    let removed = |arguments: &[&str]| {
        let all = [&["gc", "--dry-run", "--json"][..], arguments].concat();
        let report = sandbox.run(&all).succeeded().json();
        let items = report["items"].as_array().unwrap().len();
        assert_eq!(report["bytes"].as_u64().unwrap() > 0, items > 0, "{report}");
        items
    };
    assert_eq!(removed(&["--grace", "0"]), 1);
    assert_eq!(removed(&["--grace", "0", "--keep", "small.lock"]), 0);
    assert_eq!(removed(&["--grace", "0", "--older-than", "1d"]), 0);
    assert_eq!(removed(&["--grace", "0", "--max-bytes", "1GB"]), 0);
    assert_eq!(removed(&[]), 0);
    let told = sandbox
        .run(&["gc", "--grace", "0s", "--max-bytes", "1kB", "--dry-run"])
        .succeeded();
    assert_snapshot!(told.stable_stdout(), @r"
    artifact  augment [short] ([size])
    would remove 1 thing, [size]; 2 artifacts stay, [size]
    warning: [size] over the budget, and everything that stays is needed, in use or too young
    hint: name fewer locks, or a smaller `--grace`
    ");
    sandbox.run(&["gc", "--keep", "none.lock"]).exited_with(2);
    sandbox
        .run(&["gc", "--older-than", "a month"])
        .exited_with(2);
}

/// `WHOLE_PIPELINE` with a second teacher, perhaps in several widths.
fn with_second_teacher(matrix: &str) -> String {
    let targets = "targets: targets}";
    assert!(WHOLE_PIPELINE.contains(targets));
    WHOLE_PIPELINE.replace(targets, "targets: [targets, second]}")
        + &format!(
            "  second: {{kind: encode, inputs: {{images: images, views: views}}, params: {{network: {{name: cifar_resnet8, width: 0.25}}, batch: 32}}{matrix}}}\n"
        )
}

#[test]
fn a_student_of_two_teachers_learns_from_both() {
    let sandbox = Sandbox::with(&with_second_teacher(""));
    let both = sandbox.run_json(&["student"]);
    sandbox.write("pipeline.yaml", WHOLE_PIPELINE);
    let one = sandbox.run_json(&["student"]);
    let [both, one] = [&both, &one].map(|stages| &stages.last().unwrap()["content"]);
    assert_ne!(both, one);
}

#[test]
fn each_combination_of_a_listed_teacher_has_a_student_of_its_own() {
    let sandbox = Sandbox::with(&with_second_teacher(
        ", matrix: {network.width: [0.25, 0.5]}",
    ));
    let graph = sandbox.run(&["graph"]).succeeded().stdout;
    for width in ["0.25", "0.5"] {
        assert!(
            graph.contains(&format!("student[width={width}]")),
            "{graph}"
        );
    }
}

#[test]
fn git_is_asked_of_the_pipelines_repository_also_in_a_hook_and_its_remedy_is_told() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    fs_err::create_dir(sandbox.path("sub")).unwrap();
    for name in ["pipeline.yaml", "digits.parquet"] {
        fs_err::rename(sandbox.path(name), sandbox.path("sub").join(name)).unwrap();
    }
    let asked = |variables: &[(&str, &str)]| {
        let mut command = sandbox.command(&["--pipeline", "sub", "params", "--diff", "HEAD"]);
        command.envs(variables.iter().copied());
        sandbox.finish(&mut command)
    };
    sandbox
        .run(&["--pipeline", "sub", "run", "images", "--quiet"])
        .succeeded();
    git(&sandbox, &["init", "--quiet"]);
    git(&sandbox, &["add", "sub/pipeline.yaml", "sub/pipeline.lock"]);
    git(&sandbox, &["commit", "--quiet", "-m", "one"]);
    let plain = asked(&[]).succeeded().stdout;
    let hook = [
        ("GIT_DIR", ".git"),
        ("GIT_INDEX_FILE", ".git/index"),
        ("GIT_PREFIX", ""),
    ];
    assert_eq!(asked(&hook).succeeded().stdout, plain);
    let refused = asked(&[("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")])
        .exited_with(2)
        .stderr;
    assert!(
        refused.contains("git says: detected dubious ownership")
            && refused.contains(
                "\nhint: if you trust that repository: `git config --global --add safe.directory "
            ),
        "{refused}"
    );
}
