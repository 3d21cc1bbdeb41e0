use std::path::Path;

use super::*;
use crate::schema::metadata::Metadata;
use crate::schema::{EMBEDDINGS, METRICS};
use crate::tables::embeddings::EmbeddingsWriter;
use crate::tables::embeddings::header::{EmbeddingsHeader, Of, Precision};
use crate::tables::metrics::{MetricRow, MetricsWriter};
use crate::tables::weights::{WeightRow, WeightsWriter};

fn embeddings(path: &Path, values: &[f32], network: &str) -> Vec<PathBuf> {
    let header = EmbeddingsHeader {
        of: Of::Images,
        precision: Precision::F32,
        dimension: 2,
        normalised: false,
        network: network.into(),
        extra: Metadata::new(),
    };
    let mut writer = EmbeddingsWriter::create(path, &header).unwrap();
    writer
        .write(&(0..values.len() as u64 / 2).collect::<Vec<_>>(), values)
        .unwrap();
    writer.finish().unwrap();
    vec![path.to_path_buf()]
}

#[test]
fn an_output_is_equal_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let a = embeddings(&folder.path().join("a"), &[1.0, 2.0, -0.0, 3.0], "n");
    let found = compare(EMBEDDINGS, &a, &a, &Tolerance::default()).unwrap();
    assert!(found.equal && found.within, "{found:?}");
    assert_eq!(
        (found.rows, found.differing, found.max_abs, found.min_cosine),
        (2, 0, 0.0, Some(1.0))
    );
    assert_eq!((found.worst, found.structure), (None, None));
}

#[test]
fn chosen_rows_are_held_against_an_output_of_just_those() {
    let folder = tempfile::tempdir().unwrap();
    let whole = embeddings(
        &folder.path().join("a"),
        &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        "n",
    );
    let header = EmbeddingsHeader {
        of: Of::Images,
        precision: Precision::F32,
        dimension: 2,
        normalised: false,
        network: "n".into(),
        extra: Metadata::new(),
    };
    let chosen = |last: f32| {
        let path = folder.path().join(format!("b{last}"));
        let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
        writer.write(&[0, 2], &[0.0, 1.0, 4.0, last]).unwrap();
        writer.finish().unwrap();
        vec![path]
    };
    let compare = |rows: &[Range<usize>], last| {
        compare_rows(
            EMBEDDINGS,
            &whole,
            rows,
            &chosen(last),
            &Tolerance::default(),
        )
        .unwrap()
    };
    let same = compare(&[0..1, 2..3], 5.0);
    assert!(same.equal && same.rows == 2, "{same:?}");
    let other = compare(&[0..1, 2..3], 5.5);
    assert!(!other.within && other.differing == 1, "{other:?}");
    assert_eq!(
        other.worst.unwrap().row,
        2,
        "the row's number in the whole output"
    );
    let fewer = compare(std::slice::from_ref(&(0..1)), 5.0);
    assert_eq!(fewer.structure.as_deref(), Some("rows: 1 against 2"));
}

#[test]
fn any_difference_may_be_allowed_where_the_cosine_holds() {
    let folder = tempfile::tempdir().unwrap();
    let a = embeddings(&folder.path().join("a"), &[1.0, 1.0], "n");
    let b = embeddings(&folder.path().join("b"), &[900.0, 901.0], "n");
    let turned = embeddings(&folder.path().join("c"), &[-1.0, 1.0], "n");
    let tolerance = Tolerance {
        cosine: Some(0.999),
        ..Tolerance::default()
    };
    assert!(compare(EMBEDDINGS, &a, &b, &tolerance).unwrap().within);
    assert!(!compare(EMBEDDINGS, &a, &turned, &tolerance).unwrap().within);
}

