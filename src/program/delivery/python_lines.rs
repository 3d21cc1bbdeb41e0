//! The lines of Python that load an exported network. They are run by the tests.

use seedpipe_stages::deliverable::{Description, Format, Names};
use serde_json::Value;

use crate::delivery::python_timm::timm;

/// Names that `torchvision.models` has, with the attribute of their classifier.
const TORCHVISION: [(&str, &str); 15] = [
    ("resnet18", "fc"),
    ("resnet34", "fc"),
    ("resnet50", "fc"),
    ("resnet101", "fc"),
    ("resnet152", "fc"),
    ("wide_resnet50_2", "fc"),
    ("mobilenet_v2", "classifier[1]"),
    ("mobilenet_v3_small", "classifier"),
    ("mobilenet_v3_large", "classifier"),
    ("efficientnet_b0", "classifier[1]"),
    ("efficientnet_b1", "classifier[1]"),
    ("efficientnet_b2", "classifier[1]"),
    ("efficientnet_b3", "classifier[1]"),
    ("vit_b_16", "heads.head"),
    ("vit_b_32", "heads.head"),
];

/// Loads the file into `network` and computes `features` or `logits` of one blank image.
pub fn python_lines(file: &str, description: &Description) -> String {
    let side = description.size;
    let wanted = if description.classes.is_some() {
        "logits"
    } else {
        "features"
    };
    match description.manner.format {
        Format::Onnx => format!(
            "import numpy, onnxruntime\n\
             network = onnxruntime.InferenceSession({file:?}, providers=[\"CPUExecutionProvider\"])\n\
             ({wanted},) = network.run([{wanted:?}], {{\"images\": numpy.zeros((1, 3, {side}, {side}), \"float32\")}})"
        ),
        Format::Torchscript => format!(
            "import torch\n\
             network = torch.jit.load({file:?}).eval()\n\
             {wanted} = network(torch.zeros(1, 3, {side}, {side}))[{wanted:?}]"
        ),
        Format::Safetensors => match built(description) {
            Some((library, lines)) => format!(
                "import torch, {library}, safetensors.torch\n\
                 {lines}\n\
                 network.load_state_dict(safetensors.torch.load_file({file:?}), strict=True)"
            ),
            None => format!(
                "import safetensors.torch\n\
                 state = safetensors.torch.load_file({file:?})\n\
                 # network.load_state_dict(state, strict=True), for a `{}` of your own",
                description.architecture
            ),
        },
    }
}

/// The library that has the network, and how it builds it.
fn built(description: &Description) -> Option<(&'static str, String)> {
    let names = description.manner.names;
    let line = match names {
        Names::Torchvision => torchvision(description),
        Names::Timm => timm(description),
    };
    line.map(|line| (names.name(), line))
}

/// Builds torchvision's network of that description, if it has such a one.
fn torchvision(description: &Description) -> Option<String> {
    let (name, classifier) = TORCHVISION
        .iter()
        .find(|(name, _)| *name == description.architecture)?;
    let network: Value = serde_json::from_str(&description.network).ok()?;
    if network["width"] != 1.0 || !network["position_size"].is_null() {
        return None;
    }
    let classes = description.classes;
    let mut lines = match classes {
        Some(classes) => format!("network = torchvision.models.{name}(num_classes={classes})"),
        None => format!("network = torchvision.models.{name}()"),
    };
    if network["stem"] == "cifar" {
        lines.push_str(
            "; network.conv1, network.maxpool = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity()",
        );
    }
    match classes {
        None => lines.push_str(&format!("; network.{classifier} = torch.nn.Identity()")),
        // One linear layer in the place of torchvision's two, unless the network has its own.
        Some(classes) if name.starts_with("mobilenet_v3") && network["classes"].is_null() => {
            lines.push_str(&format!(
                "; network.classifier = torch.nn.Linear({}, {classes})",
                description.features
            ));
        }
        Some(_) => {}
    }
    Some(lines)
}
