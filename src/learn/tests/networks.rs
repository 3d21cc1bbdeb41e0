//! Behaviour of networks with tensors: training mode, copies, averages, identity, heads.

mod support;

use std::collections::BTreeMap;
use std::num::NonZeroI64;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::network::{Mode, Network, Output, Precision};
use seedpipe_learn::tch::{Device, Kind, Tensor, no_grad};

fn key(name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes())
}

fn small() -> Architecture {
    Architecture {
        width: 0.5,
        ..Architecture::named("cifar_resnet8")
    }
}

fn with_head() -> Architecture {
    Architecture {
        head: Some(Head::new(vec![24], 16)),
        ..small()
    }
}

fn images() -> Tensor {
    support::formula_image(&[4, 3, 32, 32], 5)
}

fn state(network: &Network) -> BTreeMap<String, Tensor> {
    network.state().into_iter().collect()
}

#[test]
fn equal_keys_give_equal_networks_and_a_head_redraws_nothing_of_the_backbone() {
    let plain = Network::initialise(&small(), key, Device::Cpu).unwrap();
    let again = Network::initialise(&small(), key, Device::Cpu).unwrap();
    assert_eq!(plain.digest(), again.digest());
    let other =
        Network::initialise(&small(), |name| key(&format!("other {name}")), Device::Cpu).unwrap();
    assert_ne!(plain.digest(), other.digest());
    let headed = Network::initialise(&with_head(), key, Device::Cpu).unwrap();
    assert_eq!(headed.without_head().digest(), plain.digest());
}

#[test]
fn training_updates_the_running_statistics_as_pytorch_does() {
    let network = Network::initialise(&small(), key, Device::Cpu).unwrap();
    let weight = state(&network)["conv1.weight"].shallow_clone();
    no_grad(|| network.forward(&images(), Mode::Train, Precision::F32));
    let convolved = no_grad(|| images().conv2d(&weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1));
    let mean = convolved.mean_dim([0_i64, 2, 3].as_slice(), false, Kind::Float) * 0.1;
    let variance = convolved.var_dim([0_i64, 2, 3].as_slice(), true, false) * 0.1 + 0.9;
    let state = state(&network);
    assert!(support::relative_difference(&state["bn1.running_mean"], &mean) < 1e-5);
    assert!(support::relative_difference(&state["bn1.running_var"], &variance) < 1e-5);
    assert_eq!(state["bn1.num_batches_tracked"].int64_value(&[]), 1);
    let before = network.digest();
    no_grad(|| network.forward(&images(), Mode::Eval, Precision::F32));
    assert_eq!(network.digest(), before, "evaluation changes nothing");
}

#[test]
fn parts_of_a_batch_are_normalised_as_on_devices_of_their_own() {
    let network = Network::initialise(&with_head(), key, Device::Cpu).unwrap();
    let devices = [network.duplicate(), network.duplicate()];
    let parts = Mode::TrainInParts(NonZeroI64::new(2).unwrap());
    let embedding = |output: Output| output.embedding_or_features().shallow_clone();
    let whole = no_grad(|| embedding(network.forward(&images(), parts, Precision::F32)));
    let halves = images().chunk(2, 0);
    let alone = no_grad(|| {
        let each = devices.iter().zip(&halves);
        each.map(|(device, half)| embedding(device.forward(half, Mode::Train, Precision::F32)))
            .collect::<Vec<_>>()
    });
    let alone = Tensor::cat(&alone, 0);
    assert!(support::relative_difference(&whole, &alone) < 1e-5);
    let together = no_grad(|| {
        embedding(
            network
                .duplicate()
                .forward(&images(), Mode::Train, Precision::F32),
        )
    });
    assert!(support::relative_difference(&whole, &together) > 0.01);
    let [first, second] = devices.each_ref().map(state);
    for (name, tensor) in state(&network) {
        if name.ends_with("num_batches_tracked") {
            assert_eq!(tensor.int64_value(&[]), 1);
        } else if name.contains("running") {
            let mean = (&first[&name] + &second[&name]) / 2.0;
            assert!(
                support::relative_difference(&tensor, &mean) < 1e-5,
                "{name}"
            );
        }
    }
}

