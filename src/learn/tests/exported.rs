//! ONNX files against onnx's checker and onnxruntime, TorchScript files against `torch.jit.load`,
//! where a Python that has them is named by `SEEDPIPE_PYTHON`.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use seedpipe_learn::architecture::{self, Architecture, Shortcut, Stem};
use seedpipe_learn::deployment::Deployment;
use seedpipe_learn::onnx::{self, Element, OnnxOptions};
use seedpipe_learn::probe::LinearClassifier;
use seedpipe_learn::quantisation::{Calibration, Quantised};
use seedpipe_learn::tch::Tensor;
use seedpipe_learn::tensors::to_bytes;
use seedpipe_learn::torchscript_file;
use serde_json::{Value, json};

const SALT: u64 = 5;

/// A format, by the script that checks it.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Onnx,
    TorchScript,
}

impl Format {
    fn script(self) -> &'static str {
        match self {
            Format::Onnx => "check_onnx.py",
            Format::TorchScript => "check_torchscript.py",
        }
    }

    /// What the script imports.
    fn modules(self) -> &'static str {
        match self {
            Format::Onnx => "onnx, onnxruntime, numpy",
            Format::TorchScript => "torch",
        }
    }

    fn bytes(self, deployment: &Deployment, case: &Case) -> Vec<u8> {
        match self {
            Format::Onnx => {
                let options = OnnxOptions {
                    element: case.element,
                    normalise: case.normalise,
                    quantisation: case
                        .quantised
                        .then(|| quantised(deployment, case).quantisation),
                    metadata: vec![],
                };
                onnx::to_bytes(deployment, &options).unwrap()
            }
            Format::TorchScript => {
                let options = torchscript_file::TorchScriptOptions {
                    half: case.element == Element::F16,
                    normalise: case.normalise,
                    extra_files: vec![],
                };
                torchscript_file::to_bytes(deployment, &options).unwrap()
            }
        }
    }
}

/// A description of a network, the side of its images, and how it is written.
struct Case {
    name: String,
    architecture: Architecture,
    side: u32,
    element: Element,
    normalise: bool,
    quantised: bool,
}

impl Case {
    fn of(architecture: Architecture, side: u32) -> Self {
        Self {
            name: architecture.name.clone(),
            architecture,
            side,
            element: Element::F32,
            normalise: false,
            quantised: false,
        }
    }

    /// Relative to the largest value; of a quantised network, of the difference's norm to that of
    /// the output.
    fn tolerance(&self) -> f64 {
        match (self.quantised, self.element) {
            // Sums in another order fall on the next step of a grid here and there.
            (true, _) => 5e-2,
            (false, Element::F16) => 2e-2,
            (false, Element::F32) => 1e-4,
        }
    }

    /// `[3, 3, side, side]`.
    fn images(&self) -> Tensor {
        let side = i64::from(self.side);
        support::formula_image(&[3, 3, side, side], SALT)
    }
}

/// A narrow network of a family, with a classifier.
fn narrow(name: &str) -> Architecture {
    Architecture {
        width: 0.25,
        classes: Some(10),
        ..Architecture::named(name)
    }
}

