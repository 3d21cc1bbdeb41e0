use super::*;
use crate::graph::Role;

#[test]
fn every_name_has_a_graph() {
    for name in names() {
        let graph = Architecture {
            classes: Some(10),
            ..Architecture::named(name)
        }
        .graph()
        .unwrap();
        assert_eq!(
            graph.length(graph.logits().unwrap(), [256; 2]),
            Ok(10),
            "{name}"
        );
    }
}

#[test]
fn counts_agree_with_the_papers() {
    let cifar = Architecture {
        classes: Some(10),
        ..Architecture::named("cifar_resnet20")
    }
    .graph()
    .unwrap();
    assert_eq!(cifar.parameter_count(), 269_722);
    assert_eq!(cifar.multiply_adds(32, 32), 40_551_040);
    let resnet50 = Architecture {
        classes: Some(1000),
        ..Architecture::named("resnet50")
    }
    .graph()
    .unwrap();
    assert_eq!(resnet50.parameter_count(), 25_557_032);
    assert_eq!(resnet50.multiply_adds(224, 224), 4_089_184_256);
}

#[test]
fn a_width_factor_scales_and_rounds_channels() {
    let narrow = Architecture {
        width: 0.5,
        ..Architecture::named("cifar_resnet8")
    };
    assert_eq!(narrow.feature_dimension(), Ok(32));
    let odd = Architecture {
        width: 0.3,
        ..Architecture::named("cifar_resnet8")
    };
    assert_eq!(odd.feature_dimension(), Ok(19));
    assert_eq!(odd.graph().unwrap().state()[0].shape, [5, 3, 3, 3]);
}

#[test]
fn a_head_moves_the_backbone_under_its_own_prefix() {
    let head = Head::new(vec![256], 64);
    let architecture = Architecture {
        head: Some(head),
        ..Architecture::named("cifar_resnet8")
    };
    let names: Vec<String> = architecture
        .graph()
        .unwrap()
        .state()
        .into_iter()
        .map(|spec| spec.name)
        .collect();
    assert_eq!(names[0], "backbone.conv1.weight");
    assert_eq!(
        names[names.len() - 4..],
        [
            "head.0.weight",
            "head.0.bias",
            "head.2.weight",
            "head.2.bias"
        ]
    );
    assert_eq!(architecture.embedding_dimension(), Ok(64));
    assert_eq!(architecture.feature_dimension(), Ok(64));
    let linear = Architecture {
        head: Some(Head::new(vec![], 16)),
        ..Architecture::named("resnet18")
    };
    assert_eq!(
        linear.graph().unwrap().state().last().unwrap().name,
        "head.bias"
    );
}

/// As `projection_head` of SimCLR's model_util.py: batch norm behind every layer, the last layer
/// without bias and its norm without offset.
#[test]
fn the_last_layer_of_a_head_may_have_a_batch_norm_without_offset() {
    let state = |hidden: &[i64], batch_norm| {
        let architecture = Architecture {
            head: Some(Head {
                batch_norm,
                last_batch_norm: true,
                ..Head::new(hidden.to_vec(), 16)
            }),
            ..Architecture::named("cifar_resnet8")
        };
        let state = architecture.graph().unwrap().state().into_iter();
        let head = state.filter(|spec| spec.name.starts_with("head"));
        head.filter(|spec| spec.role != Role::BatchesTracked)
            .map(|spec| (spec.name, spec.role.trainable()))
            .collect::<Vec<_>>()
    };
    let norm = |name: &str, offset| {
        [
            ("weight", true),
            ("bias", offset),
            ("running_mean", false),
            ("running_var", false),
        ]
        .map(|(last, trainable)| (format!("{name}.{last}"), trainable))
    };
    let layer = |name: &str| (name.to_owned(), true);
    let mut simclr = vec![layer("head.0.weight"), layer("head.0.bias")];
    simclr.extend(norm("head.1", true));
    simclr.push(layer("head.3.weight"));
    simclr.extend(norm("head.4", false));
    assert_eq!(state(&[64], true), simclr);

    let mut linear = vec![layer("head.0.weight")];
    linear.extend(norm("head.1", false));
    assert_eq!(state(&[], false), linear);

    let mut last_alone = vec![
        layer("head.0.weight"),
        layer("head.0.bias"),
        layer("head.2.weight"),
    ];
    last_alone.extend(norm("head.3", false));
    assert_eq!(state(&[64], false), last_alone);
}

#[test]
fn impossible_descriptions_are_refused_with_key_and_remedy() {
    let refused = |text: &str| {
        let architecture: Architecture = serde_json::from_str(text).unwrap();
        architecture.validate().unwrap_err()
    };
    let key = |text: &str| refused(text).key.clone().unwrap();
    let unknown = refused(r#"{"name": "resnet-19"}"#);
    assert_eq!(
        (unknown.key.as_deref(), unknown.hint.as_deref()),
        (Some("name"), Some("did you mean `resnet18`?"))
    );
    assert!(unknown.to_string().contains("wide_resnet50_2"));
    assert_eq!(key(r#"{"name": "resnet18", "width": 0}"#), "width");
    assert_eq!(key(r#"{"name": "resnet18", "shortcut": "a"}"#), "shortcut");
    assert_eq!(
        key(r#"{"name": "cifar_resnet20", "stem": "cifar"}"#),
        "stem"
    );
    assert_eq!(key(r#"{"name": "resnet18", "classes": 0}"#), "classes");
    assert_eq!(
        key(r#"{"name": "resnet18", "head": {"hidden": [0], "out": 1}}"#),
        "head.hidden"
    );
    assert!(serde_json::from_str::<Architecture>(r#"{"name": "resnet18", "depth": 3}"#).is_err());
}

#[test]
fn published_weights_look_through_pillow_and_cifars_do_not() {
    let of = |name: &str| Architecture::named(name).default_preprocessing();
    assert_eq!(of("resnet50"), Preprocessing::imagenet());
    assert_eq!(of("dino_vits16").filter, Filter::PillowBicubic);
    assert_eq!(of("efficientnet_b0").crop, CropOrder::AfterResize);
    let lite = of("efficientnet_lite0");
    assert_eq!(
        (lite.crop, lite.filter),
        (CropOrder::BeforeResize, Filter::PillowBicubic)
    );
    assert_eq!(of("cifar_resnet20").filter, Filter::Bilinear);
}
