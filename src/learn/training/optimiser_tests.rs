use super::*;
use crate::testing::golden::{Fixture, assert_close};

fn sgd(momentum: f64, weight_decay: f64, nesterov: bool) -> OptimiserOptions {
    OptimiserOptions::Sgd(SgdOptions {
        momentum,
        weight_decay,
        nesterov,
        ..SgdOptions::default()
    })
}

/// A parameter p = (1, −2) under the loss sum(3 p): its gradient is 3 everywhere.
fn constant_gradient(options: OptimiserOptions) -> (Tensor, Optimiser, impl Fn(&Tensor)) {
    let parameter = Tensor::from_slice(&[1.0f64, -2.0]).set_requires_grad(true);
    let optimiser = Optimiser::new([("p".to_owned(), parameter.shallow_clone())], &options);
    (parameter, optimiser, |parameter: &Tensor| {
        (parameter * 3.0).sum(None::<Kind>).backward()
    })
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn assert_values(tensor: &Tensor, expected: &[f64]) {
    let got = values(tensor);
    assert!(
        got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14),
        "{got:?} {expected:?}"
    );
}

#[test]
fn momentum_and_weight_decay_counted_by_hand() {
    let (parameter, mut optimiser, backward) = constant_gradient(sgd(0.5, 0.1, false));
    backward(&parameter);
    optimiser.step(0.1);
    // g = (3.1, 2.8) = v; p = (1 − 0.31, −2 − 0.28)
    assert_values(&parameter, &[0.69, -2.28]);
    optimiser.zero_grad();
    backward(&parameter);
    optimiser.step(0.1);
    // g = (3.069, 2.772); v = (4.619, 4.172)
    assert_values(&parameter, &[0.2281, -2.6972]);
    assert_values(&optimiser.buffers()[0].1, &[4.619, 4.172]);
}

#[test]
fn nesterov_looks_ahead() {
    let (parameter, mut optimiser, backward) = constant_gradient(sgd(0.5, 0.0, true));
    backward(&parameter);
    optimiser.step(0.1);
    // v = 3; step 3 + 0.5 · 3
    assert_values(&parameter, &[0.55, -2.45]);
    optimiser.zero_grad();
    backward(&parameter);
    optimiser.step(0.1);
    // v = 4.5; step 3 + 2.25
    assert_values(&parameter, &[0.025, -2.975]);
}

#[test]
fn adamw_first_steps_by_the_rate_whatever_the_gradient() {
    let options = AdamWOptions {
        epsilon: 1e-30,
        weight_decay: 0.5,
        ..AdamWOptions::default()
    };
    let (parameter, mut optimiser, backward) = constant_gradient(OptimiserOptions::AdamW(options));
    backward(&parameter);
    optimiser.step(0.1);
    // p · (1 − 0.1 · 0.5) − 0.1
    assert_values(&parameter, &[0.85, -2.0]);
}

#[test]
fn without_momentum_there_is_no_buffer() {
    let (parameter, mut optimiser, backward) = constant_gradient(sgd(0.0, 0.0, false));
    backward(&parameter);
    optimiser.step(1.0);
    assert_values(&parameter, &[-2.0, -5.0]);
    assert!(optimiser.buffers().is_empty());
}

/// One of each rule, with momentum.
fn each_rule() -> [OptimiserOptions; 3] {
    [
        sgd(0.9, 1e-4, true),
        OptimiserOptions::AdamW(AdamWOptions::default()),
        OptimiserOptions::Lars(LarsOptions::default()),
    ]
}

#[test]
fn a_parameter_without_gradient_is_left_alone() {
    for options in each_rule() {
        let (parameter, mut optimiser, _) = constant_gradient(options);
        optimiser.step(1.0);
        assert_values(&parameter, &[1.0, -2.0]);
        assert!(optimiser.buffers().is_empty());
        assert_eq!(optimiser.gradient_norm(), 0.0);
        // A checkpoint of that moment is a checkpoint.
        optimiser.load_buffers(BTreeMap::new()).unwrap();
    }
}

#[test]
fn factors_multiply_the_rate_and_0_freezes() {
    for options in each_rule() {
        let moved = |factor: f64| {
            let tensor = Tensor::from_slice(&[1.0f64, -2.0]).set_requires_grad(true);
            let parameter = Parameter {
                name: "p".into(),
                tensor: tensor.shallow_clone(),
                learning_rate_factor: factor,
            };
            let mut optimiser = Optimiser::new([parameter], &options);
            if factor == 0.0 {
                assert!(!tensor.requires_grad());
            } else {
                (&tensor * 3.0).sum(None::<Kind>).backward();
            }
            optimiser.step(0.1);
            values(&tensor)
        };
        assert_eq!(moved(0.0), [1.0, -2.0]);
        let (whole, half) = (moved(1.0), moved(0.5));
        assert!((2.0 * (half[0] - 1.0) - (whole[0] - 1.0)).abs() < 1e-12);
    }
}

