//! Decoding against Pillow's pixels, and bytes that are no image.

use std::path::PathBuf;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Deserialize;

use crate::{DecodeError, Format, Limits, check, decode, inspect};

/// A row of testdata/images.json: a file of testdata/images and its upright pixels, made by testdata/images.py.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    width: u32,
    height: u32,
    /// How far a sample may be from Pillow's; 0 for lossless formats.
    tolerance: u8,
    /// Rows of RGB in hexadecimal.
    rgb: String,
}

impl Case {
    fn pixels(&self) -> Vec<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        let pairs = self.rgb.as_bytes().chunks_exact(2);
        pairs
            .map(|pair| digit(pair[0]) * 16 + digit(pair[1]))
            .collect()
    }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../testdata/images.json")).unwrap();
    assert!(cases.len() > 50);
    cases
}

fn bytes(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/images"));
    fs_err::read(folder.join(name)).unwrap()
}

#[test]
fn every_kind_of_file_has_the_pixels_that_pillow_sees() {
    let mut wrong = Vec::new();
    for case in cases() {
        let bytes = bytes(&case.name);
        let image = match decode(&bytes, &Limits::default()) {
            Ok(image) => image,
            Err(error) => {
                wrong.push(format!("{}: {error}", case.name));
                continue;
            }
        };
        let header = inspect(&bytes, &Limits::default()).unwrap();
        let size = (case.width, case.height);
        if (image.width, image.height) != size || (header.width, header.height) != size {
            wrong.push(format!("{}: {} × {}", case.name, image.width, image.height));
            continue;
        }
        let expected = case.pixels();
        let pairs = image.pixels.iter().zip(&expected);
        let worst = pairs
            .map(|(got, expected)| got.abs_diff(*expected))
            .max()
            .unwrap();
        println!("{}: at most {worst} of {}", case.name, case.tolerance);
        if worst > case.tolerance {
            wrong.push(format!("{}: {worst} levels off", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_ends() {
    // The first frame of the animated one lies in its first half.
    for case in cases().iter().filter(|case| case.name != "animated.gif") {
        let bytes = bytes(&case.name);
        // The last bytes of some formats carry no pixels: a trailer, padding or metadata.
        let whole = bytes.len() * 8 / 10;
        for end in (0..whole).step_by(1 + whole / 97) {
            let result = decode(&bytes[..end], &Limits::default());
            assert!(
                result.is_err(),
                "{} cut at {end} of {}",
                case.name,
                bytes.len()
            );
        }
    }
}

#[test]
fn checking_finds_what_decoding_finds() {
    let limits = Limits::default();
    let same = |name: &str, bytes: &[u8]| {
        let (checked, decoded) = (check(bytes, &limits), decode(bytes, &limits));
        assert_eq!(
            checked.as_ref().err().map(ToString::to_string),
            decoded.err().map(|error| error.to_string()),
            "{name}"
        );
        checked.is_ok()
    };
    let mut refused = 0;
    for case in cases() {
        let whole = bytes(&case.name);
        assert!(same(&case.name, &whole));
        assert_eq!(check(&whole, &limits), inspect(&whole, &limits));
        for place in (0..whole.len()).step_by(1 + whole.len() / 150) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x5a;
            refused += usize::from(!same(&format!("{} at {place}", case.name), &damaged));
            same(&format!("{} cut at {place}", case.name), &whole[..place]);
        }
    }
    assert!(refused > 100, "{refused} damaged files were refused");
}

#[test]
fn a_jpeg_without_its_end_is_truncated() {
    for name in [
        "ycc_2.jpg",
        "progressive.jpg",
        "restarts.jpg",
        "cmyk.jpg",
        "gray.jpg",
    ] {
        let bytes = bytes(name);
        for end in [bytes.len() / 2, bytes.len() - 2, bytes.len() - 1] {
            assert_eq!(
                decode(&bytes[..end], &Limits::default()),
                Err(DecodeError::Truncated {
                    format: Format::Jpeg
                }),
                "{name} cut at {end}"
            );
        }
        let followed: Vec<u8> = bytes.iter().copied().chain(*b"and more").collect();
        assert_eq!(
            decode(&followed, &Limits::default()),
            decode(&bytes, &Limits::default())
        );
    }
}

#[test]
fn text_is_told_from_images_by_its_content() {
    let error = decode(b"this is a text file named .jpg\n", &Limits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not an image: expected jpeg, png, webp, bmp or gif, got a file that begins with `this is a text f`"
    );
    let error = inspect(b"", &Limits::default()).unwrap_err();
    assert!(error.to_string().ends_with("got an empty file"));
    assert_eq!(Format::of(b"BMW 320i, as good as new"), None);
}

/// A PNG's header of that size, and nothing after it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0]);
    bytes
}

#[test]
fn an_image_of_60000_by_60000_is_refused_from_its_header() {
    let mut jpeg = bytes("gray.jpg");
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    let mut gif = bytes("palette.gif");
    gif[6..10].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
    let mut bmp = bytes("rgb.bmp");
    bmp[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
    for bytes in [png_header(60_000, 60_000), jpeg, gif, bmp] {
        for result in [
            inspect(&bytes, &Limits::default()).map(drop),
            decode(&bytes, &Limits::default()).map(drop),
        ] {
            assert_eq!(
                result.unwrap_err().to_string(),
                "image of 60000 × 60000 = 3600000000 pixels, expected at most 100000000; scale it down first"
            );
        }
    }
    let few = Limits { pixels: 34 };
    assert!(matches!(
        decode(&bytes("rgb.png"), &few),
        Err(DecodeError::TooLarge { .. })
    ));
}

#[test]
fn an_image_without_pixels_is_damaged() {
    let error = inspect(&png_header(0, 7), &Limits::default()).unwrap_err();
    assert!(matches!(error, DecodeError::Damaged { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Damaged files are images or errors, never a panic, and `inspect` never contradicts `decode`.
    #[test]
    fn damaged_files_never_panic(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let cases = cases();
        let mut bytes = bytes(&which.get(&cases).name);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let limits = Limits { pixels: 1_000_000 };
        if let Ok(image) = decode(&bytes, &limits) {
            let header = inspect(&bytes, &limits).unwrap();
            prop_assert_eq!((header.width, header.height), (image.width, image.height));
            prop_assert_eq!(image.pixels.len(), (image.width * image.height * 3) as usize);
        }
    }

    #[test]
    fn random_bytes_behind_any_magic_number_never_panic(
        magic in prop::sample::select(vec![
            &b"\xff\xd8\xff"[..],
            b"\xff\xd8\xff\xc0\0\x11\x08\0\x10\0\x10\x03\x01\x22\0\x02\x11\x01\x03\x11\x01",
            b"\x89PNG\r\n\x1a\n",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08\x08\x02\0\0\0",
            b"RIFF\x0c\0\0\0WEBPVP8 ",
            b"RIFF\x0c\0\0\0WEBPVP8L",
            b"RIFF\x0c\0\0\0WEBPVP8X",
            b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
            b"GIF89a\x08\0\x08\0",
        ]),
        length in 0usize..300,
        seed in any::<u64>(),
    ) {
        let mut bytes = magic.to_vec();
        let start = bytes.len();
        bytes.resize(start + length, 0);
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes[start..]);
        let limits = Limits { pixels: 1_000_000 };
        if let Ok(image) = decode(&bytes, &limits) {
            prop_assert!(image.width > 0 && image.height > 0);
        }
    }
}
