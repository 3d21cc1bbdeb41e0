//! What a plan says that its targets will take, against the bytes that are then written.

use crate::sandbox::Sandbox;

const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 500, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 8, views_per_image: 4}}
  targets:
    kind: encode
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25, head: {out: 256}}}
";

#[test]
fn the_plan_says_passes_and_bytes_as_soon_as_the_images_are_known() {
    let sandbox = Sandbox::with(PIPELINE);
    let told = |arguments: &[&str]| {
        let finished = sandbox.run(arguments).succeeded();
        let line = finished
            .stdout
            .lines()
            .find(|line| line.starts_with("targets: will store"));
        line.map(str::to_owned)
    };
    let unknown = "targets: will store 4 views an image (256 × f16 a view, 2.0 kB an image); teacher passes and bytes are unknown until `images` has run";
    assert_eq!(told(&["run", "--dry-run"]).as_deref(), Some(unknown));

    sandbox.run(&["run", "images", "--quiet"]).succeeded();
    let known =
        "targets: will store 500 images × 4 views: 2,000 teacher passes, 1.0 MB (256 × f16 a view)";
    assert_eq!(told(&["run", "--dry-run"]).as_deref(), Some(known));
    assert_eq!(told(&["status"]).as_deref(), Some(known));
    let plan = sandbox
        .run(&["run", "--dry-run", "--json"])
        .succeeded()
        .json_lines();
    assert!(plan[0]["stores"].is_null() && plan[1]["stores"].is_null());
    assert_eq!(plan[2]["stores"]["teacher_passes"], 2000);

    sandbox.run(&["run", "--quiet"]).succeeded();
    assert_eq!(told(&["status"]), None, "what is stored is no plan");
    let written = sandbox
        .run(&["show", "targets", "--json"])
        .succeeded()
        .json()["bytes"]
        .as_f64()
        .unwrap();
    let estimated = plan[2]["stores"]["bytes"].as_f64().unwrap();
    let share = written / estimated;
    assert!(
        (1.0..1.05).contains(&share),
        "{written} bytes, {estimated} estimated"
    );
}

#[test]
fn a_teachers_params_and_weights_say_the_dimension() {
    let teacher = "
  teacher:
    kind: pretrain
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 50, training: {epochs: 1, batch: 50}}
  targets: {kind: encode, inputs: {images: images, views: views, weights: teacher}}
  features: {kind: encode, inputs: {images: images, views: views, weights: teacher}, params: {embedding: features, store: f32}}
";
    let (above, _) = PIPELINE.split_once("  targets:").unwrap();
    let sandbox = Sandbox::with(&format!("{above}{teacher}"));
    let dimensions = || {
        let plan = sandbox
            .run(&["run", "--dry-run", "--json"])
            .succeeded()
            .json_lines();
        plan[3..]
            .iter()
            .map(|line| line["stores"]["dimension"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(dimensions(), [128, 16], "from the params");
    sandbox.run(&["run", "teacher", "--quiet"]).succeeded();
    assert_eq!(dimensions(), [128, 16], "from the weights");
}
