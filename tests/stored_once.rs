//! The bytes of an image are kept once in the cache, whatever stage asks for them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::sandbox::{Sandbox, contents};

/// Splits by a hash with two seeds, by folders, of some images, of a part of the folder, and from
/// Parquet.
const PIPELINE: &str = "\
stages:
  hashed:
    kind: ingest
    matrix: {seed: [0, 1]}
    params: {source: pictures, splits: none, hash_split: {test: 0.3}}
  folders: {kind: ingest, params: {source: pictures}}
  some:
    kind: ingest
    matrix: {seed: [0, 1, 2]}
    params: {source: pictures, take: {train: 20}}
  part: {kind: ingest, params: {source: pictures/train}}
  seen: {kind: augment, inputs: {images: \"some[seed=2]\"}, params: {recipe: mocov2, size: 16, views_per_image: 1}}
";

const PICTURES: u64 = 60;
/// Of a picture: 54 of header, 40 × 30 pixels of 3.
const BYTES: u64 = 54 + 3 * 40 * 30;

/// A BMP of noise of its own.
fn picture(number: u32) -> Vec<u8> {
    let (width, height) = (40u32, 30u32);
    let mut bytes = b"BM".to_vec();
    for field in [54 + 3 * width * height, 0, 54, 40, width, height] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    let mut state = u64::from(number) + 1;
    bytes.extend((0..3 * width * height).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    }));
    bytes
}

fn sandbox(pipeline: &str) -> Sandbox {
    let sandbox = Sandbox::with(pipeline);
    for number in 0..PICTURES as u32 {
        let split = if number % 4 == 3 { "test" } else { "train" };
        let class = ["bird", "fish"][number as usize % 2];
        let path = format!("pictures/{split}/{class}/{number:03}.bmp");
        sandbox.write(&path, picture(number));
    }
    sandbox.write("pictures/train/fish/copy.bmp", picture(0));
    sandbox
}

/// The images' files in the cache by where their bytes are: how long each is, and what it is called.
fn files(sandbox: &Sandbox) -> BTreeMap<u64, (u64, Vec<PathBuf>)> {
    let mut files: BTreeMap<u64, (u64, Vec<PathBuf>)> = BTreeMap::new();
    for entry in sandbox.cache_entries("artifacts") {
        let path = sandbox.path(".seedpipe/v1/artifacts").join(&entry);
        if !path.is_file() || !entry.contains("/images/") {
            continue;
        }
        let about = fs_err::metadata(&path).unwrap();
        let file = files
            .entry(about.ino())
            .or_insert((about.len(), Vec::new()));
        file.1.push(path);
    }
    files
}

fn bytes_on_disk(sandbox: &Sandbox) -> u64 {
    files(sandbox).values().map(|(bytes, _)| bytes).sum()
}

/// A file of bytes that several artifacts share.
fn shared_file(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut names = files(sandbox).into_values().map(|(_, names)| names);
    names.find(|names| names.len() > 1).unwrap()
}

#[test]
fn seeds_splits_and_parts_of_a_folder_keep_its_bytes_once() {
    let sandbox = sandbox(PIPELINE);
    let together = contents(&sandbox.run_json(&[]));
    assert_eq!(together.len(), 8);
    let stored = bytes_on_disk(&sandbox);
    let of_pictures = PICTURES * BYTES;
    // Seven tables of rows besides.
    assert!(
        stored < of_pictures + 7 * 15_000,
        "{stored} bytes for {of_pictures}"
    );
    // Each is what it is alone.
    for (stage, content) in &together {
        let mut command = sandbox.command(&["run", stage, "--json", "--quiet"]);
        command.env("SEEDPIPE_CACHE", sandbox.path(&format!("alone-{stage}")));
        let alone = contents(&sandbox.finish(&mut command).succeeded().json_lines());
        assert!(alone.contains(&(stage.clone(), content.clone())), "{stage}");
    }
    sandbox.run(&["verify", "--quiet"]).succeeded();
}

