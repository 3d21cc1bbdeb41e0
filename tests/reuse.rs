//! `encode` after images were added: what was encoded before is taken over, and the result is a
//! fresh run's.

use serde_json::Value;

use crate::sandbox::Sandbox;

const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: pictures}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: mocov2, size: 16, views_per_image: 2}}
  targets: {kind: encode, inputs: {images: images, views: views}, params: {network: {name: cifar_resnet8}, batch: 16}}
  features: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8}, batch: 8, store: f32}}
";
const ENCODED: [&str; 2] = ["targets", "features"];

/// A picture of 20 × 18 pixels of its own: a BMP.
fn picture(number: u32) -> Vec<u8> {
    let (width, height, header) = (20u32, 18u32, 54u32);
    let mut bytes = b"BM".to_vec();
    bytes.extend((header + 3 * width * height).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(header.to_le_bytes());
    bytes.extend(40u32.to_le_bytes());
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes.extend((0..3 * width * height).map(|place| {
        let mixed = (place / 7 + 1).wrapping_mul(2_654_435_761 + 40_503 * number);
        (mixed >> 24) as u8
    }));
    bytes
}

/// With pictures of these numbers, in this order of names.
fn add(sandbox: &Sandbox, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        let split = if number % 5 == 4 { "test" } else { "train" };
        let class = ["bird", "fish"][number as usize % 2];
        sandbox.write(
            &format!("pictures/{split}/{class}/{number:03}.bmp"),
            picture(number),
        );
    }
}

/// The old ones leave out the first, the last and every seventh.
fn is_new(number: &u32) -> bool {
    number.is_multiple_of(7) || *number == 99
}

fn contents(sandbox: &Sandbox, arguments: &[&str]) -> Vec<(String, String)> {
    let stages = sandbox.run_json(arguments);
    let text = |stage: &Value, key: &str| stage[key].as_str().unwrap().to_owned();
    let pairs = stages
        .iter()
        .map(|stage| (text(stage, "stage"), text(stage, "content")));
    pairs.collect()
}

/// What the newest artifact of a stage says of its work.
fn told(sandbox: &Sandbox, stage: &str, key: &str) -> f64 {
    let stages = sandbox.run_json(&[]);
    let of = stages.iter().find(|line| line["stage"] == stage).unwrap();
    let folder = format!(
        ".seedpipe/v1/artifacts/{}/{}/manifest.json",
        of["fingerprint"].as_str().unwrap(),
        &of["content"].as_str().unwrap()[..16]
    );
    let manifest = fs_err::read_to_string(sandbox.path(&folder)).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["telemetry"]["values"][key].as_f64().unwrap()
}

#[test]
fn after_images_were_added_only_they_are_encoded_and_the_content_is_a_fresh_runs() {
    let (grown, fresh) = (Sandbox::with(PIPELINE), Sandbox::with(PIPELINE));
    let new = (0..100).filter(is_new).count() as f64;
    add(&grown, (0..100).filter(|number| !is_new(number)));
    let before = contents(&grown, &[]);
    add(&grown, (0..100).filter(is_new));
    let after = contents(&grown, &[]);
    add(&fresh, 0..100);
    assert_eq!(after, contents(&fresh, &[]));
    assert_ne!(after, before);

    let trained = (0..100).filter(|number| number % 5 != 4);
    let new_trained = trained.clone().filter(is_new).count() as f64;
    let all_trained = trained.count() as f64;
    assert_eq!(told(&grown, "targets", "computed_rows"), 2.0 * new_trained);
    assert_eq!(
        told(&grown, "targets", "reused_rows"),
        2.0 * (all_trained - new_trained)
    );
    assert_eq!(told(&grown, "features", "computed_rows"), new);
    assert_eq!(told(&grown, "features", "reused_rows"), 100.0 - new);
    for stage in ENCODED {
        assert_eq!(told(&fresh, stage, "reused_rows"), 0.0);
    }
    // Made again, nothing is taken over, and every bit is the same.
    grown.run(&["verify", "--rerun"]).succeeded();
}

#[test]
fn nothing_is_taken_over_by_force_or_from_other_work() {
    let sandbox = Sandbox::with(PIPELINE);
    add(&sandbox, 0..20);
    contents(&sandbox, &[]);
    add(&sandbox, 20..25);
    let other = PIPELINE.replace("batch: 8", "batch: 4");
    sandbox.write("pipeline.yaml", other);
    contents(&sandbox, &[]);
    assert_eq!(told(&sandbox, "features", "reused_rows"), 0.0);
    assert!(told(&sandbox, "targets", "reused_rows") > 0.0);

    add(&sandbox, 25..30);
    sandbox
        .run(&["run", "images", "views", "targets", "--force"])
        .succeeded();
    assert_eq!(told(&sandbox, "targets", "reused_rows"), 0.0);
}

#[test]
fn rows_of_a_damaged_result_are_not_taken_over() {
    let (sandbox, fresh) = (Sandbox::with(PIPELINE), Sandbox::with(PIPELINE));
    add(&sandbox, 0..20);
    let stages = sandbox.run_json(&[]);
    let features = stages.iter().find(|line| line["stage"] == "features");
    let part = sandbox.path(&format!(
        ".seedpipe/v1/artifacts/{}/{}/embeddings/v00000-s00000.parquet",
        features.unwrap()["fingerprint"].as_str().unwrap(),
        &features.unwrap()["content"].as_str().unwrap()[..16]
    ));
    let mut bytes = fs_err::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(&part, bytes).unwrap();
    for sandbox in [&sandbox, &fresh] {
        add(sandbox, 0..25);
    }
    assert_eq!(contents(&sandbox, &[]), contents(&fresh, &[]));
    assert_eq!(told(&sandbox, "features", "reused_rows"), 0.0);
    assert!(told(&sandbox, "targets", "reused_rows") > 0.0);
}
