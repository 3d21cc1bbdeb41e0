//! Names as keys: bytes, Unicode's forms, capitals.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{ingested, picture};
use crate::sandbox::Sandbox;

fn photos(folders: &[&[u8]]) -> Sandbox {
    let sandbox = Sandbox::empty();
    for (number, folder) in folders.iter().enumerate() {
        let folder = sandbox.path("photos").join(OsStr::from_bytes(folder));
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join(format!("{number}.png")), picture(number)).unwrap();
    }
    sandbox
}

#[test]
fn names_that_are_not_utf8_are_kept_apart() {
    let sandbox = photos(&[b"p\xe2t\xe9", b"p\xe2t\xe8", br"p\xe2t\xe9", b"dog"]);
    let (_, found) = ingested(&sandbox, "photos", "");
    assert_eq!(
        found,
        [
            "train: 0 dog: 1",
            r"train: 1 p\\xe2t\\xe9: 1",
            r"train: 2 p\xe2t\xe8: 1",
            r"train: 3 p\xe2t\xe9: 1",
        ]
    );
    let shown = sandbox
        .run(&["show", "images", "--json"])
        .succeeded()
        .stdout;
    assert!(shown.contains(r"p\\xe2t\\xe9/0.png"), "{shown}");
}

#[test]
fn composed_and_decomposed_letters_are_one_name() {
    let sandbox = photos(&["caf\u{e9}".as_bytes(), "cafe\u{301}".as_bytes(), b"tea"]);
    let (warned, found) = ingested(&sandbox, "photos", "");
    assert_eq!(found, ["train: 0 caf\u{e9}: 2", "train: 1 tea: 1"]);
    assert!(
        warned.contains("decomposed letters: `caf\u{e9}`"),
        "{warned}"
    );
}

#[test]
fn names_that_look_alike_are_told() {
    let sandbox = photos(&[b"Cat", b"cat", b"dog", b"dog ", b"owl"]);
    let (warned, found) = ingested(&sandbox, "photos", "");
    assert_eq!(found.len(), 5);
    assert!(
        warned.contains("how letters are stored: `Cat` and `cat`, `dog` and `dog `\n"),
        "{warned}"
    );
    assert!(!warned.contains("owl"), "{warned}");
}
