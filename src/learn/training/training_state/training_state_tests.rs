use super::*;
use crate::torch::random::normal;
use crate::torch::tensors::to_bytes;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::json;
use tch::{Device, Kind};

fn state(step: u64) -> TrainingState {
    let mut rng = ChaCha8Rng::seed_from_u64(step);
    let mut state = TrainingState::new(
        step,
        json!({"epoch": step / 10, "rate": 0.1, "order": [3, 1, 2]}),
    );
    let weight = normal(&[3, 4, 2], &mut rng);
    let odd = Tensor::from_slice(&[f32::NAN, -0.0, f32::MIN_POSITIVE / 2.0, f32::INFINITY]);
    let counter = Tensor::from_slice(&[step as i64]).reshape([] as [i64; 0]);
    let empty = Tensor::zeros([0, 5], (Kind::Float, Device::Cpu));
    let half = normal(&[7], &mut rng).to_kind(Kind::Half);
    let double = normal(&[7], &mut rng).to_kind(Kind::Double).tan();
    let mask = normal(&[9], &mut rng).gt(0.0);
    state.insert_all(
        "student.",
        vec![
            ("w".into(), weight),
            ("odd".into(), odd),
            ("n".into(), counter),
        ],
    );
    state.insert_all(
        "momentum.",
        vec![
            ("w".into(), half),
            ("d".into(), double),
            ("e".into(), empty),
        ],
    );
    state.insert_all("", vec![("mask".into(), mask)]);
    state
}

fn assert_same(a: &TrainingState, b: &TrainingState) {
    assert_eq!((a.step, &a.scalars), (b.step, &b.scalars));
    assert!(a.tensors.keys().eq(b.tensors.keys()));
    for (name, tensor) in &a.tensors {
        assert!(to_bytes(tensor) == to_bytes(&b.tensors[name]), "{name}");
    }
}

fn save(folder: &Path, state: &TrainingState) -> io::Result<PathBuf> {
    super::save(folder, state, |path, bytes| fs::write(path, bytes))
}

fn latest_silently(folder: &Path) -> Option<TrainingState> {
    latest(folder, &mut |warning| panic!("unexpected: {warning}")).unwrap()
}

#[test]
fn every_bit_comes_back_and_the_newest_two_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoints");
    assert!(latest_silently(&path).is_none());
    for step in [5, 2_000_000, 20, 90, 1_000_000] {
        save(&path, &state(step)).unwrap();
    }
    assert_same(&latest_silently(&path).unwrap(), &state(1_000_000));
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "step-00000000000000000090.safetensors",
            "step-00000000000001000000.safetensors"
        ]
    );
}

#[test]
fn what_is_not_finite_is_found() {
    let mut state = state(1);
    assert_eq!(state.first_not_finite(), Some("student.odd"));
    state.tensors.remove("student.odd");
    assert_eq!(state.first_not_finite(), None);
    for value in [f32::NAN, f32::INFINITY] {
        let tensor = Tensor::from_slice(&[1.0, value]);
        state.tensors.insert("odd".to_owned(), tensor);
        assert_eq!(state.first_not_finite(), Some("odd"));
    }
}

#[test]
fn equal_states_are_equal_files() {
    assert_eq!(encode(&state(1)), encode(&state(1)));
}

#[test]
fn any_flipped_byte_or_truncation_is_noticed_and_the_one_before_taken() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &state(1)).unwrap();
    let newest = save(folder.path(), &state(2)).unwrap();
    let sound = fs::read(&newest).unwrap();
    let mut broken: Vec<Vec<u8>> = [0, 7, 8, 100, sound.len() / 2, sound.len() - 1]
        .iter()
        .map(|&length| sound[..length].to_vec())
        .collect();
    broken.extend((0..sound.len()).step_by(3).map(|place| {
        let mut bytes = sound.clone();
        bytes[place] ^= 1;
        bytes
    }));
    for bytes in broken {
        fs::write(&newest, &bytes).unwrap();
        let mut warnings = vec![];
        let found = latest(folder.path(), &mut |warning| warnings.push(warning))
            .unwrap()
            .unwrap();
        if warnings.is_empty() {
            // Only white space of the header may change without a meaning.
            assert_same(&found, &state(2));
        } else {
            assert_same(&found, &state(1));
            assert!(
                warnings[0].contains("step-00000000000000000002.safetensors`: corrupt"),
                "{warnings:?}"
            );
            assert!(warnings[0].ends_with("going on from the one before"));
        }
    }
}

