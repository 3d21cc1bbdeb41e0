//! How fast views reach a training, and stored targets with them:
//! `cargo bench --profile dev -p seedpipe-stages`.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use seedpipe_artifact::{
    EmbeddingsHeader, EmbeddingsReader, EmbeddingsWriter, ImageRow, ImagesWriter, Metadata, Of,
    Precision,
};
use seedpipe_stages::speed::rendering;

/// A BMP of `side` × `side` pixels.
fn picture(side: u32, number: u32) -> Vec<u8> {
    let row = (3 * side).next_multiple_of(4);
    let mut bytes = b"BM".to_vec();
    bytes.extend((54 + row * side).to_le_bytes());
    bytes.extend([0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]);
    bytes.extend(side.to_le_bytes());
    bytes.extend(side.to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes.extend((0..row * side).map(|place| (place.wrapping_mul(7) ^ number) as u8));
    bytes
}

fn images(path: &Path, count: u32, side: u32) {
    let rows: Vec<ImageRow> = (0..count)
        .map(|number| ImageRow {
            width: side,
            height: side,
            ..ImageRow::example(number, picture(side, number))
        })
        .collect();
    let mut writer = ImagesWriter::create(path, &Metadata::new()).expect("a writer");
    writer.write(&rows).expect("rows are written");
    writer.finish().expect("a footer");
}

fn feeds(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut group = criterion.benchmark_group("feed");
    group.sample_size(20);
    for (network, count, side) in [("cifar_resnet20", 4096, 32), ("resnet18", 256, 400)] {
        let part = folder.path().join(network);
        images(&part, count, side);
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(format!("{network}_images_of_{side}_px"), |bencher| {
            bencher.iter(|| rendering(black_box(std::slice::from_ref(&part)), network, 64));
        });
    }
}

fn targets(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (rows, dimension) = (100_000usize, 128usize);
    let header = EmbeddingsHeader {
        of: Of::Views,
        precision: Precision::F16,
        dimension,
        normalised: true,
        network: String::new(),
        extra: Metadata::new(),
    };
    let part = folder.path().join("targets");
    let mut writer = EmbeddingsWriter::create(&part, &header).expect("a writer");
    let ids: Vec<u64> = (0..rows as u64).collect();
    let values = vec![0.125f32; rows * dimension];
    writer.write(&ids, &values).expect("rows are written");
    writer.finish().expect("a footer");
    let reader = EmbeddingsReader::open(&[part]).expect("a reader");
    let places = reader.locate(0..rows).expect("every page is there");
    let wanted: Vec<usize> = (0..256).map(|row| row * 7919 % rows).collect();
    let mut group = criterion.benchmark_group("targets");
    group.throughput(Throughput::Elements(256));
    group.bench_function("gather_256_of_100000_x_128", |bencher| {
        bencher.iter(|| reader.gather(&places, black_box(&wanted)));
    });
}

criterion_group!(benches, feeds, targets);
criterion_main!(benches);
