use std::path::PathBuf;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::decode;
use crate::decode::jpeg_region::decode_region;
use crate::{Adjust, Filter, Layout, Policy, RecipeName, Scratch, render};

/// Files of testdata/regions, made by testdata/regions.py.
const KINDS: [&str; 17] = [
    "444",
    "422",
    "420",
    "440",
    "411",
    "420_restarts",
    "420_progressive",
    "444_progressive",
    "gray",
    "cmyk",
    "orientation_2",
    "orientation_3",
    "orientation_4",
    "orientation_5",
    "orientation_6",
    "orientation_7",
    "orientation_8",
];

fn file(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/regions"));
    fs_err::read(folder.join(format!("{name}.jpg"))).unwrap()
}

fn whole(bytes: &[u8]) -> RgbImage {
    decode(bytes, &Limits::default()).unwrap()
}

fn decoded_for(bytes: &[u8], views: &[View], quality: Decode) -> Decoded {
    let mut decoded = Decoded::default();
    decode_for(bytes, &Limits::default(), views, quality, &mut decoded).unwrap();
    decoded
}

fn rendered<'pixels>(image: impl Into<Pixels<'pixels>>, view: &View) -> Vec<f32> {
    let mut out = vec![f32::NAN; 3 * (view.size * view.size) as usize];
    let scratch = &mut Scratch::default();
    render(image, view, scratch, &mut out, Layout::Chw, None).unwrap();
    out
}

#[test]
fn a_region_has_the_pixels_of_the_whole_wherever_it_lies() {
    for name in KINDS {
        let bytes = file(name);
        let header = stored(&bytes, Format::Jpeg, &Limits::default()).unwrap();
        let size = [header.width, header.height];
        for step in [1, 2, 4, 8] {
            let [width, height] = size.map(|side| side.div_ceil(step));
            let mut all = Vec::new();
            let everything = CropBox {
                x: 0,
                y: 0,
                width,
                height,
            };
            decode_region(&bytes, size, step, everything, &mut all).unwrap();
            let mut pixels = Vec::new();
            let mut check = |x: u32, y: u32, right: u32, bottom: u32| {
                let region = CropBox {
                    x,
                    y,
                    width: right - x,
                    height: bottom - y,
                };
                decode_region(&bytes, size, step, region, &mut pixels).unwrap();
                for row in 0..region.height {
                    let length = region.width as usize * 3;
                    let from = ((y + row) * width + x) as usize * 3;
                    assert!(
                        pixels[row as usize * length..][..length] == all[from..][..length],
                        "{name} at 1/{step}: row {row} of {region:?}"
                    );
                }
            };
            for x in 0..width {
                check(x, height / 3, (x + 5).min(width), height / 2 + 1);
                check(width / 3, 0, (width / 3 + 1 + x).min(width), 2.min(height));
            }
            for y in 0..height {
                check(width / 3, y, width / 2 + 1, (y + 3).min(height));
                check(0, y, width, y + 1);
                check(
                    width - 1,
                    height / 3,
                    width,
                    (height / 3 + 1 + y).min(height),
                );
            }
        }
    }
}

#[test]
fn views_of_an_exact_part_are_views_of_the_whole() {
    let filters = [
        Filter::Bilinear,
        Filter::PillowBicubic,
        Filter::PillowBilinear,
    ];
    for name in KINDS {
        let bytes = file(name);
        let image = whole(&bytes);
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for round in 0..40u32 {
            let adjust = Adjust {
                filter: Some(filters[round as usize % 3]),
                crop_area: Some([0.01, 1.0]),
                ..Adjust::default()
            };
            let recipe = [RecipeName::Mocov2, RecipeName::Eval][(round % 5 / 4) as usize];
            let adjust = if recipe == RecipeName::Eval {
                Adjust {
                    crop_area: None,
                    ..adjust
                }
            } else {
                adjust
            };
            let policy = Policy::new(recipe, Some(8 + round), &adjust).unwrap();
            let views: Vec<View> = (0..1 + round % 3)
                .map(|_| policy.sample(&mut random, image.width, image.height))
                .collect();
            let decoded = decoded_for(&bytes, &views, Decode::Exact);
            for view in &views {
                assert!(
                    rendered(&decoded, view) == rendered(&image, view),
                    "{name}: {view:?}"
                );
            }
        }
    }
}

#[test]
fn less_is_decoded_than_the_whole_where_views_reach_less() {
    let view = View {
        crop: CropBox {
            x: 20,
            y: 20,
            width: 16,
            height: 10,
        },
        ..View::identity(8)
    };
    let decoded = decoded_for(&file("420"), std::slice::from_ref(&view), Decode::Exact);
    assert_eq!([decoded.part.width, decoded.part.height], [16, 10]);
    assert_eq!(decoded.corner, [20, 20]);
    let beside = View {
        crop: CropBox { x: 19, ..view.crop },
        ..view
    };
    let error = render(
        &decoded,
        &beside,
        &mut Scratch::default(),
        &mut [0.0; 192],
        Layout::Chw,
        None,
    );
    let message = error.unwrap_err().to_string();
    assert!(
        message.ends_with("expected one of the views that the image was decoded for"),
        "{message}"
    );
}

