use super::*;
use crate::architecture::{Architecture, Head, names};

fn depths(name: &str) -> Depths {
    let architecture = Architecture {
        classes: Some(10),
        ..Architecture::named(name)
    };
    Depths::of(&architecture.graph().unwrap())
}

#[test]
fn each_family_has_its_blocks_between_stem_and_classifier() {
    // (network, blocks, in the stem, in block 1, in the last block, in the classifier)
    let known = [
        (
            "resnet18",
            8,
            "bn1.weight",
            "layer1.0.conv1.weight",
            "layer4.1.bn2.bias",
            "fc.weight",
        ),
        (
            "resnet50",
            16,
            "conv1.weight",
            "layer1.0.downsample.0.weight",
            "layer4.2.conv3.weight",
            "fc.bias",
        ),
        (
            "cifar_resnet20",
            9,
            "conv1.weight",
            "layer1.0.bn2.bias",
            "layer3.2.conv2.weight",
            "linear.weight",
        ),
        (
            "mobilenet_v2",
            17,
            "features.0.1.weight",
            "features.1.conv.0.0.weight",
            "features.18.0.weight",
            "classifier.1.weight",
        ),
        (
            "mobilenet_v3_large",
            15,
            "features.0.0.weight",
            "features.1.block.0.0.weight",
            "features.16.1.bias",
            "classifier.0.weight",
        ),
        (
            "efficientnet_b0",
            16,
            "features.0.0.weight",
            "features.1.0.block.0.0.weight",
            "features.8.0.weight",
            "classifier.1.bias",
        ),
        (
            "efficientnet_lite0",
            16,
            "_conv_stem.weight",
            "_blocks.0._bn1.weight",
            "_conv_head.weight",
            "_fc.weight",
        ),
        (
            "vit_b_16",
            12,
            "class_token",
            "encoder.layers.encoder_layer_0.ln_1.weight",
            "encoder.ln.bias",
            "heads.head.weight",
        ),
        (
            "dino_vits16",
            12,
            "cls_token",
            "blocks.0.norm1.weight",
            "norm.weight",
            "head.weight",
        ),
        (
            "dinov2_vits14",
            12,
            "pos_embed",
            "blocks.0.ls1.gamma",
            "norm.bias",
            "head.weight",
        ),
    ];
    for (network, blocks, stem, first, last, end) in known {
        let depths = depths(network);
        assert_eq!(depths.blocks(), blocks, "{network}");
        for (name, depth) in [(stem, 0), (first, 1), (last, blocks), (end, blocks + 1)] {
            assert_eq!(depths.depth(name), Some(depth), "{network}: {name}");
        }
    }
}

#[test]
fn every_network_has_blocks_and_depths_only_grow() {
    for name in names() {
        let depths = depths(name);
        assert!(depths.blocks() >= 3, "{name}: {}", depths.blocks());
        let in_order = depths.tensors.windows(2).all(|two| two[0].1 <= two[1].1);
        assert!(in_order, "{name}");
        assert_eq!(depths.tensors[0].1, 0, "{name} has a stem");
    }
}

#[test]
fn a_head_is_an_end_and_its_prefix_changes_no_depth() {
    let head = Head {
        batch_norm: true,
        ..Head::new(vec![8], 4)
    };
    let architecture = Architecture {
        head: Some(head),
        ..Architecture::named("cifar_resnet8")
    };
    let depths = Depths::of(&architecture.graph().unwrap());
    assert_eq!(depths.blocks(), 3);
    assert_eq!(depths.depth("backbone.bn1.weight"), Some(0));
    assert_eq!(depths.depth("backbone.layer3.0.conv1.weight"), Some(3));
    assert_eq!(depths.depth("head.0.weight"), Some(4));
    assert_eq!(depths.depth("bn1.weight"), None);
}

#[test]
fn what_is_frozen_first_and_how_rates_decay() {
    let depths = depths("cifar_resnet8");
    let first = depths.first(1);
    assert!(first.contains("conv1.weight") && first.contains("layer1.0.bn2.running_mean"));
    assert!(!first.contains("layer2.0.conv1.weight"));
    assert!(!depths.first(3).contains("linear.weight"));
    let factors = depths.rate_factors(0.5);
    assert_eq!(factors["linear.bias"], 1.0);
    assert_eq!(factors["layer3.0.conv1.weight"], 0.5);
    assert_eq!(factors["conv1.weight"], 0.0625);
}

#[test]
fn frozen_layers_get_no_gradient_and_keep_their_statistics_in_training() {
    use crate::network::{Mode, Network, Precision};
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    let architecture = Architecture {
        classes: Some(10),
        ..Architecture::named("cifar_resnet8")
    };
    let key = |_: &str| ChaCha8Rng::seed_from_u64(1);
    let mut network = Network::initialise(&architecture, key, tch::Device::Cpu).unwrap();
    let frozen = Depths::of(network.graph()).first(2);
    network.freeze_tensors(&frozen);
    let before: BTreeMap<String, tch::Tensor> = network
        .state()
        .into_iter()
        .map(|(name, tensor)| (name, tensor.copy()))
        .collect();
    let images = crate::torch::random::normal(&[4, 3, 16, 16], &mut key(""));
    let output = network.forward(&images, Mode::Train, Precision::F32);
    output
        .logits
        .unwrap()
        .square()
        .sum(None::<tch::Kind>)
        .backward();
    for (name, tensor) in network.state() {
        let is_frozen = frozen.contains(&name);
        let is_statistic = name.contains("running_") || name.contains("num_batches");
        if is_statistic {
            assert_eq!(tensor == before[&name], is_frozen, "{name}");
        } else {
            assert_eq!(tensor.grad().defined(), !is_frozen, "{name}");
        }
    }
}

#[test]
fn in_a_graph_without_such_names_each_node_with_tensors_is_a_block() {
    let text = r#"{"graph": {"nodes": [
        {"op": "convolution", "name": "first", "outputs": 4}, {"op": "relu"},
        {"op": "convolution", "name": "second", "outputs": 4}, {"op": "average_pool"}
    ]}, "classes": 2}"#;
    let architecture: Architecture = serde_json::from_str(text).unwrap();
    let depths = Depths::of(&architecture.graph().unwrap());
    assert_eq!(depths.blocks(), 2);
    assert_eq!(depths.depth("first.weight"), Some(1));
    assert_eq!(depths.depth("second.weight"), Some(2));
}
