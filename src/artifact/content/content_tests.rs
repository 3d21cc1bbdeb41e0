use std::path::{Path, PathBuf};

use super::*;
use arrow::array::{Float64Array, RecordBatch, StringArray, UInt64Array};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::content::codec::{ContentDigest, digest};
use crate::on_disk::row::StoredRow;
use crate::schema::metadata::{Metadata, to_footer};
use crate::schema::{IMAGES, METRICS};
use crate::tables::metrics::{MetricRow, MetricsWriter};
use crate::tables::predictions::PredictionRow;

fn metric(step: u64, split: &str, name: &str, value: f64) -> MetricRow {
    MetricRow {
        step,
        split: split.into(),
        name: name.into(),
        value,
    }
}

fn write_metrics(path: &Path, metadata: &Metadata, rows: &[MetricRow]) {
    let mut writer = MetricsWriter::create(path, metadata).unwrap();
    writer.write(rows).unwrap();
    writer.finish().unwrap();
}

/// The byte form of the documentation, written out for two rows.
#[test]
fn the_digest_is_the_documented_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let metadata = Metadata::from([("a".into(), "1".into()), ("z".into(), "2".into())]);
    write_metrics(
        &path,
        &metadata,
        &[metric(1, "train", "loss", -0.0), metric(2, "v", "é", 1.5)],
    );

    let schema = concat!(
        r#"{"columns":[["step","u64"],["split","utf8"],["name","utf8"],["value","f64"]],"#,
        r#""metadata":{"a":"1","kind":"metrics/v1","z":"2"}}"#
    );
    let integers = |values: [u64; 2]| values.map(u64::to_le_bytes).concat();
    let streams = [
        integers([1, 2]),
        integers([5, 1]),
        b"trainv".to_vec(),
        integers([4, 2]),
        "lossé".as_bytes().to_vec(),
        integers([(-0.0f64).to_bits(), 1.5f64.to_bits()]),
    ];
    let mut whole = blake3::Hasher::new_derive_key("seedpipe content v1");
    whole
        .update(&(schema.len() as u64).to_le_bytes())
        .update(schema.as_bytes())
        .update(&2u64.to_le_bytes());
    for stream in streams {
        whole.update(blake3::hash(&stream).as_bytes());
    }
    let found = digest(METRICS, &[path]).unwrap();
    assert_eq!(
        found,
        ContentDigest {
            digest: *whole.finalize().as_bytes(),
            rows: 2
        }
    );
}

#[test]
fn the_digest_takes_lists_and_nulls_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let rows = [
        PredictionRow {
            image_id: 7,
            label: None,
            classes: vec![3, -1],
            probabilities: vec![0.5, 0.25],
        },
        PredictionRow {
            image_id: 8,
            label: Some(2),
            classes: vec![],
            probabilities: vec![],
        },
    ];
    let mut writer = crate::PredictionsWriter::create(&path, &Metadata::new()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    let parts = PartList::open(
        &[path],
        &[PredictionRow::TABLE],
        crate::on_disk::part::Positions::Skip,
    )
    .unwrap();
    let hashes = |streams: &[&[u8]]| {
        streams
            .iter()
            .map(|stream| *blake3::hash(stream).as_bytes())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        block_digests(&parts, 1, 0).unwrap(),
        hashes(&[&[0, 1], &2i32.to_le_bytes()])
    );
    let lengths = [2u64.to_le_bytes(), 0u64.to_le_bytes()].concat();
    let classes = [3i32.to_le_bytes(), (-1i32).to_le_bytes()].concat();
    assert_eq!(
        block_digests(&parts, 2, 0).unwrap(),
        hashes(&[&lengths, &classes])
    );
}

#[test]
fn nullability_and_type_are_content() {
    let named = |field: Field| type_name(&field);
    assert_eq!(named(Field::new("x", DataType::Int32, false)), "i32");
    assert_eq!(named(Field::new("x", DataType::Int32, true)), "i32?");
    // A nullable column without a null has a validity stream that the other has not.
    let count = |nullable: bool| stream_count(&Field::new("x", DataType::Int32, nullable));
    assert_eq!((count(false), count(true)), (1, 2));
}

#[test]
fn blocks_are_cut_by_global_row_number() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<MetricRow> = (0..150_000u64)
        .map(|step| metric(step, "train", "loss", step as f64))
        .collect();
    let whole = folder.path().join("whole");
    write_metrics(&whole, &Metadata::new(), &rows);
    let parts: Vec<PathBuf> = (0..3)
        .map(|part| folder.path().join(format!("{part}")))
        .collect();
    for (part, rows) in parts.iter().zip(rows.chunks(65_537)) {
        write_metrics(part, &Metadata::new(), rows);
    }
    assert_eq!(
        digest(METRICS, &[whole]).unwrap(),
        digest(METRICS, &parts).unwrap()
    );
    let swapped = [parts[1].clone(), parts[0].clone(), parts[2].clone()];
    assert_ne!(
        digest(METRICS, &parts).unwrap(),
        digest(METRICS, &swapped).unwrap()
    );
}

#[test]
fn a_file_with_other_columns_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let fields = [
        ("step", DataType::UInt64),
        ("split", DataType::Utf8),
        ("name", DataType::Utf8),
        ("value", DataType::Float64),
    ];
    for wrong in 0..3 {
        let fields: Vec<Field> = fields
            .iter()
            .map(|(name, kind)| match wrong {
                0 => Field::new(*name, kind.clone(), true),
                1 => Field::new(format!("{name}_"), kind.clone(), false),
                _ => Field::new(*name, DataType::Float64, false),
            })
            .collect();
        let text = || std::sync::Arc::new(StringArray::from(vec!["x"])) as ArrayRef;
        let number = || std::sync::Arc::new(Float64Array::from(vec![1.0])) as ArrayRef;
        let columns: Vec<ArrayRef> = match wrong {
            2 => (0..4).map(|_| number()).collect(),
            _ => vec![
                std::sync::Arc::new(UInt64Array::from(vec![1])),
                text(),
                text(),
                number(),
            ],
        };
        let batch = RecordBatch::try_new(
            std::sync::Arc::new(arrow::datatypes::Schema::new(fields)),
            columns,
        )
        .unwrap();
        let footer = to_footer(&path, METRICS, &Metadata::new()).unwrap();
        let properties = WriterProperties::builder()
            .set_key_value_metadata(Some(vec![footer]))
            .build();
        let file = fs_err::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let message = digest(METRICS, std::slice::from_ref(&path))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("columns differ from those of `metrics/v1`"),
            "{message}"
        );
        assert!(
            digest(IMAGES, std::slice::from_ref(&path))
                .unwrap_err()
                .to_string()
                .contains("artifact kind")
        );
    }
}
