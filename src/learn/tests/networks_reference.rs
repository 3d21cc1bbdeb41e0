//! Networks that the shared fixtures don't hold, against the reference code's values:
//! `tests/reference/models.py`.

mod support;

use std::path::Path;

use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::network::{Mode, Precision};
use seedpipe_learn::tch::no_grad;
use seedpipe_learn::tensors::to_vec_f32;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    formula_salt: u64,
    models: Vec<Model>,
    billion_multiply_adds: std::collections::BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Model {
    architecture: Architecture,
    params: u64,
    state_crc: u32,
    #[serde(default)]
    input: Option<Vec<i64>>,
    #[serde(default)]
    features_first8: Vec<Vec<f64>>,
    #[serde(default)]
    features_norm: Vec<f64>,
    #[serde(default)]
    logits_first8: Vec<Vec<f64>>,
    #[serde(default)]
    logits_norm: Vec<f64>,
}

fn reference() -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference_models.json");
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn reference_models_have_their_names_shapes_and_counts() {
    let reference = reference();
    assert_eq!(reference.models.len(), 23);
    for model in reference.models {
        let graph = model.architecture.graph().unwrap();
        let mut lines: Vec<String> = graph
            .state()
            .iter()
            .map(|spec| format!("{} {:?}\n", spec.name, spec.shape))
            .collect();
        lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
        let name = &model.architecture.name;
        assert_eq!(graph.parameter_count(), model.params, "{name}");
        assert_eq!(
            support::formula::crc32(lines.concat().as_bytes()),
            model.state_crc,
            "{name}:\n{}",
            lines.concat()
        );
    }
}

#[test]
fn reference_models_compute_the_references_features_and_logits() {
    let reference = reference();
    for model in &reference.models {
        let Some(shape) = &model.input else { continue };
        let name = format!("{:?}", model.architecture);
        let network = support::formula_network(&model.architecture, reference.formula_salt);
        let images = support::formula_image(shape, reference.formula_salt);
        let output = no_grad(|| network.forward(&images, Mode::Eval, Precision::F32));
        let logits = output.logits.unwrap();
        for (result, first8, norms) in [
            (
                &output.features,
                &model.features_first8,
                &model.features_norm,
            ),
            (&logits, &model.logits_first8, &model.logits_norm),
        ] {
            assert_eq!(first8.len(), 2, "{name}");
            let mut largest = 0f64;
            for (row, expected) in first8.iter().enumerate() {
                let values: Vec<f64> = to_vec_f32(&result.get(row as i64))
                    .iter()
                    .map(|value| f64::from(*value))
                    .collect();
                let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
                let relative = (norm / norms[row] - 1.0).abs();
                assert!(relative < 1e-4, "{name} row {row}: norm off by {relative}");
                for (got, expected) in values.iter().zip(expected) {
                    let error = (got - expected).abs() / norms[row];
                    largest = largest.max(error).max(relative);
                    assert!(
                        error < 1e-4,
                        "{name} row {row}: {got} instead of {expected}"
                    );
                }
            }
            println!(
                "{}: off by {largest:.1e} of the norm",
                model.architecture.name
            );
        }
    }
}

#[test]
fn multiply_adds_agree_with_torchvisions_to_its_last_digit() {
    let reference = reference();
    assert_eq!(reference.billion_multiply_adds.len(), 10);
    for (name, billions) in reference.billion_multiply_adds {
        let architecture = Architecture {
            classes: Some(1000),
            ..Architecture::named(&name)
        };
        let size = i64::from(architecture.default_preprocessing().size);
        let got = architecture.graph().unwrap().multiply_adds(size, size) as f64 / 1e9;
        assert!(
            (got - billions).abs() < 0.000_51,
            "{name}: {got}, torchvision says {billions}"
        );
    }
}