/// One of each family and each choice that changes its operations.
fn every_operation() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        ("cifar_resnet8", 32),
        ("resnet18", 64),
        ("resnet50", 65),
        ("swav_resnet50w2", 64),
        ("mobilenet_v2", 64),
        ("mobilenet_v3_small", 64),
        ("mobilenet_v3_large", 65),
        ("efficientnet_b0", 64),
        ("efficientnet_lite0", 65),
        ("vit_s_16", 96),
        ("dino_vits16", 96),
        ("dinov2_vits14", 84),
        ("dinov2_vits14_reg", 98),
    ]
    .into_iter()
    .map(|(name, side)| Case::of(narrow(name), side))
    .collect();
    for case in cases.iter_mut().filter(|case| case.name.contains("vit")) {
        // Positions for another grid than the images': one of the two is interpolated.
        case.architecture.position_size = Some(if case.name == "vit_s_16" { 96 } else { 112 });
    }
    let with_shortcut = Architecture {
        shortcut: Some(Shortcut::B),
        ..narrow("cifar_resnet8")
    };
    let small_stem = Architecture {
        stem: Some(Stem::Cifar),
        classes: None,
        ..narrow("resnet18")
    };
    let named = |name: &str, case: Case| Case {
        name: name.to_owned(),
        ..case
    };
    cases.push(named("projected shortcuts", Case::of(with_shortcut, 32)));
    cases.push(named(
        "small stem, features alone",
        Case::of(small_stem, 32),
    ));
    cases.push(Case {
        name: "normalised inside".to_owned(),
        normalise: true,
        ..Case::of(narrow("mobilenet_v3_small"), 64)
    });
    for family in ["efficientnet_lite0", "vit_s_16"] {
        cases.push(Case {
            name: format!("{family} in half precision"),
            element: Element::F16,
            normalise: true,
            ..Case::of(narrow(family), 64)
        });
    }
    cases
}

/// Calibrated on the very images that it is tried on.
fn quantised(deployment: &Deployment, case: &Case) -> Quantised {
    let mut calibration = Calibration::new(deployment);
    calibration.observe(&case.images());
    calibration.finish()
}

fn deployment(case: &Case) -> Deployment {
    let network = support::formula_network(&case.architecture, SALT);
    let mut preprocessing = case.architecture.default_preprocessing();
    preprocessing.size = case.side;
    Deployment::new(&network, &preprocessing).unwrap()
}

/// Writes the file, images and what our own forward pass makes of them; returns the entry of
/// cases.json.
fn write_case(folder: &Path, number: usize, case: &Case, format: Format) -> Value {
    let deployment = deployment(case);
    let bytes = format.bytes(&deployment, case);
    let raw = |name: &str, tensor: &Tensor| {
        let file = format!("{number}-{name}.f32");
        fs_err::write(folder.join(&file), to_bytes(tensor).2).unwrap();
        json!({"file": file, "shape": tensor.size()})
    };
    fs_err::write(folder.join(format!("{number}.file")), bytes).unwrap();
    let images = case.images();
    let given = raw("images", &images);
    let seen = if case.normalise {
        let channel = |values: [f32; 3]| Tensor::from_slice(&values).reshape([1, 3, 1, 1]);
        (images - channel(deployment.preprocessing.mean)) / channel(deployment.preprocessing.std)
    } else {
        images
    };
    let results = if case.quantised {
        quantised(&deployment, case).forward(&seen)
    } else {
        deployment.forward(&seen)
    };
    let mut outputs = BTreeMap::from([("features", raw("features", &results.features))]);
    if let Some(logits) = &results.logits {
        outputs.insert("logits", raw("logits", logits));
    }
    json!({
        "name": case.name, "file": format!("{number}.file"), "images": given["file"], "shape": given["shape"],
        "state": deployment.state().iter().map(|(name, _)| name).collect::<Vec<_>>(), "outputs": outputs, "tolerance": case.tolerance(), "norm": case.quantised,
    })
}

fn check(cases: &[Case], format: Format) {
    let Some(python) = support::requirements::python(format.modules()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| write_case(folder.path(), number, case, format))
        .collect();
    fs_err::write(
        folder.path().join("cases.json"),
        serde_json::to_string(&entries).unwrap(),
    )
    .unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/reference")
        .join(format.script());
    let output = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{said}");
    assert!(output.status.success(), "{said}\n{complained}");
    assert_eq!(said.lines().count(), cases.len(), "{complained}");
}

#[test]
fn onnxruntime_computes_what_every_operation_computes_here() {
    check(&every_operation(), Format::Onnx);
}

