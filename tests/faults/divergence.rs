//! A training whose numbers leave the numbers: it stops, says where, and what it kept is sound.

use std::path::Path;

use serde_json::Value;

use super::{REDUCED_PIPELINE, count, logged, passed};
use crate::sandbox::Sandbox;

/// Whether all f32 tensors of a checkpoint are finite.
fn is_sound(path: &Path) -> bool {
    let bytes = fs_err::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut tensors = 0;
    for (name, tensor) in header.as_object().unwrap() {
        if name == "__metadata__" || tensor["dtype"] != "F32" {
            continue;
        }
        tensors += 1;
        let offset =
            |index: usize| 8 + length + tensor["data_offsets"][index].as_u64().unwrap() as usize;
        let sound = bytes[offset(0)..offset(1)]
            .chunks_exact(4)
            .all(|number| f32::from_le_bytes(number.try_into().unwrap()).is_finite());
        if !sound {
            return false;
        }
    }
    assert!(tensors > 5, "{tensors} tensors");
    true
}

fn checkpoints(sandbox: &Sandbox) -> Vec<String> {
    let entries = sandbox.cache_entries("drafts").into_iter();
    entries
        .filter(|entry| entry.ends_with(".safetensors"))
        .collect()
}

#[test]
fn a_training_that_diverges_stops_names_its_batch_and_keeps_a_sound_checkpoint() {
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    sandbox.run(&["run", "--quiet", "probe"]).succeeded();
    for stage in ["teacher", "student", "tuned"] {
        // Steps grow by the warm-up until one is too large.
        let set: Vec<String> = [
            "learning_rate=1e36",
            "schedule={kind: cosine, warmup_epochs: 1}",
            "checkpoint_steps=1",
        ]
        .map(|setting| format!("{stage}.training.{setting}"))
        .into();
        let mut arguments = vec!["run", "--quiet", stage];
        for setting in &set {
            arguments.extend(["--set", setting]);
        }
        let stopped = sandbox
            .finish(&mut logged(&sandbox, &arguments))
            .exited_with(1)
            .stderr;
        let done = count(&passed(&sandbox), "training.step");
        for said in [
            " became ",
            "at step ",
            "(epoch 0) with learning rate ",
            "its batch was image ",
            "lower `training.learning_rate`",
        ] {
            assert!(stopped.contains(said), "{stage}: no `{said}` in {stopped}");
        }
        let kept = checkpoints(&sandbox);
        let newest = kept
            .last()
            .map(|name| sandbox.path(".seedpipe/v1/drafts").join(name));
        match &newest {
            Some(newest) => {
                assert!(is_sound(newest), "{stage}: {stopped}");
                let step = newest.file_stem().unwrap().to_str().unwrap();
                let step: usize = step.rsplit('-').next().unwrap().parse().unwrap();
                assert!(step <= done);
                let said = format!("the checkpoint after step {step} is kept");
                assert!(stopped.contains(&said), "{stage}: {stopped}");
            }
            None => assert!(stopped.contains("there is no checkpoint yet"), "{stopped}"),
        }
        // The next one begins without another's checkpoints.
        fs_err::remove_dir_all(sandbox.path(".seedpipe/v1/drafts")).unwrap();
    }
}

#[test]
fn weights_that_are_no_numbers_after_the_last_step_are_not_published() {
    let sandbox = Sandbox::with(REDUCED_PIPELINE);
    sandbox.run(&["run", "--quiet", "targets"]).succeeded();
    // One step only: nothing comes after it that would notice.
    let stopped = sandbox
        .run(&[
            "run",
            "--quiet",
            "student",
            "--set",
            "student.training.epochs=1",
            "--set",
            "student.training.batch=32",
            "--set",
            "student.training.learning_rate=1e300",
        ])
        .exited_with(1)
        .stderr;
    assert!(
        stopped.contains("became infinite or NaN at step 0"),
        "{stopped}"
    );
    assert!(stopped.contains("there is no checkpoint yet"), "{stopped}");
    assert!(
        sandbox
            .cache_entries("drafts")
            .iter()
            .all(|entry| !entry.ends_with(".parquet"))
    );
}
