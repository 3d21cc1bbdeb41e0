//! BLAKE3 of files as the engine hashes them, one line a file in the order given: for
//! `tests/peers/hashing.py`.

use std::io::Write;
use std::path::PathBuf;

use rayon::prelude::*;
use seedpipe_engine::Digest;

fn main() -> std::io::Result<()> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let digests = paths
        .par_iter()
        .map(|path| Digest::of_file(path))
        .collect::<Result<Vec<_>, _>>()?;
    let mut text = String::with_capacity(digests.len() * 65);
    for digest in digests {
        text.push_str(&digest.to_string());
        text.push('\n');
    }
    std::io::stdout().write_all(text.as_bytes())
}
