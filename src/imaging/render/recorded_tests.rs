//! Bits that every processor must give: digests of what decoding, drawing and rendering give, kept
//! in testdata/digests.txt.
//!
//! The values themselves are held against Pillow and torchvision elsewhere; here two processors are
//! compared, one of which wrote the file. After a meant change (which takes a new
//! `RENDERING_VERSION`) it is written again by
//! `SEEDPIPE_RECORD_PIXELS=1 cargo test -p seedpipe-imaging recorded`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::augment::named::NAMES;
use crate::{
    Adjust, Decode, Decoded, Filter, Layout, Limits, Normalise, Operation, Policy, RecipeName,
    RgbImage, Scratch, View, decode, decode_for, render,
};

/// ImageNet's.
pub(crate) const NORMALISE: Normalise = Normalise {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
};

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata")).join(name)
}

/// FNV-1a of 64 bits.
struct Digest(u64);

impl Digest {
    fn new() -> Digest {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

/// By what it is of.
type Digests = BTreeMap<String, String>;

/// All images of testdata, whole.
fn add_decoded(digests: &mut Digests) {
    for folder in ["images", "regions"] {
        let entries = fs_err::read_dir(path(folder)).unwrap();
        for file in entries.map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let image = decode(&fs_err::read(&file).unwrap(), &Limits::default()).unwrap();
            let mut digest = Digest::new();
            digest.add(&image.pixels);
            digests.insert(format!("decoded/{folder}/{name}"), digest.text());
        }
    }
}

fn policy(name: &str, size: u32, filter: Filter) -> Policy {
    let adjust = Adjust {
        filter: Some(filter),
        ..Adjust::default()
    };
    let name: RecipeName = serde_json::from_value(serde_json::json!(name)).unwrap();
    Policy::new(name, Some(size), &adjust).unwrap()
}

/// Boxes, factors and sigmas of views of images of several shapes.
fn add_drawn(digests: &mut Digests) {
    for name in NAMES {
        for (width, height) in [(32, 32), (4000, 3000), (7, 300)] {
            let policy = policy(name, 64, Filter::Bilinear);
            let mut random = ChaCha8Rng::seed_from_u64(1);
            let mut digest = Digest::new();
            for _ in 0..500 {
                let view = policy.sample(&mut random, width, height);
                let crop = view.crop;
                for number in [crop.x, crop.y, crop.width, crop.height] {
                    digest.add(&number.to_le_bytes());
                }
                for operation in &view.operations {
                    digest.add(operation.name().as_bytes());
                    digest.add(&operation.amount().to_bits().to_le_bytes());
                }
            }
            digests.insert(format!("drawn/{name}/{width}x{height}"), digest.text());
        }
    }
}

/// Views of noise, which has every colour, by every filter; also of a part of a JPEG file at the
/// scale that suffices.
fn add_rendered(digests: &mut Digests) {
    let mut noise = vec![0; 3 * 300 * 200];
    ChaCha8Rng::seed_from_u64(2).fill_bytes(&mut noise);
    let noise = RgbImage::new(300, 200, noise);
    let jpeg = fs_err::read(path("regions/420.jpg")).unwrap();
    let whole = decode(&jpeg, &Limits::default()).unwrap();
    let mut scratch = Scratch::default();
    let mut decoded = Decoded::default();
    for filter in Filter::ALL {
        for name in NAMES {
            let mut random = ChaCha8Rng::seed_from_u64(3);
            let (mut of_noise, mut of_jpeg) = (Digest::new(), Digest::new());
            for index in 0..8 {
                let layout = [Layout::Chw, Layout::Hwc][index % 2];
                let mut add = |image: crate::Pixels, view: &View, digest: &mut Digest| {
                    let mut out = vec![f32::NAN; 3 * (view.size * view.size) as usize];
                    let normalise = (index % 3 == 0).then_some(&NORMALISE);
                    render(image, view, &mut scratch, &mut out, layout, normalise).unwrap();
                    for value in &out {
                        digest.add(&value.to_bits().to_le_bytes());
                    }
                };
                let size = [37, 64, 113][index % 3];
                let mut view = policy(name, size, filter).sample(&mut random, 300, 200);
                if index == 7 {
                    // All operations, whatever was drawn.
                    view.operations = [
                        Operation::Brightness(1.3),
                        Operation::Contrast(0.7),
                        Operation::Hue(0.31),
                        Operation::Saturation(1.6),
                        Operation::Blur(1.7),
                        Operation::Flip,
                    ]
                    .to_vec();
                }
                add((&noise).into(), &view, &mut of_noise);
                let small = policy(name, 9, filter);
                let view = small.sample(&mut random, whole.width, whole.height);
                let views = std::slice::from_ref(&view);
                let limits = Limits::default();
                decode_for(&jpeg, &limits, views, Decode::Fast, &mut decoded).unwrap();
                add((&decoded).into(), &view, &mut of_jpeg);
            }
            let key = |what: &str| format!("rendered/{what}/{}/{name}", filter.name());
            digests.insert(key("noise"), of_noise.text());
            digests.insert(key("jpeg"), of_jpeg.text());
        }
    }
}

#[test]
fn pixels_have_the_recorded_bits_on_every_processor() {
    const HEADER: &str =
        "# Digests of decoded pixels, drawn views and rendered values; see recorded_tests.rs.\n";
    let mut digests = Digests::new();
    add_decoded(&mut digests);
    add_drawn(&mut digests);
    add_rendered(&mut digests);
    let mut text = HEADER.to_owned();
    for (name, digest) in &digests {
        writeln!(text, "{name} {digest}").unwrap();
    }
    let file = path("digests.txt");
    if std::env::var_os("SEEDPIPE_RECORD_PIXELS").is_some() {
        fs_err::write(&file, &text).unwrap();
    }
    let recorded = fs_err::read_to_string(&file).unwrap();
    let others: Vec<&str> = text
        .lines()
        .filter(|line| !recorded.lines().any(|other| other == *line))
        .collect();
    assert!(
        others.is_empty() && text == recorded,
        "{} of {} differ from {}, of {} lines:\n{}",
        others.len(),
        digests.len(),
        file.display(),
        recorded.lines().count(),
        others.join("\n")
    );
    println!("{} digests are equal", digests.len());
}
