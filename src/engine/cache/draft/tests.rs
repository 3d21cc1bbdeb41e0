//! Drafts on a disk.

use super::*;
use crate::cache::manifest::tests::example;

fn open(store: &Store, forced: bool) -> Draft {
    in_class(store, forced, "cpu avx2")
}

fn in_class(store: &Store, forced: bool, numerics: &str) -> Draft {
    let recipe = example().recipe;
    Draft::open(store, &recipe, "views", forced, numerics, &["views"]).unwrap()
}

fn write(draft: &Draft, name: &str) -> (String, String) {
    fs::write(draft.content().join("views").join(name), name).unwrap();
    ("views".to_owned(), name.to_owned())
}

#[test]
fn finished_shards_are_kept_and_everything_else_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut draft = open(&store, false);
    let first = write(&draft, "a");
    draft.commit(0, 3, &[first]).unwrap();
    write(&draft, "b");
    fs::write(draft.checkpoints().join("epoch"), "1").unwrap();
    let mut again = open(&store, false);
    assert_eq!(again.finished(3).unwrap(), BTreeSet::from([0]));
    assert!(again.content().join("views/a").exists());
    assert!(!again.content().join("views/b").exists());
    assert!(again.checkpoints().join("epoch").exists());
}

#[test]
fn what_a_finished_shard_told_is_told_when_it_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut draft = open(&store, false);
    draft.telemetry.insert("parameters".to_owned(), 7.0);
    let file = write(&draft, "a");
    draft.commit(0, 2, &[file]).unwrap();
    draft.telemetry.insert("lost".to_owned(), 1.0);
    let mut again = open(&store, false);
    again.finished(2).unwrap();
    assert_eq!(
        again.telemetry,
        BTreeMap::from([("parameters".to_owned(), 7.0)])
    );
}

#[test]
fn work_is_gone_on_with_in_its_own_numerics_class_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut first = in_class(&store, false, "cpu avx512");
    let file = write(&first, "a");
    first.commit(0, 2, &[file]).unwrap();
    fs::write(first.checkpoints().join("epoch"), "1").unwrap();
    let mut other = in_class(&store, false, "cpu avx2");
    assert_eq!(other.left_by.as_deref(), Some("cpu avx512"));
    assert!(other.finished(2).unwrap().is_empty());
    assert!(!other.checkpoints().join("epoch").exists());
    // Nothing of the first is lost.
    let mut again = in_class(&store, false, "cpu avx512");
    assert_eq!(
        (again.finished(2).unwrap(), &again.left_by),
        (BTreeSet::from([0]), &None)
    );
    assert!(again.checkpoints().join("epoch").exists());
    // One from before the class was recorded is of no class that is known.
    let plain = store.draft(example().recipe.fingerprint(), "");
    fs::rename(&again.directory, &plain).unwrap();
    assert!(
        in_class(&store, false, "cpu avx512")
            .finished(2)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_damaged_shard_runs_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut draft = open(&store, false);
    for (shard, name) in ["a", "b", "c"].into_iter().enumerate() {
        let file = write(&draft, name);
        draft.commit(shard, 3, &[file]).unwrap();
    }
    fs::write(draft.content().join("views/a"), "X").unwrap();
    fs::write(record_path(&draft.directory, 1), "{").unwrap();
    assert_eq!(
        open(&store, false).finished(3).unwrap(),
        BTreeSet::from([2])
    );
}

/// A record may come from a shared cache. Nothing outside the draft is read or removed on its
/// word.
#[test]
fn a_record_that_leads_out_of_the_draft_is_dropped_and_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let outside = folder.path().join("precious");
    fs::write(&outside, "x").unwrap();
    for (slot, name) in [
        ("views", "../../../../../precious"),
        ("../../../..", "precious"),
        ("views", outside.to_str().unwrap()),
        ("views", "link"),
    ] {
        let draft = open(&store, false);
        let link = draft.content().join("views/link");
        std::os::unix::fs::symlink(&outside, link).unwrap();
        let file = ShardFile {
            slot: slot.to_owned(),
            part: PartRecord {
                name: name.to_owned(),
                bytes: 1,
                blake3: Digest::of(b"x"),
            },
        };
        let record = ShardRecord {
            shard: 0,
            total: 7,
            files: vec![file],
            telemetry: BTreeMap::new(),
        };
        let text = serde_json::to_string(&record).unwrap();
        fs::write(record_path(&draft.directory, 0), text).unwrap();
        let mut again = open(&store, false);
        assert!(again.finished(2).unwrap().is_empty());
        assert!(!record_path(&again.directory, 0).exists(), "{slot}/{name}");
        assert_eq!(fs::read(&outside).unwrap(), b"x", "{slot}/{name}");
    }
}

#[test]
fn another_division_into_shards_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut draft = open(&store, false);
    let file = write(&draft, "a");
    draft.commit(0, 3, &[file]).unwrap();
    assert!(draft.finished(2).unwrap().is_empty());
    assert!(!draft.content().join("views/a").exists());
}

#[test]
fn forced_work_does_not_take_unforced_shards() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut draft = open(&store, false);
    let file = write(&draft, "a");
    draft.commit(0, 1, &[file]).unwrap();
    let mut forced = open(&store, true);
    assert!(forced.finished(1).unwrap().is_empty());
    let file = write(&forced, "a");
    forced.commit(0, 1, &[file]).unwrap();
    assert_eq!(open(&store, true).finished(1).unwrap().len(), 1);
}

#[test]
fn a_part_belongs_to_one_shard_and_must_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut draft = open(&store, false);
    let file = write(&draft, "a");
    draft.commit(0, 2, std::slice::from_ref(&file)).unwrap();
    let twice = draft.commit(1, 2, &[file]).unwrap_err().to_string();
    assert!(
        twice.contains("`views/a`, which was written before"),
        "{twice}"
    );
    let absent = draft
        .commit(1, 2, &[("views".into(), "b".into())])
        .unwrap_err()
        .to_string();
    assert_eq!(
        absent,
        "shard 1: expected the stage to write `views/b`, got no such file"
    );
}
