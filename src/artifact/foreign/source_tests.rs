use std::sync::Arc;

use super::*;
use arrow::array::{
    BooleanArray, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int8Array,
    LargeBinaryArray, StructArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Field, Fields, Int16Type};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

fn write(path: &Path, columns: &[(&str, ArrayRef)], footer: Option<KeyValue>) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .iter()
            .map(|(name, column)| (*name, column.clone(), true)),
    )
    .unwrap();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(footer.map(|entry| vec![entry]))
        .set_max_row_group_row_count(Some(2))
        .build();
    let file = fs_err::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn column<T: Array + 'static>(array: T) -> ArrayRef {
    Arc::new(array)
}

fn named(label: &str) -> SourceColumns {
    SourceColumns {
        label: Some(label.into()),
        ..SourceColumns::default()
    }
}

fn all(table: &SourceTable) -> Result<Vec<SourceRow>> {
    let batches: Result<Vec<Vec<SourceRow>>> = table.batches(0..table.rows())?.collect();
    Ok(batches?.concat())
}

#[test]
fn raw_bytes_with_labels_names_and_splits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let texts: DictionaryArray<Int16Type> = vec![Some("train"), None, Some("test")]
        .into_iter()
        .collect();
    write(
        &path,
        &[
            ("split", column(texts)),
            (
                "label",
                column(Int8Array::from(vec![Some(-1), None, Some(7)])),
            ),
            (
                "data",
                column(LargeBinaryArray::from(vec![
                    Some(&b"ab"[..]),
                    None,
                    Some(b""),
                ])),
            ),
            (
                "name",
                column(arrow::array::LargeStringArray::from(vec![
                    Some("x"),
                    Some("y"),
                    None,
                ])),
            ),
        ],
        None,
    );
    let columns = SourceColumns {
        image: None,
        label: Some("label".into()),
        label_name: Some("name".into()),
        split: Some("split".into()),
    };
    let table = SourceTable::open(&path, &columns).unwrap();
    assert_eq!(
        (table.image_column(), table.rows(), table.class_names()),
        ("data", 3, None)
    );
    let row = |row: usize,
               bytes: Option<&[u8]>,
               label: Option<i64>,
               name: Option<&str>,
               split: Option<&str>| SourceRow {
        row,
        bytes: bytes.map(<[u8]>::to_vec),
        path: None,
        label: label.map(SourceLabel::Class),
        label_name: name.map(String::from),
        split: split.map(String::from),
    };
    let expected = [
        row(0, Some(b"ab"), Some(-1), Some("x"), Some("train")),
        row(1, None, None, Some("y"), None),
        row(2, Some(b""), Some(7), None, Some("test")),
    ];
    assert_eq!(all(&table).unwrap(), expected);
    let last: Vec<SourceRow> = table
        .batches(2..3)
        .unwrap()
        .flat_map(|batch| batch.unwrap())
        .collect();
    assert_eq!(last, expected[2..]);
    assert!(table.batches(2..4).is_err());
}

#[test]
fn hugging_face_structs_and_class_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let fields = Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    let bytes = column(BinaryArray::from(vec![
        Some(&b"one"[..]),
        Some(b"hidden"),
        None,
    ]));
    let paths = column(StringArray::from(vec![
        Some("1.png"),
        Some("2.png"),
        Some("3.png"),
    ]));
    let valid = NullBuffer::from(vec![true, false, true]);
    let images = StructArray::new(fields, vec![bytes.clone(), paths], Some(valid));
    let footer = r#"{"info": {"features": {"image": {"_type": "Image"}, "y": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;
    write(
        &path,
        &[
            ("other", bytes),
            ("image", column(images)),
            ("y", column(UInt64Array::from(vec![1, 0, 1]))),
        ],
        Some(KeyValue::new("huggingface".to_string(), footer.to_string())),
    );
    let table = SourceTable::open(&path, &named("y")).unwrap();
    assert_eq!(table.image_column(), "image");
    assert_eq!(
        table.class_names(),
        Some(&["cat".to_string(), "dog".to_string()][..])
    );
    let rows = all(&table).unwrap();
    let images: Vec<_> = rows
        .iter()
        .map(|row| (row.bytes.as_deref(), row.path.as_deref()))
        .collect();
    assert_eq!(
        images,
        [
            (Some(&b"one"[..]), Some("1.png")),
            (None, None),
            (None, Some("3.png"))
        ]
    );
    assert_eq!(rows[0].label, Some(SourceLabel::Class(1)));
}

#[test]
fn labels_may_be_text_or_truth_values_but_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let labels: DictionaryArray<Int16Type> = vec!["cat", "dog"].into_iter().collect();
    write(
        &path,
        &[
            ("image", column(BinaryArray::from(vec![&b"1"[..], b"2"]))),
            ("text", column(labels)),
            ("truth", column(BooleanArray::from(vec![true, false]))),
            ("huge", column(UInt64Array::from(vec![u64::MAX, 0]))),
            ("fraction", column(Float32Array::from(vec![0.5, 1.0]))),
        ],
        None,
    );
    let label = |name: &str| {
        all(&SourceTable::open(&path, &named(name)).unwrap()).map(|rows| rows[0].label.clone())
    };
    assert_eq!(
        label("text").unwrap(),
        Some(SourceLabel::Name("cat".into()))
    );
    assert_eq!(label("truth").unwrap(), Some(SourceLabel::Class(1)));
    assert!(label("huge").is_err());
    let message = label("fraction").unwrap_err().to_string();
    assert!(
        message.contains("row 0: label: expected a whole number, got 0.5\nhint:"),
        "{message}"
    );
    let message = SourceTable::open(&path, &named("nothing"))
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.contains("label column: expected `nothing`, got the columns `image` (Binary)"),
        "{message}"
    );
}

