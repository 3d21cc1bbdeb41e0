//! A folder with everything odd in it: `init`, `run`, `embed` and `predict` take the same files and
//! pass over the same ones, and no file ends them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::sandbox::{REPOSITORY, Sandbox};

const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: odd, max_bad_fraction: 0.5}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  tuned:
    kind: finetune
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, test_split: train, training: {epochs: 1, batch: 16, threads: 1}}
";

/// Images that are fine, by class, as copies of a sample: the name and the sample.
const FINE: [(&str, &str); 31] = [
    ("cat/gray.png", "gray.png"),
    ("cat/gray and alpha.png", "gray_alpha_16.png"),
    ("cat/16 bits.png", "rgb_16.png"),
    ("cat/palette.png", "palette_transparent.png"),
    ("cat/progressive.jpg", "progressive.jpg"),
    ("cat/CAPITALS.JPG", "rgb.jpg"),
    ("cat/of windows.jfif", "gray.jpg"),
    ("cat/of print.jpeg", "cmyk.jpg"),
    ("cat/turned.jpg", "orientation_6.jpg"),
    ("cat/turned.png", "orientation_5.png"),
    ("cat/of a phone.jpg", "scan_header.jpg"),
    ("cat/rows from below.bmp", "rgb.bmp"),
    ("cat/lossy.webp", "lossy.webp"),
    ("cat/moves.gif", "animated.gif"),
    ("cat/moves.webp", "animated.webp"),
    ("cat/scan.tif", "rgb_16_big.tif"),
    ("cat/SCAN.TIFF", "cmyk.tif"),
    ("cat/is a jpeg.png", "rgb.jpg"),
    ("cat/is a png.jpg", "rgb.png"),
    ("cat/deep/below/a.png", "gray_4.png"),
    ("cat/folder.png/b.png", "gray_2.png"),
    ("cat/two\nlines.png", "gray_1.png"),
    ("cat/\u{1b}[31mred\u{1b}[0m.png", "rgba.png"),
    ("cat/\u{202e}gnp.fdp.png", "rgba_16.png"),
    ("cat/\"quoted\", 'twice'; `here`.png", "rgb_key.png"),
    ("cat/-rf.png", "gray_key.png"),
    ("cat/*?[a].png", "gray_16.png"),
    ("cat/\u{1f408}.png", "raw_profile.png"),
    ("dog/a.png", "rgb.png"),
    ("train/express.jpg", "restarts.jpg"),
    ("01/a.png", "xmp.png"),
];

