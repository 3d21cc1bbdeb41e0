//! The Python of a model card: a program that asks an exported network. It is run by the tests.

use seedpipe_base::neutral;
use seedpipe_stages::deliverable::{Description, Format, Names, Precision};
use serde_json::Value;

use crate::delivery::python_prepare::Prepare;
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

/// A program that says of images what `predict` or `embed` says: it loads the file, prepares an
/// image as they do, and asks the network.
pub fn python_lines(file: &str, description: &Description, preprocessing: &Value) -> String {
    let format = description.manner.format;
    let file = Value::from(file).to_string();
    let file = neutral::json(&file);
    let output = match description.classes {
        Some(_) => "logits",
        None => "features",
    };
    let loaded = match format {
        Format::Onnx => onnx(&file, description),
        Format::Torchscript => torchscript(&file, description),
        Format::Safetensors => safetensors(&file, description),
    };
    let prepare = Prepare::of(preprocessing).lines(!description.manner.normalise);
    let asked = match format {
        Format::Onnx => format!(
            "    return network.run([\"{output}\"], {{\"images\": prepare(path)[None]}})[0][0]"
        ),
        _ => {
            let named = match format {
                Format::Torchscript => format!("[\"{output}\"]"),
                _ => String::new(),
            };
            format!(
                "    with torch.inference_mode():\n        return network(torch.from_numpy(prepare(path))[None]){named}[0].numpy()"
            )
        }
    };
    let mut parts = vec![loaded, prepare, format!("def {output}(path):\n{asked}")];
    match description.classes {
        Some(_) => {
            parts.push(PREDICT.to_owned());
            parts.push("for path in sys.argv[1:]:\n    print(path, *predict(path))".to_owned());
        }
        None => {
            parts.push("for path in sys.argv[1:]:\n    print(path, *features(path))".to_owned())
        }
    }
    parts.join("\n\n")
}

/// What `predict` makes of logits.
const PREDICT: &str = "\
def predict(path, top=5):
    \"\"\"The best classes and their probabilities.\"\"\"
    scores = logits(path)
    scores = numpy.exp(scores - scores.max())
    scores /= scores.sum()
    return [(names[output], float(scores[output])) for output in (-scores).argsort(kind=\"stable\")[:top]]";

/// The imports, the network, and the names of its classes where there are any.
fn head(modules: &str, description: &Description, network: &str, classes: &str) -> String {
    let json = match description.class_names.is_empty() {
        true => "",
        false => "json, ",
    };
    let names = match (description.classes, json) {
        (None, _) => String::new(),
        (Some(count), "") => format!("\nnames = range({count})"),
        _ => format!("\nnames = json.loads({classes})"),
    };
    format!(
        "import {json}sys\nimport {modules}\nfrom PIL import Image, ImageOps\n\n{network}{names}"
    )
}

fn onnx(file: &str, description: &Description) -> String {
    let options = match description.manner.precision {
        // As docs/how-to/export.md says of processors without VNNI.
        Precision::Int8 => {
            "\
options = onnxruntime.SessionOptions()
options.add_session_config_entry(\"session.x64quantprecision\", \"1\")
"
        }
        _ => "",
    };
    let argument = if options.is_empty() { "" } else { "options, " };
    head(
        "numpy, onnxruntime",
        description,
        &format!(
            "{options}network = onnxruntime.InferenceSession({file}, {argument}providers=[\"CPUExecutionProvider\"])"
        ),
        "network.get_modelmeta().custom_metadata_map[\"classes\"]",
    )
}

fn torchscript(file: &str, description: &Description) -> String {
    let network = match description.class_names.is_empty() {
        true => format!("network = torch.jit.load({file}).eval()"),
        false => format!(
            "written = {{\"classes.json\": \"\"}}\nnetwork = torch.jit.load({file}, _extra_files=written).eval()"
        ),
    };
    head(
        "numpy, torch",
        description,
        &network,
        "written[\"classes.json\"]",
    )
}

fn safetensors(file: &str, description: &Description) -> String {
    let (library, built) = match built(description) {
        Some((library, lines)) => (format!(", {library}"), lines),
        None => (
            String::new(),
            format!(
                "network = YourNetwork()  # a `{}` of your own: {} has none; an ONNX or TorchScript file brings its own",
                description.architecture,
                description.manner.names.name(),
            ),
        ),
    };
    head(
        &format!("numpy, safetensors.torch, torch{library}"),
        description,
        &format!(
            "{built}\nnetwork.load_state_dict(safetensors.torch.load_file({file}), strict=True)\nnetwork.eval()"
        ),
        &format!("safetensors.safe_open({file}, \"pt\").metadata()[\"classes\"]"),
    )
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
    let is_vit = name.starts_with("vit_");
    if network["width"] != 1.0
        || !network["position_size"].is_null()
        || (is_vit && description.size != 224)
    {
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
