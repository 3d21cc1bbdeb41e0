//! The borders between crates and between rooms: which may name which. docs/architecture.md has the
//! picture.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::sandbox::REPOSITORY;

/// A crate: its folder, the project's crates that it may name, and its rooms, each of which may
/// name itself and those before it. A file beside the rooms is a room.
struct Crate {
    folder: &'static str,
    knows: &'static [&'static str],
    rooms: &'static [&'static str],
}

const CRATES: [Crate; 8] = [
    Crate {
        folder: "src/base",
        knows: &[],
        rooms: &[],
    },
    Crate {
        folder: "src/engine",
        knows: &["base"],
        rooms: &[
            "base", "cache", "kind", "pipeline", "run", "lockfile", "share", "check",
        ],
    },
    Crate {
        folder: "src/artifact",
        knows: &["base"],
        rooms: &["schema", "on_disk", "tables", "foreign", "content"],
    },
    Crate {
        folder: "src/imaging",
        knows: &["base"],
        rooms: &[
            "instructions",
            "pixels",
            "decode",
            "resize",
            "augment",
            "render",
        ],
    },
    Crate {
        folder: "src/learn",
        knows: &["base"],
        rooms: &[
            "graph",
            "torch",
            "architecture",
            "network",
            "loss",
            "training",
            "judge",
            "deploy",
            "checkpoint_file",
            "testing",
        ],
    },
    Crate {
        folder: "src/remote",
        knows: &["base"],
        rooms: &[],
    },
    Crate {
        folder: "stages",
        knows: &["base", "engine", "artifact", "imaging", "learn"],
        rooms: &[
            "shared",
            "pixels",
            "judging",
            "training",
            "ingest",
            "augment",
            "import",
            "encode",
            "finetune",
            "pretrain",
            "distill",
            "probe",
            "knn",
            "agreement",
            "export",
            "report",
            "tools",
        ],
    },
    Crate {
        folder: "src/program",
        knows: &["base", "engine", "artifact", "imaging", "remote", "stages"],
        rooms: &[
            "terminal",
            "torch",
            "progress",
            "project",
            "delivery",
            "init",
            "reference",
            "doctor",
            "launch",
            "commands",
        ],
    },
];

/// Folders of a crate that hold no module.
const NO_ROOMS: [&str; 5] = ["benches", "examples", "tests", "testdata", "shim"];

/// Entries of a folder that a stranger still takes in at a glance.
const MOST_ENTRIES: usize = 18;
/// Those with more, which may only get fewer: one file a kind.
const CROWDED: [(&str, usize); 1] = [("stages", 23)];

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// What production code names by `crate::`: comments and the tests at a file's end left out.
fn named(text: &str) -> BTreeSet<String> {
    let production = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: Vec<&str> = production
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let single = Regex::new(r"\bcrate::(\w+)").unwrap();
    let group = Regex::new(r"\bcrate::\{([^;]*)\};").unwrap();
    let first = Regex::new(r"(?:^|[,{])\s*(\w+)").unwrap();
    let mut names: BTreeSet<String> = single
        .captures_iter(&code)
        .map(|found| found[1].to_owned())
        .collect();
    for found in group.captures_iter(&code) {
        // Inner groups name what is below a room, so only the outermost level counts.
        let mut depth = 0;
        let outer: String = found[1]
            .chars()
            .filter(|letter| {
                depth += match letter {
                    '{' => 1,
                    '}' => -1,
                    _ => 0,
                };
                depth == 0
            })
            .collect();
        names.extend(first.captures_iter(&outer).map(|name| name[1].to_owned()));
    }
    names
}

/// The rooms that a file of `room` names though they come after it.
fn upward(rooms: &[&str], room: &str, text: &str) -> Vec<String> {
    let place = |name: &str| rooms.iter().position(|room| *room == name);
    let own = place(room);
    let names = named(text).into_iter();
    names.filter(|name| place(name) > own).collect()
}

