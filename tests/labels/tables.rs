//! Classes of several tables, labels of all types, and rows with a path instead of bytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use serde_json::json;

use super::{begun, ingested, picture, refused};
use crate::sandbox::Sandbox;

/// A table of images with these columns besides; `classes`: the label column's, as Hugging Face's
/// `datasets` declares them.
pub fn write(
    sandbox: &Sandbox,
    path: &str,
    rows: usize,
    columns: &[(&str, ArrayRef)],
    classes: &[&str],
) {
    let pictures: Vec<Vec<u8>> = (0..rows).map(picture).collect();
    let images = BinaryArray::from_iter_values(pictures);
    let images: (&str, ArrayRef) = ("image", Arc::new(images));
    write_columns(sandbox, path, [&[images][..], columns].concat(), classes);
}

fn write_columns(sandbox: &Sandbox, path: &str, columns: Vec<(&str, ArrayRef)>, classes: &[&str]) {
    sandbox.write(path, b"");
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let file = fs_err::File::create(sandbox.path(path)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    if !classes.is_empty() {
        let declared = json!({"info": {"features": {"label": {"names": classes}}}});
        let entry = KeyValue::new("huggingface".to_owned(), declared.to_string());
        writer.append_key_value_metadata(entry);
    }
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

pub fn numbers(labels: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(labels.to_vec()))
}

fn texts(labels: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(labels.to_vec()))
}

/// Two tables, each a label column with declared names, and perhaps a column of names.
fn two(
    first: (ArrayRef, &[&str], Option<ArrayRef>),
    second: (ArrayRef, &[&str], Option<ArrayRef>),
) -> Sandbox {
    let sandbox = Sandbox::empty();
    for (name, (labels, classes, names)) in [("a-train", first), ("b-test", second)] {
        let mut columns = vec![("label", labels.clone())];
        columns.extend(names.map(|names| ("name", names)));
        write(
            &sandbox,
            &format!("t/{name}.parquet"),
            labels.len(),
            &columns,
            classes,
        );
    }
    sandbox
}

const LABELS: &str = "label_column: label";
const NAMES: &str = "label_column: label, label_name_column: name";

#[test]
fn classes_of_several_tables_are_joined_by_name() {
    for (second, expected, is_told) in [
        (
            (numbers(&[0, 2]), &["owl", "cat", "dog"][..]),
            ["test: 1 dog: 1", "test: 2 owl: 1"],
            true,
        ),
        (
            (numbers(&[0, 1]), &["owl", "dog"]),
            ["test: 1 dog: 1", "test: 2 owl: 1"],
            true,
        ),
        (
            (numbers(&[0, 2]), &["cat", "dog", "owl"]),
            ["test: 0 cat: 1", "test: 2 owl: 1"],
            false,
        ),
        (
            (numbers(&[0, 1]), &["hen", "cat"]),
            ["test: 0 cat: 1", "test: 3 hen: 1"],
            true,
        ),
        (
            (texts(&["owl", "dog"]), &[]),
            ["test: 1 dog: 1", "test: 2 owl: 1"],
            false,
        ),
        (
            (numbers(&[-1, 2]), &["cat", "dog", "owl"]),
            ["test: - -: 1", "test: 2 owl: 1"],
            false,
        ),
    ] {
        let sandbox = two(
            (numbers(&[0, 1, 2]), &["cat", "dog", "owl"], None),
            (second.0, second.1, None),
        );
        let (warned, found) = ingested(&sandbox, "t", LABELS);
        let first = ["train: 0 cat: 1", "train: 1 dog: 1", "train: 2 owl: 1"];
        assert_eq!(found, [&expected[..], &first].concat());
        let told = warned.contains("`a-train.parquet` and `b-test.parquet` number their classes");
        assert_eq!(told, is_told, "{warned}");
    }
}

#[test]
fn two_classes_of_one_name_stay_two() {
    let classes = &["crane", "dog", "crane"][..];
    let labels = || numbers(&[0, 1, 2]);
    let sandbox = two((labels(), classes, None), (labels(), classes, None));
    let (_, found) = ingested(&sandbox, "t", LABELS);
    let expected = [
        "test: 0 crane: 1",
        "test: 1 dog: 1",
        "test: 2 crane: 1",
        "train: 0 crane: 1",
        "train: 1 dog: 1",
        "train: 2 crane: 1",
    ];
    assert_eq!(found, expected);
}

