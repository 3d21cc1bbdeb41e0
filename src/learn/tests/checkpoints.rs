//! Checkpoint files: every container and dtype is read, code is refused by name, layouts are
//! recognised or refused whole.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::checkpoint_file::{self, Checkpoint, CheckpointFormat, match_network, read};
use seedpipe_learn::tch::{Device, Kind, Tensor};
use seedpipe_learn::tensors::to_vec_f32;
use seedpipe_learn::weights_file;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
}

#[test]
fn nested_containers_of_every_dtype_are_read_from_both_layouts() {
    for (file, format) in [
        ("nested_zip.pt", CheckpointFormat::Zip),
        ("nested_legacy.pt", CheckpointFormat::Legacy),
        ("nested_legacy_protocol4.pt", CheckpointFormat::Legacy),
    ] {
        let checkpoint = read(&testdata(file)).unwrap();
        assert_eq!(checkpoint.format, format);
        let tensor = |name: &str| &checkpoint.tensors[name];
        let values = |name: &str| to_vec_f32(tensor(name));
        let counting: Vec<f32> = (0..12).map(|number| number as f32).collect();
        assert_eq!(values("state_dict.module.f32"), counting);
        assert_eq!(tensor("state_dict.module.f32").size(), [3, 4]);
        assert_eq!(tensor("state_dict.module.transposed").size(), [4, 3]);
        assert_eq!(
            values("state_dict.module.transposed")[..4],
            [0.0, 4.0, 8.0, 1.0]
        );
        assert_eq!(values("state_dict.module.row"), [4.0, 5.0, 6.0, 7.0]);
        assert_eq!(values("state_dict.module.parameter"), [0.5, -0.5]);
        assert_eq!(
            tensor("state_dict.module.f64").double_value(&[0, 0]),
            1e-300
        );
        for (name, kind) in [("f16", Kind::Half), ("bf16", Kind::BFloat16)] {
            assert_eq!(tensor(&format!("state_dict.module.{name}")).kind(), kind);
            assert_eq!(values(&format!("state_dict.module.{name}")), [1.5, -2.0]);
        }
        assert_eq!(tensor("state_dict.module.i64").int64_value(&[]), -7);
        assert_eq!(values("state_dict.module.i32"), [3.0]);
        assert_eq!(values("state_dict.module.u8"), [0.0, 255.0]);
        assert_eq!(values("state_dict.module.bool"), [1.0, 0.0]);
        assert_eq!(tensor("state_dict.module.empty").size(), [0, 3]);
        assert_eq!(values("optimizer.state.0.momentum_buffer"), [1.0, 1.0]);
        assert_eq!(
            (values("list.0"), values("list.1.0")),
            (vec![0.0], vec![1.0])
        );
        assert_eq!(checkpoint.tensors.len(), 15);
    }
}

/// What trainers keep beside tensors is passed over, nothing of it is executed, and tensors that
/// share their numbers or repeat one are tensors as others.
#[test]
fn counters_own_dictionaries_arguments_and_repeated_numbers_are_read() {
    for file in ["odd_zip.pt", "odd_legacy.pt"] {
        let checkpoint = read(&testdata(file)).unwrap();
        let values = |name: &str| to_vec_f32(&checkpoint.tensors[name]);
        assert_eq!(checkpoint.tensors["state_dict.expanded"].size(), [3, 2]);
        assert_eq!(values("state_dict.expanded"), [0.5; 6]);
        assert_eq!(values("state_dict.tied"), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(values("state_dict.other"), values("state_dict.tied"));
        assert_eq!(values("found.a.0"), [1.0]);
        assert_eq!(values("kind.0"), [0.0, 0.0]);
        assert_eq!(checkpoint.tensors.len(), 5, "{file}");
    }
}

/// A whole module is attributes of objects that are made without arguments.
#[test]
fn a_whole_module_holds_its_state() {
    let checkpoint = read(&testdata("module_zip.pt")).unwrap();
    let weight = &checkpoint.tensors["_modules.conv._parameters.weight"];
    assert_eq!(weight.size(), [2, 3, 1, 1]);
    let variance = &checkpoint.tensors["_modules.bn._buffers.running_var"];
    assert_eq!(to_vec_f32(variance), [1.0, 1.0]);
}

#[test]
fn a_pickle_with_code_is_refused_by_name_and_not_executed() {
    for file in [
        "malicious_zip.pt",
        "malicious_legacy.pt",
        "malicious_plain.pkl",
    ] {
        let error = read(&testdata(file)).unwrap_err();
        assert!(
            error.to_string().contains(
                "the pickle asks for `posix.system`; expected tensors and containers alone"
            ),
            "{file}: {error}"
        );
        assert!(!Path::new("/tmp/seedpipe-pickle-was-executed").exists());
    }
}

#[test]
fn files_that_are_no_checkpoints_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pt");
    for (content, expected) in [
        (&b""[..], "the file is empty"),
        (
            b"hello, world, this is a text file",
            "not a checkpoint that is known",
        ),
        (b"PK\x03\x04 and nothing else", "not a valid zip"),
        (
            b"\x80\x02}q\x00.",
            "a pickle, but not one written by `torch.save`",
        ),
        (
            b"\x20\0\0\0\0\0\0\0{\"a\": 1}                           ",
            "not valid safetensors",
        ),
    ] {
        fs_err::write(&path, content).unwrap();
        let message = read(&path).unwrap_err().to_string();
        assert!(
            message.contains(expected) && message.contains("hint:"),
            "{message}"
        );
        assert!(message.contains("weights.pt"), "{message}");
    }
    assert!(
        read(&folder.path().join("absent.pt"))
            .unwrap_err()
            .to_string()
            .contains("absent.pt")
    );
}

