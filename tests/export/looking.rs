//! The trained network on new image files, and what is told of checkpoints.

use serde_json::Value;

use super::{RUN, run_python, without_metadata};
use crate::requirements::python;
use crate::sandbox::Sandbox;

/// A grey PNG of that side whose pixels rise to the right by `slope`.
fn png(side: u32, slope: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let pixels: Vec<u8> = (0..side * side)
        .map(|index| (index % side) as u8 * slope)
        .collect();
    image::ImageEncoder::write_image(encoder, &pixels, side, side, image::ExtendedColorType::L8)
        .unwrap();
    bytes
}

pub fn write_images(sandbox: &Sandbox, folder: &str) {
    for slope in 1..=5 {
        sandbox.write(&format!("{folder}/{slope}.png"), png(20, slope));
    }
}

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

#[test]
fn a_stage_and_its_exported_file_embed_alike_whatever_comes_with_an_image() {
    write_images(&RUN, "embed");
    RUN.run(&[
        "export",
        "student",
        "--format",
        "safetensors",
        "-o",
        "embed/student.safetensors",
    ])
    .succeeded();
    let of_stage = RUN
        .run(&["embed", "student", "embed"])
        .succeeded()
        .json_lines();
    assert_eq!(of_stage.len(), 5);
    assert_eq!(of_stage[0]["image"], "embed/1.png");
    assert_eq!(floats(&of_stage[0]["embedding"]).len(), 512);
    let of_file = RUN
        .run(&["embed", "embed/student.safetensors", "embed"])
        .succeeded();
    assert_eq!(of_file.json_lines(), of_stage);
    let alone = RUN.run(&["embed", "student", "embed/3.png"]).succeeded();
    assert_eq!(alone.json_lines()[0], of_stage[2]);
}

#[test]
fn the_nearest_image_is_the_image_itself() {
    write_images(&RUN, "near");
    let arguments = [
        "embed",
        "student",
        "near",
        "--neighbours-of",
        "near/4.png",
        "-k",
        "2",
    ];
    let found = RUN.run(&arguments).succeeded().json_lines();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["image"], "near/4.png");
    assert!(found[0]["similarity"].as_f64().unwrap() > 0.999_999);
    assert!(found[1]["similarity"].as_f64().unwrap() <= found[0]["similarity"].as_f64().unwrap());
}

#[test]
fn predictions_name_the_classes_and_leave_out_what_is_no_image() {
    write_images(&RUN, "predict");
    RUN.write("predict/9.png", "no image");
    let arguments = [
        "predict",
        "student",
        "predict",
        "--with-head",
        "probe",
        "--top",
        "3",
    ];
    let said = RUN.run(&arguments).exited_with(1);
    assert!(said.stderr.contains("predict/9.png"), "{}", said.stderr);
    assert!(
        said.stderr.contains("1 of 6 images could not be read"),
        "{}",
        said.stderr
    );
    let lines = said.json_lines();
    assert_eq!(lines.len(), 5);
    for line in &lines {
        let best = line["best"].as_array().unwrap();
        assert_eq!(best.len(), 3);
        let sure: Vec<f64> = best
            .iter()
            .map(|class| class["probability"].as_f64().unwrap())
            .collect();
        assert!(sure.is_sorted_by(|a, b| a >= b) && sure.iter().sum::<f64>() <= 1.0 + 1e-6);
        assert_eq!(best[0]["name"], best[0]["class"].to_string());
    }
    let without = RUN
        .run(&["predict", "student", "predict/1.png"])
        .exited_with(2);
    assert!(
        without.stderr.contains("has no classifier"),
        "{}",
        without.stderr
    );
}

#[test]
fn the_parquet_file_holds_what_the_lines_say() {
    write_images(&RUN, "sheet");
    RUN.run(&["embed", "student", "sheet", "-o", "sheet.parquet"])
        .succeeded();
    RUN.run(&["embed", "student", "sheet", "-o", "sheet.jsonl"])
        .succeeded();
    let Some(python) = python("pyarrow.parquet") else {
        return;
    };
    let program = "\
import json, pyarrow.parquet
rows = pyarrow.parquet.read_table('sheet.parquet').to_pylist()
lines = [json.loads(line) for line in open('sheet.jsonl')]
assert [row['image'] for row in rows] == [line['image'] for line in lines]
assert max(abs(a - b) for row, line in zip(rows, lines) for a, b in zip(row['embedding'], line['embedding'])) < 1e-6
assert len(rows) == 5";
    run_python(&RUN, &python, &["-c", program]);
}

#[test]
fn an_exported_file_tells_its_network_and_another_is_guessed() {
    RUN.run(&[
        "export",
        "student",
        "--format",
        "safetensors",
        "--with-head",
        "probe",
        "-o",
        "told.safetensors",
    ])
    .succeeded();
    let told: Value = RUN
        .run(&["network", "inspect", "told.safetensors", "--json"])
        .succeeded()
        .json();
    let guess = &told["guesses"][0];
    assert_eq!(guess["network"]["name"], "resnet18");
    assert_eq!(guess["network"]["classes"], 10);
    assert_eq!(guess["preprocessing"]["size"], 16);
    assert_eq!(guess["leftovers"].as_array().unwrap().len(), 0);

    // As another program would write them.
    let bytes = fs_err::read(RUN.path("told.safetensors")).unwrap();
    RUN.write("plain.safetensors", without_metadata(&bytes));
    let guessed: Value = RUN
        .run(&["network", "inspect", "plain.safetensors", "--json"])
        .succeeded()
        .json();
    assert_eq!(guessed["guesses"].as_array().unwrap().len(), 1);
    assert_eq!(guessed["guesses"][0]["network"]["stem"], "cifar");
    assert_eq!(guessed["guesses"][0]["network"]["classes"], 10);
    let text = RUN
        .run(&["network", "inspect", "plain.safetensors"])
        .succeeded()
        .stdout;
    assert!(
        text.contains("plain.safetensors: safetensors, 122 tensors"),
        "{text}"
    );
    let unknown = RUN
        .run(&["embed", "plain.safetensors", "digits.parquet"])
        .exited_with(1);
    assert!(
        unknown.stderr.contains("doesn't say which network"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn the_list_has_every_network_with_torchvisions_counts() {
    let listed: Value = RUN.run(&["network", "list", "--json"]).succeeded().json();
    let resnet50 = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|network| network["name"] == "resnet50")
        .unwrap();
    assert_eq!(resnet50["parameters"], 25_557_032);
    assert_eq!(resnet50["multiply_adds"], 4_089_184_256_u64);
    let text = RUN.run(&["network", "list"]).succeeded().stdout;
    assert_eq!(text.lines().count(), listed.as_array().unwrap().len() + 1);
}
