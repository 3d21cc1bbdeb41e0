//! The Parquet readers: whatever kind a file says that it is, its reader, the content digest, a
//! comparison and a preview; and the reader of a user's own Parquet.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use seedpipe_artifact::KINDS;

#[path = "../../src/artifact/tests/readers.rs"]
mod readers;

/// The readers take paths: one file, written anew for each input.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = if PathBuf::from("/dev/shm").is_dir() {
        PathBuf::from("/dev/shm")
    } else {
        std::env::temp_dir()
    };
    folder.join(format!("seedpipe-fuzz-{}.parquet", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    fs_err::write(&*FILE, bytes).expect("the file can be written");
    for kind in KINDS {
        let _ = readers::read_all(kind, &FILE);
    }
    let _ = readers::read_as_source(&FILE);
});