#[test]
fn what_one_artifact_loses_the_others_keep_and_gc_tells_what_is_freed() {
    let sandbox = sandbox(PIPELINE);
    let first = contents(&sandbox.run_json(&["folders", "hashed[seed=0]"]));
    let before = bytes_on_disk(&sandbox);
    sandbox.write(
        "pipeline.yaml",
        "stages:\n  folders: {kind: ingest, params: {source: pictures}}\n",
    );
    fs_err::remove_file(sandbox.path("pipeline.lock")).unwrap();
    fs_err::remove_dir_all(sandbox.path(".seedpipe/v1/history")).unwrap();
    let gc = sandbox
        .run(&["gc", "--json", "--grace", "0s"])
        .succeeded()
        .json();
    let freed: u64 = gc["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["what"] == "artifact")
        .map(|item| item["bytes"].as_u64().unwrap())
        .sum();
    assert!(freed < 20_000, "{gc}");
    assert!(
        gc["kept_bytes"].as_u64().unwrap() > PICTURES * BYTES,
        "{gc}"
    );
    assert!(before - bytes_on_disk(&sandbox) < 20_000);
    sandbox.run(&["verify", "--quiet"]).succeeded();
    let again = sandbox.run_json(&[]);
    assert_eq!(again[0]["outcome"], "cached");
    assert!(first.contains(&contents(&again)[0]));
}

#[test]
fn damage_is_found_in_each_that_shares_and_never_taken_over() {
    let sandbox = sandbox(PIPELINE);
    let stages = ["folders", "hashed[seed=0]", "hashed[seed=1]"];
    let first = contents(&sandbox.run_json(&stages));
    let names = shared_file(&sandbox);
    assert_eq!(names.len(), 3);
    let mut bytes = fs_err::read(&names[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&names[0], bytes).unwrap();
    let verified = sandbox.run(&["verify", "--quiet"]).exited_with(1);
    let told = verified.stdout.matches("`images/bytes-").count();
    assert_eq!(told, 3, "{}", verified.stdout);
    // Another stage looks at what it takes over.
    let some = contents(&sandbox.run_json(&["some[seed=0]"]));
    let mut command = sandbox.command(&["run", "some[seed=0]", "--json", "--quiet"]);
    command.env("SEEDPIPE_CACHE", sandbox.path("alone"));
    let alone = contents(&sandbox.finish(&mut command).succeeded().json_lines());
    assert_eq!(some, alone);
    sandbox.run(&["verify", "--repair", "--quiet"]).succeeded();
    assert_eq!(contents(&sandbox.run_json(&stages)), first);
    sandbox.run(&["verify", "--quiet"]).succeeded();
}

#[test]
fn a_remote_and_who_pulls_keep_them_once_too() {
    let here = sandbox(PIPELINE);
    let stages = ["folders", "hashed[seed=0]"];
    let first = contents(&here.run_json(&stages));
    here.run(&["push", "--quiet", "--remote", "remote"])
        .succeeded();
    let blobs = walked(here.path("remote"));
    assert!(blobs < PICTURES * BYTES + 100_000, "{blobs}");
    let there = sandbox(&format!(
        "remote: {}\n{PIPELINE}",
        here.path("remote").display()
    ));
    let pulled: Vec<Value> = there.run_json(&stages);
    assert!(
        pulled.iter().all(|stage| stage["outcome"] == "fetched"),
        "{pulled:?}"
    );
    assert_eq!(contents(&pulled), first);
    assert!(bytes_on_disk(&there) < PICTURES * BYTES + 2 * 15_000);
}

fn walked(folder: PathBuf) -> u64 {
    let entries = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let sizes = entries.map(|path| match path.is_dir() {
        true => walked(path),
        false => fs_err::metadata(path).unwrap().len(),
    });
    sizes.sum()
}