#[test]
fn vectors_are_compared_by_difference_and_cosine() {
    let folder = tempfile::tempdir().unwrap();
    let a = embeddings(
        &folder.path().join("a"),
        &[1.0, 0.0, 3.0, 4.0, 1.0, 1.0],
        &"1".repeat(64),
    );
    // Row 1 is turned by a right angle, row 2 by a little.
    let b = embeddings(
        &folder.path().join("b"),
        &[1.0, 0.0, -4.0, 3.0, 1.0, 1.125],
        &"2".repeat(64),
    );
    let found = compare(
        EMBEDDINGS,
        &a,
        &b,
        &Tolerance {
            cosine: Some(0.99),
            ..Tolerance::default()
        },
    )
    .unwrap();
    assert!(!found.equal && !found.within);
    assert_eq!((found.rows, found.differing, found.max_abs), (3, 2, 7.0));
    assert_eq!(found.min_cosine, Some(0.0));
    let worst = found.worst.unwrap();
    assert_eq!((worst.row, worst.column.as_str()), (1, "embedding"));
    assert!(worst.detail.contains("cosine 0.000000"), "{}", worst.detail);
    assert_eq!(found.metadata, ["network"]);
    let loose = Tolerance {
        max_abs: Some(7.0),
        cosine: Some(-0.1),
        ..Tolerance::default()
    };
    assert!(compare(EMBEDDINGS, &a, &b, &loose).unwrap().within);
    // Of metadata digests alone may differ.
    let named = embeddings(
        &folder.path().join("c"),
        &[1.0, 0.0, -4.0, 3.0, 1.0, 1.125],
        "two",
    );
    assert!(!compare(EMBEDDINGS, &a, &named, &loose).unwrap().within);
    let narrow = Tolerance {
        max_abs: Some(6.9),
        ..Tolerance::default()
    };
    assert!(!compare(EMBEDDINGS, &a, &b, &narrow).unwrap().within);
}

#[test]
fn other_rows_or_columns_are_a_difference_of_structure() {
    let folder = tempfile::tempdir().unwrap();
    let a = embeddings(&folder.path().join("a"), &[1.0, 0.0], "n");
    let b = embeddings(&folder.path().join("b"), &[1.0, 0.0, 1.0, 1.0], "n");
    let found = compare(EMBEDDINGS, &a, &b, &Tolerance::default()).unwrap();
    assert!(!found.equal && !found.within);
    assert_eq!(found.structure.as_deref(), Some("rows: 1 against 2"));
}

#[test]
fn tensors_are_compared_by_their_own_type() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = Metadata::from([
        ("architecture".into(), "{}".into()),
        ("preprocessing".into(), "{}".into()),
    ]);
    let write = |name: &str, weight: [f32; 2], steps: i64| {
        let path = folder.path().join(name);
        let data = weight
            .iter()
            .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
            .collect();
        let rows = [
            WeightRow {
                name: "w".into(),
                dtype: Dtype::Bf16,
                shape: vec![2],
                data,
            },
            WeightRow {
                name: "n".into(),
                dtype: Dtype::I64,
                shape: vec![],
                data: steps.to_le_bytes().to_vec(),
            },
        ];
        let mut writer = WeightsWriter::create(&path, &metadata).unwrap();
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        vec![path]
    };
    let (a, b, c) = (
        write("a", [1.0, 2.0], 5),
        write("b", [1.0, 2.5], 5),
        write("c", [1.0, 2.0], 6),
    );
    let tolerance = Tolerance {
        max_abs: Some(0.5),
        cosine: Some(0.99),
        ..Tolerance::default()
    };
    let found = compare(WEIGHTS, &a, &b, &tolerance).unwrap();
    assert!(found.within && !found.equal, "{found:?}");
    assert_eq!((found.differing, found.max_abs), (1, 0.5));
    // cos of (1, 2) and (1, 2.5) = 6 / sqrt(5 · 7.25)
    assert!((found.min_cosine.unwrap() - 6.0 / (5.0f64 * 7.25).sqrt()).abs() < 1e-12);
    // A count has no tolerance.
    let found = compare(WEIGHTS, &a, &c, &tolerance).unwrap();
    assert!(!found.within);
    assert_eq!(
        found.worst.map(|worst| (worst.row, worst.detail)),
        Some((1, "not equal".to_string()))
    );
}

#[test]
fn metrics_are_within_points_but_names_must_be_equal() {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, name: &str, value: f64| {
        let path = folder.path().join(file);
        let mut writer = MetricsWriter::create(&path, &Metadata::new()).unwrap();
        writer
            .write(&[MetricRow {
                step: 0,
                split: "test".into(),
                name: name.into(),
                value,
            }])
            .unwrap();
        writer.finish().unwrap();
        vec![path]
    };
    let (a, b, c) = (
        write("a", "top1", 0.5),
        write("b", "top1", 0.505),
        write("c", "top5", 0.5),
    );
    let tolerance = Tolerance {
        max_abs: Some(0.01),
        ..Tolerance::default()
    };
    assert!(compare(METRICS, &a, &b, &tolerance).unwrap().within);
    assert!(
        !compare(METRICS, &a, &b, &Tolerance::default())
            .unwrap()
            .within
    );
    assert!(!compare(METRICS, &a, &c, &tolerance).unwrap().within);
}
