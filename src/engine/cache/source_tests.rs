use super::*;
use crate::cache::stat_cache::FileStat;

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join("root").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// A cache that isn't there is not made by who only looks.
fn no_records() -> StatCache {
    StatCache::optional(Path::new("/no/such/stat"))
}

/// Of a source whose every file counts.
fn digest(root: &Path, cache: &StatCache) -> Result<Digest> {
    super::digest(root, |_| true, cache)
}

fn digest_of(folder: &tempfile::TempDir) -> Digest {
    digest(&folder.path().join("root"), &no_records()).unwrap()
}

#[test]
fn a_tree_is_its_paths_and_contents_and_nothing_else() {
    let reference = digest_of(&folder_with(&[("a/x", "1"), ("b", "2")]));
    assert_eq!(
        reference,
        digest_of(&folder_with(&[("b", "2"), ("a/x", "1")]))
    );
    for other in [
        folder_with(&[("a/x", "1"), ("b", "3")]),
        folder_with(&[("a/y", "1"), ("b", "2")]),
        folder_with(&[("a/x", "1")]),
        folder_with(&[("a/x", "1"), ("b", "2"), ("c", "")]),
        folder_with(&[("a/x", "2"), ("b", "1")]),
    ] {
        assert_ne!(reference, digest_of(&other));
    }
}

#[test]
fn a_file_is_its_bytes() {
    let folder = folder_with(&[("a", "text")]);
    let digest = digest(&folder.path().join("root/a"), &no_records()).unwrap();
    assert_eq!(digest, Digest::of(b"text"));
}

#[test]
fn links_stand_for_what_they_lead_to() {
    let folder = folder_with(&[("a/x", "1")]);
    let reference = digest_of(&folder_with(&[("a/x", "1"), ("b/x", "1")]));
    std::os::unix::fs::symlink("a", folder.path().join("root/b")).unwrap();
    assert_eq!(digest_of(&folder), reference);
    std::os::unix::fs::symlink("..", folder.path().join("root/a/loop")).unwrap();
    assert_eq!(digest_of(&folder), reference);
}

#[test]
fn hidden_files_and_those_that_do_not_count_are_no_part_of_a_source() {
    let images = |folder: &tempfile::TempDir| {
        let is_image = |path: &Path| path.extension().is_some_and(|ending| ending == "png");
        super::digest(&folder.path().join("root"), is_image, &no_records()).unwrap()
    };
    let folder = folder_with(&[("a/x.png", "1"), ("y.png", "2")]);
    let (all, reference) = (digest_of(&folder), images(&folder));
    assert_eq!(all, reference);
    let root = folder.path().join("root");
    fs::write(root.join(".DS_Store"), "x").unwrap();
    fs::create_dir(root.join(".trash")).unwrap();
    fs::write(root.join(".trash/z.png"), "x").unwrap();
    assert_eq!(digest_of(&folder), all);
    fs::write(root.join("notes.txt"), "x").unwrap();
    std::os::unix::fs::symlink("/nowhere", root.join("dead")).unwrap();
    assert_eq!(images(&folder), reference);
    assert_ne!(digest_of(&folder), all);
}

#[test]
fn what_counts_and_can_not_be_read_is_a_part_of_a_source_by_its_fault() {
    let folder = folder_with(&[("a", "1")]);
    let root = folder.path().join("root");
    let without = digest_of(&folder);
    std::os::unix::fs::symlink("/nowhere", root.join("b")).unwrap();
    let dead = digest_of(&folder);
    fs::remove_file(root.join("b")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("b"), 0o600.into()).unwrap();
    let pipe = digest_of(&folder);
    fs::remove_file(root.join("b")).unwrap();
    fs::write(root.join("b"), "").unwrap();
    let empty = digest_of(&folder);
    let all = std::collections::BTreeSet::from([without, dead, pipe, empty]);
    assert_eq!(all.len(), 4);
    let error = digest(Path::new("/dev/null"), &no_records()).unwrap_err();
    assert_eq!(error.to_string(), "expected a file or folder, got a device");
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let folder = folder_with(&[("a", "1"), ("b", "2")]);
    let root = folder.path().join("root");
    let cache = StatCache::required(&folder.path().join("stat"));
    let before = digest(&root, &cache).unwrap();
    assert!(
        cache.load(&root).iter().all(|record| !record.trusted),
        "files of this second are not trusted"
    );
    // The record says that `a` has other content: believed, because stat says that nothing changed.
    let mut records = cache.load(&root);
    for record in &mut records {
        record.trusted = true;
    }
    records[0].digest = Digest::of(b"believed");
    cache.store(&root, &[], &records).unwrap();
    let believed = digest(&root, &cache).unwrap();
    assert_ne!(believed, before);
    // Touched: read again.
    fs::write(root.join("a"), "1").unwrap();
    assert_eq!(digest(&root, &cache).unwrap(), before);
}

#[test]
fn what_is_not_there_is_told() {
    let error = digest(Path::new("/no/such"), &no_records()).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "expected a file or folder, got nothing there"
    );
}

fn record(path: &str, content: &str) -> Record {
    let stat = FileStat {
        size: 1,
        modified: 0,
        changed: 0,
        inode: 1,
    };
    Record {
        path: path.into(),
        stat,
        digest: Digest::of(content.as_bytes()),
        trusted: true,
    }
}

fn digest_of_records(records: &[Record]) -> Digest {
    tree_digest(
        records
            .iter()
            .map(|record| (record.path.as_slice(), &record.digest)),
    )
}

#[test]
fn added_removed_and_changed_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let old = [
        record("a", "1"),
        record("b/c", "2"),
        record("d", "3"),
        record("z", "4"),
    ];
    assert!(!is_kept(folder.path(), "photos", digest_of_records(&old)));
    keep(folder.path(), "photos", digest_of_records(&old), &old).unwrap();
    assert!(is_kept(folder.path(), "photos", digest_of_records(&old)));
    let listing = read(folder.path(), "photos", digest_of_records(&old)).unwrap();
    let new = [record("a", "1"), record("b/c", "5"), record("c", "6")];
    let told: Vec<String> = changes("photos", &listing, &new)
        .iter()
        .map(|change| format!("{} {}", change.file, change.how.as_str()))
        .collect();
    assert_eq!(told, ["b/c changed", "c added", "d removed", "z removed"]);
    assert_eq!(changes("photos", &listing, &old), []);
}

#[test]
fn a_listing_of_another_digest_or_a_damaged_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let old = [record("a", "1"), record("b", "2")];
    let digest = digest_of_records(&old);
    keep(folder.path(), "photos", digest, &old).unwrap();
    assert!(read(folder.path(), "photos", Digest::of(b"other")).is_none());
    assert!(read(folder.path(), "pictures", digest).is_none());
    let path = path_in(folder.path(), "photos");
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(read(folder.path(), "photos", digest).is_none(), "{length}");
    }
}
