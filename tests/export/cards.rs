//! A model card's own Python, run as its reader would, says what the program says of images of odd
//! sizes and kinds.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{RUN, run_python, with_header};
use crate::requirements::python;
use crate::sandbox::REPOSITORY;

const MODULES: &str = "torch, torchvision, timm, safetensors.torch, onnxruntime, PIL";

/// The folder of images, made once; none without Python.
static PYTHON: LazyLock<Option<String>> = LazyLock::new(|| {
    let python = python(MODULES)?;
    let script = format!("{REPOSITORY}/tests/reference/odd_images.py");
    run_python(&RUN, &python, &[&script, "odd"]);
    Some(python)
});

/// What the program says of the images, as a file.
fn said(command: &[&str], file: &str) {
    let lines = RUN.run(command).succeeded();
    assert!(lines.json_lines().len() >= 20);
    RUN.write(file, lines.stdout);
}

/// Exports, and asks the card's lines of every image that was said something of.
fn report(python: &str, export: &[&str], format: &str, file: &str, said: &str) -> Value {
    let arguments = [export, &["--format", format, "-o", file]].concat();
    RUN.run(&arguments).succeeded();
    let script = format!("{REPOSITORY}/tests/reference/card_alike.py");
    let told = run_python(&RUN, python, &[&script, &format!("{file}.md"), said]);
    println!("{file}: {}", told.stdout);
    serde_json::from_str(&told.stdout).unwrap()
}

fn assert_alike(report: &Value, what: &str) {
    assert_eq!(report["other"], json!([]), "{what}: {report}");
    assert!(report["error"].as_f64().unwrap() < 1e-3, "{what}: {report}");
}

#[test]
fn the_cards_lines_name_the_classes_that_predict_names_in_every_format() {
    let Some(python) = &*PYTHON else { return };
    said(
        &[
            "predict",
            "student",
            "odd",
            "--with-head",
            "probe",
            "--top",
            "10",
        ],
        "odd.jsonl",
    );
    for (number, (format, options)) in [
        ("onnx", &[][..]),
        ("onnx", &["--normalise"]),
        ("onnx", &["--precision", "fp16"]),
        ("onnx", &["--precision", "int8"]),
        ("torchscript", &[]),
        ("torchscript", &["--normalise"]),
        ("safetensors", &[]),
        ("safetensors", &["--names", "timm"]),
    ]
    .into_iter()
    .enumerate()
    {
        let export = [&["export", "student", "--with-head", "probe"], options].concat();
        let file = format!("cards-{number}/student.{format}");
        let report = report(python, &export, format, &file, "odd.jsonl");
        match options {
            // Rounded on purpose: the lines run, and what is near is near.
            ["--precision", precision] => {
                let most = if *precision == "fp16" { 0.05 } else { 2.0 };
                assert!(report["error"].as_f64().unwrap() < most, "{file}: {report}");
            }
            _ => assert_alike(&report, &file),
        }
    }
}

#[test]
fn without_a_classifier_the_lines_give_the_features_that_embed_gives() {
    let Some(python) = &*PYTHON else { return };
    said(&["embed", "student", "odd"], "odd-features.jsonl");
    for format in ["onnx", "torchscript", "safetensors"] {
        let file = format!("cards-features/student.{format}");
        let report = report(
            python,
            &["export", "student"],
            format,
            &file,
            "odd-features.jsonl",
        );
        assert_alike(&report, &file);
    }
}

#[test]
fn the_lines_prepare_an_image_in_every_way_that_a_network_may_want() {
    let Some(python) = &*PYTHON else { return };
    let export = [
        "export",
        "student",
        "--with-head",
        "probe",
        "--format",
        "safetensors",
    ];
    let plain = "cards-prepared/student.safetensors";
    RUN.run(&[&export[..], &["-o", plain]].concat()).succeeded();
    let bytes = fs_err::read(RUN.path(plain)).unwrap();
    for (number, (size, ratio, crop, filter)) in [
        (16, 0.875, "after_resize", "bilinear"),
        (27, 0.9, "after_resize", "bicubic"),
        (24, 0.875, "after_resize", "pillow_bilinear"),
        (17, 0.77, "after_resize", "pillow_bicubic"),
        (20, 0.875, "before_resize", "pillow_bicubic"),
        (16, 0.6, "before_resize", "bilinear"),
    ]
    .into_iter()
    .enumerate()
    {
        let preprocessing = json!({"size": size, "crop_ratio": ratio, "crop": crop, "filter": filter,
            "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]});
        let file = format!("cards-prepared/{number}.safetensors");
        let changed = with_header(&bytes, |header| {
            header["__metadata__"]["preprocessing"] = json!(preprocessing.to_string());
        });
        RUN.write(&file, changed);
        let lines = format!("cards-prepared/{number}.jsonl");
        said(&["predict", &file, "odd", "--top", "10"], &lines);
        let onnx = format!("cards-prepared/{number}.onnx");
        let report = report(python, &["export", &file], "onnx", &onnx, &lines);
        assert_alike(&report, &preprocessing.to_string());
    }
}