#[test]
fn safetensors_are_written_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let architecture = small();
    let network = support::formula_network(&architecture, 3);
    let bytes = weights_file::to_bytes(&network.state(), &BTreeMap::new());
    fs_err::write(&path, bytes).unwrap();
    let (back, _) = checkpoint_file::load_network(&path, &architecture, None, Device::Cpu).unwrap();
    assert_eq!(back.digest(), network.digest());
}

fn small() -> Architecture {
    Architecture {
        width: 0.25,
        ..Architecture::named("cifar_resnet8")
    }
}

/// A checkpoint with the tensors of `architecture` under `prefix`.
fn checkpoint(architecture: &Architecture, prefix: &str, others: &[&str]) -> Checkpoint {
    let specs = architecture.graph().unwrap().state();
    let mut tensors: BTreeMap<String, Tensor> = specs
        .iter()
        .map(|spec| {
            (
                format!("{prefix}{}", spec.name),
                support::formula(&spec.name, &spec.shape, 0),
            )
        })
        .collect();
    for name in others {
        tensors.insert(
            (*name).to_owned(),
            Tensor::zeros([2], (Kind::Float, Device::Cpu)),
        );
    }
    Checkpoint {
        path: PathBuf::from("teacher.pth"),
        format: CheckpointFormat::Zip,
        tensors,
    }
}

#[test]
fn known_prefixes_are_stripped_and_said() {
    for (prefix, others, leftovers) in [
        ("", &[][..], 0),
        ("module.", &[], 0),
        (
            "state_dict.module.",
            &["optimizer.state.0.momentum_buffer"],
            1,
        ),
        ("model.", &["epoch_losses"], 1),
        (
            "state_dict.module.encoder_q.",
            &[
                "state_dict.module.encoder_k.conv1.weight",
                "state_dict.module.queue",
                "state_dict.module.queue_ptr",
            ],
            3,
        ),
        ("backbone.", &["head.0.weight", "head.2.bias"], 2),
        ("", &["fc.weight", "fc.bias", "linear.weight"], 3),
    ] {
        let matched = match_network(checkpoint(&small(), prefix, others), &small(), None).unwrap();
        let expected = if prefix.is_empty() {
            "plain names".to_owned()
        } else if prefix.contains("encoder_q") {
            format!("MoCo, prefix `{prefix}`")
        } else {
            format!("prefix `{prefix}`")
        };
        assert_eq!(matched.layout, format!("zip torch.save, {expected}"));
        assert_eq!(matched.leftovers.len(), leftovers);
        assert_eq!(
            matched.weights.len(),
            small().graph().unwrap().state().len()
        );
    }
}

#[test]
fn the_query_encoder_is_taken_and_not_the_key_encoder() {
    let mut both = checkpoint(&small(), "module.encoder_q.", &[]);
    let keys = checkpoint(&small(), "module.encoder_k.", &[]).tensors;
    both.tensors.extend(
        keys.into_iter()
            .map(|(name, tensor)| (name, tensor.zeros_like())),
    );
    let matched = match_network(both, &small(), None).unwrap();
    assert_eq!(
        matched.layout,
        "zip torch.save, MoCo, prefix `module.encoder_q.`"
    );
    assert!(
        matched.weights["conv1.weight"]
            .abs()
            .sum(Kind::Float)
            .double_value(&[])
            > 0.0
    );
}

