//! That learning happens: a student of a teacher's targets sees better than the network that it
//! began as, by more than both 95 % intervals, and a student of other images' targets does not.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::sandbox::{REPOSITORY, Sandbox};
use crate::supervised::figure;

/// Images that are learned from.
const LEARNED: u32 = 1000;

/// `others` has the digits of `images` in another order. Since their views draw nothing, both have
/// the same ones, and the targets of `others` fit the student's views, each of another image.
const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split}}
  others: {kind: ingest, params: {source: others.parquet, label_column: label, split_column: split}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: eval, size: 20}}
  other_views: {kind: augment, inputs: {images: others}, params: {recipe: eval, size: 20}}
  teacher:
    kind: finetune
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8}, training: {epochs: 5, batch: 32, learning_rate: 0.05, threads: 1}}
  targets: {kind: encode, inputs: {images: images, views: views, weights: teacher}, params: {embedding: features}}
  other_targets: {kind: encode, inputs: {images: others, views: other_views, weights: teacher}, params: {embedding: features}}
  student: {kind: distill, inputs: {images: images, views: views, targets: targets}, params: PARAMS}
  misled: {kind: distill, inputs: {images: images, views: views, targets: other_targets}, params: PARAMS}
  student_features: {kind: encode, inputs: {images: images, weights: student}, params: {embedding: features}}
  misled_features: {kind: encode, inputs: {images: images, weights: misled}, params: {embedding: features}}
  untrained: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.5}, preprocessing: {size: 20}}}
  student_probe: {kind: probe, inputs: {images: images, features: student_features}}
  misled_probe: {kind: probe, inputs: {images: images, features: misled_features}}
  untrained_probe: {kind: probe, inputs: {images: images, features: untrained}}
";

const PARAMS: &str = "{network: {name: cifar_resnet8, width: 0.5}, queue: 512, temperature_teacher: 0.04, training: {epochs: 8, batch: 32, learning_rate: 0.05, threads: 1}}";

fn digits() -> RecordBatch {
    let file = fs_err::File::open(format!("{REPOSITORY}/data/digits.parquet")).unwrap();
    let file = ParquetRecordBatchReaderBuilder::try_new(file.into_file()).unwrap();
    let batches: Vec<RecordBatch> = file.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn write(sandbox: &Sandbox, name: &str, digits: &RecordBatch, rows: &[u32]) {
    let digits = take_record_batch(digits, &UInt32Array::from(rows.to_vec())).unwrap();
    let file = fs_err::File::create(sandbox.path(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, digits.schema(), None).unwrap();
    writer.write(&digits).unwrap();
    writer.close().unwrap();
}

#[test]
fn a_student_learns_of_the_teachers_targets_and_not_of_other_images() {
    let sandbox = Sandbox::with(&PIPELINE.replace("PARAMS", PARAMS));
    let digits = digits();
    let column = |name: &str| Arc::clone(digits.column_by_name(name).unwrap());
    let (splits, labels) = (column("split"), column("label"));
    let (splits, labels) = (
        splits.as_string::<i32>(),
        labels.as_primitive::<Int32Type>(),
    );
    let of = |split: &str| -> Vec<u32> {
        let rows = 0..splits.len() as u32;
        rows.filter(|row| splits.value(*row as usize) == split)
            .collect()
    };
    let (mut train, test) = (of("train"), of("test"));
    train.truncate(LEARNED as usize);
    // No factor of 1,000, so each once.
    let other = (0..LEARNED).map(|place| train[((place * 377 + 91) % LEARNED) as usize]);
    let other: Vec<u32> = other.collect();
    let label = |row: &u32| labels.value(*row as usize);
    let alike = train
        .iter()
        .zip(&other)
        .filter(|(one, other)| label(one) == label(other));
    assert!(alike.count() < LEARNED as usize / 5);
    write(
        &sandbox,
        "digits.parquet",
        &digits,
        &[&train[..], &test].concat(),
    );
    write(
        &sandbox,
        "others.parquet",
        &digits,
        &[&other[..], &test].concat(),
    );

    sandbox.run(&["run", "--quiet"]).succeeded();
    let content = |stage: &str| {
        let shown = sandbox.run(&["show", stage, "--json"]).succeeded().json();
        shown["content"].as_str().unwrap().to_owned()
    };
    assert_eq!(content("views"), content("other_views"));
    assert_ne!(content("targets"), content("other_targets"));
    let linear = |network: &str, end: &str| {
        let name = format!("linear_top1{end}");
        figure(&sandbox, &format!("{network}_probe"), "test", &name)
    };
    let floor = linear("untrained", "_high");
    let [student, misled] = ["student", "misled"].map(|network| linear(network, "_low"));
    assert!(student > floor, "{student} {floor}");
    assert!(misled <= floor, "{misled} {floor}");
}
