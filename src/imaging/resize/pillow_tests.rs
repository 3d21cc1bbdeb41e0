//! Resizing against Pillow's own bits (tests/reference/pillow_resize.py).

use serde_json::Value;

use crate::resize::pillow_row::{PADDING, PillowRowWeights, shrink};
use crate::{CropBox, Filter, Instructions, Layout, RgbImage, Scratch, View, render};

/// As in the script: black and white beside each other, so that the cubic filter overshoots, and
/// all bits in use.
fn picture(width: u32, height: u32) -> RgbImage {
    let mut pixels = Vec::new();
    for y in 0..u64::from(height) {
        for x in 0..u64::from(width) {
            for channel in 0..3 {
                let mixed = (x * 2654435761 + y * 40503 + channel * 97 + x * y * 69069) % (1 << 32);
                let striped = (x / 5 + y / 3) % 3 == 0;
                pixels.push(match striped {
                    true => ((x / 2 + y + channel) % 2 * 255) as u8,
                    false => (mixed >> 13) as u8,
                });
            }
        }
    }
    RgbImage::new(width, height, pixels)
}

/// The view's 8-bit pixels in hexadecimal.
fn rendered(image: &RgbImage, view: &View, scratch: &mut Scratch) -> String {
    let mut values = vec![f32::NAN; 3 * (view.size * view.size) as usize];
    render(image, view, scratch, &mut values, Layout::Hwc, None).unwrap();
    values
        .iter()
        .map(|value| {
            let level = value * 255.0;
            assert!((level - level.round()).abs() < 1e-4, "{level} is no level");
            format!("{:02x}", level.round() as u8)
        })
        .collect()
}

#[test]
fn every_pixel_is_pillows() {
    let path = std::env::var_os("SEEDPIPE_FIXTURES").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures").into(),
        std::path::PathBuf::from,
    );
    let golden = fs_err::read(path.join("pillow_resize.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for missing in Instructions::missing() {
        println!("not run: {missing}, which this processor lacks");
    }
    // One scratch for all cases: what an earlier view left must not show.
    let mut scratches: Vec<Scratch> = Instructions::available().map(Scratch::with).collect();
    for case in cases {
        let whole = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let two = |key: &str| [whole(&case[key][0]), whole(&case[key][1])];
        let [width, height] = two("image");
        let view = View {
            crop: CropBox {
                x: 0,
                y: 0,
                width,
                height,
            },
            resize: two("resize"),
            window: two("window"),
            size: whole(&case["size"]),
            filter: serde_json::from_value(case["filter"].clone()).unwrap(),
            operations: vec![],
        };
        for scratch in &mut scratches {
            let got = rendered(&picture(width, height), &view, scratch);
            let expected = case["pixels"].as_str().unwrap();
            assert_eq!(got, expected, "{}: {view:?}", scratch.instructions());
        }
    }
}

#[test]
fn all_ways_through_a_row_give_the_same_bits() {
    let source = picture(50, 1).pixels;
    let pixels = (source.len() - PADDING) / 3;
    for taps in [2, 4, 10] {
        let last = (pixels - taps) as u32;
        let first: Vec<u32> = (0..=last).collect();
        let values: Vec<i32> = (0..first.len() * taps)
            .map(|index| ((index as i32 * 7919) % 2001 - 900) * (6000 / taps as i32))
            .collect();
        let weights = PillowRowWeights {
            first: &first,
            values: &values,
            taps,
            left: 0,
        };
        let run = |instructions: Instructions| {
            let mut output = vec![0; 3 * first.len()];
            shrink(instructions, &source, &weights, &mut output);
            output
        };
        let portable = run(Instructions::PORTABLE);
        for instructions in Instructions::available() {
            assert_eq!(run(instructions), portable, "{instructions}");
        }
        if taps == 2 {
            let overshoots = [0, 255].map(|extreme| portable.contains(&extreme));
            assert_eq!(overshoots, [true; 2], "beyond both ends of 8 bits");
        }
    }
}

#[test]
fn a_crop_is_resized_as_if_it_were_the_whole_image() {
    let image = picture(40, 30);
    let crop = CropBox {
        x: 7,
        y: 5,
        width: 19,
        height: 21,
    };
    let cut = (crop.y..crop.y + crop.height)
        .flat_map(|y| {
            let start = ((y * image.width + crop.x) * 3) as usize;
            image.pixels[start..start + 3 * crop.width as usize].to_vec()
        })
        .collect();
    let cut = RgbImage::new(crop.width, crop.height, cut);
    let mut scratch = Scratch::default();
    for filter in [Filter::PillowBilinear, Filter::PillowBicubic] {
        let view = View {
            crop,
            resize: [13, 11],
            size: 11,
            filter,
            ..View::identity(11)
        };
        let whole = View {
            crop: CropBox { x: 0, y: 0, ..crop },
            ..view.clone()
        };
        assert_eq!(
            rendered(&image, &view, &mut scratch),
            rendered(&cut, &whole, &mut scratch)
        );
    }
}
