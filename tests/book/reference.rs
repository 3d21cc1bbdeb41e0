//! The reference part of the book is of this code.

use std::collections::BTreeMap;

use walk::files;

use crate::sandbox::{REPOSITORY, Sandbox};

const COMMITTED: &str = "docs/reference";

mod walk {
    use std::collections::BTreeMap;
    use std::path::Path;

    /// Path below the folder → text.
    pub fn files(folder: &Path, above: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{above}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                files(&path, &format!("{name}/"), found);
            } else {
                found.insert(name, fs_err::read_to_string(&path).unwrap());
            }
        }
    }
}

#[test]
fn the_committed_reference_is_the_programs() {
    let sandbox = Sandbox::empty();
    sandbox.run(&["reference", "made"]).succeeded();
    let (mut made, mut committed) = (BTreeMap::new(), BTreeMap::new());
    files(&sandbox.path("made"), "", &mut made);
    files(
        &std::path::Path::new(REPOSITORY).join(COMMITTED),
        "",
        &mut committed,
    );
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&made),
        names(&committed),
        "left: made; right: {COMMITTED}"
    );
    for (name, page) in &made {
        assert!(
            *page == committed[name],
            "{COMMITTED}/{name} is of other code\nhint: cargo run --quiet --bin seedpipe -- reference {COMMITTED}"
        );
    }
}

#[test]
fn the_reference_names_what_the_program_has() {
    let sandbox = Sandbox::empty();
    sandbox.run(&["reference", "made"]).succeeded();
    let mut made = BTreeMap::new();
    files(&sandbox.path("made"), "", &mut made);
    for (page, part) in [
        ("pipeline.md", "| `seed` | whole number | `0` |"),
        ("pipeline.md", "[`distill`](kinds/distill.md)"),
        ("kinds/augment.md", "| `recipe` |"),
        ("kinds/augment.md", "| required |"),
        (
            "kinds/distill.md",
            "[training options](../blocks.md#training-options)",
        ),
        ("kinds/distill.md", "`training.checkpoint_steps`"),
        ("blocks.md", "| `batch` | whole number | `256` |"),
        ("blocks.md", "### `kind: adamw`"),
        ("commands.md", "## network inspect"),
        ("commands.md", "| `--set STAGE.KEY=VALUE` |"),
        ("artifacts.md", "| `digest` | `fixed[32]` |"),
    ] {
        assert!(
            made[page].contains(part),
            "{page} lacks {part:?}: {}",
            made[page]
        );
    }
    let help = sandbox.run(&["--help"]).succeeded().stdout;
    assert!(!help.contains("reference"), "{help}");
    assert!(!made["commands.md"].contains("## reference"));
}
