//! How fast images are decoded and views rendered, on one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_imaging::{
    Adjust, Filter, Layout, Limits, Normalise, Policy, RecipeName, RgbImage, Scratch, View, decode,
    render,
};

const NORMALISE: Normalise = Normalise {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

/// Smooth colours with a little structure, as photographs have.
fn picture(width: u32, height: u32) -> RgbImage {
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let wave = ((x * x + 3 * y * y) / 97) % 64;
            pixels.extend([x % 256, y % 256, (x + y) % 192 + wave].map(|value| value as u8));
        }
    }
    RgbImage::new(width, height, pixels)
}

fn render_views(criterion: &mut Criterion) {
    let without_blur = Adjust {
        blur_probability: Some(0.0),
        ..Adjust::default()
    };
    let of_filter = |filter| Adjust {
        filter: Some(filter),
        ..Adjust::default()
    };
    let cases = [
        (
            "32_px_mocov2_without_blur",
            32,
            32,
            32,
            RecipeName::Mocov2,
            without_blur,
        ),
        (
            "32_px_mocov2",
            32,
            32,
            32,
            RecipeName::Mocov2,
            Adjust::default(),
        ),
        (
            "224_px_mocov2",
            474,
            392,
            224,
            RecipeName::Mocov2,
            Adjust::default(),
        ),
        (
            "224_px_eval",
            474,
            392,
            224,
            RecipeName::Eval,
            Adjust::default(),
        ),
        (
            "224_px_eval_pillow",
            474,
            392,
            224,
            RecipeName::Eval,
            of_filter(Filter::PillowBilinear),
        ),
        (
            "224_px_eval_bicubic",
            474,
            392,
            224,
            RecipeName::Eval,
            of_filter(Filter::Bicubic),
        ),
        (
            "224_px_eval_pillow_bicubic",
            474,
            392,
            224,
            RecipeName::Eval,
            of_filter(Filter::PillowBicubic),
        ),
    ];
    let mut group = criterion.benchmark_group("render");
    for (name, width, height, size, recipe, adjust) in cases {
        let image = picture(width, height);
        let policy = Policy::new(recipe, Some(size), &adjust).expect("a possible recipe");
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let views: Vec<View> = (0..256)
            .map(|_| policy.sample(&mut random, width, height))
            .collect();
        let mut scratch = Scratch::default();
        let mut out = vec![0.0; (3 * size * size) as usize];
        group.throughput(Throughput::Elements(1));
        let mut next = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let view = &views[next % views.len()];
                next += 1;
                let normalise = Some(&NORMALISE);
                render(
                    &image,
                    view,
                    &mut scratch,
                    black_box(&mut out),
                    Layout::Chw,
                    normalise,
                )
            });
        });
    }
    group.finish();
}

fn decode_images(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for name in ["photo.jpg", "rgb_16.png", "lossy.webp"] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/images/");
        let bytes = fs_err::read(format!("{folder}{name}")).expect("a committed image");
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| decode(black_box(&bytes), &Limits::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, render_views, decode_images);
criterion_main!(benches);