#[test]
fn labels_of_pandas_are_whole_numbers_with_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let infinite = vec![Some(0.0), Some(f32::INFINITY), None, None];
    write(
        &path,
        &[
            (
                "image",
                column(BinaryArray::from(vec![&b"1"[..], b"2", b"3", b"4"])),
            ),
            (
                "label",
                column(Float64Array::from(vec![
                    Some(1.0),
                    None,
                    Some(f64::NAN),
                    Some(-1.0),
                ])),
            ),
            ("target", column(Float32Array::from(infinite))),
            (
                "decimal",
                column(
                    Decimal128Array::from(vec![Some(3), None, Some(0), Some(-1)])
                        .with_precision_and_scale(38, 0)
                        .unwrap(),
                ),
            ),
            (
                "name",
                column(StringArray::from(vec![
                    Some("a"),
                    Some(""),
                    Some(" "),
                    None,
                ])),
            ),
        ],
        None,
    );
    assert_eq!(
        guessed_columns(&path).unwrap().label.as_deref(),
        Some("label")
    );
    let labels = |name: &str| -> Result<Vec<Option<SourceLabel>>> {
        let rows = all(&SourceTable::open(&path, &named(name))?)?;
        Ok(rows.into_iter().map(|row| row.label).collect())
    };
    let class = |number| Some(SourceLabel::Class(number));
    assert_eq!(labels("label").unwrap(), [class(1), None, None, class(-1)]);
    assert_eq!(
        labels("decimal").unwrap(),
        [class(3), None, class(0), class(-1)]
    );
    let name = Some(SourceLabel::Name("a".into()));
    assert_eq!(labels("name").unwrap(), [name, None, None, None]);
    let message = labels("target").unwrap_err().to_string();
    assert!(
        message.contains("row 1: label: expected a whole number, got inf"),
        "{message}"
    );
    let table = SourceTable::open(&path, &named("label")).unwrap();
    assert_eq!(
        table.unread_columns(),
        "`target` (Float32), `decimal` (Decimal128(38, 0)), `name` (Utf8)"
    );
}

#[test]
fn measures_are_not_guessed_to_be_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let images = column(BinaryArray::from(vec![&b"1"[..], b"2"]));
    let target = column(Float32Array::from(vec![1.0, 0.25]));
    write(&path, &[("image", images), ("target", target)], None);
    assert_eq!(guessed_columns(&path).unwrap(), SourceColumns::default());
}

#[test]
fn paths_instead_of_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let paths = column(StringArray::from(vec![Some("1.png"), None]));
    let of = |fields: Vec<(&str, ArrayRef)>| {
        let fields: Vec<(Arc<Field>, ArrayRef)> = fields
            .into_iter()
            .map(|(name, array)| {
                let field = Field::new(name, array.data_type().clone(), true);
                (Arc::new(field), array)
            })
            .collect();
        column(StructArray::from(fields))
    };
    let nothing = column(BinaryArray::from(vec![None, None]));
    let null = column(arrow::array::NullArray::new(2));
    for image in [
        of(vec![("bytes", nothing), ("path", paths.clone())]),
        of(vec![("bytes", null), ("path", paths.clone())]),
        of(vec![("path", paths.clone())]),
    ] {
        write(&path, &[("image", image)], None);
        let columns = guessed_columns(&path).unwrap();
        let rows = all(&SourceTable::open(&path, &columns).unwrap()).unwrap();
        let found: Vec<_> = rows
            .iter()
            .map(|row| (&row.bytes, row.path.as_deref()))
            .collect();
        assert_eq!(found, [(&None, Some("1.png")), (&None, None)]);
    }
    write(&path, &[("file_name", paths)], None);
    let message = SourceTable::open(&path, &SourceColumns::default())
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.ends_with("hint: `image_column: file_name` reads the files that it names"),
        "{message}"
    );
    let columns = guessed_columns(&path).unwrap();
    assert_eq!(columns.image.as_deref(), Some("file_name"));
    let rows = all(&SourceTable::open(&path, &columns).unwrap()).unwrap();
    assert_eq!(rows[0].path.as_deref(), Some("1.png"));
}

#[test]
fn without_an_image_column_the_message_lists_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(
        &path,
        &[
            ("label", column(Int8Array::from(vec![1]))),
            ("x", column(StringArray::from(vec!["a"]))),
        ],
        None,
    );
    let message = SourceTable::open(&path, &SourceColumns::default())
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.contains("got the columns `label` (Int8), `x` (Utf8)\nhint:"),
        "{message}"
    );
    let bytes = || column(BinaryArray::from(vec![&b"1"[..]]));
    write(&path, &[("left", bytes()), ("right", bytes())], None);
    let message = SourceTable::open(&path, &SourceColumns::default())
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.contains("expected one that is named, got `left`, `right`\nhint:"),
        "{message}"
    );
    let right = SourceColumns {
        image: Some("right".into()),
        ..SourceColumns::default()
    };
    assert_eq!(
        SourceTable::open(&path, &right).unwrap().image_column(),
        "right"
    );
}

#[test]
fn the_digits_are_png_images_with_labels_and_splits() {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../data/digits.parquet"
    ));
    let columns = SourceColumns {
        split: Some("split".into()),
        ..named("label")
    };
    let table = SourceTable::open(path, &columns).unwrap();
    assert_eq!((table.rows(), table.image_column()), (5000, "image"));
    let rows = all(&table).unwrap();
    assert_eq!(
        rows.iter()
            .filter(|row| row.split.as_deref() == Some("train"))
            .count(),
        4000
    );
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.row, index);
        assert!(row.bytes.as_ref().unwrap().starts_with(b"\x89PNG"));
        assert!(matches!(row.label, Some(SourceLabel::Class(0..=9))));
    }
}
