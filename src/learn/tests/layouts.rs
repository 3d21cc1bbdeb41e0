//! Checkpoints as other projects write them, against the reference code's values:
//! `tests/reference/layouts.py`.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::checkpoint_file::{
    self, Checkpoint, CheckpointFormat, guess, match_network, read,
};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::tch::{Device, Tensor, no_grad};
use seedpipe_learn::tensors::to_vec_f32;
use serde::Deserialize;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

/// The ResNet-18 of 2 channels that the files are of.
fn narrow() -> Architecture {
    Architecture {
        width: 1.0 / 32.0,
        ..Architecture::named("resnet18")
    }
}

fn headed(batch_norm: bool, hidden: &[i64]) -> Architecture {
    Architecture {
        head: Some(Head {
            batch_norm,
            ..Head::new(hidden.to_vec(), 8)
        }),
        ..narrow()
    }
}

#[test]
fn every_projects_file_is_recognised_and_computes_the_references_features() {
    let images = support::formula_image(&[2, 3, 32, 32], 11);
    let expected = &checkpoint_file::read(&testdata("layouts/features.safetensors"))
        .unwrap()
        .tensors["features"];
    for (file, layout) in [
        (
            "moco_v1.pth.tar",
            "legacy torch.save, MoCo, prefix `state_dict.module.encoder_q.`",
        ),
        (
            "moco_v2.pth.tar",
            "legacy torch.save, MoCo v2, prefix `state_dict.module.encoder_q.`",
        ),
        (
            "simclr.pth",
            "zip torch.save, SimCLR, prefix `model.module.module.module.`",
        ),
        ("swav.pth.tar", "zip torch.save, SwAV, prefix `module.`"),
        ("ddp.pth", "zip torch.save, prefix `module.`"),
        (
            "dino_resnet.pth",
            "zip torch.save, DINO, prefix `teacher.backbone.`",
        ),
        (
            "model.safetensors.index.json",
            "sharded safetensors, plain names",
        ),
    ] {
        let path = testdata("layouts").join(file);
        let (network, recognised) =
            checkpoint_file::load_network(&path, &narrow(), None, Device::Cpu).unwrap();
        assert_eq!(recognised.layout, layout);
        assert!(!recognised.leftovers.is_empty(), "{file} holds a head");
        let features = no_grad(|| network.forward(&images, Mode::Eval, Precision::F32)).features;
        let error = support::relative_difference(&features, expected);
        assert!(error < 1e-5, "{file}: off by {error}");
        let count = read(&path).unwrap().tensors.len();
        assert_eq!(
            count,
            recognised.leftovers.len() + network.state().len(),
            "{file}: every tensor is accounted for"
        );
    }
}

#[test]
fn heads_of_moco_simclr_and_swav_become_the_networks_head() {
    for (file, architecture, count) in [
        ("moco_v1.pth.tar", headed(false, &[]), 2),
        ("moco_v2.pth.tar", headed(false, &[16]), 4),
        ("simclr.pth", headed(true, &[16]), 9),
        ("swav.pth.tar", headed(true, &[16]), 9),
    ] {
        let path = testdata("layouts").join(file);
        let (network, _) =
            checkpoint_file::load_network(&path, &architecture, None, Device::Cpu).unwrap();
        let heads = network.state();
        let heads = heads.iter().filter(|(name, _)| name.starts_with("head"));
        assert_eq!(heads.count(), count, "{file}");
        let refused = checkpoint_file::load_network(&path, &headed(false, &[5]), None, Device::Cpu);
        let message = refused.err().unwrap().to_string();
        assert!(
            message.contains("tensors don't match the network"),
            "{file}: {message}"
        );
    }
}

#[derive(Deserialize)]
struct Reference {
    formula_salt: u64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    architecture: String,
    layout: String,
    tensors: BTreeMap<String, Vec<i64>>,
    input: Vec<i64>,
    classes: i64,
    output_first8: Vec<Vec<f64>>,
    output_norm: Vec<f64>,
}

