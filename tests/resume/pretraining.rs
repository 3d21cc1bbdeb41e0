//! Each objective of `pretrain`, killed in the middle of an epoch and run again, gives the bits of
//! an uninterrupted run.

use crate::sandbox::{Sandbox, contents};

/// 2 epochs of 5 steps each, a checkpoint every 2 steps. SwAV's queue holds two batches: it begins
/// to fill in with the second epoch, is half full in the checkpoint of step 6, and takes part from
/// step 8 on; the prototypes are frozen in the first epoch.
const OBJECTIVES: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 40, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 12, views_per_image: 4}}
  small: {kind: augment, inputs: {images: images}, params: {recipe: swav_small, size: 8, views_per_image: 4}}
  moco:
    kind: pretrain
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 32, version: 1, training: {epochs: 2, batch: 8, checkpoint_steps: 2}}
  simclr:
    kind: pretrain
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, objective: simclr, training: {epochs: 2, batch: 8, checkpoint_steps: 2}}
  swav:
    kind: pretrain
    inputs: {images: images, views: views, small_views: small}
    params:
      network: {name: cifar_resnet8, width: 0.25}
      objective: swav
      prototypes: 10
      queue: 16
      queue_from_epoch: 1
      small_crops: 3
      training: {epochs: 2, batch: 8, checkpoint_steps: 2}
  supervised:
    kind: pretrain
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, objective: supervised, training: {epochs: 2, batch: 8, checkpoint_steps: 2}}
";

#[test]
fn every_objective_of_pretraining_goes_on_bit_for_bit() {
    let expected = contents(&Sandbox::with(OBJECTIVES).run_json(&[]));
    let sandbox = Sandbox::with(OBJECTIVES);
    sandbox
        .run(&["run", "--quiet", "views", "small"])
        .succeeded();
    for stage in ["moco", "simclr", "swav", "supervised"] {
        // Killed at step 3, gone on from step 2 (frozen prototypes); then at step 7, gone on from
        // step 6 (a queue that is half full).
        for step in [3, 5] {
            let mut command = sandbox.command(&["run", "--quiet", stage]);
            command.env("SEEDPIPE_FAULT", format!("training.step:{step}=kill"));
            let killed = sandbox.finish(&mut command);
            assert_eq!(killed.code, None, "{stage}: {}", killed.stderr);
        }
    }
    assert_eq!(contents(&sandbox.run_json(&[])), expected);
}