#[test]
fn gradients_reach_every_trainable_tensor_in_both_precisions() {
    for precision in [Precision::F32, Precision::Bf16] {
        let network = Network::initialise(&with_head(), key, Device::Cpu).unwrap();
        let output = network.forward(&images(), Mode::Train, precision);
        assert_eq!(output.features.size(), [4, 32]);
        let embedding = output.embedding.unwrap();
        assert_eq!(
            (embedding.size(), embedding.kind()),
            (vec![4, 16], Kind::Float)
        );
        embedding.square().sum(Kind::Float).backward();
        for (name, tensor) in network.trainable() {
            let gradient = tensor.grad();
            assert!(gradient.defined(), "{name} has no gradient");
            assert!(
                gradient.abs().sum(Kind::Float).double_value(&[]) > 0.0,
                "{name} has a zero gradient"
            );
            assert_eq!(gradient.kind(), Kind::Float);
        }
    }
}

#[test]
fn operations_in_place_leave_the_gradients_right() {
    let network = Network::initialise(&small(), key, Device::Cpu).unwrap();
    let loss = || {
        network
            .forward(&images(), Mode::Train, Precision::F32)
            .features
            .square()
            .sum(Kind::Double)
    };
    loss().backward();
    // The slope along the gradient itself, by central differences.
    for name in [
        "conv1.weight",
        "layer2.0.bn1.weight",
        "layer3.0.conv2.weight",
    ] {
        let mut tensor = state(&network)[name].shallow_clone();
        let gradient = tensor.grad().copy();
        let length = gradient.norm().double_value(&[]);
        let step = 1e-2 / length;
        let slope = no_grad(|| {
            let _ = tensor.g_add_(&(&gradient * step));
            let above = loss().double_value(&[]);
            let _ = tensor.g_add_(&(&gradient * (-2.0 * step)));
            let below = loss().double_value(&[]);
            let _ = tensor.g_add_(&(&gradient * step));
            (above - below) / (2.0 * step)
        });
        let expected = length * length;
        assert!(
            (slope / expected - 1.0).abs() < 0.02,
            "{name}: slope {slope}, gradient says {expected}"
        );
    }
}

#[test]
fn memory_layout_changes_neither_identity_nor_result() {
    let mut network = Network::initialise(&small(), key, Device::Cpu).unwrap();
    let (digest, before) = (
        network.digest(),
        no_grad(|| network.forward(&images(), Mode::Eval, Precision::F32)),
    );
    network.set_channels_last(false);
    assert_eq!(network.digest(), digest);
    let after = no_grad(|| network.forward(&images(), Mode::Eval, Precision::F32));
    assert!(support::relative_difference(&after.features, &before.features) < 1e-5);
}

#[test]
fn a_momentum_update_moves_weights_and_leaves_statistics() {
    let teacher = Network::initialise(&small(), key, Device::Cpu).unwrap();
    let student =
        Network::initialise(&small(), |name| key(&format!("other {name}")), Device::Cpu).unwrap();
    no_grad(|| student.forward(&images(), Mode::Train, Precision::F32));
    let (old, new) = (state(&teacher.duplicate()), state(&student));
    teacher.momentum_update(&student, 0.75);
    let moved = state(&teacher);
    let expected = no_grad(|| &old["conv1.weight"] * 0.75 + &new["conv1.weight"] * 0.25);
    assert!(support::relative_difference(&moved["conv1.weight"], &expected) < 1e-6);
    assert!(moved["bn1.running_mean"].equal(&old["bn1.running_mean"]));
    assert_eq!(moved["bn1.num_batches_tracked"].int64_value(&[]), 0);
}

#[test]
fn copies_are_equal_and_apart() {
    let network = Network::initialise(&small(), key, Device::Cpu).unwrap();
    let copy = network.duplicate();
    assert_eq!(network.digest(), copy.digest());
    no_grad(|| network.forward(&images(), Mode::Train, Precision::F32));
    assert_ne!(network.digest(), copy.digest());
    assert!(
        copy.trainable()
            .iter()
            .all(|(_, tensor)| tensor.requires_grad() && tensor.is_leaf())
    );
    copy.freeze();
    assert!(
        copy.trainable()
            .iter()
            .all(|(_, tensor)| !tensor.requires_grad())
    );
}

