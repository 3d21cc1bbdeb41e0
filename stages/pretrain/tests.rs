//! What `pretrain` fills in, and refuses before anything runs.

use seedpipe_engine::Stage;
use serde_json::{Value, json};

use super::*;

fn inputs(small_views: bool) -> InputKinds {
    let views = |slot: &str| (slot.to_owned(), vec!["views/v1".to_owned()]);
    let mut all = vec![views("views")];
    if small_views {
        all.push(views("small_views"));
    }
    InputKinds::new(all)
}

fn filled(params: Value, small_views: bool) -> Pretrain {
    let mut all = json!({ "network": { "name": "cifar_resnet8" } });
    let more = params.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    let stage: Pretrain = serde_json::from_value(all).unwrap();
    stage.with_defaults(&inputs(small_views))
}

fn refused(params: Value, small_views: bool) -> Refusal {
    let stage = filled(params, small_views);
    stage.validate(&inputs(small_views)).unwrap_err()
}

#[test]
fn a_network_is_written_with_the_head_that_its_objective_keeps() {
    let head = |params: Value| filled(params, false).written().unwrap().head;
    let hidden = |params: Value| head(params).map(|head| (head.hidden, head.out));
    assert_eq!(hidden(json!({})), Some((vec![64], 128)));
    assert_eq!(hidden(json!({ "version": 1 })), Some((vec![], 128)));
    let own = json!({ "network": { "name": "cifar_resnet8", "head": { "out": 8 } } });
    assert_eq!(hidden(own), Some((vec![], 8)));
    assert_eq!(hidden(json!({ "objective": "supervised" })), None);

    let norms = |objective: &str| {
        let head = head(json!({ "objective": objective })).unwrap();
        assert_eq!((head.hidden, head.out), (vec![64], 128));
        [head.batch_norm, head.last_batch_norm]
    };
    assert_eq!(norms("moco"), [false, false]);
    assert_eq!(norms("simclr"), [true, true]);
    assert_eq!(norms("swav"), [true, false]);
}

/// The params apart from those that every objective has.
fn own(params: Value, small_views: bool) -> Value {
    let stage = filled(params, small_views);
    stage.validate(&inputs(small_views)).unwrap();
    let mut all = serde_json::to_value(&stage).unwrap();
    let map = all.as_object_mut().unwrap();
    for shared in ["network", "training", "preprocessing"] {
        map.remove(shared).unwrap();
    }
    all
}

#[test]
fn each_objective_has_its_own_defaults_and_no_other_params() {
    let moco = json!({ "queue": 65536, "temperature": 0.2, "encoder_momentum": 0.999, "batch_norm_parts": 8 });
    assert_eq!(own(json!({}), false), moco);
    assert_eq!(
        own(json!({ "version": 1 }), false),
        json!({ "version": 1, "queue": 65536, "temperature": 0.07, "encoder_momentum": 0.999, "batch_norm_parts": 8 })
    );
    assert_eq!(
        own(json!({ "objective": "simclr" }), false),
        json!({ "objective": "simclr", "temperature": 0.5 })
    );
    assert_eq!(
        own(json!({ "objective": "swav", "queue": 3840 }), true),
        json!({
            "objective": "swav", "temperature": 0.1, "queue": 3840, "queue_from_epoch": 15, "prototypes": 300,
            "freeze_prototypes_epochs": 1, "sinkhorn_epsilon": 0.05, "sinkhorn_iterations": 3, "small_crops": 6
        })
    );
    assert_eq!(
        own(json!({ "objective": "supervised" }), false),
        json!({ "objective": "supervised" })
    );
}

#[test]
fn checked_params_are_read_again_as_they_were() {
    let stage = filled(json!({ "objective": "swav" }), true);
    let written = serde_json::to_value(&stage).unwrap();
    let again: Pretrain = serde_json::from_value(written.clone()).unwrap();
    let again = again.with_defaults(&inputs(true));
    assert_eq!(serde_json::to_value(&again).unwrap(), written);
}