#[test]
fn every_room_names_only_those_before_it() {
    let mut faults = Vec::new();
    for Crate { folder, rooms, .. } in CRATES {
        let root = Path::new(REPOSITORY).join(folder);
        for entry in fs_err::read_dir(&root).unwrap() {
            let path = entry.unwrap().path();
            let room = path.file_stem().unwrap().to_string_lossy().into_owned();
            let is_root = ["lib", "main", "main_torch", "build"].contains(&room.as_str());
            let is_file = path.extension().is_some_and(|extension| extension == "rs");
            if is_root || NO_ROOMS.contains(&room.as_str()) || !(is_file || path.is_dir()) {
                continue;
            }
            if rooms.is_empty() {
                continue;
            }
            if !rooms.contains(&room.as_str()) {
                faults.push(format!(
                    "{folder}/{room} is in no list\n  hint: put it into an existing room, or give tests/rooms.rs its place in the order"
                ));
                continue;
            }
            let files = if is_file { vec![path] } else { below(&path) };
            for file in files {
                let name = file.file_stem().unwrap().to_string_lossy().into_owned();
                if name.ends_with("tests") {
                    continue;
                }
                for other in upward(rooms, &room, &fs_err::read_to_string(&file).unwrap()) {
                    faults.push(format!(
                        "{}: `{room}` names `{other}`, which comes after it in {folder}\n  hint: move what is needed down, or hand it over as an argument",
                        file.strip_prefix(REPOSITORY).unwrap().display()
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_crate_names_only_the_crates_that_it_may_know() {
    let dependency = Regex::new(r"(?m)^seedpipe-(\w+)").unwrap();
    for Crate { folder, knows, .. } in CRATES {
        let manifest = match folder {
            "src/program" => PathBuf::from(REPOSITORY),
            folder => Path::new(REPOSITORY).join(folder),
        };
        let text = fs_err::read_to_string(manifest.join("Cargo.toml")).unwrap();
        let own = text.split("\n[dependencies]\n").nth(1).unwrap_or_default();
        let own = own.split("\n[").next().unwrap();
        for found in dependency.captures_iter(own) {
            assert!(
                knows.contains(&&found[1]),
                "{folder} depends on seedpipe-{}; it may know {knows:?}\nhint: `stages` joins the crates, the program joins `stages` and the engine",
                &found[1]
            );
        }
    }
}

#[test]
fn no_folder_is_crowded() {
    fn folders(folder: &Path) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(folder).unwrap();
        let inner = entries.map(|entry| entry.unwrap().path());
        let inner = inner.filter(|path| path.is_dir() && !path.ends_with("testdata"));
        let mut all: Vec<PathBuf> = inner.flat_map(|path| folders(&path)).collect();
        all.push(folder.to_owned());
        all
    }
    let root = Path::new(REPOSITORY);
    for folder in [root.join("src"), root.join("stages")] {
        for folder in folders(&folder) {
            let name = folder.strip_prefix(root).unwrap().to_string_lossy();
            let count = fs_err::read_dir(&folder).unwrap().count();
            let crowded = CROWDED.iter().find(|(crowded, _)| *crowded == name);
            let most = crowded.map_or(MOST_ENTRIES, |(_, count)| *count);
            assert!(
                count <= most,
                "{name} has {count} entries, at most {most} are wanted\nhint: find the room that the new one belongs to, or join files of one concept"
            );
        }
    }
}

#[test]
fn an_import_that_goes_up_is_found_in_every_form() {
    let rooms = ["base", "cache", "run"];
    let up = |text: &str| upward(&rooms, "cache", text);
    assert_eq!(up("use crate::run::engine::Engine;\n"), ["run"]);
    assert_eq!(up("use crate::{base::a, run::{b, c}};\n"), ["run"]);
    assert_eq!(up("fn a() { crate::run::b() }\n"), ["run"]);
    assert!(up("// crate::run\nuse crate::base::{run, d};\nuse crate::cache::run;\n").is_empty());
    assert!(up("fn a() {}\n#[cfg(test)]\nmod tests { use crate::run::b; }\n").is_empty());
}
