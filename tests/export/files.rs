//! One distilled network in every format.

use serde_json::Value;

use super::{RUN, run_python};
use crate::requirements::python;
use crate::sandbox::REPOSITORY;

#[test]
fn every_format_is_written_with_a_card_that_says_where_it_comes_from() {
    for (format, extension) in [
        ("safetensors", "safetensors"),
        ("torchscript", "pt"),
        ("onnx", "onnx"),
    ] {
        let file = format!("card/student.{extension}");
        let arguments = [
            "export",
            "student",
            "--format",
            format,
            "--with-head",
            "probe",
            "-o",
            &file,
        ];
        let said = RUN.run(&arguments).succeeded();
        assert!(
            said.stdout.contains("resnet18") && said.stdout.contains("10 classes"),
            "{}",
            said.stdout
        );
        let bytes = fs_err::read(RUN.path(&file)).unwrap();
        let card = fs_err::read_to_string(RUN.path(&format!("{file}.md"))).unwrap();
        for wanted in [
            &seedpipe_engine::Digest::of(&bytes).to_string(),
            "digits.parquet",
            "`pipeline.lock` holds the same digests",
            "| probe | test/linear_top1",
            "| student | distill version 1",
            "\"crop_ratio\"",
        ] {
            assert!(card.contains(wanted), "no `{wanted}` in\n{card}");
        }
        // A second time: the same bytes.
        RUN.run(&arguments).succeeded();
        assert!(fs_err::read(RUN.path(&file)).unwrap() == bytes, "{format}");
    }
}

#[test]
fn an_export_stage_is_cached_and_gives_the_bytes_of_the_command() {
    RUN.run(&["export", "shipped", "-o", "stage/by_stage.onnx"])
        .succeeded();
    RUN.run(&[
        "export",
        "student",
        "--format",
        "onnx",
        "--with-head",
        "probe",
        "-o",
        "stage/by_command.onnx",
    ])
    .succeeded();
    let read = |name: &str| fs_err::read(RUN.path(name)).unwrap();
    assert!(read("stage/by_stage.onnx") == read("stage/by_command.onnx"));
    let card = |name: &str| {
        let text = String::from_utf8(read(&format!("stage/{name}.onnx.md"))).unwrap();
        text.replace(&format!("{name}.onnx"), "NAME.onnx")
    };
    assert_eq!(card("by_stage"), card("by_command"));
    let metrics: Value = RUN.run(&["metrics", "--json"]).succeeded().json();
    let bytes = metrics
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["stage"] == "shipped" && row["name"] == "bytes")
        .unwrap();
    assert_eq!(
        bytes["value"].as_f64().unwrap() as usize,
        read("stage/by_stage.onnx").len()
    );
}

#[test]
fn half_precision_halves_the_file() {
    let size = |precision: &str, format: &str| {
        let file = format!("half/{precision}.{format}");
        let said = RUN.run(&[
            "export",
            "student",
            "--format",
            format,
            "--precision",
            precision,
            "--json",
            "-o",
            &file,
        ]);
        said.succeeded().json()["bytes"].as_f64().unwrap()
    };
    for format in ["safetensors", "torchscript", "onnx"] {
        let share = size("fp16", format) / size("fp32", format);
        assert!((0.49..0.52).contains(&share), "{format}: {share}");
    }
}

#[test]
fn torchvision_torch_jit_and_onnxruntime_predict_alike_on_100_images() {
    let Some(python) = python("torch, torchvision, safetensors.torch, onnxruntime, pyarrow, PIL")
    else {
        return;
    };
    for (format, file) in [
        ("safetensors", "alike/student.safetensors"),
        ("torchscript", "alike/student.pt"),
        ("onnx", "alike/student.onnx"),
    ] {
        RUN.run(&[
            "export",
            "student",
            "--format",
            format,
            "--with-head",
            "probe",
            "-o",
            file,
        ])
        .succeeded();
    }
    let script = format!("{REPOSITORY}/tests/reference/predict_alike.py");
    let said = run_python(&RUN, &python, &[&script, "alike", "digits.parquet"]);
    println!("{}", said.stdout);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["images"], 100);
    for (pair, error) in report["error"].as_object().unwrap() {
        assert!(error.as_f64().unwrap() < 1e-4, "{pair}: {error}");
    }
    assert_eq!(report["other_predictions"], 0);
}

