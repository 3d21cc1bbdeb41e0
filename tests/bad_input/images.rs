//! Sources that hold no usable images.

use insta::assert_snapshot;
use seedpipe_artifact::{MetricRow, MetricsWriter};

use super::refused;
use crate::sandbox::{REPOSITORY, Sandbox};

const PIPELINE: &str = "stages:\n  images: {kind: ingest, params: {source: photos}}\n";

/// A small JPEG and a small PNG that can be read.
fn sample(name: &str) -> Vec<u8> {
    fs_err::read(format!("{REPOSITORY}/src/imaging/testdata/images/{name}")).unwrap()
}

/// A pipeline on a folder with one good image and one other file.
fn folder_with(name: &str, content: &[u8]) -> Sandbox {
    let sandbox = Sandbox::with(PIPELINE);
    sandbox.write("photos/cat/good.png", sample("rgb.png"));
    sandbox.write(&format!("photos/cat/{name}"), content);
    sandbox
}

#[test]
fn an_empty_folder() {
    let sandbox = Sandbox::with(PIPELINE);
    fs_err::create_dir(sandbox.path("photos")).unwrap();
    assert_snapshot!(refused(&sandbox, &["run", "--quiet"], 1), @r"
    error: pipeline.yaml: stage `images`: key `params.source`: `./photos`: expected images (JPEG, PNG, WebP, BMP, GIF or TIFF), got none
    hint: check `source`; a folder holds CLASS/*.jpg, train/CLASS/*.jpg and test/CLASS/*.jpg, or images without classes
    exit code 1
    ");
}

#[test]
fn a_webp_whose_frame_is_larger_than_said() {
    let path = "src/imaging/testdata/refused/frame_larger_than_said.webp";
    let content = fs_err::read(format!("{REPOSITORY}/{path}")).unwrap();
    let sandbox = folder_with("bad.webp", &content);
    assert_snapshot!(refused(&sandbox, &["run", "--quiet"], 1), @r"
    error: pipeline.yaml: stage `images`: key `params.max_bad_fraction`: 1 of 2 images cannot be read, expected at most a share of 0:
      cat/bad.webp: damaged webp: a frame of 32 × 32 pixels, expected 16 × 16
    hint: repair or remove them, or raise `max_bad_fraction` to 0.5000 to leave them out
    exit code 1
    ");
}

#[test]
fn a_text_file_named_jpg() {
    let sandbox = folder_with("notes.jpg", b"not an image, but a note\n");
    assert_snapshot!(refused(&sandbox, &["run", "--quiet"], 1), @r"
    error: pipeline.yaml: stage `images`: key `params.max_bad_fraction`: 1 of 2 images cannot be read, expected at most a share of 0:
      cat/notes.jpg: not an image: expected JPEG, PNG, WebP, BMP, GIF or TIFF, got a file that begins with `not an image, bu`
    hint: repair or remove them, or raise `max_bad_fraction` to 0.5000 to leave them out
    exit code 1
    ");
}

#[test]
fn a_truncated_jpeg() {
    let whole = sample("rgb.jpg");
    let sandbox = folder_with("half.jpg", &whole[..whole.len() * 3 / 4]);
    assert_snapshot!(refused(&sandbox, &["run", "--quiet"], 1), @r"
    error: pipeline.yaml: stage `images`: key `params.max_bad_fraction`: 1 of 2 images cannot be read, expected at most a share of 0:
      cat/half.jpg: truncated jpeg: the file ends before the image does
    hint: repair or remove them, or raise `max_bad_fraction` to 0.5000 to leave them out
    exit code 1
    ");
}

#[test]
fn an_empty_file_named_png() {
    let sandbox = folder_with("empty.png", b"");
    assert_snapshot!(refused(&sandbox, &["run", "--quiet"], 1), @r"
    error: pipeline.yaml: stage `images`: key `params.max_bad_fraction`: 1 of 2 images cannot be read, expected at most a share of 0:
      cat/empty.png: not an image: expected JPEG, PNG, WebP, BMP, GIF or TIFF, got an empty file
    hint: repair or remove them, or raise `max_bad_fraction` to 0.5000 to leave them out
    exit code 1
    ");
}

#[test]
fn an_image_of_60000_by_60000_pixels() {
    let sandbox = folder_with("huge.png", &png_header(60_000, 60_000));
    assert_snapshot!(refused(&sandbox, &["run", "--quiet"], 1), @r"
    error: pipeline.yaml: stage `images`: key `params.max_bad_fraction`: 1 of 2 images cannot be read, expected at most a share of 0:
      cat/huge.png: image of 60000 × 60000 = 3600000000 pixels, expected at most 100000000; scale it down first
    hint: repair or remove them, or raise `max_bad_fraction` to 0.5000 to leave them out
    exit code 1
    ");
}

#[test]
fn unreadable_images_are_left_out_and_listed_where_that_is_allowed() {
    let sandbox = folder_with("notes.jpg", b"not an image\n");
    let lines = sandbox.run_json(&["--set", "images.max_bad_fraction=0.5"]);
    assert_eq!(lines[0]["outcome"], "executed");
    let set = ["--set", "images.max_bad_fraction=0.5"];
    let shown = sandbox
        .run(&[&["show", "images.rejected", "--json"][..], &set].concat())
        .succeeded()
        .json();
    assert_eq!(shown["outputs"]["rejected"]["rows"], 1, "{shown}");
    assert!(shown.to_string().contains("cat/notes.jpg"), "{shown}");
}

#[test]
fn a_parquet_without_an_image_column() {
    let sandbox =
        Sandbox::with("stages:\n  images: {kind: ingest, params: {source: table.parquet}}\n");
    let mut table =
        MetricsWriter::create(&sandbox.path("table.parquet"), &Default::default()).unwrap();
    let row = MetricRow {
        step: 0,
        split: "test".into(),
        name: "loss".into(),
        value: 1.0,
    };
    table.write(&[row]).unwrap();
    table.finish().unwrap();
    assert_snapshot!(refused(&sandbox, &["run", "--quiet"], 1), @r"
    error: pipeline.yaml: stage `images`: key `params.source`: `./table.parquet`: image column: expected a column of encoded images (binary, or a struct with a binary `bytes`), got the columns `step` (UInt64), `split` (Utf8), `name` (Utf8), `value` (Float64)
    hint: store the images' files as bytes, or point `source` at a folder of images
    exit code 1
    ");
}

#[test]
fn a_parquet_that_is_none() {
    let sandbox =
        Sandbox::with("stages:\n  images: {kind: ingest, params: {source: table.parquet}}\n");
    sandbox.write("table.parquet", "PAR1 and nothing else");
    assert_snapshot!(refused(&sandbox, &["run", "--quiet"], 1), @r"
    error: pipeline.yaml: stage `images`: key `params.source`: `./table.parquet`: not Parquet, or damaged: Parquet error: Invalid Parquet file. Corrupt footer
    exit code 1
    ");
}

/// A PNG that says how large it is and then ends, 8-bit RGB.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(13u32.to_be_bytes());
    png.extend(&chunk);
    png.extend(crc32(&chunk).to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 {
            0xedb8_8320 ^ (crc >> 1)
        } else {
            crc >> 1
        }
    };
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}