#[test]
fn contradictions_are_refused_with_both_places() {
    let classes = &["cat", "dog"][..];
    let names = |names: &[&str]| Some(texts(names));
    for (sandbox, params, places) in [
        (
            two(
                (texts(&["cat", "dog"]), &[], None),
                (numbers(&[0, 1]), &[], None),
            ),
            LABELS,
            [
                "`a-train.parquet row 0`: label `cat`",
                "`b-test.parquet row 0`: label 0 is a number",
            ],
        ),
        (
            two(
                (numbers(&[0, 1]), classes, None),
                (numbers(&[1, 0]), &[], None),
            ),
            LABELS,
            [
                "`a-train.parquet row 0`: label `cat`",
                "`b-test.parquet row 0`: label 1 is a number",
            ],
        ),
        (
            two(
                (numbers(&[0, 1]), classes, None),
                (texts(&["dog", "Cat"]), &[], None),
            ),
            LABELS,
            [
                "`b-test.parquet row 1`: label `Cat` is none of",
                "`a-train.parquet` declares",
            ],
        ),
        (
            two(
                (numbers(&[0, 1]), classes, None),
                (numbers(&[1, 2]), classes, None),
            ),
            LABELS,
            [
                "`b-test.parquet row 1`: label 2 is none of the 2 classes",
                "hint: ",
            ],
        ),
        (
            two(
                (numbers(&[0, 1]), &["cat", "cat"], None),
                (numbers(&[0, 1]), &["dog", "cat"], None),
            ),
            LABELS,
            [
                "`a-train.parquet` and `b-test.parquet` number",
                "several called `cat`",
            ],
        ),
        (
            two(
                (numbers(&[0, 1]), &[], names(&["cat", "dog"])),
                (numbers(&[0, 1]), &[], names(&["dog", "cat"])),
            ),
            NAMES,
            [
                "`a-train.parquet row 0`: label 0 is called `cat`",
                "`b-test.parquet row 0`: label 0",
            ],
        ),
        (
            two(
                (numbers(&[0, 1]), &[], names(&["cat", "dog"])),
                (numbers(&[2, 3]), &[], names(&["dog", "owl"])),
            ),
            NAMES,
            [
                "`a-train.parquet row 1`: label 1 is called `dog`",
                "`b-test.parquet row 0`: label 2",
            ],
        ),
    ] {
        let message = refused(&sandbox, "t", params);
        for place in places {
            assert!(message.contains(place), "{place}: {message}");
        }
    }
}

#[test]
fn labels_of_pandas() {
    let floats = Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(0.0)]);
    for (labels, expected) in [
        (
            Arc::new(floats) as ArrayRef,
            &["train: - -: 2", "train: 0 -: 1", "train: 1 -: 1"][..],
        ),
        (
            texts(&["b", "", "a", " "]),
            &["train: - -: 2", "train: 0 a: 1", "train: 1 b: 1"],
        ),
        (
            numbers(&[-1, 0, 7, -1]),
            &["train: - -: 2", "train: 0 -: 1", "train: 7 -: 1"],
        ),
    ] {
        let sandbox = Sandbox::empty();
        write(&sandbox, "a.pq", 4, &[("label", labels)], &[]);
        let (_, found) = ingested(&sandbox, "a.pq", LABELS);
        assert_eq!(found, expected);
    }
    for (labels, what) in [
        (
            numbers(&[-2]),
            "label -2 is no class: expected a number from 0",
        ),
        (
            Arc::new(Float64Array::from(vec![0.5])),
            "expected a whole number, got 0.5",
        ),
    ] {
        let sandbox = Sandbox::empty();
        write(&sandbox, "a.pq", 1, &[("label", labels)], &[]);
        let message = refused(&sandbox, "a.pq", LABELS);
        assert!(
            message.contains(what) && message.contains("row 0"),
            "{message}"
        );
    }
}

