//! A disk that knows what was waited for: what is on it after a power cut.
//!
//! Names and data are apart. A change of names (a file or folder made, renamed, removed) is done
//! wholly or not at all; until it was waited for it may be lost. ext4 and xfs keep all changes of
//! names in one journal: any `fsync` waits for all that came before, and what is lost is lost from
//! some change on. btrfs, and POSIX at its weakest, wait for the folder that is synced alone, so
//! that what another folder got later may be there and this not. Data that was not waited for may
//! be missing, be zeros or be there in part.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::crash_replay::recording::Operation;
use crate::numbers::Numbers;

/// A file or folder, whatever it is called.
type Node = usize;
type Names = BTreeMap<String, Node>;
/// Relative path → a file's bytes, or `None`: a folder.
pub type Tree = BTreeMap<PathBuf, Option<Arc<Vec<u8>>>>;

#[derive(Clone)]
enum Kind {
    File {
        now: Arc<Vec<u8>>,
        synced: Arc<Vec<u8>>,
    },
    Folder {
        at_start: Names,
        now: Names,
    },
}

/// Names that change together: in a folder, a name gets a node or loses it.
#[derive(Clone)]
struct Change {
    edits: Vec<(Node, String, Option<Node>)>,
    /// A journal of all names has it.
    in_journal: bool,
    /// Its own folder was waited for.
    in_folder: bool,
}

#[derive(Clone)]
pub struct Disk {
    nodes: Vec<Kind>,
    changes: Vec<Change>,
}

/// What a crash does to what was not waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The process was killed: nothing is lost.
    None,
    /// All names are there, and of data only what was waited for.
    Data,
    /// All names are there, and zeros where data were not waited for.
    Zeros,
    /// All names are there, and half of what was written last.
    Torn,
    /// Names up to the journal's last `fsync`, and data that were waited for.
    Journal,
    /// Of names and data only what was waited for by itself.
    Everything,
    /// By folder, names up to some change; of each file's data anything.
    Reordered(u64),
}

const ROOT: Node = 0;

impl Disk {
    /// All that a folder holds, on disk for good.
    pub fn of(folder: &Path) -> Disk {
        let mut disk = Disk {
            nodes: Vec::new(),
            changes: Vec::new(),
        };
        disk.add(folder);
        disk
    }

