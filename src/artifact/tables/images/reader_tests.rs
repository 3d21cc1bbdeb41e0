use std::path::Path;

use super::*;
use crate::on_disk::apart::{BytesWriter, StoredBytes};
use crate::tables::images::{ImageRow, ImagesWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

fn row(image_id: u32, bytes: Vec<u8>) -> ImageRow {
    ImageRow {
        occurrence: image_id % 2,
        width: image_id + 1,
        height: 2,
        label: (!image_id.is_multiple_of(5)).then_some((image_id % 3) as i32 - 1),
        label_name: (image_id % 3 == 1).then(|| "zero".to_string()),
        split: if image_id.is_multiple_of(4) {
            "val".into()
        } else {
            "train".into()
        },
        source: format!("folder/{image_id}.jpg"),
        ..ImageRow::example(image_id, bytes)
    }
}

fn rows(count: u32) -> Vec<ImageRow> {
    (0..count)
        .map(|id| {
            row(
                2 * id,
                (0..(id * 37) % 4000)
                    .map(|byte| (byte * id) as u8)
                    .collect(),
            )
        })
        .collect()
}

fn write(path: &Path, rows: &[ImageRow]) -> Result<u64> {
    let mut writer = ImagesWriter::create(path, &Metadata::new())?;
    for chunk in rows.chunks(7) {
        writer.write(chunk)?;
    }
    writer.finish()
}

#[test]
fn every_image_is_read_back_from_its_own_page() {
    let folder = tempfile::tempdir().unwrap();
    let parts = [folder.path().join("a"), folder.path().join("b")];
    let all = rows(50);
    write(&parts[0], &all[..20]).unwrap();
    write(&parts[1], &all[20..]).unwrap();
    let reader = ImagesReader::open(&parts).unwrap();
    assert_eq!(reader.rows(), 50);
    assert!(reader.offsets.iter().all(Option::is_some));
    for (index, expected) in all.iter().enumerate().rev() {
        let image = reader.image(index);
        assert_eq!(reader.bytes(index).unwrap(), expected.bytes);
        assert_eq!(reader.source(index).unwrap(), expected.source);
        assert_eq!(image.length as usize, expected.bytes.len());
        assert_eq!(
            (image.image_id, image.digest),
            (expected.image_id, &expected.digest)
        );
        assert_eq!(
            (image.occurrence, image.width, image.height),
            (expected.occurrence, expected.width, 2)
        );
        assert_eq!(
            (image.label, image.label_name),
            (expected.label, expected.label_name.as_deref())
        );
        assert_eq!(image.split, expected.split);
        assert_eq!(reader.row_of(expected.image_id), Some(index));
    }
    assert_eq!(reader.row_of(3), None);
    assert_eq!(reader.splits(), ["train", "val"]);
    assert_eq!(reader.rows_in("val")[..3], [0, 2, 4]);
    assert!(reader.rows_in("test").is_empty());
    let classes =
        [(-1, "-1"), (0, "zero"), (1, "1")].map(|(label, name)| (label, name.to_string()));
    assert_eq!(reader.classes(), &BTreeMap::from(classes));
}

#[test]
fn occurrences_are_kept_from_the_first_that_is_not_0() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut all = rows(30);
    all.iter_mut().for_each(|row| row.occurrence = 0);
    write(&path, &all).unwrap();
    let reader = ImagesReader::open(std::slice::from_ref(&path)).unwrap();
    assert!(reader.occurrences.is_empty());
    assert_eq!(reader.image(29).occurrence, 0);
    (all[17].occurrence, all[20].occurrence) = (3, 1);
    write(&path, &all).unwrap();
    let reader = ImagesReader::open(&[path]).unwrap();
    for (index, expected) in all.iter().enumerate() {
        assert_eq!(reader.image(index).occurrence, expected.occurrence);
    }
}

#[test]
fn threads_share_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let all = rows(200);
    write(&path, &all).unwrap();
    let reader = ImagesReader::open(&[path]).unwrap();
    (0..4000usize).into_par_iter().for_each(|turn| {
        let index = turn * 7919 % 200;
        assert_eq!(reader.bytes(index).unwrap(), all[index].bytes);
    });
}

