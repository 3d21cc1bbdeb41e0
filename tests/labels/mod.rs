//! What names, tables and words for splits make of somebody's images: classes and splits as people
//! mean them, or a refusal.

mod names;
mod splits;
mod tables;

use std::collections::BTreeMap;

use seedpipe_artifact::ImagesReader;

use crate::sandbox::Sandbox;

/// A picture of its own for each number.
fn picture(number: usize) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(16, 16, |x, y| {
        let value = |factor: usize| ((x as usize + 3 * y as usize) * factor + number) % 256;
        image::Rgb([value(1) as u8, value(2) as u8, (number / 256) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// An image in each folder that is named, as often as it is.
fn folders(source: &str, folders: &[&str]) -> Sandbox {
    let sandbox = Sandbox::empty();
    for (number, folder) in folders.iter().enumerate() {
        sandbox.write(
            &format!("{source}/{folder}/{number:03}.png"),
            picture(number),
        );
    }
    sandbox
}

/// `ingest` of a source, with these params besides, and views, which read what it stored.
fn pipeline(sandbox: &Sandbox, source: &str, params: &str) {
    sandbox.write(
        "pipeline.yaml",
        format!(
            "stages:\n  images: {{kind: ingest, params: {{source: {source}, {params}}}}}\n  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: custom, size: 8}}}}\n"
        ),
    );
}

/// Runs it; what is warned of, and how many images each `SPLIT: NUMBER NAME` has. The views need the
/// split `train`.
fn ingested(sandbox: &Sandbox, source: &str, params: &str) -> (String, Vec<String>) {
    pipeline(sandbox, source, params);
    let run = sandbox.run(&["run", "--json", "images"]).succeeded();
    let stage = &run.json_lines()[0];
    let [fingerprint, content] = ["fingerprint", "content"].map(|key| stage[key].as_str().unwrap());
    let part = format!(
        ".seedpipe/v1/artifacts/{fingerprint}/{}/images/part-00000.parquet",
        &content[..16]
    );
    let reader = ImagesReader::open(&[sandbox.path(&part)]).unwrap();
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for row in 0..reader.rows() {
        let image = reader.image(row);
        let label = image
            .label
            .map_or("-".to_owned(), |label| label.to_string());
        let class = format!(
            "{}: {label} {}",
            image.split,
            image.label_name.unwrap_or("-")
        );
        *found.entry(class).or_default() += 1;
    }
    if reader.splits().contains(&"train".to_owned()) {
        sandbox.run(&["run", "--quiet"]).succeeded();
    }
    let found = found
        .into_iter()
        .map(|(class, count)| format!("{class}: {count}"));
    (run.stderr, found.collect())
}

/// What a run is refused with.
fn refused(sandbox: &Sandbox, source: &str, params: &str) -> String {
    pipeline(sandbox, source, params);
    let finished = sandbox.run(&["run", "--quiet"]).exited_with(1);
    assert_eq!(sandbox.cache_entries("artifacts"), [""; 0]);
    finished.refusal()
}

/// What `init` says first, and the pipeline that it wrote.
fn begun(sandbox: &Sandbox, source: &str) -> (String, String) {
    let told = sandbox
        .run(&["--pipeline", "begun.yaml", "init", "--from", source])
        .succeeded()
        .stdout;
    let written = fs_err::read_to_string(sandbox.path("begun.yaml")).unwrap();
    sandbox
        .run(&["--pipeline", "begun.yaml", "run", "--dry-run"])
        .succeeded();
    (told, written)
}
