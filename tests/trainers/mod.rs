//! The trainings of `pretrain` and `distill` against the published algorithms, which PyTorch runs
//! on the same images, views and targets from the same first weights: tests/reference/trainers.py,
//! in which nothing is of the project. Its results of a run are in tests/fixtures/trainers.json, so
//! that a machine without PyTorch compares as well.

mod comparing;
mod draws;
mod finetune;
mod heads;
mod knn;
mod numbers;
mod plan;
mod probe;
mod ran;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::requirements;
use crate::sandbox::{REPOSITORY, Sandbox};
use comparing::{Results, differences, losses_apart, losses_of_epochs, rounded};
use ran::Ran;

const PIPELINE: &str = include_str!("pipeline.yaml");
/// Set, what PyTorch gives is recorded.
const RECORD: &str = "SEEDPIPE_RECORD_TRAINERS";

/// Sixteen small pictures of each of three classes: waves of the class, and noise, since in even
/// areas many numbers that are nearly 0 would cross it together.
fn pictures(sandbox: &Sandbox) {
    for number in 0..48u32 {
        let class = number % 3;
        let picture = image::RgbImage::from_fn(24, 20, |x, y| {
            let place = ((number * 20 + y) * 24 + x) * 3;
            image::Rgb([0, 1, 2].map(|channel| {
                let noise = (place + channel).wrapping_mul(2_654_435_761) >> 26;
                let wave = (x * (class + 1 + channel) + y * (number % 5 + 1) + number) * 7 % 192;
                (wave + noise) as u8
            }))
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        let written = picture.write_to(&mut bytes, image::ImageFormat::Png);
        written.unwrap();
        let class = ["a", "b", "c"][class as usize];
        sandbox.write(
            &format!("pictures/{class}/{number:02}.png"),
            bytes.into_inner(),
        );
    }
}

/// Of each stage what PyTorch gives, or nothing where there is no PyTorch.
fn published(sandbox: &Sandbox, ran: &Ran) -> Option<Value> {
    let python = requirements::python("torch, torchvision, numpy, pyarrow, safetensors, PIL")?;
    plan::write(sandbox, ran);
    let script = Path::new(REPOSITORY).join("tests/reference/trainers.py");
    let mut call = Command::new(python);
    let call = call.arg(script).arg("plan.json").arg("published.json");
    let output = sandbox.finish(call.current_dir(sandbox.path("")));
    output.succeeded();
    let text = fs_err::read_to_string(sandbox.path("published.json")).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// Compares each training with what PyTorch gives now, as published and with each of `mistakes`,
/// and with what it gave once.
///
/// - `recorded`: the file of what it gave once
fn compare(sandbox: &Sandbox, ran: &Ran, recorded: &str, mistakes: &[&str]) {
    let published = published(sandbox, ran);
    if let Some(published) = &published {
        let mut made = BTreeSet::new();
        for stage in &ran.stages {
            let of_stage = &published[&stage.name];
            let own = stage.results();
            let right = Results::of_script(&of_stage["published"], stage.updates_per_epoch);
            let found = differences(&own, &right);
            assert!(found.is_empty(), "{}: {}", stage.name, found.join("\n"));
            for (mistake, wrong) in of_stage["mistakes"].as_object().unwrap() {
                let wrong = losses_of_epochs(wrong, stage.updates_per_epoch);
                let apart = losses_apart(&own.losses, &wrong);
                println!("{} with {mistake}: {apart:.1} tolerances apart", stage.name);
                assert!(apart > 1.0, "{} with {mistake} is the same", stage.name);
                made.insert(mistake.as_str());
            }
        }
        assert!(made.iter().eq(mistakes), "{made:?}");
    }

    let path = Path::new(REPOSITORY).join(recorded);
    if let (Some(published), true) = (&published, std::env::var_os(RECORD).is_some()) {
        let each = ran.stages.iter().map(|stage| {
            let right = &published[&stage.name]["published"];
            (&stage.name, rounded(right))
        });
        let each: BTreeMap<_, _> = each.collect();
        fs_err::write(&path, serde_json::to_string(&each).unwrap() + "\n").unwrap();
    }
    let recorded = fs_err::read_to_string(&path).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    for stage in &ran.stages {
        let right = Results::of_script(&recorded[&stage.name], stage.updates_per_epoch);
        let found = differences(&stage.results(), &right);
        assert!(found.is_empty(), "{}: {}", stage.name, found.join("\n"));
    }
}

#[test]
fn trainings_are_those_of_the_published_algorithms() {
    let sandbox = Sandbox::with(PIPELINE);
    pictures(&sandbox);
    let ran = Ran::of(&sandbox, |_| 48);
    let mistakes = [
        "batch_norm_evaluating",
        "batch_norm_of_the_whole_batch",
        "enqueued_before_the_loss",
        "key_batch_norm_evaluating",
        "no_normalisation",
        "other_labels",
        "other_view",
        "raw_pixels",
        "swapped_momentum",
        "swapped_temperatures",
    ];
    compare(&sandbox, &ran, "tests/fixtures/trainers.json", &mistakes);
}