    fn add(&mut self, path: &Path) -> Node {
        let node = self.nodes.len();
        if path.is_dir() {
            self.nodes.push(Kind::folder(Names::new()));
            let mut names = Names::new();
            for entry in fs_err::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                names.insert(name, self.add(&entry.path()));
            }
            self.nodes[node] = Kind::folder(names);
        } else {
            let bytes = Arc::new(fs_err::read(path).unwrap());
            self.nodes.push(Kind::File {
                now: bytes.clone(),
                synced: bytes,
            });
        }
        node
    }

    /// What is done to a file that has no name any more changes nothing.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(path) if self.find(path).is_none() => {
                self.make(path, Kind::file());
            }
            Operation::Create(_) => {}
            Operation::Folder(path) => self.make(path, Kind::folder(Names::new())),
            Operation::Write { path, offset, data } => self.write(path, |bytes| {
                bytes.resize(bytes.len().max(offset + data.len()), 0);
                bytes[*offset..offset + data.len()].copy_from_slice(data);
            }),
            Operation::Truncate(path, length) => self.write(path, |bytes| bytes.resize(*length, 0)),
            Operation::Sync(path) => self.sync(path),
            Operation::Rename(from, to) => {
                let node = self.find(from).expect("what is renamed is there");
                let (old, new) = (self.place(from), self.place(to));
                self.change(vec![(old.0, old.1, None), (new.0, new.1, Some(node))]);
            }
            Operation::Link(from, to) => {
                let node = self.find(from).expect("what is linked is there");
                let (folder, name) = self.place(to);
                self.change(vec![(folder, name, Some(node))]);
            }
            Operation::Remove(path) => {
                let (folder, name) = self.place(path);
                self.change(vec![(folder, name, None)]);
            }
        }
    }

    fn find(&self, path: &Path) -> Option<Node> {
        let mut node = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else {
                panic!("{}: a path with {part:?}", path.display());
            };
            let Kind::Folder { now, .. } = &self.nodes[node] else {
                return None;
            };
            node = *now.get(name.to_str().unwrap())?;
        }
        Some(node)
    }

    /// The folder that holds a path, and its name there.
    fn place(&self, path: &Path) -> (Node, String) {
        let folder = self.find(path.parent().unwrap()).unwrap_or_else(|| {
            panic!("{}: its folder isn't there", path.display());
        });
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (folder, name)
    }

    fn make(&mut self, path: &Path, kind: Kind) {
        let (folder, name) = self.place(path);
        let node = self.nodes.len();
        self.nodes.push(kind);
        self.change(vec![(folder, name, Some(node))]);
    }

    fn change(&mut self, edits: Vec<(Node, String, Option<Node>)>) {
        for (folder, name, node) in &edits {
            let Kind::Folder { now, .. } = &mut self.nodes[*folder] else {
                panic!("names are in folders");
            };
            edit(now, name, *node);
        }
        self.changes.push(Change {
            edits,
            in_journal: false,
            in_folder: false,
        });
    }

    fn write(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(node) = self.find(path)
            && let Kind::File { now, .. } = &mut self.nodes[node]
        {
            change(Arc::make_mut(now));
        }
    }

    fn sync(&mut self, path: &Path) {
        let Some(node) = self.find(path) else { return };
        for change in &mut self.changes {
            change.in_journal = true;
        }
        match &mut self.nodes[node] {
            Kind::File { now, synced } => *synced = now.clone(),
            Kind::Folder { .. } => {
                // With a rename, what its other folder got before it.
                let mut folders = BTreeSet::from([node]);
                for change in self.changes.iter_mut().rev() {
                    if change.edits.iter().any(|edit| folders.contains(&edit.0)) {
                        change.in_folder = true;
                        folders.extend(change.edits.iter().map(|edit| edit.0));
                    }
                }
            }
        }
    }

    /// What is found after a crash now.
    pub fn after(&self, loss: Loss) -> Tree {
        let mut numbers = Numbers(match loss {
            Loss::Reordered(seed) => seed,
            _ => 0,
        });
        let mut names: BTreeMap<Node, Names> = BTreeMap::new();
        for (node, kind) in self.nodes.iter().enumerate() {
            if let Kind::Folder { at_start, .. } = kind {
                names.insert(node, at_start.clone());
            }
        }
        let mut ended = BTreeSet::new();
        for change in &self.changes {
            let is_there = match loss {
                Loss::None | Loss::Data | Loss::Zeros | Loss::Torn => true,
                Loss::Journal => change.in_journal,
                Loss::Everything => change.in_folder,
                Loss::Reordered(_) => {
                    let is_lost = change.edits.iter().any(|edit| ended.contains(&edit.0))
                        || numbers.next() < 0.3;
                    if is_lost && !change.in_folder {
                        ended.extend(change.edits.iter().map(|edit| edit.0));
                    }
                    change.in_folder || !is_lost
                }
            };
            if is_there {
                for (folder, name, node) in &change.edits {
                    edit(names.get_mut(folder).unwrap(), name, *node);
                }
            }
        }
        let mut tree = Tree::new();
        self.collect(ROOT, Path::new(""), &names, loss, &mut numbers, &mut tree);
        tree
    }

    fn collect(
        &self,
        folder: Node,
        path: &Path,
        names: &BTreeMap<Node, Names>,
        loss: Loss,
        numbers: &mut Numbers,
        tree: &mut Tree,
    ) {
        for (name, node) in &names[&folder] {
            let path = path.join(name);
            match &self.nodes[*node] {
                Kind::Folder { .. } => {
                    tree.insert(path.clone(), None);
                    self.collect(*node, &path, names, loss, numbers, tree);
                }
                Kind::File { now, synced } if now == synced => {
                    tree.insert(path, Some(now.clone()));
                }
                Kind::File { now, synced } => {
                    let found = match loss {
                        Loss::None => Loss::None,
                        Loss::Zeros => Loss::Zeros,
                        Loss::Torn => Loss::Torn,
                        Loss::Data | Loss::Journal | Loss::Everything => Loss::Data,
                        Loss::Reordered(_) => {
                            let all = [Loss::None, Loss::Zeros, Loss::Torn, Loss::Data];
                            all[(numbers.next() * 4.0) as usize % 4]
                        }
                    };
                    tree.insert(path, Some(survivor(now, synced, found)));
                }
            }
        }
    }
}

impl Kind {
    fn file() -> Kind {
        Kind::File {
            now: Arc::default(),
            synced: Arc::default(),
        }
    }

    fn folder(names: Names) -> Kind {
        Kind::Folder {
            at_start: names.clone(),
            now: names,
        }
    }
}

