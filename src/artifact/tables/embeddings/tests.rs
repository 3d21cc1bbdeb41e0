use super::*;
use crate::schema::metadata::Metadata;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

fn header(of: Of, precision: Precision, dimension: usize) -> EmbeddingsHeader {
    let extra = Metadata::from([("recipe".to_string(), "eval".to_string())]);
    EmbeddingsHeader {
        of,
        precision,
        dimension,
        normalised: true,
        network: "ab12".into(),
        extra,
    }
}

/// Values that f16 holds exactly.
fn values(rows: usize, dimension: usize) -> Vec<f32> {
    (0..rows * dimension)
        .map(|index| (index % 2039) as f32 / 8.0 - 100.0)
        .collect()
}

fn write(path: &Path, header: &EmbeddingsHeader, first: u64, values: &[f32]) {
    let ids: Vec<u64> = (first..).take(values.len() / header.dimension).collect();
    let mut writer = EmbeddingsWriter::create(path, header).unwrap();
    let half = ids.len() / 2;
    writer
        .write(&ids[..half], &values[..half * header.dimension])
        .unwrap();
    writer
        .write(&ids[half..], &values[half * header.dimension..])
        .unwrap();
    assert_eq!(writer.finish().unwrap() as usize, ids.len());
}

#[test]
fn embeddings_are_read_back_whatever_their_dimension_and_precision() {
    let folder = tempfile::tempdir().unwrap();
    for (of, precision) in [
        (Of::Views, Precision::F16),
        (Of::Images, Precision::F32),
        (Of::Images, Precision::F16),
    ] {
        for dimension in [1, 2, 3, 7, 8, 64, 130, 2048] {
            let rows = if dimension > 100 { 300 } else { 20_000 };
            let header = header(of, precision, dimension);
            let all = values(rows, dimension);
            let parts = [folder.path().join("a"), folder.path().join("b")];
            let cut = rows / 3;
            write(&parts[0], &header, 0, &all[..cut * dimension]);
            write(&parts[1], &header, cut as u64, &all[cut * dimension..]);
            let reader = EmbeddingsReader::open(&parts).unwrap();
            assert_eq!(reader.header(), &header);
            assert_eq!((reader.rows(), reader.dimension()), (rows, dimension));
            for range in [0..rows, cut - 1..cut + 2, rows - 1..rows, 5..5] {
                let read = reader.read(range.clone()).unwrap();
                assert_eq!(
                    read.ids,
                    range.clone().map(|id| id as u64).collect::<Vec<_>>()
                );
                assert_eq!(
                    read.values,
                    all[range.start * dimension..range.end * dimension]
                );
            }
            assert!(reader.read(0..rows + 1).is_err());
        }
    }
}

#[test]
fn pages_of_our_own_writer_are_read_directly() {
    let folder = tempfile::tempdir().unwrap();
    for (precision, dimension) in [
        (Precision::F16, 128),
        (Precision::F32, 5),
        (Precision::F16, 24),
    ] {
        let path = folder.path().join("a");
        let header = header(Of::Views, precision, dimension);
        write(&path, &header, 0, &values(9000, dimension));
        let part = Part::open(
            &path,
            &[header::TABLE],
            Positions::Load,
            &Default::default(),
        )
        .unwrap();
        let vectors = vectors(&part, &header);
        // Every page of the first row group must pass as plain.
        let file = crate::on_disk::file::PositionedFile::open(&path).unwrap();
        let index = part
            .parquet()
            .page_index()
            .unwrap()
            .offset_index(0, part.column(EMBEDDING))
            .unwrap();
        let mut rows: Vec<usize> = index
            .page_locations()
            .iter()
            .map(|page| page.first_row_index as usize)
            .collect();
        rows.push(part.row_group_starts()[1]);
        for (page, rows) in index.page_locations().iter().zip(rows.windows(2)) {
            let mut bytes = Vec::new();
            file.read_into(
                page.offset as u64,
                page.compressed_page_size as usize,
                &mut bytes,
            )
            .unwrap();
            let count = rows[1] - rows[0];
            assert!(
                crate::on_disk::page::plain_values(&bytes, count, dimension, vectors.width)
                    .is_some()
            );
            // One row more, one value less, or another width is not what the page says.
            assert!(
                crate::on_disk::page::plain_values(&bytes, count + 1, dimension, vectors.width)
                    .is_none()
            );
            assert!(
                crate::on_disk::page::plain_values(&bytes, count, dimension - 1, vectors.width)
                    .is_none()
            );
            assert!(
                crate::on_disk::page::plain_values(&bytes, count, dimension, vectors.width * 2)
                    .is_none()
            );
        }
    }
}

