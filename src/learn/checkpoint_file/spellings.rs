//! How other projects spell the tensors of a network: a map from their names to ours, for each
//! spelling that there is.
//!
//! Knows names alone. A spelling covers the classifier, too, whether or not the network was asked
//! to have one: so its tensors are told from strangers.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;

use crate::architecture::Architecture;

/// Name in a file, below its prefix → name in the network.
pub(super) type SpelledNames = BTreeMap<String, String>;

pub(super) struct Spelling {
    /// Such as "timm's names"; none for the network's own.
    pub origin: Option<&'static str>,
    pub names: SpelledNames,
    /// Epsilon of that origin's batch norms, where it differs from the network's.
    pub epsilon: Option<f64>,
    /// timm loads a state dict with these names.
    pub timm: bool,
}

/// How timm spells the network's tensors; none for networks that it does not have.
pub(super) fn timm(architecture: &Architecture) -> Result<Option<Spelling>, Refusal> {
    let spellings = spellings(architecture)?;
    Ok(spellings.into_iter().find(|spelling| spelling.timm))
}

/// Whether timm has a network of this name and calls its tensors as we do.
fn is_timms_own(name: &str) -> bool {
    let registers = name.ends_with("_reg");
    ["resnet", "wide_resnet", "dino_", "dinov2_"]
        .iter()
        .any(|family| name.starts_with(family) && !registers)
}

/// The network's own spelling first.
pub(super) fn spellings(architecture: &Architecture) -> Result<Vec<Spelling>, Refusal> {
    let complete = Architecture {
        classes: architecture.classes.or(Some(1000)),
        ..architecture.clone()
    };
    let own: Vec<String> = complete
        .graph()?
        .state()
        .into_iter()
        .map(|spec| spec.name)
        .collect();
    let spelled = |origin, epsilon, spell: &dyn Fn(&str) -> String| Spelling {
        origin,
        names: own.iter().map(|name| (spell(name), name.clone())).collect(),
        epsilon,
        timm: false,
    };
    let timms = |spelling| Spelling {
        timm: true,
        ..spelling
    };
    let plain = spelled(None, None, &str::to_owned);
    let mut found = vec![Spelling {
        timm: is_timms_own(&architecture.name),
        ..plain
    }];
    if architecture.head.is_some() && architecture.classes.is_none() {
        let headless = |origin, head: &'static str| Spelling {
            origin,
            names: own
                .iter()
                .filter(|name| !is_classifier(name, architecture))
                .map(|name| (with_head(name, head), name.clone()))
                .collect(),
            epsilon: None,
            timm: false,
        };
        found.push(headless(None, "fc"));
        found.push(headless(None, "projection_head"));
    }
    let inside = |spell: &dyn Fn(&str) -> String, name: &str| match name.strip_prefix("backbone.") {
        Some(plain) => format!("backbone.{}", spell(plain)),
        None if architecture.head.is_some() => name.to_owned(),
        None => spell(name),
    };
    let name = architecture.name.as_str();
    const TIMM: Option<&str> = Some("timm's names");
    if name.starts_with("vit_") {
        let spell = |name: &str| inside(&dino_from_torchvision, name);
        let origin = Some("DINO's and timm's names");
        found.push(timms(spelled(origin, None, &spell)));
    } else if name.starts_with("dino_") {
        let spell = |name: &str| inside(&torchvision_from_dino, name);
        found.push(spelled(Some("torchvision's names"), None, &spell));
    } else if name.starts_with("dinov2_") {
        for chunks in [1, 2, 3, 4, 6] {
            let spell = |name: &str| inside(&|name: &str| chunked(name, 12 / chunks), name);
            found.push(spelled(Some("DINOv2 in chunks"), None, &spell));
        }
        let spell = |name: &str| name.replace("register_tokens", "reg_token");
        let with_registers = spelled(TIMM, None, &spell);
        found.push(Spelling {
            timm: name.ends_with("_reg"),
            ..with_registers
        });
    } else if let Some(timm) = super::timm::names(&complete)? {
        let spell = |name: &str| {
            inside(
                &|plain: &str| timm.get(plain).cloned().unwrap_or_else(|| plain.to_owned()),
                name,
            )
        };
        let epsilon = name.starts_with("mobilenet_v3").then_some(1e-5);
        let origin = match name.starts_with("efficientnet_lite") {
            true => {
                Some("timm's names, taken as of a `tf_efficientnet_lite`, padded as in TensorFlow")
            }
            false => {
                Some("timm's names, taken as of a network without `tf_`, padded as in PyTorch")
            }
        };
        found.push(timms(spelled(origin, epsilon, &spell)));
    }
    Ok(found)
}

