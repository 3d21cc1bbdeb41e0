//! Networks against PyTorch's golden values: names, shapes, counts, features and logits; real
//! weights.

mod support;

use std::collections::BTreeMap;

use seedpipe_learn::architecture::{self, Architecture};
use seedpipe_learn::checkpoint_file;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::tch::{Device, Kind, Tensor, no_grad};
use seedpipe_learn::tensors::to_vec_f32;
use serde_json::Value;
use support::requirements;

/// The models of the fixture that this crate has.
fn models() -> (u64, Vec<(Architecture, Value)>) {
    let fixture = support::json("models.json");
    let salt = fixture["formula_salt"].as_u64().unwrap();
    let known = architecture::names();
    let models = fixture["models"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|model| {
            let name = model["arch"].as_str().unwrap();
            known.contains(&name).then(|| {
                let architecture = Architecture {
                    classes: Some(1000),
                    ..Architecture::named(name)
                };
                (architecture, model.clone())
            })
        });
    (salt, models.collect())
}

fn floats(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_f64().unwrap())
        .collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn golden_models_have_torchvisions_names_shapes_and_counts() {
    let (_, models) = models();
    assert!(
        models.len() >= 12,
        "the fixture holds twelve networks, found {}",
        models.len()
    );
    for (architecture, model) in models {
        let graph = architecture.graph().unwrap();
        let specs = graph.state();
        assert_eq!(
            graph.parameter_count(),
            model["params"].as_u64().unwrap(),
            "{}",
            architecture.name
        );
        assert_eq!(
            architecture.feature_dimension().unwrap(),
            model["feature_dim"].as_i64().unwrap()
        );
        let expected: BTreeMap<String, Vec<i64>> =
            serde_json::from_value(model["state_dict"].clone()).unwrap();
        let got: BTreeMap<String, Vec<i64>> = specs
            .iter()
            .map(|spec| (spec.name.clone(), spec.shape.clone()))
            .collect();
        assert_eq!(got, expected, "{}", architecture.name);
    }
}

#[test]
fn golden_models_compute_torchvisions_features_and_logits() {
    let (salt, models) = models();
    for (architecture, model) in models {
        let name = &architecture.name;
        let network = support::formula_network(&architecture, salt);
        let shape: Vec<i64> = serde_json::from_value(model["input"].clone()).unwrap();
        let images = support::formula_image(&shape, salt);
        let output = no_grad(|| network.forward(&images, Mode::Eval, Precision::F32));
        for (key, result) in [
            ("features", &output.features),
            ("logits", output.logits.as_ref().unwrap()),
        ] {
            let norms = floats(&model[format!("{key}_norm")]);
            let expected: Vec<Vec<f64>> = model[format!("{key}_first8")]
                .as_array()
                .unwrap()
                .iter()
                .map(floats)
                .collect();
            let mut first: Vec<Vec<f64>> = vec![];
            let mut largest = 0f64;
            for (row, expected) in expected.iter().enumerate() {
                let values: Vec<f64> = to_vec_f32(&result.get(row as i64))
                    .iter()
                    .map(|v| f64::from(*v))
                    .collect();
                let relative = (norm(&values) / norms[row] - 1.0).abs();
                assert!(
                    relative < 1e-4,
                    "{name} {key} row {row}: norm off by {relative}"
                );
                for (got, expected) in values.iter().zip(expected) {
                    let error = (got - expected).abs() / norms[row];
                    largest = largest.max(error).max(relative);
                    assert!(
                        error < 1e-4,
                        "{name} {key} row {row}: {got} instead of {expected}"
                    );
                }
                first.push(values[..expected.len()].to_vec());
            }
            println!("{name} {key}: off by {largest:.1e} of the norm");
            // The two rows can be nearly equal, so their difference is checked on its own.
            let difference = |rows: &[Vec<f64>]| -> Vec<f64> {
                rows[0].iter().zip(&rows[1]).map(|(a, b)| a - b).collect()
            };
            let (got, expected) = (difference(&first), difference(&expected));
            let error: Vec<f64> = got.iter().zip(&expected).map(|(a, b)| a - b).collect();
            assert!(
                norm(&error) < 1e-3 * norm(&expected),
                "{name} {key}: difference of the rows is {got:?}, not {expected:?}"
            );
        }
    }
}

