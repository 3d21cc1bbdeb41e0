//! State dicts under torchvision's and timm's names: read back here, and loaded by the libraries
//! themselves where a Python that has them is named by `SEEDPIPE_PYTHON`.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::checkpoint_file::{Checkpoint, CheckpointFormat, match_network, timm_state};
use seedpipe_learn::deployment::Deployment;
use seedpipe_learn::network::Network;
use seedpipe_learn::tch::{Device, Tensor};
use seedpipe_learn::tensors::to_bytes;
use seedpipe_learn::weights_file;
use serde_json::{Value, json};

const SALT: u64 = 9;
const CLASSES: i64 = 10;

/// Our name, timm's, the side of the images.
const TIMM: [(&str, &str, i64); 13] = [
    ("resnet18", "resnet18", 64),
    ("wide_resnet50_2", "wide_resnet50_2", 64),
    ("mobilenet_v2", "mobilenetv2_100", 64),
    ("mobilenet_v3_small", "mobilenetv3_small_100", 64),
    ("mobilenet_v3_large", "mobilenetv3_large_100", 64),
    ("efficientnet_b0", "efficientnet_b0", 64),
    ("efficientnet_b1", "efficientnet_b1", 64),
    ("efficientnet_lite0", "tf_efficientnet_lite0", 64),
    ("efficientnet_lite1", "tf_efficientnet_lite1", 64),
    ("vit_t_16", "vit_tiny_patch16_224", 96),
    ("dino_vits8", "vit_small_patch8_224", 96),
    ("dinov2_vits14", "vit_small_patch14_dinov2", 98),
    ("dinov2_vits14_reg", "vit_small_patch14_reg4_dinov2", 98),
];

/// torchvision's name is our own; `VisionTransformer` builds what it has under no name.
const TORCHVISION: [(&str, i64); 7] = [
    ("resnet18", 64),
    ("resnet50", 64),
    ("mobilenet_v2", 64),
    ("mobilenet_v3_small", 64),
    ("mobilenet_v3_large", 64),
    ("efficientnet_b0", 64),
    ("vit_t_16", 96),
];

fn architecture(name: &str, side: i64) -> Architecture {
    Architecture {
        classes: Some(CLASSES),
        position_size: name.contains("vit").then_some(side),
        ..Architecture::named(name)
    }
}

fn deployment(architecture: &Architecture) -> Deployment {
    let network = support::formula_network(architecture, SALT);
    Deployment::new(&network, &architecture.default_preprocessing()).unwrap()
}

fn images(side: i64) -> Tensor {
    support::formula_image(&[2, 3, side, side], SALT)
}

#[test]
fn timms_names_are_recognised_when_they_are_read_back_and_compute_the_same() {
    for (name, _, side) in TIMM {
        let architecture = architecture(name, side);
        let deployment = deployment(&architecture);
        let state = timm_state(&deployment).unwrap();
        let checkpoint = Checkpoint {
            path: PathBuf::from("student.safetensors"),
            format: CheckpointFormat::Safetensors,
            tensors: state.into_iter().collect(),
        };
        let matched = match_network(checkpoint, &architecture, None).unwrap();
        let plain = ["resnet", "dino_", "dinov2_vits14"].iter().any(|family| {
            name.trim_start_matches("wide_").starts_with(family) && !name.ends_with("_reg")
        });
        assert_eq!(
            matched.layout.contains("timm's names"),
            !plain,
            "{name}: {}",
            matched.layout
        );
        assert!(matched.leftovers.is_empty(), "{name}");
        let network = Network::with_weights(&architecture, matched.weights, Device::Cpu).unwrap();
        let again = Deployment::new(&network, &deployment.preprocessing).unwrap();
        let [got, expected] = [&again, &deployment].map(|d| d.forward(&images(side)).features);
        let error = support::relative_difference(&got, &expected);
        assert!(error < 1e-5, "{name}: off by {error}");
    }
}

#[test]
fn networks_that_timm_does_not_have_are_refused_by_name() {
    for name in ["cifar_resnet8", "swav_resnet50w2"] {
        let narrow = Architecture {
            width: 0.125,
            ..Architecture::named(name)
        };
        let refused = timm_state(&deployment(&narrow)).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains(&format!("no network like `{name}`")),
            "{refused}"
        );
    }
}

struct Case {
    model: String,
    options: Value,
    architecture: Architecture,
    side: i64,
}

/// Has Python load each case's state dict strictly and compare its logits.
fn check(library: &str, cases: &[Case]) {
    let modules = format!("{library}, safetensors.torch");
    let Some(python) = support::requirements::python(&modules) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let write =
        |name: &str, bytes: Vec<u8>| fs_err::write(folder.path().join(name), bytes).unwrap();
    let mut entries = vec![];
    for (number, case) in cases.iter().enumerate() {
        let deployment = deployment(&case.architecture);
        let state = match library {
            "timm" => timm_state(&deployment).unwrap(),
            _ => deployment.state(),
        };
        let file = format!("{number}.safetensors");
        write(&file, weights_file::to_bytes(&state, &Default::default()));
        let images = images(case.side);
        write(&format!("{number}.images"), to_bytes(&images).2);
        let logits = deployment.forward(&images).logits.unwrap();
        write(&format!("{number}.logits"), to_bytes(&logits).2);
        entries.push(json!({
            "model": case.model, "options": case.options, "file": file, "shape": images.size(),
            "images": format!("{number}.images"), "logits": format!("{number}.logits"),
        }));
    }
    write("cases.json", json!(entries).to_string().into_bytes());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/check_names.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .arg(library)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{complained}");
    let checked = said.lines().filter(|line| line.starts_with('{')).count();
    assert_eq!(checked, cases.len(), "{complained}");
}

#[test]
fn timm_loads_its_names_strictly_and_computes_the_same() {
    let cases = TIMM.map(|(name, model, side)| Case {
        model: model.to_owned(),
        options: match name.contains("vit") {
            true => json!({"num_classes": CLASSES, "img_size": side}),
            false => json!({"num_classes": CLASSES}),
        },
        architecture: architecture(name, side),
        side,
    });
    check("timm", &cases);
}

#[test]
fn torchvision_loads_its_names_strictly_and_computes_the_same() {
    let cases = TORCHVISION.map(|(name, side)| Case {
        model: match name {
            "vit_t_16" => "VisionTransformer".to_owned(),
            name => name.to_owned(),
        },
        options: match name {
            "vit_t_16" => json!({
                "image_size": side, "patch_size": 16, "num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768,
                "num_classes": CLASSES,
            }),
            _ => json!({"num_classes": CLASSES}),
        },
        architecture: architecture(name, side),
        side,
    });
    check("torchvision", &cases);
}