#[test]
fn a_classifier_is_put_on_a_distilled_backbone() {
    let distilled = Network::initialise(&with_head(), key, Device::Cpu).unwrap();
    let architecture = Architecture {
        classes: Some(10),
        ..small()
    };
    let tuned = Network::initialise_from(&architecture, &distilled, key, Device::Cpu).unwrap();
    let (from, to) = (state(&distilled), state(&tuned));
    assert!(to["layer3.0.conv2.weight"].equal(&from["backbone.layer3.0.conv2.weight"]));
    assert_eq!(to["linear.weight"].size(), [10, 32]);
    let wider = Architecture {
        width: 1.0,
        ..architecture
    };
    let Err(refusal) = Network::initialise_from(&wider, &distilled, key, Device::Cpu) else {
        panic!("a backbone of another width was accepted");
    };
    let message = refusal.to_string();
    assert!(!message.contains("\n  missing"), "{message}");
    assert!(
        message.contains("\n  shape       conv1.weight: "),
        "{message}"
    );
}

#[test]
fn wrong_weights_are_all_listed() {
    let network = Network::initialise(&small(), key, Device::Cpu).unwrap();
    let mut weights = state(&network);
    weights.remove("bn1.bias");
    weights.remove("bn1.num_batches_tracked");
    weights.insert(
        "bn1.weight".to_owned(),
        Tensor::ones([3], (Kind::Float, Device::Cpu)),
    );
    weights.insert(
        "unknown".to_owned(),
        Tensor::ones([3], (Kind::Float, Device::Cpu)),
    );
    let Err(error) = Network::with_weights(&small(), weights, Device::Cpu) else {
        panic!("wrong weights accepted")
    };
    assert_eq!(
        error.to_string(),
        "tensors don't match the network: 1 missing, 1 unexpected, 1 of another shape\n  \
         missing     bn1.bias\n  unexpected  unknown\n  shape       bn1.weight: expected [8], got [3]\n\
         hint: check that `name`, `width`, `classes` and `head` describe this file; `cifar_resnet8` was asked for"
    );
}

#[test]
fn a_head_may_see_the_features_of_several_passes_together() {
    let architecture = Architecture {
        head: Some(Head {
            batch_norm: true,
            last_batch_norm: true,
            ..Head::new(vec![24], 16)
        }),
        ..small()
    };
    let network = Network::initialise(&architecture, key, Device::Cpu).unwrap();
    let trunk = network.without_head();
    let sizes = [32, 24].map(|side| support::formula_image(&[4, 3, side, side], 5));
    for mode in [Mode::Eval, Mode::Train] {
        let passes = sizes
            .each_ref()
            .map(|images| no_grad(|| trunk.forward(images, mode, Precision::F32).features));
        let together = Tensor::cat(&passes, 0);
        let embedded = no_grad(|| network.embed(&together, mode, Precision::F32));
        assert_eq!(embedded.size(), [8, 16]);
        if mode == Mode::Eval {
            let alone = no_grad(|| network.forward(&sizes[1], mode, Precision::F32));
            let error = support::relative_difference(
                &embedded.slice(0, 4, None, 1),
                &alone.embedding.unwrap(),
            );
            assert!(error < 1e-6, "off by {error}");
            continue;
        }
        // The last norm has no offset: its means are 0 over all rows, and over no part of them.
        let mean = |rows: &Tensor| {
            let means = rows.mean_dim(0, false, Kind::Float);
            means.abs().max().double_value(&[])
        };
        assert!(mean(&embedded) < 1e-5, "{}", mean(&embedded));
        assert!(mean(&embedded.slice(0, 0, 4, 1)) > 0.1);
    }
    let tracked = |name: &str| state(&network)[name].int64_value(&[]);
    assert_eq!(tracked("head.1.num_batches_tracked"), 1);
    assert_eq!(tracked("backbone.bn1.num_batches_tracked"), 2);

    let mut lacks = state(&network);
    let bias = lacks.remove("head.4.bias").unwrap();
    assert_eq!(bias.abs().max().double_value(&[]), 0.0);
    assert!(!bias.requires_grad());
    let read = Network::with_weights(&architecture, lacks, Device::Cpu).unwrap();
    assert_eq!(
        read.digest(),
        network.digest(),
        "the bias that stays 0 may be absent"
    );
}
