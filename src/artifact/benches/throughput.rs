//! How fast artifacts are written, read and digested:
//! `cargo bench --profile dev -p seedpipe-artifact`. Files are in the operating system's cache.

use std::path::PathBuf;
use std::time::Instant;

use seedpipe_artifact::{
    EMBEDDINGS, EmbeddingsHeader, EmbeddingsReader, EmbeddingsWriter, IMAGES, ImageRow,
    ImagesReader, ImagesWriter, Metadata, Of, Precision, Scale, VIEWS, ViewRow, ViewsReader,
    ViewsWriter, digest,
};
use seedpipe_base::{CropBox, Operation, View};

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    embeddings(folder.path().join("embeddings"));
    views(folder.path().join("views"));
    images(folder.path().join("images"), 60_000, 3_000);
    images(folder.path().join("photographs"), 2_000, 200_000);
}

fn report<T>(what: &str, amount: f64, unit: &str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{what:32} {:>12.1} {unit}/s  ({seconds:.2} s)",
        amount / seconds
    );
    result
}

fn embeddings(path: PathBuf) {
    let (rows, dimension) = (1_000_000usize, 128usize);
    let header = EmbeddingsHeader {
        of: Of::Views,
        precision: Precision::F16,
        dimension,
        normalised: true,
        network: "0".repeat(64),
        extra: Metadata::new(),
    };
    let megabytes = (rows * dimension * 2) as f64 / 1e6;
    let values: Vec<f32> = (0..8192 * dimension)
        .map(|index| ((index * 2_654_435_761) as u32) as f32 / 4e9)
        .collect();
    report("embeddings f16 × 128, write", megabytes, "MB", || {
        let mut writer = EmbeddingsWriter::create(&path, &header).expect("a writer");
        for first in (0..rows).step_by(8192) {
            let count = 8192.min(rows - first);
            let ids: Vec<u64> = (first as u64..(first + count) as u64).collect();
            writer
                .write(&ids, &values[..count * dimension])
                .expect("rows are written");
        }
        writer.finish().expect("a footer");
    });
    let parts = [path];
    let reader = EmbeddingsReader::open(&parts).expect("a reader");
    for _ in 0..2 {
        report("embeddings, sequential read", megabytes, "MB", || {
            for first in (0..rows).step_by(16_384) {
                std::hint::black_box(
                    reader
                        .read(first..(first + 16_384).min(rows))
                        .expect("rows"),
                );
            }
        });
    }
    report("embeddings, digest", megabytes / 1e3, "GB", || {
        digest(EMBEDDINGS, &parts).expect("a digest")
    });
}

fn view(view_id: u64, viewed: u64) -> ViewRow {
    let random = |salt: u64| ((view_id ^ salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u32;
    let amount = |salt: u64| random(salt) as f32 / 2e7 + 0.6;
    ViewRow {
        view_id,
        image_id: (view_id % viewed) as u32,
        number: (view_id / viewed) as u16,
        scale: Scale::Global,
        view: View {
            crop: CropBox {
                x: random(1) % 300,
                y: random(2) % 300,
                width: 50 + random(3) % 250,
                height: 50 + random(4) % 250,
            },
            operations: vec![
                Operation::Brightness(amount(5)),
                Operation::Hue(amount(6)),
                Operation::Contrast(amount(7)),
                Operation::Saturation(amount(8)),
                Operation::Blur(amount(9)),
                Operation::Flip,
            ],
            ..View::identity(224)
        },
    }
}

fn views(path: PathBuf) {
    let (viewed, count) = (500_000u64, 2u64);
    let rows = viewed * count;
    let prepared: Vec<ViewRow> = (0..rows).map(|view_id| view(view_id, viewed)).collect();
    report("views, write", rows as f64, "rows", || {
        let mut writer = ViewsWriter::create(&path, &Metadata::new()).expect("a writer");
        prepared
            .chunks(16_384)
            .for_each(|rows| writer.write(rows).expect("rows are written"));
        writer.finish().expect("a footer");
    });
    println!(
        "{:32} {:>12.1} bytes a row",
        "views, size",
        fs_err::metadata(&path).expect("a file").len() as f64 / rows as f64
    );
    let parts = [path];
    let reader = ViewsReader::open(&parts).expect("a reader");
    report("views, read", rows as f64, "rows", || {
        for view in 0..count as usize {
            for first in (0..viewed as usize).step_by(10_000) {
                std::hint::black_box(reader.read(view, first..first + 10_000).expect("rows"));
            }
        }
    });
    report("views, digest", rows as f64, "rows", || {
        digest(VIEWS, &parts).expect("a digest")
    });
}

fn images(path: PathBuf, rows: u32, length: usize) {
    let megabytes = f64::from(rows) * length as f64 / 1e6;
    report(
        &format!("images of {length} bytes, write"),
        megabytes,
        "MB",
        || {
            let mut writer = ImagesWriter::create(&path, &Metadata::new()).expect("a writer");
            for image_id in 0..rows {
                let mut bytes = vec![7u8; length];
                bytes[..4].copy_from_slice(&image_id.to_le_bytes());
                let row = ImageRow {
                    label: Some(1),
                    label_name: Some("cat".into()),
                    source: format!("train/cat/{image_id}.jpg"),
                    ..ImageRow::example(image_id, bytes)
                };
                writer.write(&[row]).expect("rows are written");
            }
            writer.finish().expect("a footer");
        },
    );
    let parts = [path];
    let reader = report("images, open", f64::from(rows), "rows", || {
        ImagesReader::open(&parts).expect("a reader")
    });
    report("images, random reads", f64::from(rows), "images", || {
        for turn in 0..rows as usize {
            std::hint::black_box(reader.bytes(turn * 7919 % rows as usize).expect("bytes"));
        }
    });
    report("images, digest", megabytes / 1e3, "GB", || {
        digest(IMAGES, &parts).expect("a digest")
    });
}