#[test]
fn heavy_images_are_spread_over_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let heavy: Vec<ImageRow> = (0..9).map(|id| row(id, vec![id as u8; 5 << 20])).collect();
    write(&path, &heavy).unwrap();
    let reader = ImagesReader::open(&[path]).unwrap();
    assert_eq!(reader.parts.first().row_group_starts(), [0, 3, 6, 9]);
    assert_eq!(reader.bytes(8).unwrap(), heavy[8].bytes);
}

#[test]
fn another_layout_is_read_by_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a"), folder.path().join("b"));
    let all = rows(60);
    write(&path, &all).unwrap();
    let part = Part::open(
        &path,
        &[ImageRow::TABLE],
        Positions::Skip,
        &Default::default(),
    )
    .unwrap();
    let footer = crate::schema::metadata::to_footer(&other, part.kind(), &Metadata::new()).unwrap();
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![footer]))
        .set_max_row_group_row_count(Some(25))
        .set_compression(Compression::SNAPPY)
        .build();
    let file = fs_err::File::create(&other).unwrap();
    let batch = RecordBatch::try_new(part.schema().clone(), ImageRow::columns(&all)).unwrap();
    let mut writer = ArrowWriter::try_new(file, part.schema().clone(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let reader = ImagesReader::open(&[other]).unwrap();
    assert!(reader.offsets.iter().all(Option::is_none));
    for (index, expected) in all.iter().enumerate() {
        assert_eq!(reader.image(index).length as usize, expected.bytes.len());
        assert_eq!(reader.bytes(index).unwrap(), expected.bytes);
    }
}

#[test]
fn a_flipped_bit_in_an_image_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &rows(20)).unwrap();
    let offset = ImagesReader::open(std::slice::from_ref(&path))
        .unwrap()
        .offsets[11];
    let mut file = fs_err::read(&path).unwrap();
    file[offset.unwrap().get() as usize + 5] ^= 4;
    fs_err::write(&path, file).unwrap();
    let reader = ImagesReader::open(&[path]).unwrap();
    let message = reader.bytes(11).unwrap_err().to_string();
    assert!(
        message.contains("bytes of image 22: expected those of its digest"),
        "{message}"
    );
    assert!(reader.bytes(10).is_ok());
}

#[test]
fn ids_must_ascend_and_digests_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    assert!(write(&a, &[row(4, vec![]), row(4, vec![1])]).is_err());
    let wrong = ImageRow {
        digest: [0; 32],
        ..row(1, vec![1])
    };
    assert!(
        write(&a, &[wrong])
            .unwrap_err()
            .to_string()
            .contains("digest of image 1")
    );
    write(&a, &[row(4, vec![])]).unwrap();
    write(&b, &[row(3, vec![1])]).unwrap();
    let message = ImagesReader::open(&[a, b]).err().unwrap().to_string();
    assert!(
        message.contains("expected an image_id above 4, got 3"),
        "{message}"
    );
}

#[test]
fn one_label_has_one_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut two = rows(2);
    for (row, name) in two.iter_mut().zip(["cat", "dog"]) {
        (row.label, row.label_name) = (Some(7), Some(name.to_string()));
    }
    write(&path, &two).unwrap();
    let message = ImagesReader::open(&[path]).err().unwrap().to_string();
    assert!(
        message.contains("name of label 7: expected `cat`, got `dog`"),
        "{message}"
    );
}

/// The rows with their bytes apart, in files of 9 images each.
fn write_apart(folder: &Path, rows: &[ImageRow]) -> Vec<PathBuf> {
    let mut parts = Vec::new();
    for (number, chunk) in rows.chunks(9).enumerate() {
        let path = folder.join(format!("bytes-new-{number:05}.parquet"));
        let mut writer = BytesWriter::create(&path, &Metadata::new()).unwrap();
        for ImageRow { digest, bytes, .. } in chunk.iter().cloned() {
            writer.write(&[StoredBytes { digest, bytes }]).unwrap();
        }
        writer.finish().unwrap();
        parts.push(path);
    }
    let path = folder.join("part-00000.parquet");
    let mut writer = ImagesWriter::create_apart(&path, &Metadata::new()).unwrap();
    for row in rows.iter().cloned() {
        let bytes = Vec::new();
        writer.write(&[ImageRow { bytes, ..row }]).unwrap();
    }
    writer.finish().unwrap();
    parts.push(path);
    parts
}

