//! The trained network on new image files, and what is told of checkpoints.

use std::os::unix::fs::symlink;

use seedpipe_imaging::{Limits, decode};
use serde_json::Value;

use super::{RUN, run_python, without_metadata};
use crate::requirements::python;
use crate::sandbox::{REPOSITORY, Sandbox};

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

#[test]
fn a_folder_is_walked_as_ingest_walks_it() {
    write_images(&RUN, "walk/cat");
    RUN.write("walk/cat/6.jfif", png(20, 6));
    RUN.write("walk/.trash/7.png", png(20, 7));
    RUN.write("walk/cat/._1.png", "x");
    RUN.write("walk/8.heic", "x");
    RUN.write("beside/9.png", png(20, 9));
    RUN.write("secret", "root:x:0:0:secret");
    let path = |name: &str| RUN.path(name);
    symlink("../beside", path("walk/linked")).unwrap();
    symlink("..", path("walk/cat/up")).unwrap();
    symlink("/nowhere", path("walk/cat/dead.png")).unwrap();
    symlink("/nowhere", path("walk/notes")).unwrap();
    symlink("../secret", path("walk/out.png")).unwrap();
    for name in ["walk/pipe", "walk/pipe.png"] {
        rustix::fs::mkfifoat(rustix::fs::CWD, path(name), 0o600.into()).unwrap();
    }
    for arguments in [
        &["embed", "student", "walk"][..],
        &["predict", "student", "walk", "--with-head", "probe"],
    ] {
        let said = RUN.run(arguments).exited_with(1);
        let lines = said.json_lines();
        let images: Vec<&str> = lines
            .iter()
            .map(|line| line["image"].as_str().unwrap())
            .collect();
        assert_eq!(
            images,
            [
                "walk/cat/1.png",
                "walk/cat/2.png",
                "walk/cat/3.png",
                "walk/cat/4.png",
                "walk/cat/5.png",
                "walk/cat/6.jfif",
                "walk/linked/9.png"
            ]
        );
        for part in [
            ": 1 .heic\n",
            "a folder that they lie in: `cat/up`\n",
            "`linked` → `",
            "`walk/cat/dead.png`: expected an image, got a link that leads to nothing\n",
            "`walk/pipe.png`: expected an image, got a named pipe\n",
            "`walk/out.png`: not an image",
            "error: 3 of 10 images could not be read\n",
        ] {
            assert!(said.stderr.contains(part), "{part}: {}", said.stderr);
        }
        assert!(!said.stderr.contains("root:x"), "{}", said.stderr);
    }
    let refused = RUN.run(&["embed", "student", "walk/pipe"]).exited_with(2);
    assert!(
        refused
            .stderr
            .contains("expected an image or a folder, found a named pipe"),
        "{}",
        refused.stderr
    );
}

/// A photograph in pieces of 64 pixels, none like another.
fn pieces() -> Vec<image::RgbImage> {
    let path = format!("{REPOSITORY}/src/imaging/testdata/images/photo.jpg");
    let photo = decode(&fs_err::read(path).unwrap(), &Limits::default()).unwrap();
    let photo = image::RgbImage::from_raw(photo.width, photo.height, photo.pixels).unwrap();
    let (width, height) = photo.dimensions();
    let places = [
        (0, 0),
        (width - 64, 0),
        (0, height - 64),
        (width - 64, height - 64),
    ];
    places
        .map(|(x, y)| image::imageops::crop_imm(&photo, x, y, 64, 64).to_image())
        .into()
}

fn as_png(picture: &image::RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn as_jpeg(picture: &image::RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    jpeg_encoder::Encoder::new(&mut bytes, 90)
        .encode(
            picture,
            width as u16,
            height as u16,
            jpeg_encoder::ColorType::Rgb,
        )
        .unwrap();
    bytes
}

#[test]
fn near_copies_are_found_among_other_images() {
    let pieces = pieces();
    for (number, piece) in pieces.iter().enumerate() {
        RUN.write(&format!("copies/{number}.png"), as_png(piece));
    }
    RUN.write("copies/0_saved_again.jpg", as_jpeg(&pieces[0]));
    let mut changed = pieces[1].clone();
    changed.put_pixel(30, 30, image::Rgb([255, 0, 0]));
    RUN.write("copies/1_one_pixel.png", as_png(&changed));
    RUN.run(&["embed", "student", "copies", "-o", "copies.parquet"])
        .succeeded();
    let found = |arguments: &[&str]| {
        RUN.run(&[&["duplicates", "copies.parquet", "--json"], arguments].concat())
            .succeeded()
    };
    // Each image is nearest to its own copy, whatever else an untrained network takes for alike.
    let all = found(&["--threshold", "0.01"]);
    assert!(
        all.stderr
            .starts_with("15 pairs of images with a cosine of 0.01 or more"),
        "{}",
        all.stderr
    );
    let near = |one: &str, other: &str| {
        let lines = all.json_lines();
        let pair = lines
            .iter()
            .find(|line| line["images"][0]["image"] == one && line["images"][1]["image"] == other);
        pair.unwrap()["similarity"].as_f64().unwrap()
    };
    let again = near("copies/0.png", "copies/0_saved_again.jpg");
    let pixel = near("copies/1.png", "copies/1_one_pixel.png");
    for other in ["copies/1.png", "copies/2.png", "copies/3.png"] {
        assert!(again > near("copies/0.png", other) && pixel > near("copies/0.png", other));
    }
    let bar = again.min(pixel).to_string();
    let lines = found(&["--threshold", &bar]).json_lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let few = found(&["--threshold", "0.01", "-n", "1"]);
    assert_eq!(few.json_lines().len(), 1);
    assert!(few.stderr.contains("; 1 are listed"), "{}", few.stderr);
}

#[test]
fn duplicates_of_a_stage_have_splits_and_classes_and_those_in_two_come_first() {
    let found = RUN
        .run(&[
            "duplicates",
            "features",
            "--threshold",
            "0.5",
            "-n",
            "2000",
            "--json",
        ])
        .succeeded()
        .json_lines();
    let in_two: Vec<bool> = found
        .iter()
        .map(|pair| pair["images"][0]["split"] != pair["images"][1]["split"])
        .collect();
    assert!(in_two.contains(&true) && in_two.contains(&false));
    assert!(in_two.is_sorted_by(|before, after| before >= after));
    assert!(found[0]["images"][0]["class"].is_string(), "{}", found[0]);
    assert_eq!(found[0]["identical"], false);
    let text = RUN
        .run(&["duplicates", "features", "-n", "1", "--threshold", "0.5"])
        .succeeded();
    assert!(
        text.stdout.contains(") = digits.parquet row "),
        "{}",
        text.stdout
    );
    assert!(
        text.stderr.contains(" of them in two splits"),
        "{}",
        text.stderr
    );
    let views = RUN.run(&["duplicates", "targets"]).exited_with(1);
    assert!(
        views.stderr.contains("holds embeddings of views"),
        "{}",
        views.stderr
    );
    let none = RUN.run(&["duplicates", "none.parquet"]).exited_with(2);
    assert!(
        none.stderr
            .contains("`none.parquet`: expected a .parquet file, found nothing"),
        "{}",
        none.stderr
    );
    RUN.run(&["duplicates", "student"]).exited_with(2);
}
