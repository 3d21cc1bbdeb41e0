//! Two machines' worth of caches and what they share: in a folder, on an S3 server, over plain
//! HTTP.

mod elsewhere;
mod folder;
mod http;
mod s3;
mod server;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sandbox::{Finished, Sandbox};

/// All files below a folder, sorted.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs_err::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The largest file of the blobs: some stage's first part.
fn largest_blob(remote: &Path) -> PathBuf {
    let mut blobs = files_below(&remote.join("seedpipe/v1/blobs"));
    blobs.sort_by_key(|path| fs_err::metadata(path).unwrap().len());
    blobs.pop().unwrap()
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

/// The outcomes of a pull, as `images=fetched`.
fn pulled(finished: &Finished) -> Vec<String> {
    let report = finished.json();
    let stages = report["stages"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    stages
        .map(|stage| format!("{}={}", text(&stage["stage"]), text(&stage["outcome"])))
        .collect()
}

/// Artifacts that lie in the cache.
fn published(sandbox: &Sandbox) -> usize {
    sandbox
        .cache_entries("artifacts")
        .iter()
        .filter(|entry| entry.ends_with("manifest.json"))
        .count()
}
