//! Networks whose widths depend on the image's size, and numbers that are none.

use serde_json::Value;

use crate::sandbox::{Sandbox, WHOLE_PIPELINE};

/// Ends in `flatten`: 4 channels at an eighth of the side.
const FLAT: &str = "{graph: {nodes: [{op: convolution, name: conv, outputs: 4, stride: 8}, {op: relu}, {op: flatten}]}}";

fn pipeline(stages: &str) -> Sandbox {
    Sandbox::with(&format!(
        "\
stages:
  images: {{kind: ingest, params: {{source: digits.parquet, label_column: label, split_column: split, take: {{train: 60, test: 20}}}}}}
  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: custom, size: 16, views_per_image: 2}}}}
{stages}"
    ))
}

#[test]
fn features_have_the_length_that_the_images_size_gives() {
    let sandbox = pipeline(&format!(
        "  plain: {{kind: encode, inputs: {{images: images}}, params: {{network: {FLAT}, preprocessing: {{size: 32, crop_ratio: 1.0}}}}}}
  seen: {{kind: encode, inputs: {{images: images, views: views}}, params: {{network: {FLAT}}}}}
  knn: {{kind: knn, inputs: {{images: images, features: plain}}, params: {{k: [5]}}}}
"
    ));
    sandbox.run(&["run", "--quiet"]).succeeded();
    for (output, rows, column) in [
        ("plain", 80, format!("f16[{}]", 4 * 4 * 4)),
        ("seen", 120, format!("f16[{}]", 4 * 2 * 2)),
        ("knn.predictions", 20, "list<f32>".to_owned()),
    ] {
        let shown = sandbox.run(&["show", output]).succeeded().stdout;
        assert!(
            shown.contains(&format!(", {rows} rows")) && shown.contains(&column),
            "{shown}"
        );
    }
}

#[test]
fn a_layer_that_the_images_dont_fit_is_named() {
    for (stage, expected) in [
        (
            "{kind: pretrain, inputs: {images: images, views: views}, params: {network: FLAT, training: {epochs: 1, batch: 16}}}",
            "images of 16×16 pixels don't fit the network: `head.0`: expected 3136 inputs, got 16",
        ),
        (
            "{kind: finetune, inputs: {images: images, views: views}, params: {network: FLAT, training: {epochs: 1, batch: 16}}}",
            "images of 16×16 pixels don't fit the network: `classifier`: expected 3136 inputs, got 16",
        ),
        (
            "{kind: encode, inputs: {images: images}, params: {network: {name: vit_t_16}, preprocessing: {size: 8}}}",
            "images of 8×8 pixels don't fit the network: `conv_proj`: expected a kernel that fits into the padded input, got kernel 16, padding 0, input 8×8",
        ),
    ] {
        let stage = stage.replace("FLAT", FLAT);
        let sandbox = pipeline(&format!("  it: {stage}\n"));
        let message = sandbox.run(&["run", "--quiet"]).exited_with(1).refusal();
        assert!(message.contains("stage `it`"), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(
            message.contains("hint: give it images of the size"),
            "{message}"
        );
        assert!(!message.contains("BUG"), "{message}");
    }
}

/// The teacher of [`WHOLE_PIPELINE`], exported, with one number of a tensor changed.
fn patched(sandbox: &Sandbox, tensor: &str, value: f32) {
    let file = sandbox.path("net.safetensors");
    if !file.exists() {
        let arguments = ["run", "--quiet", "teacher"];
        sandbox.run(&arguments).succeeded();
        let path = file.to_str().unwrap();
        let arguments = ["export", "teacher", "--format", "safetensors", "-o", path];
        sandbox.run(&arguments).succeeded();
    }
    let mut bytes = fs_err::read(&file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[8 + length + start..][..4].copy_from_slice(&value.to_le_bytes());
    fs_err::write(sandbox.path("patched.safetensors"), bytes).unwrap();
}

#[test]
fn what_is_not_finite_is_said_and_never_stored() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.write("x.png", {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::from_pixel(20, 20, image::Rgb([200, 30, 90]));
        picture
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    });
    let encode = |store: &str| {
        let stage = format!(
            "  patched: {{kind: encode, inputs: {{images: images}}, params: {{checkpoint: patched.safetensors, network: {{name: cifar_resnet8, width: 0.5}}, store: {store}}}}}\n"
        );
        sandbox.write("pipeline.yaml", format!("{WHOLE_PIPELINE}{stage}"));
        let finished = sandbox.run(&["run", "--quiet", "patched"]);
        (finished.code, finished.refusal())
    };
    for value in [f32::NAN, f32::NEG_INFINITY] {
        patched(&sandbox, "layer2.0.conv1.weight", value);
        let shown = sandbox
            .run(&["network", "inspect", "patched.safetensors"])
            .succeeded()
            .stdout;
        assert!(
            shown.contains("not finite: `layer2.0.conv1.weight`"),
            "{shown}"
        );
        let expected =
            "tensor `layer2.0.conv1.weight`: expected finite numbers, got NaN or infinity";
        let finished = sandbox.run(&["embed", "patched.safetensors", "x.png"]);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""));
        assert!(finished.stderr.contains(expected), "{}", finished.stderr);
        let (code, message) = encode("f16");
        assert_eq!(code, Some(1));
        assert!(message.contains(expected), "{message}");
    }
    // Finite, and beyond what f16 holds.
    patched(&sandbox, "layer3.0.bn2.bias", 1e6);
    let (code, message) = encode("f16");
    assert_eq!(code, Some(1));
    assert!(
        message.contains("embedding of image_id 0: expected numbers that f16 holds, up to 65504")
            && message.contains("`store: f32`"),
        "{message}"
    );
    assert_eq!(encode("f32").0, Some(0));
    // Weights that are finite may give features that are not.
    patched(&sandbox, "layer3.0.bn2.bias", f32::MAX);
    patched_twice(&sandbox);
    let finished = sandbox.run(&["embed", "patched.safetensors", "x.png"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""));
    assert!(
        finished
            .stderr
            .contains("`x.png`: expected finite numbers of the network"),
        "{}",
        finished.stderr
    );
    let (code, message) = encode("f32");
    assert_eq!(code, Some(1));
    assert!(
        message.contains("expected finite numbers, got "),
        "{message}"
    );
}

/// Scales the last batch norm's result beyond what f32 holds.
fn patched_twice(sandbox: &Sandbox) {
    let whole = fs_err::read(sandbox.path("net.safetensors")).unwrap();
    fs_err::rename(
        sandbox.path("patched.safetensors"),
        sandbox.path("net.safetensors"),
    )
    .unwrap();
    patched(sandbox, "layer3.0.bn1.weight", f32::MAX);
    fs_err::rename(
        sandbox.path("patched.safetensors"),
        sandbox.path("net.safetensors"),
    )
    .unwrap();
    patched(sandbox, "layer2.0.bn2.weight", f32::MAX);
    fs_err::write(sandbox.path("net.safetensors"), whole).unwrap();
}
