//! Recomputed passes against plain ones: gradients and statistics must be the same bits.

mod support;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::recompute::Recomputing;
use seedpipe_learn::tch::{Device, Kind, Tensor, no_grad};

fn network(name: &str) -> Network {
    let key = |name: &str| ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes());
    let architecture = Architecture {
        head: Some(Head {
            batch_norm: true,
            ..Head::new(vec![24], 16)
        }),
        ..Architecture::named(name)
    };
    Network::initialise(&architecture, key, Device::Cpu).unwrap()
}

/// A loss of two passes and of a third one that is not recorded, with all of the network's outputs.
fn loss(network: &Network, side: i64, precision: Precision) -> Tensor {
    let output = |salt| {
        let images = support::formula_image(&[3, 3, side, side], salt);
        network.forward(&images, Mode::Train, precision)
    };
    let (one, other) = (output(5), output(6));
    let target = no_grad(|| output(7));
    let distance = |tensor: &Tensor, target: &Tensor| (tensor - target).square().mean(None::<Kind>);
    distance(&one.features, &other.features)
        + distance(
            other.embedding_or_features(),
            target.embedding_or_features(),
        )
}

/// Names, gradients, and all weights and statistics.
fn after(
    name: &str,
    side: i64,
    precision: Precision,
    again: bool,
    frozen: &str,
) -> Vec<(String, Tensor)> {
    let network = network(name);
    for (name, tensor) in network.trainable() {
        if !frozen.is_empty() && name.contains(frozen) {
            let _ = tensor.set_requires_grad(false);
        }
    }
    if again {
        let recomputing = Recomputing::begin();
        let loss = loss(&network, side, precision);
        recomputing.backward(&loss);
    } else {
        loss(&network, side, precision).backward();
    }
    let gradients = network
        .trainable()
        .into_iter()
        .map(|(name, tensor)| (format!("gradient of {name}"), tensor.grad()))
        .filter(|(_, gradient)| gradient.defined());
    gradients.chain(network.state()).collect()
}

fn assert_equal(name: &str, side: i64, precision: Precision, frozen: &str) {
    let plain = after(name, side, precision, false, frozen);
    let again = after(name, side, precision, true, frozen);
    assert_eq!(plain.len(), again.len(), "{name} {precision:?}");
    assert!(plain.iter().any(|(name, _)| name.starts_with("gradient")));
    for ((plain_name, plain), (again_name, again)) in plain.iter().zip(&again) {
        assert_eq!(plain_name, again_name);
        assert!(plain.equal(again), "{name} {precision:?}: {plain_name}");
    }
}

#[test]
fn gradients_and_statistics_of_every_family_are_those_of_the_plain_pass() {
    for (name, side) in [
        ("cifar_resnet20", 16),
        ("resnet18", 48),
        ("efficientnet_b0", 48),
        ("mobilenet_v3_small", 48),
        ("vit_t_16", 64),
    ] {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_equal(name, side, precision, "");
        }
    }
}

#[test]
fn frozen_blocks_get_no_gradient_and_change_no_other() {
    for frozen in ["layer1", "layer2", "conv1", "backbone"] {
        assert_equal("cifar_resnet20", 16, Precision::F32, frozen);
    }
}