#[test]
fn a_param_that_is_null_has_its_default() {
    let left_out = own(json!({ "objective": "simclr" }), false);
    let null = json!({ "objective": "simclr", "temperature": null, "queue": null });
    assert_eq!(own(null, false), left_out);
}

#[test]
fn an_unknown_key_is_told_with_the_keys_of_all_objectives() {
    let params = json!({ "network": { "name": "cifar_resnet8" }, "prototips": 3 });
    let error = serde_json::from_value::<Pretrain>(params).unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with("unknown field `prototips`"), "{error}");
    for known in ["network", "objective", "training", "version", "prototypes"] {
        assert!(error.contains(&format!("`{known}`")), "{error}");
    }
}

#[test]
fn the_schema_says_whose_a_param_is() {
    let schema = schemars::schema_for!(Pretrain).to_value();
    let about = |key: &str| schema["properties"][key]["description"].as_str().unwrap();
    assert!(about("version").starts_with("Of `moco`: 1 has a linear head"));
    assert!(about("queue").starts_with("Of `moco`: keys to tell"));
    assert!(about("queue").contains(" Of `swav`: earlier embeddings"));
    let names = "`moco` (default), `simclr`, `swav` or `supervised`.";
    assert_eq!(about("objective"), names);
}

#[test]
fn params_of_another_objective_are_refused() {
    for (params, small_views, key) in [
        (json!({ "prototypes": 10 }), false, "prototypes"),
        (json!({ "queue_from_epoch": 1 }), false, "queue_from_epoch"),
        (
            json!({ "objective": "simclr", "queue": 256 }),
            false,
            "queue",
        ),
        (
            json!({ "objective": "simclr", "version": 1 }),
            false,
            "version",
        ),
        (
            json!({ "objective": "swav", "encoder_momentum": 0.9 }),
            false,
            "encoder_momentum",
        ),
        (
            json!({ "objective": "supervised", "temperature": 0.1 }),
            false,
            "temperature",
        ),
        (
            json!({ "objective": "supervised", "network": { "name": "cifar_resnet8", "head": { "out": 8 } } }),
            false,
            "network.head",
        ),
        (json!({}), true, "small_crops"),
    ] {
        let error = refused(params.clone(), small_views);
        assert_eq!(error.key.as_deref(), Some(key), "{params}");
        assert!(
            error
                .message
                .starts_with("expected nothing, since objective"),
            "{}",
            error.message
        );
    }
}

#[test]
fn params_that_do_not_go_together_are_refused() {
    let head = json!({ "name": "cifar_resnet8", "head": { "out": 8 } });
    for (params, key) in [
        (json!({ "version": 3 }), "version"),
        (json!({ "version": 2, "network": head }), "version"),
        (json!({ "queue": 100 }), "queue"),
        (json!({ "queue": 0 }), "queue"),
        (json!({ "objective": "swav", "queue": 100 }), "queue"),
        (
            json!({ "objective": "swav", "queue": 512, "training": { "epochs": 15 } }),
            "queue_from_epoch",
        ),
        (
            json!({ "objective": "swav", "queue_from_epoch": 2 }),
            "queue_from_epoch",
        ),
        (
            json!({ "objective": "swav", "small_crops": 2 }),
            "small_crops",
        ),
        (
            json!({ "objective": "swav", "prototypes": 1 }),
            "prototypes",
        ),
        (
            json!({ "objective": "swav", "sinkhorn_epsilon": 0.0 }),
            "sinkhorn_epsilon",
        ),
        (
            json!({ "objective": "swav", "sinkhorn_iterations": 0 }),
            "sinkhorn_iterations",
        ),
        (
            json!({ "objective": "swav", "temperature": -1.0 }),
            "temperature",
        ),
        (
            json!({ "objective": "simclr", "training": { "batch": 1 } }),
            "training.batch",
        ),
    ] {
        assert_eq!(
            refused(params.clone(), false).key.as_deref(),
            Some(key),
            "{params}"
        );
    }
}

/// The `training:` block as the recipe has it.
fn training(params: Value) -> Value {
    let stage = filled(params, false);
    stage.validate(&inputs(false)).unwrap();
    serde_json::to_value(&stage.training).unwrap()
}

