//! `finetune`: labels, soft labels, both, images without a label, mixup, and layers that learn less.

use seedpipe_engine::keyed_rng;
use seedpipe_learn::random::normal;
use serde_json::Value;

use super::compare;
use super::heads::PIXELS;
use super::ran::Ran;
use crate::sandbox::Sandbox;

const MISTAKES: [&str; 10] = [
    "batch_norm_evaluating",
    "equal_rates",
    "frozen_layers_learn",
    "mixup_of_images_alone",
    "mixup_of_labels_alone",
    "no_squared_temperature",
    "other_order_of_classes",
    "raw_pixels",
    "swapped_alpha",
    "test_labels",
];

/// Noisy waves, 24 to train on and 10 to test of each of six classes. No region is flat: there a
/// rounding could turn many of a layer's outputs on or off at once.
fn pictures(sandbox: &Sandbox) {
    let mut noise = keyed_rng(0, "pictures", "noise", &[]);
    for number in 0..204 {
        let class = number % 6;
        let noise: Vec<f32> = Vec::try_from(&normal(&[3 * 64], &mut noise)).unwrap();
        let picture = image::RgbImage::from_fn(8, 8, |x, y| {
            let wave = (x * (1 + class % 3) + y * (1 + class / 3)) as f32 * 0.8;
            image::Rgb([0, 1, 2].map(|channel| {
                let noise = noise[(channel * 64 + y * 8 + x) as usize];
                (110.0 + 35.0 * (wave + channel as f32).sin() + 25.0 * noise) as u8
            }))
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        let split = if number < 144 { "train" } else { "test" };
        let name = format!("pictures/{split}/{class}/{number}.png");
        sandbox.write(&name, bytes.into_inner());
    }
}

/// How many images a stage with these params trains on.
fn trained(params: &Value) -> usize {
    let share = params["label_fraction"].as_f64().unwrap();
    let of_class = if params["unlabelled"] == true {
        24.0
    } else {
        (24.0 * share).round()
    };
    6 * of_class as usize
}

#[test]
fn fine_tunings_are_hintons_distillation_and_mixup() {
    let sandbox = Sandbox::with(include_str!("finetune.yaml"));
    sandbox.write(PIXELS.0, PIXELS.1);
    pictures(&sandbox);
    let ran = Ran::of(&sandbox, trained);
    // The least of the mistakes is 5e-2 of a loss.
    compare(
        &sandbox,
        &ran,
        "tests/fixtures/heads/finetune.json",
        &MISTAKES,
    );
}
