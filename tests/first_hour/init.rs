//! `init`: a folder or a Parquet file becomes a pipeline that plans, runs and fits the schema.

use std::path::Path;

use serde_json::json;

use crate::sandbox::{REPOSITORY, Sandbox, outcomes};

/// 60 pictures of 40 × 30 pixels, each of its own, in two classes.
fn photographs(sandbox: &Sandbox) {
    for number in 0..60u32 {
        let class = ["cat", "dog"][number as usize % 2];
        let picture = image::RgbImage::from_fn(40, 30, |x, y| {
            let (x, y) = (x * (1 + number % 7), y * (1 + number % 5));
            image::Rgb([x, y, x + y + number].map(|value| (value % 256) as u8))
        });
        let mut bytes = Vec::new();
        picture
            .write_to(
                &mut std::io::Cursor::new(&mut bytes),
                image::ImageFormat::Png,
            )
            .unwrap();
        sandbox.write(&format!("photos/{class}/{number}.png"), bytes);
    }
}

#[test]
fn a_folder_becomes_a_pipeline_that_runs() {
    let sandbox = Sandbox::empty();
    photographs(&sandbox);
    sandbox.write("photos/cat/broken.png", b"\x89PNG\r\n\x1a\n broken");
    let told = sandbox.run(&["init"]).succeeded().stdout;
    assert!(
        told.starts_with("found 60 images: 60 png; 60 train; 2 classes; shorter side 30 to 30 pixels, median 30\n"),
        "{told}"
    );
    assert!(
        told.contains("warning: 1 can't be read and will be left out\n  cat/broken.png: "),
        "{told}"
    );
    let next: Vec<&str> = told.lines().rev().take(3).collect();
    assert_eq!(
        next,
        [
            "  seedpipe run",
            "  seedpipe run views && seedpipe preview views",
            "  seedpipe doctor"
        ]
    );
    let text = fs_err::read_to_string(sandbox.path("pipeline.yaml")).unwrap();
    for part in [
        "# yaml-language-server: $schema=pipeline.schema.json\n",
        "source: photos\n",
        "hash_split: {test: 0.2}",
        "max_bad_fraction: 0.0164",
        "{path: \"report.html\", title: photos}",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        fs_err::read_to_string(sandbox.path(".gitignore")).unwrap(),
        ".seedpipe/\n/report.html\n"
    );
    let schema = fs_err::read_to_string(sandbox.path("pipeline.schema.json")).unwrap();
    assert_eq!(schema, sandbox.run(&["schema"]).succeeded().stdout);
    sandbox.run(&["status"]).succeeded();
    let lines = sandbox.run_json(&[
        "--set",
        "views.views_per_image=2",
        "--set",
        "teacher.training.epochs=1",
        "--set",
        "student.training.epochs=1",
    ]);
    assert!(
        outcomes(&lines)
            .iter()
            .all(|line| line.ends_with("=executed")),
        "{lines:?}"
    );
    assert!(sandbox.path("report.html").is_file());
    let quiet = sandbox.run(&["run", "--dry-run"]).succeeded();
    assert!(!quiet.stderr.contains("warning"), "{}", quiet.stderr);
}