#[test]
fn each_objective_is_trained_by_the_numbers_of_its_own_code() {
    let numbers = |params: Value| {
        let block = training(params);
        [
            "epochs",
            "learning_rate",
            "scale_learning_rate",
            "optimiser",
            "schedule",
        ]
        .map(|key| block[key].clone())
    };
    let sgd = json!({ "kind": "sgd", "momentum": 0.9, "weight_decay": 1e-4, "nesterov": false, "decay_biases_and_norms": true });
    let lars = |alike: bool| {
        json!({ "kind": "lars", "momentum": 0.9, "weight_decay": 1e-6, "nesterov": false, "trust": 0.001,
            "adapt_biases_and_norms": alike, "decay_biases_and_norms": alike })
    };
    let cosine = json!({ "kind": "cosine", "warmup_epochs": 0.0, "per": "step" });
    let steps = |epochs: [u32; 2]| json!({ "kind": "steps", "epochs": epochs, "factor": 0.1, "warmup_epochs": 0.0, "per": "step" });
    assert_eq!(
        numbers(json!({})),
        [json!(200), json!(0.03), json!(false), sgd.clone(), cosine]
    );
    assert_eq!(
        numbers(json!({ "version": 1 })),
        [
            json!(200),
            json!(0.03),
            json!(false),
            sgd.clone(),
            steps([120, 160])
        ]
    );
    let warmed_up =
        json!({ "kind": "cosine", "warmup_epochs": 10.0, "per": "step", "after_warmup": true });
    assert_eq!(
        numbers(json!({ "objective": "simclr" })),
        [
            json!(100),
            json!(1.2),
            json!("sqrt"),
            lars(false),
            warmed_up
        ]
    );
    let to_a_thousandth =
        json!({ "kind": "cosine", "warmup_epochs": 0.0, "per": "step", "end": 0.001 });
    assert_eq!(
        numbers(json!({ "objective": "swav" })),
        [
            json!(200),
            json!(0.6),
            json!(false),
            lars(true),
            to_a_thousandth
        ]
    );
    assert_eq!(
        numbers(json!({ "objective": "supervised" })),
        [json!(90), json!(0.1), json!(true), sgd, steps([30, 60])]
    );
}

#[test]
fn numbers_that_are_written_are_kept() {
    let all = json!({ "epochs": 12, "learning_rate": 0.06, "scale_learning_rate": false,
        "schedule": { "kind": "cosine" }, "optimiser": { "kind": "sgd" } });
    let of = |objective: &str, block: &Value| {
        training(json!({ "objective": objective, "training": block }))
    };
    for objective in ["simclr", "swav", "supervised"] {
        assert_eq!(of(objective, &all), of("moco", &all), "{objective}");
    }

    let rate = of("simclr", &json!({ "learning_rate": 0.5 }));
    assert_eq!(rate["learning_rate"], 0.5);
    assert_eq!(rate["scale_learning_rate"], false);
    assert_eq!(rate["optimiser"]["kind"], "lars");
    let short = of("simclr", &json!({ "epochs": 8 }));
    assert_eq!(short["schedule"]["warmup_epochs"], 0.8);
    assert_eq!(short["scale_learning_rate"], "sqrt");
    let short = of("supervised", &json!({ "epochs": 9 }));
    assert_eq!(short["schedule"]["epochs"], json!([3, 6]));
    let smaller = of(
        "swav",
        &json!({ "optimiser": { "kind": "lars", "weight_decay": 0 } }),
    );
    assert_eq!(smaller["optimiser"]["adapt_biases_and_norms"], false);
    assert_eq!(smaller["learning_rate"], 0.6);
}

#[test]
fn the_schema_says_an_objectives_numbers() {
    let schema = schemars::schema_for!(Pretrain).to_value();
    let names = schema["$defs"]["Objective"]["oneOf"].as_array().unwrap();
    let about = |place: usize| names[place]["description"].as_str().unwrap();
    assert!(!about(0).contains("training"));
    assert!(about(1).contains(" In `training`, by default `epochs: 100`, `learning_rate: 1.2`, "));
    assert!(about(2).contains("`learning_rate: 0.6`"));
}