#[test]
fn onnxruntime_rounds_as_the_quantised_network_here() {
    let cases: Vec<Case> = [
        ("cifar_resnet8", 32),
        ("resnet18", 64),
        ("mobilenet_v2", 64),
        ("mobilenet_v3_small", 64),
        ("efficientnet_lite0", 65),
        ("vit_s_16", 64),
    ]
    .into_iter()
    .map(|(name, side)| Case {
        quantised: true,
        ..Case::of(narrow(name), side)
    })
    .collect();
    for case in &cases {
        let deployment = deployment(case);
        let exact = deployment.forward(&case.images()).features;
        let rounded = quantised(&deployment, case)
            .forward(&case.images())
            .features;
        let cosine = Tensor::cosine_similarity(&exact, &rounded, 1, 1e-12);
        println!(
            "{}: cosine to f32 {:.4}",
            case.name,
            cosine.min().double_value(&[])
        );
        assert!(cosine.min().double_value(&[]) > 0.9, "{}", case.name);
        assert!(!exact.equal(&rounded), "{}: nothing was rounded", case.name);
    }
    check(&cases, Format::Onnx);
}

#[test]
fn torch_jit_computes_what_every_operation_computes_here() {
    check(&every_operation(), Format::TorchScript);
}

#[test]
#[ignore = "41 networks of full size take minutes and gigabytes"]
fn onnxruntime_computes_what_every_network_computes_here() {
    for name in architecture::names() {
        let architecture = Architecture {
            classes: Some(1000),
            ..Architecture::named(name)
        };
        let side = architecture.default_preprocessing().size;
        let case = Case::of(architecture, side);
        if name == "swav_resnet50w5" {
            let written = onnx::to_bytes(
                &deployment(&case),
                &OnnxOptions {
                    element: Element::F32,
                    normalise: false,
                    quantisation: None,
                    metadata: vec![],
                },
            );
            assert!(written.unwrap_err().to_string().contains("at most 2 GB"));
        } else {
            check(&[case], Format::Onnx);
        }
    }
}

#[test]
fn equal_networks_give_equal_files_that_say_how_to_look_at_an_image() {
    let case = Case::of(narrow("efficientnet_lite0"), 64);
    let options = OnnxOptions {
        element: Element::F32,
        normalise: false,
        quantisation: None,
        metadata: vec![("classes".to_owned(), "[\"a\"]".to_owned())],
    };
    let bytes = onnx::to_bytes(&deployment(&case), &options).unwrap();
    assert_eq!(bytes, onnx::to_bytes(&deployment(&case), &options).unwrap());
    assert_eq!(
        Format::TorchScript.bytes(&deployment(&case), &case),
        Format::TorchScript.bytes(&deployment(&case), &case)
    );
    let text = String::from_utf8_lossy(&bytes);
    for said in [
        "crop_ratio",
        "bicubic",
        "[\"a\"]",
        "_blocks.0._depthwise_conv.weight",
        "efficientnet_lite0",
    ] {
        assert!(text.contains(said), "{said}");
    }
    assert!(!text.contains("_bn0"), "a batch norm is left");
}

#[test]
fn a_probe_takes_the_name_of_the_familys_classifier() {
    let names = |name: &str, features: i64| {
        let network = support::formula_network(
            &Architecture {
                classes: None,
                ..narrow(name)
            },
            SALT,
        );
        let preprocessing = network.architecture().default_preprocessing();
        let classifier = LinearClassifier {
            weight: support::formula("probe.weight", &[7, features], SALT),
            bias: support::formula("probe.bias", &[7], SALT),
        };
        let deployed = Deployment::new(&network, &preprocessing)
            .unwrap()
            .with_classifier(&classifier)
            .unwrap();
        assert_eq!(deployed.classes(), Some(7));
        let images = support::formula_image(&[2, 3, 64, 64], SALT);
        let results = deployed.forward(&images);
        let expected = classifier.logits(&results.features);
        assert!(support::relative_difference(&results.logits.unwrap(), &expected) < 1e-5);
        deployed.state().last().unwrap().0.clone()
    };
    assert_eq!(names("resnet18", 128), "fc.bias");
    assert_eq!(names("mobilenet_v3_small", 144), "classifier.bias");
    assert_eq!(names("vit_s_16", 128), "heads.head.bias");
}