#[test]
fn an_unlabelled_folder_gets_figures_with_the_untrained_network_beside_them() {
    let sandbox = Sandbox::empty();
    photographs(&sandbox);
    for class in ["cat", "dog"] {
        for entry in fs_err::read_dir(sandbox.path("photos").join(class)).unwrap() {
            let from = entry.unwrap().path();
            fs_err::rename(
                &from,
                sandbox.path("photos").join(from.file_name().unwrap()),
            )
            .unwrap();
        }
        fs_err::remove_dir(sandbox.path("photos").join(class)).unwrap();
    }
    sandbox.run(&["init"]).succeeded();
    let text = fs_err::read_to_string(sandbox.path("pipeline.yaml")).unwrap();
    assert!(text.contains("params: {split: all}"), "{text}");
    assert!(!text.contains("hash_split"), "{text}");
    let changed = [
        "views.views_per_image=2",
        "teacher.training.epochs=1",
        "student.training.epochs=1",
    ];
    let changed: Vec<&str> = changed.iter().flat_map(|key| ["--set", key]).collect();
    let arguments = [&["run", "--quiet"][..], &changed].concat();
    let table = sandbox.run(&arguments).succeeded().stdout;
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap();
    assert_eq!(
        line("network")
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>(),
        [
            "network",
            "parameters",
            "teacher's neighbours, 16.95 % by chance",
            "rank correlation",
            "teacher's clusters"
        ]
    );
    for network in ["student ", "untrained "] {
        assert_eq!(line(network).matches(" %").count(), 3, "{table}");
        assert_eq!(line(network).matches('±').count(), 2, "{table}");
    }
    let metrics = sandbox
        .run(&[&["metrics", "student_agreement"][..], &changed].concat())
        .succeeded()
        .stdout;
    for name in [
        "neighbours_in_common",
        "neighbours_in_common_by_chance",
        "rank_correlation",
        "clusters_found",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    let page = fs_err::read_to_string(sandbox.path("report.html")).unwrap();
    assert!(
        page.contains("the same network before training"),
        "no gain is told"
    );
}

#[test]
fn a_parquet_file_is_read_with_its_columns() {
    let sandbox = Sandbox::empty();
    let digits = Path::new(REPOSITORY).join("data/digits.parquet");
    fs_err::copy(digits, sandbox.path("digits.parquet")).unwrap();
    let told = sandbox
        .run(&["init", "--from", "digits.parquet"])
        .succeeded()
        .stdout;
    assert!(
        told.contains("5,000 images: 5,000 png; 1,000 test, 4,000 train; 10 classes"),
        "{told}"
    );
    assert!(
        told.contains(
            "`val`, a tenth of the training images, is there to choose by; `test` judges\n"
        ),
        "{told}"
    );
    let text = fs_err::read_to_string(sandbox.path("pipeline.yaml")).unwrap();
    for part in [
        "label_column: label\n",
        "split_column: split\n",
        "flip_probability: 0",
        "cifar_resnet20",
        "on `test`; `val` is there to choose by.\n",
        "hash_split: {val: 0.1}        # a tenth is kept to choose by\n",
        "look at `val`: `--set student_knn.test_split=val`.\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    sandbox.run(&["run", "--dry-run"]).succeeded();
}

#[test]
fn every_template_plans() {
    let sandbox = Sandbox::empty();
    photographs(&sandbox);
    for template in ["digits", "cifar10", "photos", "paper"] {
        let file = format!("{template}.yaml");
        sandbox
            .run(&[
                "--pipeline",
                &file,
                "init",
                "--from",
                "photos",
                "--template",
                template,
            ])
            .succeeded();
        sandbox
            .run(&["--pipeline", &file, "run", "--dry-run"])
            .succeeded();
    }
    sandbox.run(&["init", "--template", "phtos"]).exited_with(2);
}

/// SEED's section 4.1 with tools/opts.py and tools/utils.py, its teacher as MoCo v2's main_moco.py,
/// its judge as main_lincls.py.
#[test]
fn the_template_paper_has_the_papers_numbers() {
    let sandbox = Sandbox::empty();
    photographs(&sandbox);
    sandbox
        .run(&["init", "--from", "photos", "--template", "paper"])
        .succeeded();
    let text = fs_err::read_to_string(sandbox.path("pipeline.yaml")).unwrap();
    let pipeline: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    let stages = &pipeline["stages"];
    let params = |stage: &str| stages[stage]["params"].clone();
    let training = |stage: &str| {
        let block = &params(stage)["training"];
        let keys = [
            "epochs",
            "learning_rate",
            "scale_learning_rate",
            "schedule",
            "optimiser",
        ];
        keys.map(|key| block[key].clone())
    };
    let sgd = json!({"kind": "sgd", "weight_decay": 0.0001});

    let official = json!({"kind": "official", "warmup_epochs": 5});
    let (epochs, rate) = (json!(200), json!(0.03));
    assert_eq!(
        training("student"),
        [
            epochs.clone(),
            rate.clone(),
            json!(true),
            official,
            sgd.clone()
        ]
    );
    let student = params("student");
    assert_eq!(student["network"], json!({"name": "resnet18"}));
    assert_eq!(student["queue"], 65_536);
    assert_eq!(
        (
            &student["temperature_student"],
            &student["temperature_teacher"]
        ),
        (&json!(0.2), &json!(0.01))
    );
    assert!(
        student.get("head_hidden").is_none(),
        "as wide as the features"
    );

    let by_epoch = json!({"kind": "cosine", "per": "epoch"});
    assert_eq!(
        training("teacher"),
        [epochs, rate, json!(true), by_epoch, sgd]
    );
    let teacher = params("teacher");
    assert_eq!(
        teacher["network"],
        json!({"name": "resnet50", "head": {"hidden": [2048], "out": 128}})
    );
    assert_eq!(teacher["queue"], 65_536);
    assert_eq!(
        (&teacher["temperature"], &teacher["encoder_momentum"]),
        (&json!(0.2), &json!(0.999))
    );

    assert_eq!(
        params("views"),
        json!({"recipe": "mocov2", "size": 224, "views_per_image": 200})
    );
    assert_eq!(stages["teacher"]["inputs"]["views"], "teacher_views");
    assert_eq!(params("teacher_views")["views_per_image"], 400);
    assert_eq!(params("student_probe"), json!({"method": "sgd"}));
    // What the images allow: 256 of enough.
    assert_eq!(student["training"]["batch"], json!(8));
}

#[test]
fn a_pipeline_that_is_there_is_never_overwritten() {
    let sandbox = Sandbox::empty();
    photographs(&sandbox);
    sandbox.write("pipeline.yaml", "mine");
    let refused = sandbox.run(&["init", "--from", "photos"]).exited_with(2);
    assert_eq!(
        refused.stderr,
        "error: `pipeline.yaml` is there already, and is not overwritten\nhint: move it away, or write another one with `--pipeline FILE`\n"
    );
    assert_eq!(
        fs_err::read(sandbox.path("pipeline.yaml")).unwrap(),
        b"mine"
    );
}

#[test]
fn what_can_not_become_a_pipeline_is_refused_with_a_remedy() {
    let sandbox = Sandbox::empty();
    let none = sandbox.run(&["init"]).exited_with(2);
    assert!(
        none.stderr
            .contains("got none\nhint: name the images: `seedpipe init --from IMAGES`"),
        "{}",
        none.stderr
    );
    let missing = sandbox.run(&["init", "--from", "nowhere"]).exited_with(2);
    assert!(
        missing.stderr.contains("no images at `nowhere`"),
        "{}",
        missing.stderr
    );
    sandbox.write("notes/read.txt", "no image");
    let empty = sandbox.run(&["init"]).exited_with(1);
    assert!(
        empty
            .stderr
            .contains("got none\nhint: a folder holds CLASS/*.jpg"),
        "{}",
        empty.stderr
    );
    assert!(!sandbox.path("pipeline.yaml").exists());
}

#[test]
fn a_student_is_a_network_by_name_and_another_name_is_answered_with_the_nearest() {
    let sandbox = Sandbox::empty();
    photographs(&sandbox);
    let init = |file: &str, student: &str| {
        let arguments = [
            "--pipeline",
            file,
            "init",
            "--from",
            "photos",
            "--student",
            student,
        ];
        sandbox.run(&arguments)
    };
    let told = init("named.yaml", "mobilenet_v2").succeeded().stdout;
    assert!(told.contains("; student: {name: mobilenet_v2}, "), "{told}");
    init("block.yaml", "{name: resnet18, width: 0.5}").succeeded();
    for (file, network, untrained) in [
        (
            "named.yaml",
            "      network: {name: mobilenet_v2}\n",
            "{network: {name: mobilenet_v2}, ",
        ),
        (
            "block.yaml",
            "      network: {name: resnet18, width: 0.5}\n",
            "{network: {name: resnet18, width: 0.5}, ",
        ),
    ] {
        let text = fs_err::read_to_string(sandbox.path(file)).unwrap();
        assert!(text.contains(network) && text.contains(untrained), "{text}");
        sandbox
            .run(&["--pipeline", file, "run", "--dry-run"])
            .succeeded();
    }
    for (student, part) in [
        ("mobilenetv2", "hint: did you mean `mobilenet_v2`?"),
        ("{name: resnet18, widht: 1}", "--student"),
        ("student.pth", "no file `student.pth`"),
    ] {
        let refused = init("none.yaml", student).exited_with(2);
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let teacher = [
        "--pipeline",
        "none.yaml",
        "init",
        "--from",
        "photos",
        "--teacher",
        "resnet50",
    ];
    let refused = sandbox.run(&teacher).exited_with(2);
    assert!(
        refused
            .stderr
            .contains("no file `resnet50`\nhint: `resnet50` is a network's name"),
        "{}",
        refused.stderr
    );
    assert!(!sandbox.path("none.yaml").exists());
}
