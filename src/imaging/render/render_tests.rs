//! What rendering promises beyond the golden values.

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::recorded_tests::NORMALISE;
use super::*;
use crate::{Adjust, CropBox, Filter, Operation, Policy, RecipeName, RgbImage};

fn noise(width: u32, height: u32, seed: u64) -> RgbImage {
    let mut pixels = vec![0; (width * height * 3) as usize];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut pixels);
    RgbImage::new(width, height, pixels)
}

fn rendered(
    image: &RgbImage,
    view: &View,
    layout: Layout,
    normalise: Option<&Normalise>,
) -> Vec<f32> {
    let mut out = vec![f32::NAN; 3 * (view.size * view.size) as usize];
    render(
        image,
        view,
        &mut Scratch::default(),
        &mut out,
        layout,
        normalise,
    )
    .unwrap();
    out
}

#[test]
fn the_identity_view_is_the_image_over_255() {
    let image = noise(17, 17, 1);
    for filter in Filter::ALL {
        let view = View {
            filter,
            ..View::identity(17)
        };
        let got = rendered(&image, &view, Layout::Hwc, None);
        for (value, sample) in got.iter().zip(&image.pixels) {
            assert!((value - f32::from(*sample) / 255.0).abs() < 1e-7);
        }
    }
}

#[test]
fn both_layouts_hold_the_same_values_and_flips_mirror_them() {
    let image = noise(40, 30, 2);
    let mut view = View {
        crop: CropBox {
            x: 3,
            y: 4,
            width: 30,
            height: 20,
        },
        ..View::identity(12)
    };
    for flips in 0..3 {
        view.operations = vec![Operation::Flip; flips];
        let planes = rendered(&image, &view, Layout::Chw, Some(&NORMALISE));
        let pixels = rendered(&image, &view, Layout::Hwc, Some(&NORMALISE));
        view.operations.clear();
        let plain = rendered(&image, &view, Layout::Chw, None);
        for channel in 0..3 {
            for y in 0..12 {
                for x in 0..12 {
                    let got = planes[channel * 144 + y * 12 + x];
                    assert_eq!(got, pixels[(y * 12 + x) * 3 + channel]);
                    let source = if flips % 2 == 1 { 11 - x } else { x };
                    let value = plain[channel * 144 + y * 12 + source];
                    let Normalise { mean, std } = NORMALISE;
                    assert!((got - (value - mean[channel]) / std[channel]).abs() < 1e-5);
                }
            }
        }
    }
}

