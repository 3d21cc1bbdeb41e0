//! Words for splits: one rule for folders, columns and files of tables.

use std::sync::Arc;

use arrow::array::StringArray;

use super::tables::{numbers, write};
use super::{begun, folders, ingested};
use crate::sandbox::Sandbox;

#[test]
fn a_class_called_like_a_split_is_a_class() {
    for (names, expected) in [
        (
            ["bus", "car", "train"],
            ["train: 0 bus: 1", "train: 1 car: 1", "train: 2 train: 1"],
        ),
        (
            ["Test", "control", "val"],
            ["train: 0 Test: 1", "train: 1 control: 1", "train: 2 val: 1"],
        ),
    ] {
        let sandbox = folders("photos", &names);
        let (warned, found) = ingested(&sandbox, "photos", "");
        assert_eq!(found, expected);
        assert!(
            warned.contains("a class each is made of") && warned.contains("`splits: folders`"),
            "{warned}"
        );
    }
    let sandbox = folders("photos", &["invalid/a", "valid/b", "valid/c"]);
    let (_, found) = ingested(&sandbox, "photos", "splits: none");
    assert_eq!(found, ["train: 0 invalid: 1", "train: 1 valid: 2"]);
}

#[test]
fn first_folders_are_splits_where_all_are_or_where_it_is_said() {
    let sandbox = folders("photos", &["Training/train", "TESTING/a", "validation/a"]);
    sandbox.write("photos/.thumbnails/1.png", b"hidden");
    sandbox.write("photos/notes/read.txt", b"no image");
    let (warned, found) = ingested(&sandbox, "photos", "");
    assert_eq!(found, ["test: 0 a: 1", "train: 1 train: 1", "val: 0 a: 1"]);
    assert!(!warned.contains("splits"), "{warned}");

    let sandbox = folders("photos", &["train/a", "test/a", "unlabeled"]);
    let (_, found) = ingested(&sandbox, "photos", "splits: folders");
    assert_eq!(
        found,
        ["test: 0 a: 1", "train: 0 a: 1", "unlabeled: - -: 1"]
    );
}

#[test]
fn splits_below_classes_are_told() {
    let sandbox = folders("photos", &["cat/train", "cat/test", "dog/train"]);
    let (warned, found) = ingested(&sandbox, "photos", "");
    assert_eq!(found, ["train: 0 cat: 2", "train: 1 dog: 1"]);
    assert!(
        warned.contains("folders called `test`, `train` below the classes' folders say no splits"),
        "{warned}"
    );
}

#[test]
fn words_in_a_column_and_in_files_names_are_the_same() {
    let sandbox = Sandbox::empty();
    let words = [
        "Train",
        "TRAINING ",
        "Validation",
        "testing",
        "dev",
        "holdout",
    ];
    let column = Arc::new(StringArray::from(words.to_vec()));
    write(&sandbox, "a.parquet", 6, &[("split", column)], &[]);
    let (_, found) = ingested(&sandbox, "a.parquet", "split_column: split");
    assert_eq!(
        found,
        [
            "holdout: - -: 1",
            "test: - -: 1",
            "train: - -: 2",
            "val: - -: 2"
        ]
    );

    for (files, expected) in [
        (
            &["training-0", "Testing-0", "my_validation"][..],
            &["test: 1 -: 2", "train: 1 -: 2", "val: 1 -: 2"][..],
        ),
        (
            &["data/train-00000-of-00001", "data/unlabeled-00000-of-00001"],
            &["train: 1 -: 2", "unlabeled: 1 -: 2"],
        ),
        (
            &["default/train/0000", "default/test/0000"],
            &["test: 1 -: 2", "train: 1 -: 2"],
        ),
        (&["digits-00000-of-00002"], &["train: 1 -: 2"]),
    ] {
        let sandbox = Sandbox::empty();
        for file in files {
            write(
                &sandbox,
                &format!("t/{file}.pq"),
                2,
                &[("label", numbers(&[1, 1]))],
                &[],
            );
        }
        let (_, found) = ingested(&sandbox, "t", "label_column: label");
        assert_eq!(found, expected, "{files:?}");
    }
}

#[test]
fn file_names_that_leave_a_doubt_are_told() {
    let sandbox = Sandbox::empty();
    for file in ["train_test", "extra", "val"] {
        write(&sandbox, &format!("t/{file}.parquet"), 1, &[], &[]);
    }
    let (warned, found) = ingested(&sandbox, "t", "");
    assert_eq!(found, ["train: - -: 2", "val: - -: 1"]);
    assert!(
        warned.contains("by the first: `train_test.parquet` as `train`\n"),
        "{warned}"
    );
    assert!(
        warned.contains("are taken as `train`: `extra.parquet`\n"),
        "{warned}"
    );
    let (_, found) = ingested(&sandbox, "t", "splits: none");
    assert_eq!(found, ["train: - -: 3"]);
}

#[test]
fn a_column_of_splits_and_a_rule_for_names_are_one_too_many() {
    let sandbox = folders("photos", &["a"]);
    super::pipeline(&sandbox, "photos", "splits: none, split_column: split");
    let refused = sandbox.run(&["run"]).exited_with(2).stderr;
    assert!(
        refused.contains("key `params.splits`: expected one key that says the splits"),
        "{refused}"
    );
}

#[test]
fn init_judges_on_val_where_there_is_no_test() {
    let names: Vec<String> = (0..48)
        .map(|number| {
            format!(
                "{}/{}",
                ["train", "train", "val"][number % 3],
                ["a", "b"][number % 2]
            )
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sandbox = folders("photos", &names);
    let (told, written) = begun(&sandbox, "photos");
    assert!(told.contains("32 train, 16 val; 2 classes"), "{told}");
    assert!(!written.contains("hash_split"), "{written}");
    assert_eq!(
        written.matches("params: {test_split: val}").count(),
        6,
        "{written}"
    );
    assert_eq!(written.matches(", split: val}").count(), 2, "{written}");
}

#[test]
fn init_says_what_it_takes_for_classes_and_which_splits_there_are() {
    let names: Vec<&str> = ["train", "car"].into_iter().cycle().take(40).collect();
    let sandbox = folders("photos", &names);
    let (told, _) = begun(&sandbox, "photos");
    assert!(told.contains("40 train; 2 classes"), "{told}");
    assert!(
        told.contains("warning: a class each is made of the folders called `train`, since `car`"),
        "{told}"
    );

    let sandbox = folders("photos", &["test"; 40]);
    let refused = sandbox
        .run(&["init", "--from", "photos"])
        .exited_with(1)
        .stderr;
    assert!(
        refused.contains(
            "hint: networks learn from the split `train`, and there are only 40 of `test`"
        ),
        "{refused}"
    );
}
