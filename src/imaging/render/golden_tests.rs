//! Rendered views against torchvision's float operations and Pillow's 8-bit stages.

use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::{
    CropBox, Instructions, Layout, Limits, Operation, RgbImage, Scratch, View, decode, render,
};

/// Errors of 0–1 values in 8-bit steps: no more than `mean` on average and `tail` at the 99.9th
/// percentile.
struct Tolerance {
    mean: f64,
    tail: f64,
}

const FLOAT: Tolerance = Tolerance {
    mean: 0.5,
    tail: 2.5,
};
const PILLOW: Tolerance = Tolerance {
    mean: 3.0,
    tail: 15.0,
};

fn folder() -> PathBuf {
    std::env::var_os("SEEDPIPE_FIXTURES")
        .map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")),
            PathBuf::from,
        )
        .join("augment")
}

fn read_image(name: &str) -> RgbImage {
    let bytes = fs_err::read(folder().join(name)).unwrap();
    decode(&bytes, &Limits::default()).unwrap()
}

/// `[3, size, size]` values 0–1 of an image.
fn planes(image: &RgbImage) -> Vec<f32> {
    let channel = |channel| image.pixels.iter().skip(channel).step_by(3);
    (0..3)
        .flat_map(channel)
        .map(|sample| f32::from(*sample) / 255.0)
        .collect()
}

fn assert_within(got: &[f32], expected: &[f32], tolerance: &Tolerance, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let mut errors: Vec<f64> = got
        .iter()
        .zip(expected)
        .map(|(got, expected)| f64::from((got - expected).abs()) * 255.0)
        .collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    errors.sort_by(f64::total_cmp);
    let tail = errors[(errors.len() * 999 / 1000).min(errors.len() - 1)];
    println!("{what}: mean {mean:.4}, 99.9th percentile {tail:.4} of 255");
    assert!(
        mean <= tolerance.mean && tail <= tolerance.tail,
        "{what}: mean {mean}, 99.9th percentile {tail}, expected at most {} and {}",
        tolerance.mean,
        tolerance.tail
    );
}

/// The views of a case after the crop, after the jitter and at the end.
struct Case {
    name: String,
    crop: View,
    jitter: View,
    last: View,
}

impl Case {
    fn read(case: &Value) -> Case {
        let whole = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let number = |key: &str| case[key].as_f64().unwrap() as f32;
        let size = whole(&case["size"]);
        let side = |key: &str| whole(&case["crop"][key]);
        let crop = View {
            crop: CropBox {
                x: side("x"),
                y: side("y"),
                width: side("width"),
                height: side("height"),
            },
            ..View::identity(size)
        };
        let mut jitter = crop.clone();
        for index in case["order"].as_array().unwrap() {
            jitter.operations.push(match index.as_u64().unwrap() {
                0 => Operation::Brightness(number("brightness")),
                1 => Operation::Contrast(number("contrast")),
                2 => Operation::Saturation(number("saturation")),
                3 => Operation::Hue(number("hue")),
                other => panic!("operation {other} in `order`"),
            });
        }
        let mut last = jitter.clone();
        if case["grayscale"].as_bool().unwrap() {
            last.operations.push(Operation::Grayscale);
        }
        if let Some(sigma) = case["blur_sigma"].as_f64() {
            last.operations.push(Operation::Blur(sigma as f32));
        }
        if case["flip"].as_bool().unwrap() {
            last.operations.push(Operation::Flip);
        }
        Case {
            name: format!("{:02}", case["case"].as_u64().unwrap()),
            crop,
            jitter,
            last,
        }
    }
}

fn cases() -> Vec<Case> {
    let text = fs_err::read_to_string(folder().join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    cases.iter().map(Case::read).collect()
}

/// Rendered by all instructions that the processor has, which must agree.
fn rendered(image: &RgbImage, view: &View, scratches: &mut [Scratch]) -> Vec<f32> {
    let values = 3 * (view.size * view.size) as usize;
    let mut first = vec![];
    for scratch in scratches {
        let mut out = vec![f32::NAN; values];
        render(image, view, scratch, &mut out, Layout::Chw, None).unwrap();
        if first.is_empty() {
            first = out;
        } else {
            assert!(first == out, "{} gives other bits", scratch.instructions());
        }
    }
    first
}

/// One for each level of instructions.
fn scratches() -> Vec<Scratch> {
    for missing in Instructions::missing() {
        println!("not run: {missing}, which this processor lacks");
    }
    Instructions::available().map(Scratch::with).collect()
}

#[test]
fn golden_views_match_torchvision_in_float() {
    let bytes = fs_err::read(folder().join("final_float.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut scratches = scratches();
    for case in cases() {
        let tensor = tensors.tensor(&case.name).unwrap();
        let size = case.last.size as usize;
        assert_eq!(tensor.shape(), [3, size, size]);
        let width = tensor.data().len() / (3 * size * size);
        let expected: Vec<f32> = tensor
            .data()
            .chunks_exact(width)
            .map(|bytes| match *bytes {
                [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
                [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]) as f32,
                _ => panic!("{:?} values in final_float.safetensors", tensor.dtype()),
            })
            .collect();
        let image = read_image(&format!("{}_input.png", case.name));
        let got = rendered(&image, &case.last, &mut scratches);
        assert_within(
            &got,
            &expected,
            &FLOAT,
            &format!("case {} in float", case.name),
        );
    }
}

#[test]
fn golden_views_match_pillow_after_every_stage() {
    let mut scratches = scratches();
    for case in cases() {
        let image = read_image(&format!("{}_input.png", case.name));
        for (stage, view) in [
            ("crop", &case.crop),
            ("jitter", &case.jitter),
            ("final", &case.last),
        ] {
            let name = format!("{}_{stage}.png", case.name);
            let expected = planes(&read_image(&name));
            let got = rendered(&image, view, &mut scratches);
            assert_within(&got, &expected, &PILLOW, &name);
        }
    }
}