#[test]
fn other_projects_names_are_converted_and_compute_what_they_compute() {
    let text = fs_err::read_to_string(testdata("reference_layouts.json")).unwrap();
    let reference: Reference = serde_json::from_str(&text).unwrap();
    assert_eq!(reference.cases.len(), 12);
    for case in reference.cases {
        let name = &case.architecture;
        let architecture = Architecture {
            classes: (case.classes > 0).then_some(case.classes),
            ..Architecture::named(name)
        };
        let checkpoint = |prefix: &str| Checkpoint {
            path: PathBuf::from("teacher.safetensors"),
            format: CheckpointFormat::Safetensors,
            tensors: case
                .tensors
                .iter()
                .map(|(name, shape)| {
                    let tensor = support::formula(name, shape, reference.formula_salt);
                    (format!("{prefix}{name}"), tensor)
                })
                .collect(),
        };
        let matched = match_network(checkpoint("module."), &architecture, None).unwrap();
        assert!(
            matched.layout.contains(&case.layout) || case.layout == "plain names",
            "{name}: {}",
            matched.layout
        );
        assert!(matched.leftovers.is_empty(), "{name}");
        let network = Network::with_weights(&architecture, matched.weights, Device::Cpu).unwrap();
        let images = support::formula_image(&case.input, reference.formula_salt);
        let output = no_grad(|| network.forward(&images, Mode::Eval, Precision::F32));
        let output = output.logits.unwrap_or(output.features);
        for (row, expected) in case.output_first8.iter().enumerate() {
            let values = to_vec_f32(&output.get(row as i64));
            for (got, expected) in values.iter().zip(expected) {
                let error = (f64::from(*got) - expected).abs() / case.output_norm[row];
                assert!(
                    error < 1e-4,
                    "{name}, {}: {got}, not {expected}",
                    case.layout
                );
            }
        }
        // A teacher without classifier: the classifier's tensors are leftovers, by whatever name.
        if case.classes > 0 {
            let matched = match_network(checkpoint(""), &architecture.backbone(), None).unwrap();
            assert!(!matched.leftovers.is_empty(), "{name}");
            let guessed = guess(&checkpoint("module.")).unwrap();
            assert_eq!(guessed.classes, Some(case.classes), "{name}");
            let same = |name: &str| name.replace("vit_t_16", "dino_vitt16");
            assert_eq!(same(&guessed.name), same(name));
        }
    }
}

#[test]
fn a_file_of_another_network_is_refused_and_said_what_it_is() {
    let of = |name: &str, prefix: &str| {
        let state = Architecture::named(name).graph().unwrap().state();
        let tensors = state.iter().map(|spec| {
            let tensor = Tensor::from(0.5_f32).expand(&spec.shape[..], false);
            (format!("{prefix}{}", spec.name), tensor)
        });
        Checkpoint {
            path: PathBuf::from("teacher.pth"),
            format: CheckpointFormat::Zip,
            tensors: tensors.collect(),
        }
    };
    let message = match_network(
        of("resnet50", "module."),
        &Architecture::named("resnet34"),
        None,
    )
    .unwrap_err()
    .to_string();
    assert!(
        message.contains("nearest layout: zip torch.save, prefix `module.`"),
        "{message}"
    );
    assert!(
        message.ends_with("hint: the file is of a `resnet50`, and `resnet34` was asked for"),
        "{message}"
    );
    let mut partial = of("mobilenet_v3_small", "");
    partial.tensors.remove("features.0.0.weight");
    let message = match_network(partial, &Architecture::named("mobilenet_v3_small"), None)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("1 missing\n  missing     features.0.0.weight"),
        "{message}"
    );
}

#[test]
fn a_torchscript_file_is_no_state_dict_and_says_what_to_do() {
    let message = read(&testdata("layouts/backbone.torchscript.pt"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("a TorchScript file"), "{message}");
    assert!(message.contains("`torchscript:`"), "{message}");
}

#[test]
fn an_index_that_lies_about_its_shards_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for shard in [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ] {
        fs_err::copy(testdata("layouts").join(shard), folder.path().join(shard)).unwrap();
    }
    let index = fs_err::read_to_string(testdata("layouts/model.safetensors.index.json")).unwrap();
    let path = folder.path().join("model.safetensors.index.json");
    let refused = |text: &str, expected: &str| {
        fs_err::write(&path, text).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    refused("{\"weight_map\": 3}", "JSON, but no index of safetensors");
    refused(
        "{\"weight_map\": {\"a\": \"../secret.safetensors\"}}",
        "the index names the file `../secret.safetensors`",
    );
    refused(
        &index.replacen(
            "\"weight_map\": {",
            "\"weight_map\": {\"absent\": \"model-00001-of-00002.safetensors\", ",
            1,
        ),
        "no file holds absent",
    );
    refused(
        &index.replacen("\"fc.bias\"", "\"fc.bios\"", 1),
        "tensor `fc.bias` lies in",
    );
    fs_err::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    refused(&index, "model-00002-of-00002.safetensors");
}
