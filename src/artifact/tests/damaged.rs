//! Damaged, truncated and foreign files: every reader gives an error or the rows, and never panics.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use seedpipe_artifact::*;
use seedpipe_base::{CropBox, Operation, Refusal, View, varint};

#[path = "readers.rs"]
mod readers;

use readers::{read_all, read_as_source};

fn metadata() -> Metadata {
    Metadata::from([
        ("architecture".into(), "{}".into()),
        ("preprocessing".into(), "[]".into()),
    ])
}

fn image(image_id: u32) -> ImageRow {
    let bytes = vec![image_id as u8; 50 + 7 * image_id as usize];
    ImageRow {
        label: Some(1),
        label_name: Some("cat".into()),
        ..ImageRow::example(image_id, bytes)
    }
}

fn view(position: u32) -> ViewRow {
    ViewRow {
        view_id: u64::from(position),
        image_id: position,
        number: 0,
        scale: Scale::Global,
        view: View {
            crop: CropBox {
                x: 0,
                y: 0,
                width: 9,
                height: 9,
            },
            resize: [8, 8],
            operations: vec![Operation::Flip, Operation::Hue(0.1)],
            ..View::identity(8)
        },
    }
}

/// A small sound file of each kind.
fn sound(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let path = |kind: &str| folder.join(kind.replace('/', "-"));
    let mut images = ImagesWriter::create(&path(IMAGES), &Metadata::new()).unwrap();
    images
        .write(&(0..20).map(image).collect::<Vec<_>>())
        .unwrap();
    images.finish().unwrap();
    let mut views = ViewsWriter::create(&path(VIEWS), &Metadata::new()).unwrap();
    views.write(&(0..40).map(view).collect::<Vec<_>>()).unwrap();
    views.finish().unwrap();
    let header = EmbeddingsHeader {
        of: Of::Views,
        precision: Precision::F16,
        dimension: 8,
        normalised: true,
        network: "n".into(),
        extra: Metadata::new(),
    };
    let mut embeddings = EmbeddingsWriter::create(&path(EMBEDDINGS), &header).unwrap();
    embeddings
        .write(&(0..40).collect::<Vec<_>>(), &[0.5; 320])
        .unwrap();
    embeddings.finish().unwrap();
    let mut weights = WeightsWriter::create(&path(WEIGHTS), &metadata()).unwrap();
    let tensor = WeightRow {
        name: "w".into(),
        dtype: Dtype::F32,
        shape: vec![3, 4],
        data: vec![1; 48],
    };
    weights.write(&[tensor]).unwrap();
    weights.finish().unwrap();
    let mut predictions = PredictionsWriter::create(&path(PREDICTIONS), &Metadata::new()).unwrap();
    let row = PredictionRow {
        image_id: 1,
        label: None,
        classes: vec![1, 2],
        probabilities: vec![0.5, 0.5],
    };
    predictions.write(&[row]).unwrap();
    predictions.finish().unwrap();
    let mut metrics = MetricsWriter::create(&path(METRICS), &Metadata::new()).unwrap();
    metrics
        .write(&[MetricRow {
            step: 1,
            split: "train".into(),
            name: "loss".into(),
            value: 0.5,
        }])
        .unwrap();
    metrics.finish().unwrap();
    let mut files = FilesWriter::create(&path(FILES), &Metadata::new()).unwrap();
    files
        .write(&[FileRow {
            name: "card.md".into(),
            bytes: b"text".to_vec(),
        }])
        .unwrap();
    files.finish().unwrap();
    let mut rejected = RejectedWriter::create(&path(REJECTED), &Metadata::new()).unwrap();
    rejected
        .write(&[RejectedRow {
            source: "a".into(),
            reason: "b".into(),
        }])
        .unwrap();
    rejected.finish().unwrap();
    KINDS.iter().map(|kind| (*kind, path(kind))).collect()
}

#[test]
fn sound_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, path) in sound(folder.path()) {
        read_all(kind, &path).unwrap();
    }
}

fn names(error: &Refusal, path: &Path) -> bool {
    let place = error.place.as_deref().unwrap_or_default();
    place.starts_with(&format!("`{}`", path.display()))
}

#[test]
fn every_truncation_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, path) in sound(folder.path()) {
        let whole = fs_err::read(&path).unwrap();
        let step = (whole.len() / 60).max(1);
        for length in (0..whole.len()).step_by(step) {
            fs_err::write(&path, &whole[..length]).unwrap();
            let error = read_all(kind, &path).expect_err("a truncated file is not readable");
            assert!(names(&error, &path), "{error}");
            assert!(read_as_source(&path).is_err());
        }
    }
}