#[test]
fn eight_bits_take_a_quarter_and_say_what_they_cost() {
    let export = |precision: &str| {
        let file = format!("bits/{precision}.onnx");
        let arguments = [
            "export",
            "student",
            "--format",
            "onnx",
            "--with-head",
            "probe",
            "--precision",
            precision,
            "--json",
            "-o",
            &file,
        ];
        RUN.run(&arguments).succeeded().json()
    };
    let (exact, rounded) = (export("fp32"), export("int8"));
    let share = rounded["bytes"].as_f64().unwrap() / exact["bytes"].as_f64().unwrap();
    assert!((0.25..0.27).contains(&share), "{share}");
    let figure = |name: &str| rounded["figures"][name].as_f64().unwrap();
    assert_eq!(figure("calibration_images"), 60.0);
    assert_eq!(figure("test_images"), 20.0);
    assert!(exact["images_per_second"].is_null());
    assert!(figure("cosine_min") > 0.98, "{}", figure("cosine_min"));
    assert!(figure("agreement") >= 0.9, "{}", figure("agreement"));
    assert!((figure("top1_int8") - figure("top1_fp32")).abs() <= 0.1);
    let card = fs_err::read_to_string(RUN.path("bits/int8.onnx.md")).unwrap();
    assert!(
        card.contains("| onnx, int8 |") && card.contains("| top1_int8 |"),
        "{card}"
    );
    let Some(python) = python("onnx, onnxruntime") else {
        return;
    };
    let speed = |precision: &str| rounded["images_per_second"][precision].as_f64().unwrap();
    assert!(speed("fp32") > 0.0 && speed("int8") > 0.0);
    let program = "\
import numpy, onnx, onnxruntime
onnx.checker.check_model('bits/int8.onnx', full_check=True)
images = numpy.random.default_rng(0).normal(size=(20, 3, 16, 16)).astype('float32')
run = lambda name: onnxruntime.InferenceSession(f'bits/{name}.onnx', providers=['CPUExecutionProvider']).run(['features'], {'images': images})[0]
exact, rounded = run('fp32'), run('int8')
cosine = (exact * rounded).sum(1) / numpy.linalg.norm(exact, axis=1) / numpy.linalg.norm(rounded, axis=1)
assert cosine.min() > 0.95, cosine";
    run_python(&RUN, &python, &["-c", program]);
}

#[test]
fn eight_bits_are_calibrated_on_as_many_images_as_asked_and_measured_where_onnxruntime_is() {
    let arguments = [
        "export",
        "student",
        "--format",
        "onnx",
        "--precision",
        "int8",
        "--calibration-images",
        "9",
        "-o",
        "few/int8.onnx",
    ];
    let mut command = RUN.command(&arguments);
    command.env("SEEDPIPE_PYTHON", "/nowhere/python");
    let said = RUN.finish(&mut command).succeeded();
    assert!(
        said.stdout.contains("on 20 images, calibrated on 9\n"),
        "{}",
        said.stdout
    );
    assert!(
        said.stderr
            .contains("the speed was not measured: `/nowhere/python` can't be run")
            && said.stderr.contains("hint: `pip install onnxruntime`"),
        "{}",
        said.stderr
    );
    let Some(python) = python("onnxruntime") else {
        return;
    };
    let mut command = RUN.command(&arguments);
    command.env("SEEDPIPE_PYTHON", python);
    let said = RUN.finish(&mut command).succeeded();
    assert!(
        said.stdout.contains("times the images a second of fp32"),
        "{}",
        said.stdout
    );
}