#[test]
fn without_a_sound_checkpoint_the_training_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    for step in [1, 2] {
        let path = save(folder.path(), &state(step)).unwrap();
        fs::write(path, b"").unwrap();
    }
    let mut warnings = vec![];
    let found = latest(folder.path(), &mut |warning| warnings.push(warning)).unwrap();
    assert!(found.is_none());
    assert!(warnings[0].ends_with("going on from the one before"));
    assert!(warnings[1].ends_with("beginning anew"), "{warnings:?}");
}

#[test]
fn what_a_crash_left_behind_is_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".step-00000000000000000009"), b"half").unwrap();
    fs::write(folder.path().join("notes.txt"), b"").unwrap();
    assert!(latest_silently(folder.path()).is_none());
    save(folder.path(), &state(3)).unwrap();
    assert_same(&latest_silently(folder.path()).unwrap(), &state(3));
}

#[test]
fn live_tensors_are_filled_in_place_or_not_at_all() {
    let state = state(4);
    let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
    let weight = zeros(&[3, 4, 2], Kind::Float).set_requires_grad(true);
    let live = |weight: &Tensor| {
        let parts = [
            ("w", weight.shallow_clone()),
            ("odd", zeros(&[4], Kind::Float)),
            ("n", zeros(&[], Kind::Int64)),
        ];
        parts.map(|(name, tensor)| (name.to_owned(), tensor))
    };
    let message = state
        .copy_into("student.", &live(&weight)[..2])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains(r#"missing [], left over ["n"], misshapen []"#),
        "{message}"
    );
    let wrong = live(&zeros(&[3, 4], Kind::Float));
    assert!(
        state
            .copy_into("student.", &wrong)
            .unwrap_err()
            .to_string()
            .contains(r#"misshapen ["w"]"#)
    );
    let message = state
        .copy_into("teacher.", &live(&weight))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains(r#"missing ["w", "odd", "n"]"#),
        "{message}"
    );
    assert_eq!(weight.abs().max().double_value(&[]), 0.0);
    state.copy_into("student.", &live(&weight)).unwrap();
    assert_eq!(weight.detach(), state.tensors["student.w"]);
    assert!(weight.requires_grad());
}

#[test]
fn what_can_not_be_read_is_passed_over_as_what_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &state(1)).unwrap();
    let newest = path_of(folder.path(), 2);
    let make_pipe = || {
        let made = std::process::Command::new("mkfifo").arg(&newest).status();
        assert!(made.unwrap().success());
    };
    let make_link = || std::os::unix::fs::symlink("nowhere", &newest).unwrap();
    // Sparse: 1 TB that takes no room, and is not read.
    let make_huge = || fs::File::create(&newest).unwrap().set_len(1 << 40).unwrap();
    let ways: [(&dyn Fn(), &str); 4] = [
        (
            &|| fs::create_dir(&newest).unwrap(),
            "can't be read: expected a file",
        ),
        (&make_pipe, "can't be read: expected a file"),
        (&make_link, "can't be read: "),
        (&make_huge, "corrupt: it has no header"),
    ];
    for (make, said) in ways {
        make();
        let mut warnings = vec![];
        let found = latest(folder.path(), &mut |warning| warnings.push(warning)).unwrap();
        assert_eq!(found.map(|state| state.step), Some(1));
        assert!(warnings[0].contains(said), "{warnings:?}");
        assert!(
            warnings[0].ends_with("; going on from the one before"),
            "{warnings:?}"
        );
        match newest.is_dir() {
            true => fs::remove_dir(&newest).unwrap(),
            false => fs::remove_file(&newest).unwrap(),
        }
    }
}