fn edit(names: &mut Names, name: &str, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

/// What is left of a file that was written after it was synced.
fn survivor(now: &Arc<Vec<u8>>, synced: &Arc<Vec<u8>>, loss: Loss) -> Arc<Vec<u8>> {
    match loss {
        Loss::None => now.clone(),
        Loss::Zeros => Arc::new(vec![0; now.len()]),
        Loss::Torn => {
            let mut bytes = now.to_vec();
            let half = bytes.len() / 2;
            bytes[half..].fill(0);
            Arc::new(bytes)
        }
        _ => synced.clone(),
    }
}

/// Writes a tree into an empty folder.
pub fn build(tree: &Tree, folder: &Path) {
    for (path, bytes) in tree {
        match bytes {
            None => fs_err::create_dir(folder.join(path)).unwrap(),
            Some(bytes) => fs_err::write(folder.join(path), bytes.as_slice()).unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with the file `old` on it, after `operations`.
    fn disk(operations: &[Operation]) -> Disk {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("old"), "old").unwrap();
        let mut disk = Disk::of(folder.path());
        operations
            .iter()
            .for_each(|operation| disk.apply(operation));
        disk
    }

    fn write(path: &str, data: &str) -> [Operation; 2] {
        [
            Operation::Create(path.into()),
            Operation::Write {
                path: path.into(),
                offset: 0,
                data: data.into(),
            },
        ]
    }

    /// `new` beside `old` becomes `old`, with these files and folders synced before and after.
    fn replaced(before: &[&str], after: &[&str]) -> Disk {
        let sync = |path: &&str| Operation::Sync(path.into());
        let mut operations = write("new", "next").to_vec();
        operations.extend(before.iter().map(sync));
        operations.push(Operation::Rename("new".into(), "old".into()));
        operations.extend(after.iter().map(sync));
        disk(&operations)
    }

    fn text(disk: &Disk, path: &str, loss: Loss) -> Option<String> {
        let tree = disk.after(loss);
        let bytes = tree.get(Path::new(path))?.as_ref().unwrap();
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn a_file_that_is_synced_and_renamed_is_the_old_one_or_the_new() {
        let disk = replaced(&["new"], &[]);
        let seen = |loss| text(&disk, "old", loss).unwrap();
        for loss in [Loss::None, Loss::Data, Loss::Zeros, Loss::Torn] {
            assert_eq!(seen(loss), "next", "{loss:?}");
        }
        assert_eq!(seen(Loss::Journal), "old");
        assert_eq!(seen(Loss::Everything), "old");
        let reordered: BTreeSet<String> = (0..50).map(|seed| seen(Loss::Reordered(seed))).collect();
        assert_eq!(reordered, ["next", "old"].map(String::from).into());
        // What was waited for is there whatever comes.
        let disk = replaced(&["new"], &[""]);
        for loss in [Loss::Journal, Loss::Everything, Loss::Reordered(1)] {
            assert_eq!(text(&disk, "old", loss).unwrap(), "next", "{loss:?}");
        }
    }

    #[test]
    fn a_file_that_is_renamed_before_it_is_synced_may_be_anything() {
        let disk = replaced(&[], &[]);
        let seen = |loss| text(&disk, "old", loss).unwrap();
        assert_eq!(seen(Loss::Data), "");
        assert_eq!(seen(Loss::Zeros), "\0\0\0\0");
        assert_eq!(seen(Loss::Torn), "ne\0\0");
        let reordered: BTreeSet<String> = (0..99).map(|seed| seen(Loss::Reordered(seed))).collect();
        let all = ["", "\0\0\0\0", "ne\0\0", "next", "old"];
        assert_eq!(reordered, all.map(String::from).into());
    }

    #[test]
    fn a_journal_has_what_came_before_any_fsync_and_a_folder_only_its_own() {
        let mut operations = vec![
            Operation::Folder("a".into()),
            Operation::Folder("b".into()),
            Operation::Sync("".into()),
        ];
        operations.extend(write("a/x", "x"));
        operations.extend(write("b/y", "y"));
        operations.push(Operation::Sync("b".into()));
        let disk = disk(&operations);
        assert!(text(&disk, "a/x", Loss::Journal).is_some());
        assert!(text(&disk, "a/x", Loss::Everything).is_none());
        assert!(text(&disk, "b/y", Loss::Everything).is_some());
        let seen = |seed| text(&disk, "a/x", Loss::Reordered(seed)).is_some();
        assert!((0..50).any(seen) && !(0..50).all(seen));
    }

    #[test]
    fn a_rename_between_folders_is_never_done_by_half() {
        let mut operations = vec![
            Operation::Folder("a".into()),
            Operation::Folder("b".into()),
            Operation::Sync("".into()),
        ];
        operations.extend(write("a/x", "x"));
        operations.extend([
            Operation::Sync("a/x".into()),
            Operation::Sync("a".into()),
            Operation::Rename("a/x".into(), "b/x".into()),
        ]);
        let disk = disk(&operations);
        for seed in 0..50 {
            let loss = Loss::Reordered(seed);
            let places = ["a/x", "b/x"].map(|path| text(&disk, path, loss).is_some());
            assert!(places[0] != places[1], "{places:?}");
        }
    }
}