#[test]
fn a_window_is_that_part_of_the_resized_whole() {
    let image = noise(61, 47, 3);
    for filter in Filter::ALL {
        let whole = View {
            crop: CropBox {
                x: 5,
                y: 2,
                width: 50,
                height: 40,
            },
            filter,
            ..View::identity(24)
        };
        let part = View {
            resize: [24, 24],
            window: [7, 10],
            size: 11,
            ..whole.clone()
        };
        let all = rendered(&image, &whole, Layout::Hwc, None);
        let cut = rendered(&image, &part, Layout::Hwc, None);
        for y in 0..11 {
            let row = &cut[y * 33..(y + 1) * 33];
            let start = ((y + 10) * 24 + 7) * 3;
            for (got, expected) in row.iter().zip(&all[start..start + 33]) {
                assert!((got - expected).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn a_reused_scratch_changes_nothing() {
    let policy = Policy::new(RecipeName::Mocov2, Some(40), &Adjust::default()).unwrap();
    let small = Policy::new(RecipeName::SwavSmall, Some(13), &Adjust::default()).unwrap();
    let image = noise(90, 70, 4);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut scratch = Scratch::default();
    for index in 0..40 {
        let policy = if index % 2 == 0 { &policy } else { &small };
        let view = policy.sample(&mut random, 90, 70);
        let fresh = rendered(&image, &view, Layout::Chw, None);
        let mut reused = vec![f32::NAN; fresh.len()];
        render(&image, &view, &mut scratch, &mut reused, Layout::Chw, None).unwrap();
        assert_eq!(fresh, reused);
    }
}

#[test]
fn all_instructions_give_the_same_bits() {
    for missing in Instructions::missing() {
        println!("not run: {missing}, which this processor lacks");
    }
    let policy = Policy::new(RecipeName::Mocov1, Some(50), &Adjust::default()).unwrap();
    let blurred = Adjust {
        blur_probability: Some(1.0),
        filter: Some(Filter::Bicubic),
        ..Adjust::default()
    };
    let blurred = Policy::new(RecipeName::Mocov2, Some(37), &blurred).unwrap();
    let image = noise(120, 80, 6);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut scratches: Vec<Scratch> = Instructions::available().map(Scratch::with).collect();
    for index in 0..80 {
        let policy = if index % 2 == 0 { &policy } else { &blurred };
        let view = View {
            filter: Filter::ALL[index / 2 % Filter::ALL.len()],
            ..policy.sample(&mut random, 120, 80)
        };
        for layout in [Layout::Chw, Layout::Hwc] {
            let mut rendered = scratches.iter_mut().map(|scratch| {
                let mut out = vec![f32::NAN; 3 * (view.size * view.size) as usize];
                let normalise = Some(&NORMALISE);
                render(&image, &view, scratch, &mut out, layout, normalise).unwrap();
                (scratch.instructions(), out)
            });
            let (_, portable) = rendered.next().unwrap();
            for (instructions, out) in rendered {
                assert!(out == portable, "{instructions}: {view:?}, {layout:?}");
            }
        }
    }
}

#[test]
fn a_view_that_does_not_fit_is_an_error() {
    let image = noise(8, 8, 8);
    let mut out = vec![0.0; 3 * 81];
    let result = render(
        &image,
        &View::identity(9),
        &mut Scratch::default(),
        &mut out,
        Layout::Chw,
        None,
    );
    assert_eq!(
        result.unwrap_err().to_string(),
        "crop of 9 × 9 at (0, 0), expected a box within the image's 8 × 8"
    );
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (0.0f32..3.0).prop_map(Operation::Brightness),
        (0.0f32..3.0).prop_map(Operation::Contrast),
        (0.0f32..3.0).prop_map(Operation::Saturation),
        (-0.5f32..=0.5).prop_map(Operation::Hue),
        Just(Operation::Grayscale),
        (0.01f32..5.0).prop_map(Operation::Blur),
        Just(Operation::Flip),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any view that passes the check is rendered to values of 0–1; any other is an error.
    #[test]
    fn any_view_is_rendered_within_the_unit_range_or_refused(
        (width, height) in (1u32..50, 1u32..50),
        (x, y) in (0u32..20, 0u32..20),
        (crop_width, crop_height) in (0u32..50, 0u32..50),
        (resized_width, resized_height) in (1u32..60, 1u32..60),
        window in (0u32..30, 0u32..30),
        size in 0u32..40,
        filter in prop::sample::select(Filter::ALL.to_vec()),
        operations in prop::collection::vec(any_operation(), 0..6),
        seed in any::<u64>(),
    ) {
        let image = noise(width, height, seed);
        let view = View {
            crop: CropBox { x, y, width: crop_width, height: crop_height },
            resize: [resized_width, resized_height],
            window: window.into(),
            size,
            filter,
            operations,
        };
        let mut out = vec![f32::NAN; 3 * (size * size) as usize];
        let fits = view.check(width, height);
        let result = render(&image, &view, &mut Scratch::default(), &mut out, Layout::Chw, None);
        prop_assert_eq!(&result, &fits);
        if result.is_ok() {
            prop_assert!(out.iter().all(|value| (0.0..=1.0).contains(value)));
        }
    }

    /// Very thin images and very small ones too.
    #[test]
    fn sampled_views_of_thin_images_are_rendered(
        long in 1u32..3000,
        short in 1u32..4,
        upright in any::<bool>(),
        eval in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (width, height) = if upright { (short, long) } else { (long, short) };
        let image = noise(width, height, seed);
        let name = if eval { RecipeName::Eval } else { RecipeName::Mocov2 };
        let policy = Policy::new(name, Some(16), &Adjust::default()).unwrap();
        let view = policy.sample(&mut ChaCha8Rng::seed_from_u64(seed), width, height);
        let mut out = vec![f32::NAN; 3 * 256];
        render(&image, &view, &mut Scratch::default(), &mut out, Layout::Hwc, None).unwrap();
        prop_assert!(out.iter().all(|value| (0.0..=1.0).contains(value)));
    }
}