#[test]
fn mocos_head_becomes_the_networks_head() {
    let headed = Architecture {
        head: Some(Head::new(vec![8], 4)),
        ..small()
    };
    let mut moco = checkpoint(&small(), "state_dict.module.encoder_q.", &[]);
    for (name, shape) in [
        ("fc.0.weight", &[8, 16][..]),
        ("fc.0.bias", &[8]),
        ("fc.2.weight", &[4, 8]),
        ("fc.2.bias", &[4]),
    ] {
        moco.tensors.insert(
            format!("state_dict.module.encoder_q.{name}"),
            support::formula(name, shape, 0),
        );
    }
    let matched = match_network(moco, &headed, None).unwrap();
    assert!(matched.leftovers.is_empty());
    assert!(matched.weights["head.2.weight"].equal(&support::formula("fc.2.weight", &[4, 8], 0)));
    assert!(
        matched
            .weights
            .contains_key("backbone.layer3.0.conv2.weight")
    );
}

fn refused(checkpoint: Checkpoint, architecture: &Architecture) -> String {
    match_network(checkpoint, architecture, None)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_partial_match_is_an_error_that_counts_and_names_the_first() {
    let mut partial = checkpoint(
        &small(),
        "module.",
        &["module.layer4.0.conv1.weight", "module.projector.weight"],
    );
    for block in ["layer2", "layer3"] {
        partial
            .tensors
            .remove(&format!("module.{block}.0.bn2.weight"));
        partial
            .tensors
            .remove(&format!("module.{block}.0.bn2.bias"));
    }
    partial.tensors.remove("module.conv1.weight");
    partial.tensors.insert(
        "module.layer1.0.bn1.bias".to_owned(),
        Tensor::zeros([5], (Kind::Float, Device::Cpu)),
    );
    assert_eq!(
        refused(partial, &small()),
        "`teacher.pth` (nearest layout: zip torch.save, prefix `module.`): tensors don't match the network: 5 missing, 1 unexpected, 1 of another shape\n  \
         missing     conv1.weight; nearest in the file: module.layer4.0.conv1.weight\n  missing     layer2.0.bn2.weight\n  missing     layer2.0.bn2.bias\n  … 2 more\n  \
         unexpected  module.layer4.0.conv1.weight\n  \
         shape       layer1.0.bn1.bias: expected [4], got [5]\n\
         hint: check that the file is of a `cifar_resnet8`: it holds 37 of its 42 tensors; `seedpipe network inspect` says what it may be"
    );
}

/// No list of prefixes: whatever stands before all of the network's tensors is one, and what wraps
/// a module within is passed over.
#[test]
fn any_prefix_leads_to_a_whole_network() {
    for prefix in [
        "_orig_mod.",
        "module._orig_mod.",
        "model_ema.",
        "state_dict_ema.",
        "state_dict.net.",
        "classy_state_dict.base_model.model.trunk._feature_blocks.",
        "state_dict.module.base_encoder.",
        "my.own.0.words.",
    ] {
        let matched = match_network(checkpoint(&small(), prefix, &[]), &small(), None).unwrap();
        assert!(
            matched.layout.ends_with(&format!("prefix `{prefix}`")),
            "{}",
            matched.layout
        );
        assert!(matched.leftovers.is_empty() && matched.others.is_empty());
    }
    for (within, wrapped) in [
        ("layer1.", "layer1._orig_mod."),
        (
            "layer2.0.",
            "layer2.0._fsdp_wrapped_module._checkpoint_wrapped_module.",
        ),
    ] {
        let plain = checkpoint(&small(), "net.", &[]);
        let names = plain.tensors.into_iter();
        let tensors = names.map(|(name, tensor)| (name.replace(within, wrapped), tensor));
        let compiled = Checkpoint {
            tensors: tensors.collect(),
            ..checkpoint(&small(), "", &[])
        };
        let matched = match_network(compiled, &small(), None).unwrap();
        assert_eq!(matched.layout, "zip torch.save, prefix `net.`");
        assert_eq!(
            matched.weights.len(),
            small().graph().unwrap().state().len()
        );
    }
}

#[test]
fn what_lies_beside_a_whole_network_is_told_and_what_would_belong_into_it_refused() {
    for leftover in [
        "net.projector.0.weight",
        "net.queue",
        "n_averaged",
        "optimizer.state.0.exp_avg",
        "net.fc.weight",
        "momentum_net.conv1.weight",
        "net.prototypes.weight",
    ] {
        let matched = match_network(checkpoint(&small(), "net.", &[leftover]), &small(), None);
        assert_eq!(matched.unwrap().leftovers, [leftover]);
    }
    for foreign in [
        "net.layer1.1.conv1.weight",
        "net.layer4.0.conv1.weight",
        "net.layer1.0.attention.weight",
        "net.conv2.weight",
    ] {
        let message = refused(checkpoint(&small(), "net.", &[foreign]), &small());
        assert!(
            message.contains(&format!("1 unexpected\n  unexpected  {foreign}\n")),
            "{message}"
        );
    }
    // A deeper network of the same blocks holds every tensor of the shallower one.
    let deep = Architecture::named("resnet34").graph().unwrap().state();
    let zero = Tensor::from(0.0_f32);
    let deep = deep
        .iter()
        .map(|spec| (spec.name.clone(), zero.expand(&spec.shape[..], false)));
    let deep = Checkpoint {
        tensors: deep.collect(),
        ..checkpoint(&small(), "", &[])
    };
    let message = refused(deep, &Architecture::named("resnet18"));
    assert!(message.contains("the file is of a `resnet34`"), "{message}");
}

#[test]
fn of_several_whole_networks_one_is_taken_and_the_others_are_named() {
    for (taken, other) in [
        ("teacher.backbone.", "student.backbone."),
        ("state_dict_ema.", "state_dict."),
        ("module.base_encoder.", "module.momentum_encoder."),
        ("backbone.", "momentum_backbone."),
        ("online_encoder.", "target_encoder."),
        ("model.", "model.inner."),
    ] {
        let both = || {
            let mut both = checkpoint(&small(), taken, &[]);
            let others = checkpoint(&small(), other, &[]).tensors;
            both.tensors
                .extend(others.into_iter().map(|(name, tensor)| (name, tensor * 2)));
            both
        };
        let weight = |matched: &checkpoint_file::Matched| {
            matched.weights["conv1.weight"]
                .abs()
                .sum(Kind::Float)
                .double_value(&[])
        };
        let first = match_network(both(), &small(), None).unwrap();
        assert!(
            first.layout.ends_with(&format!("prefix `{taken}`")),
            "{}",
            first.layout
        );
        assert_eq!(first.others, [other]);
        let second = match_network(both(), &small(), Some(other.trim_end_matches('.'))).unwrap();
        assert_eq!(weight(&second), 2.0 * weight(&first), "{other}");
        assert_eq!(second.others, [taken]);
        let message = match_network(both(), &small(), Some("nowhere")).unwrap_err();
        let message = message.to_string();
        assert!(
            message.contains("under the prefix `nowhere`, got none") && message.contains(taken),
            "{message}"
        );
    }
    // Of a student that is whole and a teacher that is not, the student.
    let mut halves = checkpoint(&small(), "student.", &[]);
    halves
        .tensors
        .extend(checkpoint(&small(), "teacher.", &[]).tensors);
    halves.tensors.remove("teacher.conv1.weight");
    let matched = match_network(halves, &small(), None).unwrap();
    assert_eq!(matched.layout, "zip torch.save, prefix `student.`");
}

#[test]
fn the_hint_names_what_to_change() {
    let classes = |count| Architecture {
        classes: Some(count),
        ..small()
    };
    assert!(refused(checkpoint(&small(), "", &[]), &classes(10)).contains("leave `classes` out"));
    assert!(
        refused(checkpoint(&classes(7), "", &[]), &classes(10))
            .contains("has 7 outputs; set `classes` to that")
    );
    let headed = Architecture {
        head: Some(Head::new(vec![], 4)),
        ..small()
    };
    for prefix in ["backbone.", ""] {
        let message = refused(checkpoint(&small(), prefix, &[]), &headed);
        assert!(message.contains("leave `head` out"), "{message}");
    }
    let wide = Architecture {
        width: 0.5,
        ..small()
    };
    let message = refused(checkpoint(&wide, "", &[]), &small());
    assert!(message.contains("check `width` (0.25)"), "{message}");
    let message = refused(
        checkpoint(&small(), "", &[]),
        &Architecture::named("resnet18"),
    );
    assert!(
        message.contains("check that the file is of a `resnet18`"),
        "{message}"
    );
    let other = checkpoint(&small(), "stem.", &[])
        .tensors
        .into_iter()
        .take(3)
        .collect();
    let other = Checkpoint {
        tensors: other,
        ..checkpoint(&small(), "", &[])
    };
    let message = refused(other, &small());
    assert!(message.contains("`seedpipe network inspect"), "{message}");
}