#[test]
fn files_that_are_something_else_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let message = |path: &Path| read_all(METRICS, path).unwrap_err().to_string();
    assert!(message(&path).ends_with("x.parquet`: cannot open"));
    fs_err::write(&path, b"").unwrap();
    assert!(message(&path).contains("not Parquet: expected a Parquet file, got an empty file"));
    fs_err::write(&path, b"plain text, and a little more of it").unwrap();
    assert!(
        message(&path).contains("not Parquet, or damaged"),
        "{}",
        message(&path)
    );
    assert!(message(folder.path()).contains("expected a file"));
    let files = sound(folder.path());
    let images = &files[0].1;
    let wrong = message(images);
    assert!(
        wrong.contains("artifact kind: expected `metrics/v1`, got `images/v1`"),
        "{wrong}"
    );
}

/// A footer in Thrift's compact protocol whose schema has an element for each of these numbers of
/// children.
fn with_schema(children: &[i32]) -> Vec<u8> {
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc]; // version 1, then the schema: a long list of structs
    varint::push(&mut footer, children.len() as u64);
    for count in children {
        footer.extend([0x35, 0x00, 0x18, 0x01, b'x']); // required, called x
        if *count > 0 {
            footer.push(0x15);
            varint::push(&mut footer, u64::from((*count as u32) << 1));
        }
        footer.push(0);
    }
    footer.extend([0x16, 0x00, 0x19, 0x0c, 0x00]); // no rows, no row groups
    let mut file = b"PAR1".to_vec();
    file.extend(&footer);
    file.extend((footer.len() as u32).to_le_bytes());
    file.extend(b"PAR1");
    file
}

#[test]
fn a_schema_that_nests_without_end_or_claims_without_measure_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep.parquet");
    for (children, part) in [
        (
            [vec![1; 300_000], vec![0]].concat(),
            "schema: expected at most 64 groups inside each other, got more",
        ),
        (
            vec![i32::MAX >> 1, 0],
            "schema: expected as many columns as its groups say, got fewer",
        ),
    ] {
        fs_err::write(&path, with_schema(&children)).unwrap();
        for kind in KINDS {
            let message = read_all(kind, &path).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(
            read_as_source(&path)
                .unwrap_err()
                .to_string()
                .contains(part)
        );
    }
    // What is only strange goes on to the decoder.
    fs_err::write(&path, with_schema(&[1, 1, 0])).unwrap();
    let message = read_all(METRICS, &path).unwrap_err().to_string();
    assert!(!message.contains("schema: expected at most"), "{message}");
}

#[test]
fn parts_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let parts = ["a", "b"].map(|name| folder.path().join(name));
    for path in &parts {
        let own = Metadata::from([("made_by".to_string(), format!("{}", path.display()))]);
        FilesWriter::create(path, &own).unwrap().finish().unwrap();
    }
    let message = FilesReader::open(&parts).err().unwrap().to_string();
    assert!(
        message.contains("kind and metadata: expected those of the first part"),
        "{message}"
    );
    assert!(FilesReader::open(&[]).is_err());
}

#[test]
fn a_file_name_cannot_leave_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["", ".", "..", "../x", "/etc/passwd", "a\\b", "C:x", "nul\0"] {
        let mut writer = FilesWriter::create(&folder.path().join("f"), &Metadata::new()).unwrap();
        assert!(
            writer
                .write(&[FileRow {
                    name: name.into(),
                    bytes: vec![]
                }])
                .is_err(),
            "{name:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A changed byte may go unnoticed here (the store hashes files), but it must not bring the
    /// reader down.
    #[test]
    fn damage_never_panics(kind in 0usize..8, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        let (kind, path) = sound(folder.path()).swap_remove(kind);
        let mut bytes = fs_err::read(&path).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        fs_err::write(&path, &bytes).unwrap();
        if let Err(error) = read_all(kind, &path) {
            prop_assert!(names(&error, &path), "{error}");
        }
        let _ = read_as_source(&path);
    }

    /// The footer is where lengths and counts can lie.
    #[test]
    fn a_damaged_footer_never_panics(kind in 0usize..8, from_end in 8usize..1200, value in any::<u8>()) {
        let folder = tempfile::tempdir().unwrap();
        let (kind, path) = sound(folder.path()).swap_remove(kind);
        let mut bytes = fs_err::read(&path).unwrap();
        let at = bytes.len().saturating_sub(from_end);
        bytes[at] = value;
        fs_err::write(&path, &bytes).unwrap();
        if let Err(error) = read_all(kind, &path) {
            prop_assert!(names(&error, &path), "{error}");
        }
        let _ = read_as_source(&path);
    }

    #[test]
    fn garbage_between_the_magic_numbers_is_an_error(garbage in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("g");
        let mut bytes = b"PAR1".to_vec();
        bytes.extend(&garbage);
        bytes.extend((garbage.len() as u32).to_le_bytes());
        bytes.extend(b"PAR1");
        fs_err::write(&path, &bytes).unwrap();
        for kind in KINDS {
            prop_assert!(read_all(kind, &path).is_err());
        }
        let _ = read_as_source(&path);
    }
}