#[test]
fn another_layout_is_read_by_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a"), folder.path().join("b"));
    let header = header(Of::Views, Precision::F16, 6);
    let all = values(5000, 6);
    write(&path, &header, 0, &all);
    let part = Part::open(
        &path,
        &[header::TABLE],
        Positions::Skip,
        &Default::default(),
    )
    .unwrap();
    let footer = crate::schema::metadata::to_footer(&other, part.kind(), part.metadata()).unwrap();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![footer]))
        .set_max_row_group_row_count(Some(1300))
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = ArrowWriter::try_new(
        fs_err::File::create(&other).unwrap(),
        part.schema().clone(),
        Some(properties),
    )
    .unwrap();
    for batch in part.batches(0..5000, &[0, 1]).unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.close().unwrap();
    let reader = EmbeddingsReader::open(&[other]).unwrap();
    assert_eq!(reader.read(100..4900).unwrap().values, all[600..29_400]);
}

#[test]
fn half_precision_rounds_to_nearest_even() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let given = [2049.0, 2051.0, 1e-9, -0.0, 65_519.0, -65_504.0];
    write(&path, &header(Of::Views, Precision::F16, 6), 0, &given);
    let read = EmbeddingsReader::open(&[path])
        .unwrap()
        .read(0..1)
        .unwrap()
        .values;
    assert_eq!(read, [2048.0, 2052.0, 0.0, -0.0, 65_504.0, -65_504.0]);
    assert!(read[3].is_sign_negative());
}

#[test]
fn what_is_not_finite_is_neither_written_nor_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    for (precision, value, expected) in [
        (Precision::F32, f32::NAN, "finite numbers, got NaN"),
        (Precision::F16, f32::INFINITY, "finite numbers, got inf"),
        (
            Precision::F16,
            -65_520.0,
            "numbers that f16 holds, up to 65504, got -65520",
        ),
    ] {
        let header = header(Of::Images, precision, 2);
        let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
        let message = writer.write(&[6, 7], &[0.0, 1.0, 2.0, value]).unwrap_err();
        let expected = format!("embedding of image_id 7: expected {expected}");
        assert!(message.to_string().starts_with(&expected), "{message}");
        // As a program from before could have written it.
        let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
        let values: ArrayRef = match precision {
            Precision::F32 => Arc::new(Float32Array::from(vec![1.0, value])),
            Precision::F16 => Arc::new(Float16Array::from(vec![f16::ONE, f16::from_f32(value)])),
        };
        let field = element(values.data_type().clone());
        let vectors = FixedSizeListArray::new(field, 2, values, None);
        let ids: ArrayRef = Arc::new(UInt32Array::from(vec![7]));
        let schema = writer.part.schema().clone();
        let batch = RecordBatch::try_new(schema, vec![ids, Arc::new(vectors)]).unwrap();
        writer.part.write(&batch).unwrap();
        writer.finish().unwrap();
        let reader = EmbeddingsReader::open(std::slice::from_ref(&path)).unwrap();
        let places = reader.locate(0..1).unwrap();
        for message in [
            reader.read(0..1).unwrap_err(),
            reader.gather(&places, &[0]).unwrap_err(),
        ] {
            let message = message.to_string();
            assert!(
                message.contains(": expected finite numbers, got "),
                "{message}"
            );
        }
    }
}

#[test]
fn ids_and_shapes_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut writer =
        EmbeddingsWriter::create(&path, &header(Of::Images, Precision::F32, 2)).unwrap();
    assert!(
        writer
            .write(&[1], &[0.0])
            .unwrap_err()
            .to_string()
            .contains("expected 1 rows of 2, got 1")
    );
    assert!(
        writer
            .write(&[1 << 32], &[0.0; 2])
            .unwrap_err()
            .to_string()
            .contains("image_id")
    );
    assert!(EmbeddingsWriter::create(&path, &header(Of::Images, Precision::F32, 0)).is_err());
    let mut clashing = header(Of::Images, Precision::F32, 2);
    clashing.extra.insert("of".into(), "views".into());
    assert!(EmbeddingsWriter::create(&path, &clashing).is_err());
}
