//! Decoding against Pillow's pixels, and bytes that are no image.

use std::path::PathBuf;

use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Deserialize;

use crate::decode::guarded;
use crate::{DecodeError, Format, Limits, check, decode, inspect};

/// A row of testdata/images.json: a file of testdata/images and its upright pixels, made by
/// testdata/images.py.
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
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata"));
    fs_err::read(folder.join("images").join(name))
        .unwrap_or_else(|_| fs_err::read(folder.join("refused").join(name)).unwrap())
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
    // The first frame of an animated one, or the first page, lies in its first half.
    let one = |case: &&Case| !["animated.gif", "pages.tif"].contains(&case.name.as_str());
    for case in cases().iter().filter(one) {
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
        "not an image: expected JPEG, PNG, WebP, BMP, GIF or TIFF, got a file that begins with `this is a text f`"
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
fn what_is_refused_is_told_in_figures() {
    for (name, expected) in [
        (
            "frame_larger_than_said.webp",
            "damaged webp: a frame of 32 × 32 pixels, expected 16 × 16",
        ),
        (
            "larger_than_canvas.webp",
            "damaged webp: a frame of 32 × 32 pixels, expected 16 × 16",
        ),
        (
            "no_rows.gif",
            "damaged gif: a frame of 7 × 0 pixels, expected at least 1 × 1",
        ),
        (
            "no_columns.gif",
            "damaged gif: a frame of 0 × 5 pixels, expected at least 1 × 1",
        ),
        (
            "float.tif",
            "tiff of a kind that cannot be read: floating-point numbers, whose white nobody knows; save it with 8 or 16 bits",
        ),
        (
            "samples.tif",
            "tiff of a kind that cannot be read: 60 samples a pixel, expected at most 6",
        ),
        (
            "long_text.tif",
            "damaged tiff: a text of 4294967295 bytes beyond its end",
        ),
        (
            "big.tif",
            "tiff of a kind that cannot be read: BigTIFF, expected TIFF",
        ),
        (
            "wide_tile.tif",
            "tiff of a kind that cannot be read: tiles of 1342177280 pixels in all for 7 × 5, expected at most 200000000",
        ),
    ] {
        let error = check(&bytes(name), &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{name}");
    }
}

/// `progressive.jpg` with its first scan that many times more.
fn with_scans(more: usize) -> Vec<u8> {
    let whole = bytes("progressive.jpg");
    let start = memchr::memmem::find(&whole, b"\xff\xda").unwrap();
    let length = memchr::memmem::find(&whole[start..], b"\xff\xc4").unwrap();
    let (before, scans) = whole.split_at(start);
    [before, &scans[..length].repeat(more), scans].concat()
}

#[test]
fn a_jpeg_has_no_more_scans_than_its_pixels_allow() {
    let size = 37 * 29;
    let scans = with_scans(0)
        .windows(2)
        .filter(|pair| pair == b"\xff\xda")
        .count();
    let said = |bytes: &[u8], pixels: u64| {
        check(bytes, &Limits { pixels }).map_err(|error| error.to_string())
    };
    assert!(said(&with_scans(32 - scans), size).is_ok());
    assert_eq!(
        said(&with_scans(33 - scans), size).unwrap_err(),
        "jpeg of a kind that cannot be read: 33 scans of 37 × 29 pixels, expected at most 32; save it again with fewer"
    );
    assert!(said(&with_scans(33 - scans), 2 * size).is_ok());
    assert!(said(&with_scans(500 - scans), u64::MAX).is_ok());
    let most = said(&with_scans(501 - scans), u64::MAX).unwrap_err();
    assert!(
        most.contains("501 scans") && most.contains("at most 500"),
        "{most}"
    );
}

#[test]
fn a_png_may_have_profiles_and_text_that_unpack_to_anything() {
    let zeros = vec![0; 64 << 20];
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &zeros).unwrap();
    let packed = packed.finish().unwrap();
    let whole = bytes("rgb.png");
    let expected = decode(&whole, &Limits::default()).unwrap();
    let limits = Limits {
        pixels: 35, // so that less than the profile may be allocated
    };
    for (name, start) in [
        (b"iCCP", &b"x\0\0"[..]),
        (b"zTXt", b"Raw profile type exif\0\0"),
        (b"iTXt", b"XML:com.adobe.xmp\0\x01\0\0\0"),
    ] {
        let body = [name, start, &packed].concat();
        let mut bytes = whole[..33].to_vec();
        bytes.extend(u32::try_from(body.len() - 4).unwrap().to_be_bytes());
        bytes.extend(&body);
        bytes.extend(crc(&body).to_be_bytes());
        bytes.extend(&whole[33..]);
        assert_eq!(decode(&bytes, &limits).as_ref(), Ok(&expected));
    }
}

/// A PNG chunk's checksum.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn a_decoder_that_panics_has_met_a_damaged_file() {
    let outcome = guarded::<()>(&bytes("rgb.png"), |_| panic!("index out of bounds"));
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "damaged png: its decoder gave up: index out of bounds"
    );
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
            b"II*\0\x08\0\0\0",
            b"MM\0*\0\0\0\x08",
            b"II*\0\x08\0\0\0\x01\0\0\x01\x04\0",
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