fn teacher() -> Option<(Network, checkpoint_file::Recognised)> {
    let path = requirements::shared("data/teachers/resnet56-cifar10.safetensors")?;
    let architecture = Architecture {
        classes: Some(10),
        ..Architecture::named("cifar_resnet56")
    };
    Some(checkpoint_file::load_network(&path, &architecture, None, Device::Cpu).unwrap())
}

#[test]
fn golden_teacher_resnet56_sees_what_pytorch_saw() {
    let Some((network, recognised)) = teacher() else {
        return;
    };
    assert_eq!(recognised.layout, "safetensors, plain names");
    assert!(recognised.leftovers.is_empty());
    let golden = support::tensors("teacher_resnet56");
    let output = no_grad(|| network.forward(&golden["pixels"], Mode::Eval, Precision::F32));
    assert!(support::relative_difference(&output.features, &golden["features"]) < 1e-4);
    let logits = output.logits.unwrap();
    assert!(support::relative_difference(&logits, &golden["logits"]) < 1e-4);
    let predicted: Vec<f32> = to_vec_f32(&logits.argmax(1, false));
    let expected: Vec<f32> =
        serde_json::from_value(support::json("teacher_resnet56.json")["predicted"].clone())
            .unwrap();
    assert_eq!(predicted, expected);
}

#[test]
fn golden_teacher_in_bf16_stays_close() {
    let Some((network, _)) = teacher() else {
        return;
    };
    let golden = support::tensors("teacher_resnet56");
    let output = no_grad(|| network.forward(&golden["pixels"], Mode::Eval, Precision::Bf16));
    assert_eq!(output.features.kind(), Kind::Float);
    let cosine = Tensor::cosine_similarity(&output.features, &golden["features"], 1, 1e-12)
        .min()
        .double_value(&[]);
    assert!(cosine > 0.999, "cosine {cosine}");
}

#[test]
fn the_legacy_teacher_file_equals_its_safetensors() {
    for name in ["resnet56", "resnet20"] {
        let files = [
            ("resnet56", "resnet56-4bfd9763.th"),
            ("resnet20", "resnet20-12fca82f.th"),
        ];
        let legacy = files
            .iter()
            .find(|(candidate, _)| *candidate == name)
            .unwrap()
            .1;
        let Some(legacy) = requirements::shared(&format!("data/teachers/{legacy}")) else {
            return;
        };
        let Some(plain) =
            requirements::shared(&format!("data/teachers/{name}-cifar10.safetensors"))
        else {
            return;
        };
        let architecture = Architecture {
            classes: Some(10),
            ..Architecture::named(&format!("cifar_{name}"))
        };
        let (from_legacy, recognised) =
            checkpoint_file::load_network(&legacy, &architecture, None, Device::Cpu).unwrap();
        assert_eq!(
            recognised.layout,
            "legacy torch.save, prefix `state_dict.module.`"
        );
        let (from_plain, _) =
            checkpoint_file::load_network(&plain, &architecture, None, Device::Cpu).unwrap();
        assert_eq!(from_legacy.digest(), from_plain.digest());
        // As a teacher without classifier: the classifier is a leftover, and said.
        let backbone = architecture.backbone();
        let (features_only, recognised) =
            checkpoint_file::load_network(&legacy, &backbone, None, Device::Cpu).unwrap();
        assert!(features_only.graph().logits().is_none());
        assert_eq!(
            recognised.leftovers,
            [
                "state_dict.module.linear.bias",
                "state_dict.module.linear.weight"
            ]
        );
    }
}
