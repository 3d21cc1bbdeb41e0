use std::path::{Path, PathBuf};

use super::*;
use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};
use proptest::prelude::*;

use crate::content::codec::{ContentDigest, digest};
use crate::on_disk::row::StoredRow;
use crate::schema::metadata::{Metadata, to_footer};
use crate::tables::images::ImageRow;
use crate::tables::predictions::PredictionRow;

/// How a file is laid out, none of which may matter.
#[derive(Clone, Debug)]
struct Layout {
    cuts: Vec<usize>,
    row_group: usize,
    page_rows: usize,
    dictionary: bool,
    compression: Compression,
    version: WriterVersion,
    delta: bool,
    offset_index: bool,
}

fn layouts() -> impl Strategy<Value = Layout> {
    let compression = prop_oneof![
        Just(Compression::UNCOMPRESSED),
        Just(Compression::SNAPPY),
        Just(Compression::LZ4_RAW)
    ];
    let version = prop_oneof![
        Just(WriterVersion::PARQUET_1_0),
        Just(WriterVersion::PARQUET_2_0)
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (
        proptest::collection::vec(0usize..60, 0..4),
        1usize..40,
        1usize..20,
        compression,
        version,
        flags,
    )
        .prop_map(
            |(
                cuts,
                row_group,
                page_rows,
                compression,
                version,
                (dictionary, delta, offset_index),
            )| Layout {
                cuts,
                row_group,
                page_rows,
                dictionary,
                compression,
                version,
                delta: delta && !dictionary,
                offset_index,
            },
        )
}

/// Writes a batch as parts of the given layout.
fn write_laid_out(
    folder: &Path,
    kind: &str,
    metadata: &Metadata,
    batch: &RecordBatch,
    layout: &Layout,
) -> Vec<PathBuf> {
    let mut cuts: Vec<usize> = layout
        .cuts
        .iter()
        .map(|cut| cut % (batch.num_rows() + 1))
        .collect();
    cuts.extend([0, batch.num_rows()]);
    cuts.sort_unstable();
    let mut parts = Vec::new();
    for (index, bounds) in cuts.windows(2).enumerate() {
        let path = folder.join(format!("{index}"));
        let mut properties = WriterProperties::builder()
            .set_key_value_metadata(Some(vec![to_footer(&path, kind, metadata).unwrap()]))
            .set_max_row_group_row_count(Some(layout.row_group))
            .set_data_page_row_count_limit(layout.page_rows)
            .set_write_batch_size(layout.page_rows)
            .set_dictionary_enabled(layout.dictionary)
            .set_compression(layout.compression)
            .set_offset_index_disabled(!layout.offset_index)
            .set_writer_version(layout.version);
        if layout.delta {
            properties =
                properties.set_column_encoding("image_id".into(), Encoding::DELTA_BINARY_PACKED);
            properties =
                properties.set_column_encoding("bytes".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY);
        }
        let file = fs_err::File::create(&path).unwrap();
        let mut writer =
            ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
        writer
            .write(&batch.slice(bounds[0], bounds[1] - bounds[0]))
            .unwrap();
        writer.close().unwrap();
        parts.push(path);
    }
    parts
}

fn batch_of<R: StoredRow>(rows: &[R], metadata: &Metadata) -> RecordBatch {
    RecordBatch::try_new(
        R::TABLE.schema(Path::new(""), metadata).unwrap(),
        R::columns(rows),
    )
    .unwrap()
}

fn image_rows() -> impl Strategy<Value = Vec<ImageRow>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let row = (
        bytes,
        proptest::option::of(0i32..4),
        proptest::option::of("[a-cé]{0,3}"),
        "train|val",
        "[a-z/]{0,8}",
    );
    proptest::collection::vec(row, 0..60).prop_map(|rows| {
        let row =
            |(id, (bytes, label, label_name, split, source)): (u32, (Vec<u8>, _, _, _, _))| {
                ImageRow {
                    label,
                    label_name,
                    split,
                    source,
                    ..ImageRow::example(id, bytes)
                }
            };
        (0..).zip(rows).map(row).collect()
    })
}

fn prediction_rows() -> impl Strategy<Value = Vec<PredictionRow>> {
    let pairs = proptest::collection::vec((any::<i32>(), any::<u32>()), 0..5);
    proptest::collection::vec((pairs, proptest::option::of(any::<i32>())), 1..60).prop_map(|rows| {
        let row = |(id, (pairs, label)): (u32, (Vec<(i32, u32)>, _))| PredictionRow {
            image_id: id,
            label,
            classes: pairs.iter().map(|(class, _)| *class).collect(),
            // Any bits at all: NaNs and both zeros are kept as they are.
            probabilities: pairs
                .iter()
                .map(|(_, bits)| f32::from_bits(*bits))
                .collect(),
        };
        (0..).zip(rows).map(row).collect()
    })
}