/// A view of the whole image but for an edge, resized to `size`.
fn nearly_all(image: &RgbImage, size: u32, filter: Filter) -> View {
    View {
        crop: CropBox {
            x: 3,
            y: 2,
            width: image.width - 4,
            height: image.height - 5,
        },
        resize: [size, size],
        filter,
        ..View::identity(size)
    }
}

#[test]
fn fast_views_are_near_to_exact_ones_in_every_orientation() {
    for name in KINDS {
        let bytes = file(name);
        let image = whole(&bytes);
        for (size, step) in [(28, 2), (26, 2), (13, 4), (6, 8)] {
            for filter in [Filter::Bilinear, Filter::PillowBicubic] {
                let view = nearly_all(&image, size, filter);
                let decoded = decoded_for(&bytes, std::slice::from_ref(&view), Decode::Fast);
                assert_eq!(decoded.step, step, "{name} to {size}");
                let pairs = rendered(&decoded, &view)
                    .into_iter()
                    .zip(rendered(&image, &view));
                let errors: Vec<f32> = pairs.map(|(fast, exact)| (fast - exact).abs()).collect();
                let mean = errors.iter().sum::<f32>() / errors.len() as f32;
                println!("{name} to {size} {filter}: {mean}");
                // The image is noisy, and its chroma at 1/4 has few samples left.
                let bound = if step == 2 { 0.02 } else { 0.08 };
                assert!(mean < bound, "{name} to {size}, {filter}: {mean}");
            }
        }
    }
}

#[test]
fn the_scale_is_the_greatest_that_suffices_all_views() {
    let of = |width: u32, height: u32, size: u32| View {
        crop: CropBox {
            x: 0,
            y: 0,
            width,
            height,
        },
        ..View::identity(size)
    };
    for (views, step) in [
        (vec![of(1792, 1792, 224)], 8),
        (vec![of(1792, 1791, 224)], 4),
        (vec![of(1792, 1792, 224), of(500, 448, 224)], 2),
        (vec![of(4000, 4000, 224), of(100, 100, 224)], 1),
        (Vec::new(), 1),
    ] {
        assert_eq!(Decode::Fast.step(&views), step);
        assert_eq!(Decode::Exact.step(&views), 1);
    }
}

#[test]
fn a_view_that_does_not_fit_leaves_the_others() {
    let bytes = file("420");
    let image = whole(&bytes);
    let good = nearly_all(&image, 8, Filter::Bilinear);
    let bad = View::identity(500);
    let decoded = decoded_for(&bytes, &[bad.clone(), good.clone()], Decode::Exact);
    assert_eq!(rendered(&decoded, &good), rendered(&image, &good));
    let scratch = &mut Scratch::default();
    let mut out = vec![0.0; 3 * 500 * 500];
    assert!(render(&decoded, &bad, scratch, &mut out, Layout::Chw, None).is_err());
    decoded_for(&bytes, &[bad], Decode::Fast);
}

#[test]
fn damage_where_a_view_looks_is_an_error() {
    let bytes = file("420");
    let image = whole(&bytes);
    let view = nearly_all(&image, 8, Filter::Bilinear);
    let mut refused = 0;
    for place in (bytes.len() / 2)..(bytes.len() * 3 / 4) {
        let mut damaged = bytes.clone();
        damaged[place..place + 8].copy_from_slice(b"\xff\xd3\xff\xd3\xff\xd3\xff\xd3");
        let mut decoded = Decoded::default();
        let views = std::slice::from_ref(&view);
        let limits = Limits::default();
        let result = decode_for(&damaged, &limits, views, Decode::Exact, &mut decoded);
        refused += usize::from(matches!(result, Err(DecodeError::Damaged { .. })));
        assert!(result.is_err() == decode(&damaged, &limits).is_err());
    }
    assert!(refused > 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Damaged files are parts of images or errors, never a panic.
    #[test]
    fn damaged_files_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        size in 1u32..40,
        fast in any::<bool>(),
    ) {
        let mut bytes = file(KINDS[which.index(KINDS.len())]);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let limits = Limits { pixels: 1_000_000 };
        let Ok(header) = crate::inspect(&bytes, &limits) else {
            return Ok(());
        };
        let view = View::centre_square(header.width, header.height, size);
        let quality = if fast { Decode::Fast } else { Decode::Exact };
        let mut decoded = Decoded::default();
        let views = std::slice::from_ref(&view);
        if decode_for(&bytes, &limits, views, quality, &mut decoded).is_ok() {
            rendered(&decoded, &view);
        }
    }
}
