//! `evaluate`: a finished network on new labelled images; and what imbalanced classes are told.

use std::io::Cursor;

use insta::assert_snapshot;
use serde_json::Value;

use super::figure;
use crate::sandbox::Sandbox;

/// A picture of its own for every number, brighter in higher classes.
fn picture(class: u32, number: u32) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(20, 16, |x, y| {
        let value = class * 80 + (x * (1 + number % 3) + y * (1 + number % 5) + number) % 60;
        image::Rgb([value as u8; 3])
    });
    let mut bytes = Vec::new();
    let mut target = Cursor::new(&mut bytes);
    picture
        .write_to(&mut target, image::ImageFormat::Png)
        .unwrap();
    bytes
}

const JUDGES: &str = "\
stages:
  images: {kind: ingest, params: {source: photos}}
  features: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25}, preprocessing: {size: 16}}}
  knn: {kind: knn, inputs: {images: images, features: features}, params: {k: [3, 1]}}
  probe: {kind: probe, inputs: {images: images, features: features}}
  report: {kind: report, inputs: {metrics: [knn, probe]}}
";

const TUNED: &str = "  \
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  tuned: {kind: finetune, inputs: {images: images, views: views}, params: {network: {name: cifar_resnet8, width: 0.25}, training: {epochs: 2, batch: 8, threads: 1}}}
  taught: {kind: pretrain, inputs: {images: images, views: views}, params: {network: {name: cifar_resnet8, width: 0.25}, queue: 8, training: {epochs: 1, batch: 8, threads: 1}}}
  of_taught: {kind: encode, inputs: {images: images, weights: taught}, params: {embedding: features, store: f32}}
  head: {kind: probe, inputs: {images: images, features: of_taught}}
";

const CLASSES: [&str; 3] = ["ant", "bee", "cow"];

/// Three classes, of which the first has 9 times the test images of the others.
fn imbalanced() -> Sandbox {
    let judged = JUDGES.replace("[knn, probe]", "[knn, probe, tuned.metrics]");
    let sandbox = Sandbox::with(&format!("{judged}{TUNED}"));
    for (class, count) in [(0u32, 36u32), (1, 4), (2, 4)] {
        for number in 0..10 + count {
            let split = if number < 10 { "train" } else { "test" };
            let path = format!("photos/{split}/{}/{number}.png", CLASSES[class as usize]);
            sandbox.write(&path, picture(class, number));
        }
    }
    sandbox.run(&["run", "--quiet"]).succeeded();
    sandbox
}

