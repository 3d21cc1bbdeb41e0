//! How timm builds the network of a description: one line of Python. It is run by the tests.

use seedpipe_stages::deliverable::Description;
use serde_json::Value;

/// Our name → timm's, where they differ.
const OTHER_NAMES: [(&str, &str); 19] = [
    ("mobilenet_v2", "mobilenetv2_100"),
    ("mobilenet_v3_small", "mobilenetv3_small_100"),
    ("mobilenet_v3_large", "mobilenetv3_large_100"),
    ("efficientnet_lite0", "tf_efficientnet_lite0"),
    ("efficientnet_lite1", "tf_efficientnet_lite1"),
    ("efficientnet_lite2", "tf_efficientnet_lite2"),
    ("vit_t_16", "vit_tiny_patch16_224"),
    ("vit_s_16", "vit_small_patch16_224"),
    ("vit_b_16", "vit_base_patch16_224"),
    ("vit_b_32", "vit_base_patch32_224"),
    ("dino_vitt16", "vit_tiny_patch16_224"),
    ("dino_vits16", "vit_small_patch16_224"),
    ("dino_vits8", "vit_small_patch8_224"),
    ("dino_vitb16", "vit_base_patch16_224"),
    ("dino_vitb8", "vit_base_patch8_224"),
    ("dinov2_vits14", "vit_small_patch14_dinov2"),
    ("dinov2_vitb14", "vit_base_patch14_dinov2"),
    ("dinov2_vits14_reg", "vit_small_patch14_reg4_dinov2"),
    ("dinov2_vitb14_reg", "vit_base_patch14_reg4_dinov2"),
];

/// Builds timm's network of that description as `network`, if it has such a one.
pub fn timm(description: &Description) -> Option<String> {
    let own = description.architecture.as_str();
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == own);
    let name = match other {
        Some((_, timm)) => timm,
        None => own,
    };
    let network: Value = serde_json::from_str(&description.network).ok()?;
    let same = ["resnet", "wide_resnet", "efficientnet_b"];
    let known = other.is_some() || same.iter().any(|family| own.starts_with(family));
    if !known || network["width"] != 1.0 {
        return None;
    }
    let classes = description.classes.unwrap_or(0);
    let mut options = format!("num_classes={classes}");
    if own.contains("vit") {
        let usual = if own.starts_with("dinov2_") { 518 } else { 224 };
        let positions = network["position_size"].as_i64().unwrap_or(usual);
        if positions != usual {
            options.push_str(&format!(", img_size={positions}"));
        }
        if positions != i64::from(description.size) {
            options.push_str(", dynamic_img_size=True");
        }
    }
    let mut line = format!("network = timm.create_model({name:?}, {options})");
    if network["stem"] == "cifar" {
        line.push_str(
            "; network.conv1, network.maxpool = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.Identity()",
        );
    }
    // Features are taken before the first of timm's two last layers, unless the network has its own
    // classifier.
    if own.starts_with("mobilenet_v3") && network["classes"].is_null() {
        line.push_str("; network.conv_head = network.act2 = torch.nn.Identity()");
        if classes > 0 {
            line.push_str(&format!(
                "; network.classifier = torch.nn.Linear({}, {classes})",
                description.features
            ));
        }
    }
    Some(line)
}