#[test]
fn golden_rules_of_pytorch() {
    let Fixture {
        json: golden,
        tensors: given,
    } = Fixture::of_testdata("optimisers");
    let steps = golden["steps"].as_i64().unwrap();
    let cases = golden["optimisers"].as_object().unwrap();
    assert!(cases.len() >= 10);
    for (case, options) in cases {
        let options: OptimiserOptions = serde_json::from_value(options.clone()).unwrap();
        options.validate().unwrap();
        let start = given
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("start.")?, tensor)));
        let parameters: Vec<(String, Tensor)> = start
            .map(|(name, tensor)| (name.to_owned(), tensor.copy()))
            .collect();
        let named = |parameters: &[(String, Tensor)]| -> Vec<(String, Tensor)> {
            let shared = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.shallow_clone());
            parameters.iter().map(shared).collect()
        };
        let mut optimiser = Optimiser::new(named(&parameters), &options);
        for step in 0..steps {
            let gradients: Vec<Tensor> = parameters
                .iter()
                .map(|(name, _)| given[&format!("gradient.{name}")].get(step))
                .collect();
            let rate = golden["rate"].as_f64().unwrap() * (steps - step) as f64 / steps as f64;
            optimiser.step_with(&gradients, rate);
        }
        for (name, tensor) in &parameters {
            let expected = values(&given[&format!("{case}.{name}")]);
            for (got, expected) in values(tensor).iter().zip(expected) {
                assert!(
                    (got - expected).abs() <= 1e-6,
                    "{case} {name}: {got} {expected}"
                );
            }
        }
    }
}

#[test]
fn golden_clipping_of_pytorch() {
    let Fixture {
        json: golden,
        tensors: given,
    } = Fixture::of_testdata("optimisers");
    for case in golden["clipping"].as_array().unwrap() {
        let bound = case["bound"].as_f64().unwrap();
        let mut parameters = Vec::new();
        for (name, tensor) in &given {
            let Some(name) = name.strip_prefix("start.") else {
                continue;
            };
            let leaf = tensor.copy().set_requires_grad(true);
            let gradient = given[&format!("gradient.{name}")].get(0);
            (&leaf * gradient).sum(None::<Kind>).backward();
            parameters.push((name.to_owned(), leaf));
        }
        let shared = parameters
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        let mut optimiser = Optimiser::new(shared, &OptimiserOptions::default());
        let norm = optimiser.gradient_norm();
        assert_close("norm", norm, case["norm"].as_f64().unwrap(), 1e-6);
        optimiser.scale_gradients(clipping(norm, bound));
        for (name, tensor) in &parameters {
            let expected = values(&given[&format!("clipped_{bound}.{name}")]);
            for (got, expected) in values(&tensor.grad()).iter().zip(expected) {
                assert!(
                    (got - expected).abs() <= 1e-6,
                    "{bound} {name}: {got} {expected}"
                );
            }
        }
    }
}

#[test]
fn loaded_buffers_continue_bit_for_bit() {
    let start = || {
        let mut rng =
            <rand_chacha::ChaCha8Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(1);
        crate::torch::random::normal(&[5, 10], &mut rng)
    };
    let step = |parameter: &Tensor, optimiser: &mut Optimiser| {
        optimiser.zero_grad();
        parameter.pow_tensor_scalar(4).sum(None::<Kind>).backward();
        optimiser.step(0.01);
    };
    for options in each_rule() {
        let of =
            |tensor: &Tensor| Optimiser::new([("w".to_owned(), tensor.shallow_clone())], &options);
        let straight = start().set_requires_grad(true);
        let mut optimiser = of(&straight);
        (0..3).for_each(|_| step(&straight, &mut optimiser));
        let resumed = straight.detach().copy().set_requires_grad(true);
        let mut other = of(&resumed);
        other
            .load_buffers(optimiser.buffers().into_iter().collect())
            .unwrap();
        (0..3).for_each(|_| step(&straight, &mut optimiser));
        (0..3).for_each(|_| step(&resumed, &mut other));
        assert_eq!(straight, resumed);
        assert_ne!(straight, start());
    }
}

#[test]
fn buffers_of_another_network_or_rule_are_refused() {
    let zeros = |length: i64| Tensor::zeros([length], (Kind::Double, Device::Cpu));
    let load = |options, name: &str, length| {
        let (_, mut optimiser, _) = constant_gradient(options);
        optimiser
            .load_buffers(BTreeMap::from([(name.into(), zeros(length))]))
            .map_err(|error| error.to_string())
    };
    let [sgd, adamw, _] = each_rule();
    assert_eq!(
        load(sgd, "q", 2).unwrap_err(),
        r#"optimiser buffers do not fit the network: missing [], left over ["q"]"#
    );
    assert_eq!(
        load(adamw, "p.exp_avg", 2).unwrap_err(),
        r#"optimiser buffers do not fit the network: missing ["p.exp_avg_sq", "p.step"], left over []"#
    );
    assert_eq!(
        load(sgd, "p", 3).unwrap_err(),
        "optimiser buffer `p` has shape [3], expected [2]"
    );
    load(sgd, "p", 2).unwrap();
}

#[test]
fn what_cannot_be_is_refused_and_what_is_not_said_is_written_too() {
    let parse = |text: &str| serde_json::from_str::<OptimiserOptions>(text).unwrap();
    for (text, key) in [
        (r#"{"kind": "sgd", "momentum": 1}"#, "momentum"),
        (r#"{"kind": "sgd", "weight_decay": -1}"#, "weight_decay"),
        (r#"{"kind": "adamw", "betas": [0.9, 1.0]}"#, "betas"),
        (r#"{"kind": "adamw", "epsilon": 0}"#, "epsilon"),
        (r#"{"kind": "lars", "trust": 0}"#, "trust"),
    ] {
        assert_eq!(
            parse(text).validate().unwrap_err().key.as_deref(),
            Some(key)
        );
    }
    assert_eq!(
        serde_json::to_string(&parse(r#"{"kind": "sgd"}"#)).unwrap(),
        r#"{"kind":"sgd","momentum":0.9,"weight_decay":0.0001,"nesterov":false,"decay_biases_and_norms":true}"#
    );
}