#[test]
fn images_whose_bytes_lie_apart_are_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut all = rows(50);
    all.push(row(200, all[7].bytes.clone())); // a copy
    all.push(row(201, vec![1; 9 << 20])); // more than a batch holds
    write(&whole, &all).unwrap();
    let parts = write_apart(folder.path(), &all);
    let reader = ImagesReader::open(&parts).unwrap();
    assert!(reader.offsets.iter().all(Option::is_some));
    for (index, expected) in all.iter().enumerate().rev() {
        assert_eq!(reader.bytes(index).unwrap(), expected.bytes);
        assert_eq!(reader.image(index).image_id, expected.image_id);
        assert_eq!(reader.image(index).length as usize, expected.bytes.len());
        assert_eq!(reader.source(index).unwrap(), expected.source);
    }
    let content = crate::digest(crate::IMAGES, &parts).unwrap();
    assert_eq!(
        content,
        crate::digest(crate::IMAGES, std::slice::from_ref(&whole)).unwrap()
    );
    let read = crate::TableReader::<ImageRow>::open(&parts).unwrap();
    assert_eq!(read.read_all().unwrap(), all);
    let preview = |parts: &[PathBuf]| crate::preview(parts, 3).unwrap();
    assert_eq!(preview(&parts), preview(&[whole]));
}

#[test]
fn bytes_that_are_nowhere_or_damaged_are_refused_and_the_other_images_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let all = rows(20);
    let parts = write_apart(folder.path(), &all);
    let without = [&parts[..1], &parts[2..]].concat();
    let reader = ImagesReader::open(&without).unwrap();
    assert_eq!(reader.bytes(3).unwrap(), all[3].bytes);
    let message = reader.bytes(12).unwrap_err().to_string();
    assert!(
        message.contains("expected its bytes in a file `bytes-…` beside it, got none"),
        "{message}"
    );
    assert!(crate::digest(crate::IMAGES, &without).is_err());
    let mut bytes = fs_err::read(&parts[1]).unwrap();
    let content = crate::digest(crate::IMAGES, &parts).unwrap();
    let place = ImagesReader::open(&parts).unwrap().offsets[12]
        .unwrap()
        .get() as usize;
    bytes[place + 5] ^= 1;
    fs_err::write(&parts[1], bytes).unwrap();
    let message = ImagesReader::open(&parts)
        .unwrap()
        .bytes(12)
        .unwrap_err()
        .to_string();
    assert!(
        message
            .contains("bytes-new-00001.parquet`: bytes of image 24: expected those of its digest"),
        "{message}"
    );
    assert_ne!(crate::digest(crate::IMAGES, &parts).unwrap(), content);
}

#[test]
fn files_of_bytes_are_any_that_hold_them_and_a_wrong_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("whole"), folder.path().join("other"));
    let all = rows(30);
    write(&path, &all).unwrap();
    fs_err::write(&other, "no Parquet").unwrap();
    let mut cells = Cells::default();
    cells.add(&other, None).unwrap_err();
    let wanted = all[10..12].iter().map(|row| row.digest).collect();
    let sum = |rows: &[ImageRow]| rows.iter().map(|row| row.bytes.len() as u64).sum::<u64>();
    assert_eq!(
        cells.add(&path, Some(&wanted)).unwrap(),
        [sum(&all), sum(&all[10..12])]
    );
    assert_eq!(cells.file_of(&all[10].digest), Some(0));
    assert_eq!(
        cells.read(&all[11].digest).unwrap().as_ref(),
        Some(&all[11].bytes)
    );
    assert_eq!(cells.read(&all[12].digest).unwrap(), None);
}