/// Whether a tensor of the complete network belongs to the classifier.
fn is_classifier(name: &str, architecture: &Architecture) -> bool {
    let plain = name.strip_prefix("backbone.");
    plain.is_some_and(|plain| {
        ["fc.", "linear.", "classifier.", "_fc.", "heads.", "head."]
            .iter()
            .any(|prefix| plain.starts_with(prefix))
    }) && architecture.classes.is_none()
}

/// A tensor of a network with a head as in a file without `backbone.` whose head has another name.
fn with_head(name: &str, head: &str) -> String {
    match name.strip_prefix("backbone.") {
        Some(plain) => plain.to_owned(),
        None => name.replacen("head", head, 1),
    }
}

const TRANSFORMER: [(&str, &str); 13] = [
    // torchvision's, DINO's.
    ("class_token", "cls_token"),
    ("conv_proj.", "patch_embed.proj."),
    ("encoder.pos_embedding", "pos_embed"),
    ("encoder.ln.", "norm."),
    ("heads.head.", "head."),
    ("encoder.layers.encoder_layer_", "blocks."),
    (".ln_1.", ".norm1."),
    (".ln_2.", ".norm2."),
    (".self_attention.in_proj_", ".attn.qkv."),
    (".self_attention.out_proj.", ".attn.proj."),
    (".mlp.0.", ".mlp.fc1."),
    (".mlp.3.", ".mlp.fc2."),
    ("encoder.layers.", "blocks."),
];

fn dino_from_torchvision(name: &str) -> String {
    let mut name = name.to_owned();
    for (torchvision, dino) in TRANSFORMER {
        name = name.replace(torchvision, dino);
    }
    name
}

fn torchvision_from_dino(name: &str) -> String {
    for (torchvision, dino) in &TRANSFORMER[..5] {
        if let Some(rest) = name.strip_prefix(dino) {
            return format!("{torchvision}{rest}");
        }
    }
    let mut name = name.to_owned();
    for (torchvision, dino) in &TRANSFORMER[5..12] {
        name = name.replace(dino, torchvision);
    }
    name
}

/// `blocks.7.norm1.weight` as `blocks.2.7.norm1.weight` in chunks of three.
fn chunked(name: &str, length: usize) -> String {
    let index = name
        .strip_prefix("blocks.")
        .and_then(|rest| rest.split('.').next())
        .and_then(|index| index.parse::<usize>().ok());
    match index {
        Some(index) => name.replacen("blocks.", &format!("blocks.{}.", index / length), 1),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transformers_are_spelled_both_ways() {
        let torchvision = Architecture {
            classes: Some(10),
            ..Architecture::named("vit_t_16")
        };
        let dino = Architecture {
            name: "dino_vitt16".to_owned(),
            ..torchvision.clone()
        };
        let names = |architecture: &Architecture| -> Vec<String> {
            let state = architecture.graph().unwrap().state();
            let mut names: Vec<String> = state.into_iter().map(|spec| spec.name).collect();
            names.sort();
            names
        };
        let as_dino = spellings(&torchvision).unwrap().remove(1);
        assert_eq!(
            as_dino.names.keys().cloned().collect::<Vec<_>>(),
            names(&dino)
        );
        let as_torchvision = spellings(&dino).unwrap().remove(1);
        assert_eq!(
            as_torchvision.names.keys().cloned().collect::<Vec<_>>(),
            names(&torchvision)
        );
        assert_eq!(
            as_torchvision.names["encoder.layers.encoder_layer_3.self_attention.in_proj_weight"],
            "blocks.3.attn.qkv.weight"
        );
    }

    #[test]
    fn chunks_count_blocks_through() {
        assert_eq!(
            chunked("blocks.7.norm1.weight", 3),
            "blocks.2.7.norm1.weight"
        );
        assert_eq!(chunked("norm.weight", 3), "norm.weight");
    }
}