fn digest_of<R: StoredRow>(rows: &[R], metadata: &Metadata, layout: &Layout) -> ContentDigest {
    let folder = tempfile::tempdir().unwrap();
    let parts = write_laid_out(
        folder.path(),
        R::TABLE.kind,
        metadata,
        &batch_of(rows, metadata),
        layout,
    );
    digest(R::TABLE.kind, &parts).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_layout_of_images_does_not_matter(rows in image_rows(), a in layouts(), b in layouts()) {
        let metadata = Metadata::new();
        let found = digest_of(&rows, &metadata, &a);
        prop_assert_eq!(found.rows as usize, rows.len());
        prop_assert_eq!(found, digest_of(&rows, &metadata, &b));
    }

    #[test]
    fn the_layout_of_lists_does_not_matter(rows in prediction_rows(), a in layouts(), b in layouts()) {
        prop_assert_eq!(digest_of(&rows, &Metadata::new(), &a), digest_of(&rows, &Metadata::new(), &b));
    }

    #[test]
    fn any_changed_cell_order_or_metadata_gives_another_digest(
        rows in prediction_rows(), layout in layouts(), at in any::<prop::sample::Index>(), change in 0..6,
    ) {
        let metadata = Metadata::new();
        let mut changed = rows.clone();
        let mut other = metadata.clone();
        let at = at.index(rows.len());
        let row = &mut changed[at];
        match change {
            0 => row.image_id ^= 1,
            1 => row.label = row.label.map_or(Some(0), |_| None),
            2 => { row.classes.push(0); row.probabilities.push(0.0); }
            3 => match row.probabilities.last_mut() {
                Some(last) => *last = f32::from_bits(last.to_bits() ^ 1),
                None => row.label = row.label.map_or(Some(1), |_| None),
            },
            4 => { other.insert("preprocessing".into(), "centre".into()); }
            _ => changed.rotate_left(1),
        }
        prop_assume!(change < 5 || rows.len() > 1);
        prop_assert_ne!(digest_of(&rows, &metadata, &layout), digest_of(&changed, &other, &layout));
    }
}

/// `[["a"], ["b"]]` and `[["a", "b"], []]` hold the same elements.
#[test]
fn where_a_list_ends_is_content() {
    let layout = Layout {
        cuts: vec![],
        row_group: 10,
        page_rows: 10,
        dictionary: true,
        compression: Compression::UNCOMPRESSED,
        version: WriterVersion::PARQUET_1_0,
        delta: false,
        offset_index: true,
    };
    let row = |classes: &[i32]| PredictionRow {
        image_id: 0,
        label: None,
        classes: classes.to_vec(),
        probabilities: vec![0.5; classes.len()],
    };
    let digest = |rows: &[PredictionRow]| digest_of(rows, &Metadata::new(), &layout).digest;
    assert_ne!(
        digest(&[row(&[1]), row(&[2])]),
        digest(&[row(&[1, 2]), row(&[])])
    );
}

#[test]
fn vectors_have_one_digest_by_their_pages_and_by_decoding() {
    use crate::tables::embeddings::EmbeddingsWriter;
    use crate::tables::embeddings::header::{Of, Precision};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("direct");
    let header = EmbeddingsHeader {
        of: Of::Images,
        precision: Precision::F16,
        dimension: 12,
        normalised: false,
        network: "n".into(),
        extra: Metadata::new(),
    };
    let values: Vec<f32> = (0..12 * 3000).map(|value| value as f32 / 7.0).collect();
    let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
    writer
        .write(&(0..3000).collect::<Vec<_>>(), &values)
        .unwrap();
    writer.finish().unwrap();
    let part = Part::open(
        &path,
        &crate::tables::TABLES,
        crate::on_disk::part::Positions::Skip,
        &Default::default(),
    )
    .unwrap();
    let batches: Vec<RecordBatch> = part
        .batches(0..3000, &[0, 1])
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    let batch = arrow::compute::concat_batches(part.schema(), &batches).unwrap();
    let expected = digest(EMBEDDINGS, &[path]).unwrap();
    for (compression, version, offset_index) in [
        (Compression::SNAPPY, WriterVersion::PARQUET_1_0, true),
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_2_0, true),
        (Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0, false),
    ] {
        let layout = Layout {
            cuts: vec![11, 40],
            row_group: 700,
            page_rows: 90,
            dictionary: false,
            compression,
            version,
            delta: false,
            offset_index,
        };
        let folder = tempfile::tempdir().unwrap();
        let parts = write_laid_out(folder.path(), EMBEDDINGS, part.metadata(), &batch, &layout);
        assert_eq!(digest(EMBEDDINGS, &parts).unwrap(), expected, "{layout:?}");
    }
}