#[test]
fn a_network_is_worth_on_a_folder_what_its_stage_says_and_classes_go_by_name() {
    let sandbox = imbalanced();
    // Every kind that judges has them, with intervals, and the lock where classes are imbalanced.
    for (stage, prefix) in [("knn", "knn_"), ("probe", "linear_"), ("tuned", "")] {
        for name in ["top1", "top5", "balanced_accuracy", "macro_f1"] {
            let value =
                |end: &str| figure(&sandbox, stage, "test", &format!("{prefix}{name}{end}"));
            let (low, value, high) = (value("_low"), value(""), value("_high"));
            assert!(low <= value && value <= high, "{stage} {name}");
        }
        assert_eq!(
            figure(&sandbox, stage, "test", &format!("{prefix}class_imbalance")),
            9.0
        );
    }
    figure(&sandbox, "knn", "test", "knn_balanced_accuracy_k1");
    let lock = fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap();
    assert!(lock.contains("macro_f1"), "{lock}");
    let table = sandbox.run(&["metrics"]).succeeded().stdout;
    let heading = table.lines().next().unwrap();
    for column in ["kNN balanced", "linear macro F1", "fine-tuned balanced"] {
        assert!(heading.contains(column), "{heading}");
    }

    let evaluated = |network: &[&str], folder: &str| -> Value {
        let arguments = [&["evaluate"], network, &[folder, "--json"]].concat();
        sandbox.run(&arguments).succeeded().json()
    };
    let value = |told: &Value, name: &str| {
        let figures = told["figures"].as_array().unwrap();
        let found = figures.iter().find(|figure| figure["name"] == name);
        found.unwrap()["value"].as_f64().unwrap()
    };
    let of_stage = evaluated(&["tuned"], "photos/test");
    assert_eq!(of_stage["images"], 44);
    for name in ["top1", "top5", "balanced_accuracy", "macro_f1"] {
        assert_eq!(
            value(&of_stage, name),
            figure(&sandbox, "tuned", "test", name),
            "{name}"
        );
    }
    assert_eq!(of_stage["class_imbalance"], 9.0);
    let classes = of_stage["classes"].as_array().unwrap();
    let counts: Vec<u64> = classes
        .iter()
        .map(|class| class["images"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [36, 4, 4]);
    assert_eq!(evaluated(&["tuned", "--split", "test"], "photos"), of_stage);
    let headed = evaluated(&["taught", "--with-head", "head"], "photos/test");
    let linear = figure(&sandbox, "head", "test", "linear_macro_f1");
    assert_eq!(value(&headed, "macro_f1"), linear);
    let exported = [
        "export",
        "tuned",
        "--format",
        "safetensors",
        "-o",
        "tuned.safetensors",
    ];
    sandbox.run(&exported).succeeded();
    assert_eq!(evaluated(&["tuned.safetensors"], "photos/test"), of_stage);

    // Names say the class: `bee` is the first folder here. What is unknown or unread is left out.
    for number in 0..4 {
        sandbox.write(&format!("new/bee/{number}.png"), picture(1, 50 + number));
        sandbox.write(&format!("new/cow/{number}.png"), picture(2, 50 + number));
        sandbox.write(&format!("new/dog/{number}.png"), picture(2, 60 + number));
    }
    sandbox.write("new/loose.png", picture(0, 70));
    let told = evaluated(&["tuned"], "new");
    let counts: Vec<u64> = told["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|class| class["images"].as_u64().unwrap())
        .collect();
    assert_eq!((counts, &told["images"]), (vec![0, 4, 4], &8.into()));
    assert_eq!(
        told["left_out"]["unknown_classes"][0],
        serde_json::json!({"name": "dog", "images": 4})
    );
    assert_eq!(told["left_out"]["unlabelled"], 1);
    sandbox.write("new/bee/bad.png", "no image");
    let said = sandbox
        .run(&["evaluate", "tuned", "new", "--verbose"])
        .exited_with(1);
    assert!(
        said.stderr.contains("bad.png") && said.stderr.contains("1 of 9 images"),
        "{}",
        said.stderr
    );
    for part in [
        "8 images of 2 classes\n",
        "name                value  95 % interval\n",
        "class  images    top1  taken for it  precision      f1\n",
        "no image of: `ant`; balanced accuracy is the mean over the others\n",
        "left out: 4 images of classes that the network doesn't know: `dog`\n",
        "left out: 1 image without a label\n",
    ] {
        assert!(said.stdout.contains(part), "{part}\n{}", said.stdout);
    }

    sandbox.write("strangers/dog/1.png", picture(1, 1));
    sandbox.write("loose/1.png", picture(1, 1));
    let refusals: Vec<String> = [
        &["evaluate", "tuned", "strangers"][..],
        &["evaluate", "tuned", "loose"],
        &["evaluate", "tuned", "nowhere"],
        &["evaluate", "tuned", "photos", "--split", "val"],
        &["evaluate", "features", "photos"],
    ]
    .iter()
    .map(|arguments| sandbox.run(arguments).refusal())
    .collect();
    assert_snapshot!(refusals.join("\n"), @r"
    error: `strangers`: expected classes of the network (`ant`, `bee`, `cow`), got `dog`
    hint: call the folders as the network's classes are called; `--split` where the first folders are splits
    exit code 2
    error: `loose`: expected labelled images, got 1 without a label
    hint: put each class's images into a folder of its name
    exit code 2
    error: `nowhere`: expected a folder of labelled images, or Parquet, got nothing
    hint: check the path
    exit code 2
    error: --split: expected one of `test`, `train`, got `val`
    exit code 2
    error: stage `features` makes no weights (kind `encode`)
    hint: name a stage of kind `import`, `pretrain`, `distill` or `finetune`; for `--with-head` a `probe`
    exit code 2
    ");

    // Predictions as a table.
    let csv = [
        "predict",
        "tuned",
        "photos/test/bee",
        "--top",
        "2",
        "-o",
        "seen.csv",
    ];
    sandbox.run(&csv).succeeded();
    let csv = fs_err::read_to_string(sandbox.path("seen.csv")).unwrap();
    assert!(
        csv.starts_with(
            "image,class,name,probability,class_2,name_2,probability_2\nphotos/test/bee/10.png,"
        ),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 5);
    let lines = sandbox
        .run(&["predict", "tuned", "photos/test/bee", "-o", "-"])
        .succeeded();
    assert_eq!(lines.json_lines().len(), 4);
    assert!(!sandbox.path("-").exists());
}

#[test]
fn balanced_classes_have_the_figures_and_no_columns() {
    let sandbox = Sandbox::with(JUDGES);
    for class in 0..2u32 {
        for number in 0..20 {
            let split = if number < 10 { "train" } else { "test" };
            let path = format!("photos/{split}/{}/{number}.png", CLASSES[class as usize]);
            sandbox.write(&path, picture(class, number));
        }
    }
    let run = sandbox.run(&["run", "--quiet"]).succeeded().stdout;
    assert!(
        run.contains("kNN top-1") && !run.contains("balanced"),
        "{run}"
    );
    let lock = fs_err::read_to_string(sandbox.path("pipeline.lock")).unwrap();
    assert!(!lock.contains("macro_f1"), "{lock}");
    let figures = sandbox.run(&["metrics", "knn"]).succeeded().stdout;
    assert!(
        figures.contains("knn_macro_f1") && !figures.contains("class_imbalance"),
        "{figures}"
    );
}