#[test]
fn init_finds_labels_or_says_where_it_looked() {
    let two: Vec<i64> = (0..40).map(|row| row % 2).collect();
    for (columns, told, key) in [
        (
            vec![("Label", numbers(&two))],
            "2 classes",
            "label_column: Label\n",
        ),
        (
            vec![("breed", numbers(&two))],
            "among `breed` (Int64)\nhint: name it by `label_column`",
            "",
        ),
    ] {
        let sandbox = Sandbox::empty();
        write(&sandbox, "a.pq", 40, &columns, &[]);
        let (said, written) = begun(&sandbox, "a.pq");
        assert!(said.contains(told), "{said}");
        assert!(written.contains(key), "{written}");
    }
}

#[test]
fn a_repository_of_hugging_face() {
    let sandbox = Sandbox::empty();
    let two: Vec<i64> = (0..40).map(|row| row % 2).collect();
    sandbox.write("r/README.md", b"# cats");
    sandbox.write("r/.gitattributes", b"*.parquet filter=lfs");
    sandbox.write("r/figure.png", picture(999));
    for split in ["train", "validation"] {
        let path = format!("r/data/{split}-00000-of-00001.parquet");
        write(
            &sandbox,
            &path,
            40,
            &[("label", numbers(&two))],
            &["cat", "dog"],
        );
    }
    let (told, written) = begun(&sandbox, "r");
    assert!(
        told.starts_with("found 80 images: 80 png; 40 train, 40 val; 2 classes"),
        "{told}"
    );
    assert!(written.contains("test_split: val"), "{written}");
    assert!(
        told.contains(
            "passed over, but for those that a row names: 1 image files beside the tables"
        ),
        "{told}"
    );

    let sandbox = Sandbox::empty();
    for set in ["coarse", "fine"] {
        write(&sandbox, &format!("r/{set}/train-0.parquet"), 1, &[], &[]);
    }
    let message = refused(&sandbox, "r", LABELS);
    assert!(
        message.contains("expected the Parquet files of one data set, got those in"),
        "{message}"
    );
}

#[test]
fn rows_with_a_path_are_read_beside_their_table() {
    let sandbox = Sandbox::empty();
    let paths = [
        "in/0.png",
        r".\in\1.png",
        "../out.png",
        "/etc/hostname",
        "in/no.png",
        "in/2.txt",
        ".in/3.png",
    ];
    for (number, file) in [
        "t/in/0.png",
        "t/in/1.png",
        "out.png",
        "t/in/2.txt",
        "t/.in/3.png",
    ]
    .into_iter()
    .enumerate()
    {
        sandbox.write(file, picture(number));
    }
    write_columns(
        &sandbox,
        "t/a.parquet",
        vec![("file_name", texts(&paths))],
        &[],
    );
    let params = "image_column: file_name, max_bad_fraction: 0.9";
    let (warned, found) = ingested(&sandbox, "t", params);
    assert_eq!(found, ["train: - -: 2"]);
    for reason in [
        "a.parquet row 2 (../out.png): expected an image, got a path that leads out",
        "a.parquet row 3 (/etc/hostname): expected an image, got a path that leads out",
        "a.parquet row 4 (in/no.png): expected an image, got a path to nothing",
        "a.parquet row 5 (in/2.txt): expected an image, got a path that ends as no image's does",
        "a.parquet row 6 (.in/3.png): expected an image, got a path that leads out",
    ] {
        assert!(warned.contains(reason), "{reason}: {warned}");
    }
    // They belong to the source.
    sandbox.write("t/in/0.png", picture(9));
    let lines = sandbox.run_json(&["images"]);
    assert_eq!(lines[0]["outcome"], "executed");
}

#[test]
fn a_table_alone_is_not_followed_to_other_files() {
    let sandbox = Sandbox::empty();
    sandbox.write("0.png", picture(0));
    write_columns(
        &sandbox,
        "a.parquet",
        vec![("path", texts(&["0.png"]))],
        &[],
    );
    let message = refused(&sandbox, "a.parquet", "image_column: path");
    assert!(
        message.contains("got only a path, which is followed where `source` is the folder"),
        "{message}"
    );
    let refused = sandbox
        .run(&["--pipeline", "begun.yaml", "init", "--from", "a.parquet"])
        .exited_with(1)
        .stderr;
    assert!(
        refused.contains("got only a path, which is followed where"),
        "{refused}"
    );
    assert!(!refused.contains("has no rows"), "{refused}");
}
