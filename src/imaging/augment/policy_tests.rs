//! Numbers of policies; sampled views: where they lie, and how often what happens.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::augment::named::NAMES;
use crate::{CropBox, Operation};

fn policy(name: RecipeName, size: u32) -> Policy {
    Policy::new(name, Some(size), &Adjust::default()).unwrap()
}

#[test]
fn an_adjusted_key_changes_that_number_alone() {
    let adjust = Adjust {
        blur_probability: Some(0.0),
        ..Adjust::default()
    };
    let adjusted = Policy::new(RecipeName::Mocov2, Some(32), &adjust).unwrap();
    let own = Policy::new(RecipeName::Mocov2, Some(32), &Adjust::default()).unwrap();
    assert_eq!(
        adjusted,
        Policy {
            blur_probability: 0.0,
            ..own
        }
    );
}

#[test]
fn impossible_numbers_name_their_key() {
    let refused = |adjust: Adjust| {
        Policy::new(RecipeName::Mocov2, None, &adjust)
            .unwrap_err()
            .key
            .clone()
            .unwrap()
    };
    let none = Adjust::default;
    assert_eq!(
        refused(Adjust {
            hue: Some(0.7),
            ..none()
        }),
        "hue"
    );
    assert_eq!(
        refused(Adjust {
            crop_area: Some([0.5, 0.2]),
            ..none()
        }),
        "crop_area"
    );
    assert_eq!(
        refused(Adjust {
            flip_probability: Some(f64::NAN),
            ..none()
        }),
        "flip_probability"
    );
    let both = Adjust {
        crop_area: Some([0.2, 1.0]),
        crop_ratio: Some(1.0),
        ..none()
    };
    assert_eq!(refused(both), "crop_ratio");
    assert_eq!(
        Policy::new(RecipeName::Eval, Some(0), &none())
            .unwrap_err()
            .to_string(),
        "key `size`: expected 1 to 8192 pixels, got 0"
    );
    assert!(serde_json::from_str::<Adjust>(r#"{"crop_ara": [0.2, 1]}"#).is_err());
}

#[test]
fn a_policy_is_written_as_ever_so_that_its_views_keep_their_digest() {
    let named = |name: &str| {
        let name = serde_json::from_value(serde_json::json!(name)).unwrap();
        Policy::new(name, None, &Adjust::default()).unwrap()
    };
    let written = |name| serde_json::to_string(&named(name)).unwrap();
    assert_eq!(
        written("mocov2"),
        r#"{"size":224,"filter":"bilinear","crop":{"random":{"area":[0.2,1.0],"aspect":[0.75,1.3333333333333333]}},"brightness":0.4,"contrast":0.4,"saturation":0.4,"hue":0.1,"jitter_probability":0.8,"grayscale_probability":0.2,"grayscale_first":false,"blur_sigma":[0.1,2.0],"blur_probability":0.5,"flip_probability":0.5}"#
    );
    assert_eq!(
        written("eval"),
        r#"{"size":224,"filter":"bilinear","crop":{"centre":{"ratio":0.875}},"brightness":0.0,"contrast":0.0,"saturation":0.0,"hue":0.0,"jitter_probability":1.0,"grayscale_probability":0.0,"grayscale_first":false,"blur_sigma":[0.1,2.0],"blur_probability":0.0,"flip_probability":0.0}"#
    );
    for name in NAMES {
        let read: Policy = serde_json::from_str(&written(name)).unwrap();
        assert_eq!(read, named(name));
    }
}

#[test]
fn eval_resizes_the_shorter_side_and_takes_the_centre() {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let view = policy(RecipeName::Eval, 224).sample(&mut random, 500, 375);
    // torchvision: Resize(256) gives 341 × 256, CenterCrop(224) starts at round(58.5) = 58 and 16.
    assert_eq!((view.resize, view.window), ([341, 256], [58, 16]));
    assert_eq!((view.crop.width, view.crop.height), (500, 375));
    let view = policy(RecipeName::Eval, 32).sample(&mut random, 32, 32);
    assert_eq!((view.resize, view.window), ([36, 36], [2, 2]));
    let plain = Adjust {
        crop_ratio: Some(1.0),
        ..Adjust::default()
    };
    let plain = Policy::new(RecipeName::Eval, Some(32), &plain).unwrap();
    assert_eq!(plain.sample(&mut random, 32, 32), View::identity(32));
}

#[test]
fn the_fallback_is_the_centre_of_an_allowed_shape() {
    // No box of a fifth of the area or more and of such a shape fits into a line.
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let view = policy(RecipeName::Mocov2, 8).sample(&mut random, 300, 3);
    assert_eq!(
        view.crop,
        CropBox {
            x: 148,
            y: 0,
            width: 4,
            height: 3
        }
    );
    let view = policy(RecipeName::Mocov2, 8).sample(&mut random, 3, 300);
    assert_eq!(
        view.crop,
        CropBox {
            x: 0,
            y: 148,
            width: 3,
            height: 4
        }
    );
}

#[test]
fn grayscale_comes_first_where_the_recipe_says_so() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut seen = 0;
    for _ in 0..200 {
        let view = policy(RecipeName::Mocov1, 32).sample(&mut random, 64, 64);
        let gray = Operation::Grayscale;
        if let Some(place) = view.operations.iter().position(|found| *found == gray) {
            assert_eq!(place, 0);
            seen += 1;
        }
    }
    assert!(seen > 20);
}

/// The value below which the given part of the sorted values lies.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

const DRAWS: usize = 100_000;

/// A row of testdata/quantiles.json, which testdata/quantiles.py made with torchvision.
#[derive(serde::Deserialize)]
struct Quantiles {
    recipe: RecipeName,
    width: u32,
    height: u32,
    quantity: String,
    quantiles: [f64; 5],
}

#[test]
fn crops_are_distributed_as_torchvisions() {
    let rows: Vec<Quantiles> =
        serde_json::from_str(include_str!("../testdata/quantiles.json")).unwrap();
    assert!(rows.len() >= 12);
    for row in rows {
        let policy = policy(row.recipe, 32);
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let mut values: Vec<f64> = (0..DRAWS)
            .map(|_| {
                let crop = policy.sample(&mut random, row.width, row.height).crop;
                f64::from(match row.quantity.as_str() {
                    "x" => crop.x,
                    "y" => crop.y,
                    "width" => crop.width,
                    "height" => crop.height,
                    other => panic!("quantity `{other}`"),
                })
            })
            .collect();
        values.sort_by(f64::total_cmp);
        for (part, expected) in [0.1, 0.25, 0.5, 0.75, 0.9].into_iter().zip(row.quantiles) {
            let got = quantile(&values, part);
            let allowed = 1.0 + 0.005 * f64::from(row.width.max(row.height));
            assert!(
                (got - expected).abs() <= allowed,
                "{:?} of {} × {}, {}, quantile {part}: got {got}, expected {expected}",
                row.recipe,
                row.width,
                row.height,
                row.quantity
            );
        }
    }
}

#[test]
fn operations_happen_as_often_and_as_strongly_as_they_should() {
    let policy = policy(RecipeName::Mocov2, 32);
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let names = [
        ("brightness", 0.8, 1.0, 0.8 / 12f64.sqrt()),
        ("contrast", 0.8, 1.0, 0.8 / 12f64.sqrt()),
        ("saturation", 0.8, 1.0, 0.8 / 12f64.sqrt()),
        ("hue", 0.8, 0.0, 0.2 / 12f64.sqrt()),
        ("grayscale", 0.2, 1.0, 0.0),
        ("blur", 0.5, 1.05, 1.9 / 12f64.sqrt()),
        ("flip", 0.5, 1.0, 0.0),
    ];
    let draws = DRAWS;
    let mut amounts = vec![Vec::new(); names.len()];
    let mut first = [0; 4];
    for _ in 0..draws {
        let view = policy.sample(&mut random, 64, 48);
        for (place, operation) in view.operations.iter().enumerate() {
            let index = names.iter().position(|named| named.0 == operation.name());
            let index = index.unwrap();
            amounts[index].push(f64::from(operation.amount()));
            if place == 0 && index < 4 {
                first[index] += 1;
            }
        }
    }
    for ((name, probability, mean, deviation), amounts) in names.into_iter().zip(&amounts) {
        let count = amounts.len() as f64;
        let rate = count / draws as f64;
        assert!((rate - probability).abs() < 0.01, "{name}: {rate}");
        let got = amounts.iter().sum::<f64>() / count;
        assert!((got - mean).abs() < 0.02, "{name}: mean {got}");
        let variance = amounts.iter().map(|x| (x - got).powi(2)).sum::<f64>() / count;
        assert!(
            (variance.sqrt() - deviation).abs() < 0.01,
            "{name}: {variance}"
        );
    }
    for count in first {
        let part = f64::from(count) / (draws as f64 * 0.8);
        assert!((part - 0.25).abs() < 0.01, "first in order: {part}");
    }
}

#[test]
fn a_square_cut_out_first_lies_where_efficientnets_authors_cut_it() {
    let mut policy = Policy::new(RecipeName::Eval, Some(224), &Adjust::default()).unwrap();
    policy.crop = Crop::CentreFirst {
        ratio: 224.0 / 256.0,
    };
    // (width, height), then `int(224 / 256 * min)` and `(length - side + 1) // 2` by Python.
    let cases = [
        ((348, 464), [22, 80, 304]),
        ((349, 348), [23, 22, 304]),
        ((256, 256), [16, 16, 224]),
        ((1, 5), [0, 2, 1]),
    ];
    for ((width, height), [x, y, side]) in cases {
        let view = policy.sample(&mut ChaCha8Rng::seed_from_u64(0), width, height);
        let expected = CropBox {
            x,
            y,
            width: side,
            height: side,
        };
        assert_eq!(view.crop, expected, "{width} × {height}");
        assert_eq!((view.resize, view.window), ([224, 224], [0, 0]));
        assert_eq!(view.check(width, height), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_sampled_view_lies_within_its_image(
        (width, height) in prop_oneof![
            (1u32..80, 1u32..80),
            (1u32..3, 1u32..100_000),
            (1u32..100_000, 1u32..3),
            (1u32..=u32::MAX, 1u32..=u32::MAX),
        ],
        size in 1u32..300,
        name in prop_oneof![
            Just(RecipeName::Mocov2), Just(RecipeName::SwavSmall), Just(RecipeName::Mocov1),
            Just(RecipeName::Eval), Just(RecipeName::Custom),
        ],
        aspect in prop::option::of((0.01f64..10.0, 1.0f64..10.0)),
        seed in any::<u64>(),
    ) {
        let adjust = Adjust {
            crop_aspect: aspect
                .filter(|_| name != RecipeName::Eval)
                .map(|(least, times)| [least, least * times]),
            ..Adjust::default()
        };
        let policy = Policy::new(name, Some(size), &adjust).unwrap();
        let view = policy.sample(&mut ChaCha8Rng::seed_from_u64(seed), width, height);
        prop_assert_eq!(view.check(width, height), Ok(()));
    }
}