/// What is named like an image and is none: the name, and how the file begins.
const BAD: [(&str, &[u8]); 9] = [
    ("cat/empty.png", b""),
    ("cat/note.jpg", b"not an image, but a note\n"),
    ("cat/page.jpeg", b"<!DOCTYPE html><title>404</title>"),
    (
        "cat/pointer.png",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    ),
    ("cat/zip.webp", b"PK\x03\x04 and so on"),
    ("cat/phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
    ("cat/noise.gif", b"GIF89a\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("cat/noise.tif", b"II*\0\xff\xff\xff\xff"),
    (
        "cat/noise.bmp",
        b"BM\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff",
    ),
];

/// What nobody means by the images of a folder.
const BESIDE: [&str; 12] = [
    "notes.txt",
    "labels.csv",
    "cat/annotations.json",
    "cat/Thumbs.db",
    "cat/.DS_Store",
    "cat/._gray.png",
    "cat/.hidden.jpg",
    ".trash/old.png",
    "cat/photo.heic",
    "cat/photo.ppm",
    "cat/no ending",
    "cat/gray.png.part",
];

fn sample(name: &str) -> Vec<u8> {
    fs_err::read(format!("{REPOSITORY}/src/imaging/testdata/images/{name}")).unwrap()
}

/// Makes the folder; gives the names of the images that are fine and of those that can't be read.
fn odd_folder(sandbox: &Sandbox) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
    let mut fine: BTreeSet<PathBuf> = BTreeSet::new();
    let mut bad: BTreeSet<PathBuf> = BTreeSet::new();
    let odd = sandbox.path("odd");
    let write = |name: &OsStr, content: &[u8]| {
        let path = odd.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    };
    for (name, from) in FINE {
        write(OsStr::new(name), &sample(from));
        fine.insert(name.into());
    }
    for (name, content) in BAD {
        write(OsStr::new(name), content);
        bad.insert(name.into());
    }
    for name in BESIDE {
        write(OsStr::new(name), &sample("rgb.png"));
    }
    let long = format!("cat/{}.png", "l".repeat(251));
    write(OsStr::new(&long), &sample("xmp_packed.png"));
    fine.insert(long.into());
    // Names in Latin-1, and one name composed and decomposed.
    for name in [b"p\xe2t\xe9/a.png".as_slice(), b"p\xe2t\xe8/a.png"] {
        write(OsStr::from_bytes(name), &sample("gray_16.png"));
        fine.insert(OsStr::from_bytes(name).into());
    }
    for name in ["caf\u{e9}/a.png", "cafe\u{301}/b.png"] {
        write(OsStr::new(name), &sample("ycc_1.jpg"));
        fine.insert(name.into());
    }
    let whole = sample("photo.jpg");
    write(OsStr::new("cat/half.jpg"), &whole[..whole.len() / 2]);
    bad.insert("cat/half.jpg".into());
    let refused = fs_err::read(format!(
        "{REPOSITORY}/src/imaging/testdata/refused/frame_larger_than_said.webp"
    ));
    write(OsStr::new("cat/frame.webp"), &refused.unwrap());
    bad.insert("cat/frame.webp".into());
    // A link to an image, a second name of one, a folder elsewhere, a loop, links that lead nowhere.
    symlink("gray.png", odd.join("cat/linked.png")).unwrap();
    fs_err::hard_link(odd.join("dog/a.png"), odd.join("dog/second name.png")).unwrap();
    sandbox.write("elsewhere/there.png", sample("rgba.png"));
    symlink("../elsewhere", odd.join("owl")).unwrap();
    for name in ["cat/linked.png", "dog/second name.png", "owl/there.png"] {
        fine.insert(name.into());
    }
    symlink("..", odd.join("cat/up")).unwrap();
    symlink("/nowhere/notes", odd.join("cat/notes")).unwrap();
    symlink("/nowhere/lost.png", odd.join("cat/lost.png")).unwrap();
    bad.insert("cat/lost.png".into());
    // Nothing that waits for a writer is opened.
    for name in ["cat/control", "cat/pipe.png"] {
        mknodat(
            CWD,
            odd.join(name),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
    }
    bad.insert("cat/pipe.png".into());
    drop(UnixListener::bind(odd.join("cat/socket.jpg")).unwrap());
    bad.insert("cat/socket.jpg".into());
    (fine, bad)
}

/// The names of a column of an output of `images`.
fn sources(sandbox: &Sandbox, output: &str) -> BTreeSet<String> {
    let shown = sandbox
        .run(&["show", &format!("images.{output}"), "-n", "1000", "--json"])
        .succeeded()
        .json();
    let rows = shown["outputs"][output]["first"].as_array().unwrap();
    rows.iter()
        .map(|row| row["source"].as_str().unwrap().to_owned())
        .collect()
}

/// As messages and artifacts write them: bytes that are no text as `\xe9`.
fn names(paths: &BTreeSet<PathBuf>, below: &str) -> BTreeSet<String> {
    let name = |path: &PathBuf| {
        let path = Path::new(below).join(path);
        let mut text = String::new();
        for chunk in path.as_os_str().as_bytes().utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        }
        text
    };
    paths.iter().map(name).collect()
}

#[test]
fn a_folder_with_everything_odd_in_it() {
    let sandbox = Sandbox::with(PIPELINE);
    let (fine, bad) = odd_folder(&sandbox);

    let began = sandbox
        .run(&["init", "--from", "odd", "--pipeline", "made.yaml"])
        .succeeded();
    let found = format!("found {} images", fine.len());
    assert!(began.stdout.contains(&found), "{}", began.stdout);

    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_eq!(sources(&sandbox, "images"), names(&fine, ""));
    assert_eq!(sources(&sandbox, "rejected"), names(&bad, ""));
    let again = sandbox.run_json(&[]);
    assert!(again.iter().all(|line| line["outcome"] == "cached"));

    for command in ["embed", "predict"] {
        let finished = sandbox.run(&[command, "tuned", "odd"]);
        let taken = finished.json_lines();
        let taken: BTreeSet<String> = taken
            .iter()
            .filter(|line| line["error"] == Value::Null)
            .map(|line| line["image"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(taken, names(&fine, "odd"), "{command}: {}", finished.stderr);
        for control in ['\u{1b}', '\u{202e}'] {
            assert!(!finished.stderr.contains(control), "{}", finished.stderr);
        }
    }
}
