//! The whole step of SEED, tested against PyTorch: network, loss, descent and queue together.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use crate::architecture::{Architecture, Head};
use crate::loss::queue::Queue;
use crate::loss::seed::seed_loss;
use crate::network::{Mode, Network, Precision};
use crate::testing::golden::{Fixture, assert_close, formula_weight};
use crate::training::optimiser::{Optimiser, OptimiserOptions};
use crate::training::sgd::SgdOptions;

/// `cifar resnet20 backbone (…) + head Linear(64,64)-ReLU-Linear(64,128) (…)` of the fixture.
fn student(salt: u64, dimension: i64) -> Network {
    let mut architecture = Architecture::named("cifar_resnet20");
    let hidden = architecture.feature_dimension().unwrap();
    architecture.head = Some(Head::new(vec![hidden], dimension));
    let weights: BTreeMap<String, Tensor> = architecture
        .graph()
        .unwrap()
        .state()
        .into_iter()
        .map(|spec| {
            (
                spec.name.clone(),
                formula_weight(&spec.name, &spec.shape, salt).to_kind(spec.kind),
            )
        })
        .collect();
    Network::with_weights(&architecture, weights, Device::Cpu).unwrap()
}

#[test]
fn golden_seed_trajectory() {
    let fixture = Fixture::load("seed_trajectory");
    let whole = |key: &str| fixture.number(key) as usize;
    let network = student(whole("formula_salt") as u64, whole("dim") as i64);
    let options = SgdOptions {
        momentum: fixture.number("momentum"),
        weight_decay: fixture.number("weight_decay"),
        nesterov: fixture.json["nesterov"].as_bool().unwrap(),
        ..SgdOptions::default()
    };
    let mut sgd = Optimiser::new(network.trainable(), &OptimiserOptions::Sgd(options));
    let mut queue = Queue::restore(fixture.tensor("queue_initial"), whole("batch"), 0, 0).unwrap();
    assert_eq!(queue.len(), whole("queue"));
    let (images, teacher) = (fixture.tensor("images"), fixture.tensor("teacher"));
    let expected: Vec<f64> = serde_json::from_value(fixture.json["loss"].clone()).unwrap();
    assert_eq!(images.size()[0] as usize, expected.len());
    for (step, expected) in (0i64..).zip(expected) {
        let target = teacher.get(step);
        let output = network.forward(&images.get(step), Mode::Train, Precision::F32);
        let (tau_student, tau_teacher) =
            (fixture.number("tau_student"), fixture.number("tau_teacher"));
        let embedding = output.embedding_or_features();
        let loss = seed_loss(embedding, &target, queue.rows(), tau_student, tau_teacher);
        sgd.zero_grad();
        loss.backward();
        sgd.step(fixture.number("lr"));
        queue.enqueue(&target);
        assert_close(
            &format!("loss of step {step}"),
            loss.double_value(&[]),
            expected,
            1e-3,
        );
    }
    assert_eq!(queue.rows(), &fixture.tensor("queue_final"));
    assert_eq!(queue.pointer(), whole("queue_pointer_final"));
    let norms: BTreeMap<String, f64> =
        serde_json::from_value(fixture.json["final_norms"].clone()).unwrap();
    let state: BTreeMap<String, Tensor> = network.state().into_iter().collect();
    assert!(
        norms.keys().eq(state.keys()),
        "names differ: {:?}",
        state.keys()
    );
    for (name, expected) in norms {
        assert_close(
            &name,
            state[&name].to_kind(Kind::Double).norm().double_value(&[]),
            expected,
            1e-2,
        );
    }
}
