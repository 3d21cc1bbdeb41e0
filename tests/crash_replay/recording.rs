//! What one call of the program did to the files of its folder, in order, as record.c notes it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::sandbox::{REPOSITORY, Sandbox};

/// A change of the files, or a wait for the disk; paths are relative to the folder.
#[derive(Debug, Clone)]
pub enum Operation {
    Create(PathBuf),
    Folder(PathBuf),
    Write {
        path: PathBuf,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate(PathBuf, usize),
    /// `fsync` of a file or a folder.
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// The library that records, compiled once by the compiler that Rust links with.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("record.so");
    let own = library.with_extension(format!("{}.so", std::process::id()));
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
        .arg(Path::new(REPOSITORY).join("tests/crash_replay/record.c"))
        .arg("-o")
        .arg(&own)
        .args(["-lpthread"])
        .status()
        .expect("cc, which Rust links with, can be started");
    assert!(compiled.success(), "record.c can't be compiled");
    fs_err::rename(own, &library).unwrap();
    library
});

/// Runs the program to its end, which must be a good one.
pub fn record(sandbox: &Sandbox, arguments: &[&str]) -> Vec<Operation> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let root = sandbox.path("").canonicalize().unwrap();
    let mut command = sandbox.command(arguments);
    command
        .env("LD_PRELOAD", &*LIBRARY)
        .env("RECORD_ROOT", &root)
        .env("RECORD_LOG", log.path());
    sandbox.finish(&mut command).succeeded();
    parse(&fs_err::read(log.path()).unwrap(), &root)
}

fn parse(mut log: &[u8], root: &Path) -> Vec<Operation> {
    let mut operations = Vec::new();
    while !log.is_empty() {
        let head = log.iter().position(|byte| *byte == b'\n').unwrap();
        let words = std::str::from_utf8(&log[..head]).unwrap();
        let words: Vec<&str> = words.split(' ').collect();
        let number = |index: usize| words[index].parse::<usize>().unwrap();
        let (what, offset) = (words[0], number(1));
        let mut rest = &log[head + 1..];
        let mut take = |length: usize| {
            let (taken, left) = rest.split_at(length);
            rest = left;
            taken
        };
        let (path, other) = (take(number(2)), take(number(3)));
        let data = take(number(4)).to_vec();
        let inside = |path: &[u8]| {
            let path = Path::new(std::str::from_utf8(path).unwrap());
            let inner = path.strip_prefix(root);
            // `a/./b` has the components of `a/b`.
            inner
                .unwrap_or_else(|_| panic!("{what} leads out of the folder: {}", path.display()))
                .components()
                .collect::<PathBuf>()
        };
        operations.push(match what {
            "create" => Operation::Create(inside(path)),
            "folder" => Operation::Folder(inside(path)),
            "write" => Operation::Write {
                path: inside(path),
                offset,
                data,
            },
            "truncate" => Operation::Truncate(inside(path), offset),
            "sync" => Operation::Sync(inside(path)),
            "rename" => Operation::Rename(inside(path), inside(other)),
            "link" => Operation::Link(inside(path), inside(other)),
            "remove" => Operation::Remove(inside(path)),
            other => panic!("the model of the disk has no `{other}`: {:?}", inside(path)),
        });
        log = rest;
    }
    operations
}
