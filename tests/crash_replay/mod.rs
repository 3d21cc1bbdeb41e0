//! A power cut at any moment: a call of the program is recorded, and its folder built again as it
//! can be found after each of its operations, with what was not waited for lost, torn, zeroed or in
//! another order (disk.rs). Then `verify` believes nothing that is not so, and `run` ends as if
//! nothing had been.
//!
//! Of all states some are tried, chosen by a seed; `SEEDPIPE_CRASH_STATES=0` tries all, another
//! number that many of each call. `SEEDPIPE_CRASH_SEED` (default 1) chooses others.

mod disk;
mod recording;
mod storm;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use serde_json::Value;

use crate::crash_replay::disk::{Disk, Loss, build};
use crate::crash_replay::recording::{Operation, record};
use crate::faults::leftovers::{age, clear};
use crate::numbers::{Numbers, setting};
use crate::sandbox::{REPOSITORY, Sandbox, contents};

/// Orders that are drawn at each operation when all states are tried.
const ORDERS: u64 = 3;

type Contents = Vec<(String, String)>;

/// Two stages without tensors; `below` is added.
fn pipeline(below: &str) -> String {
    format!(
        "stages:
  images: {{kind: ingest, params: {{source: {REPOSITORY}/data/digits.parquet, label_column: label, split_column: split, take: {{train: 16, test: 4}}}}}}
  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: custom, size: 8, views_per_image: 2}}}}
{below}"
    )
}

/// Six steps of a training, a checkpoint after each.
const TRAINING: &str = "  teacher:
    kind: pretrain
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 16, training: {epochs: 3, batch: 8, checkpoint_steps: 1}}
";

fn sandbox(pipeline: &str) -> Sandbox {
    let sandbox = Sandbox::in_memory();
    sandbox.write("pipeline.yaml", pipeline);
    sandbox
}

/// What is after a crash at one moment.
struct State {
    /// Operations that were done.
    done: usize,
    loss: Loss,
}

/// All that differ.
fn states(start: &Disk, operations: &[Operation]) -> Vec<State> {
    let mut disk = start.clone();
    let mut seen = BTreeSet::new();
    let mut states = Vec::new();
    for done in 0..=operations.len() {
        if let Some(last) = done.checked_sub(1) {
            disk.apply(&operations[last]);
        }
        let orders = (0..ORDERS).map(|order| Loss::Reordered(done as u64 * ORDERS + order));
        let losses = [
            Loss::None,
            Loss::Data,
            Loss::Zeros,
            Loss::Torn,
            Loss::Journal,
            Loss::Everything,
        ];
        for loss in losses.into_iter().chain(orders) {
            let mut hasher = DefaultHasher::new();
            disk.after(loss).hash(&mut hasher);
            if seen.insert(hasher.finish()) {
                states.push(State { done, loss });
            }
        }
    }
    states
}

/// Records the call, and has `judge` look at states that a crash of it leaves, in the same folder.
///
/// - `usual`: states that are tried where the environment asks for no other number
fn replay(sandbox: &Sandbox, arguments: &[&str], usual: u64, judge: impl Fn(&str)) {
    let folder = sandbox.path("");
    let start = Disk::of(&folder);
    let operations = record(sandbox, arguments);
    let mut end = start.clone();
    operations.iter().for_each(|operation| end.apply(operation));
    assert!(
        end.after(Loss::None) == Disk::of(&folder).after(Loss::None),
        "the record of {arguments:?} doesn't give what it left"
    );

    let begun = Instant::now();
    let mut states = states(&start, &operations);
    let all = states.len();
    let seed = setting("SEEDPIPE_CRASH_SEED", 1);
    let wanted = setting("SEEDPIPE_CRASH_STATES", usual) as usize;
    if wanted > 0 {
        states = sample(states, wanted, seed, |done| {
            matches!(operations[done - 1], Operation::Rename(..))
        });
    }
    let mut disk = start;
    let mut applied = 0;
    for State { done, loss } in &states {
        operations[applied..*done]
            .iter()
            .for_each(|operation| disk.apply(operation));
        applied = *done;
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => fs_err::remove_dir_all(path).unwrap(),
                false => fs_err::remove_file(path).unwrap(),
            }
        }
        build(&disk.after(*loss), &folder);
        let last = done.checked_sub(1).map(|last| named(&operations[last]));
        judge(&format!(
            "{arguments:?} cut after operation {done} of {} ({}), {loss:?}",
            operations.len(),
            last.as_deref().unwrap_or("none"),
        ));
    }
    println!(
        "{arguments:?}: {} operations, {} of {all} states tried, none bad, {:.1} s",
        operations.len(),
        states.len(),
        begun.elapsed().as_secs_f64()
    );
}

/// Some of the states, in order. Half of them are after operations of the sort where most is at
/// stake: something has just got its name.
fn sample(
    states: Vec<State>,
    count: usize,
    seed: u64,
    is_naming: impl Fn(usize) -> bool,
) -> Vec<State> {
    let mut numbers = Numbers(seed);
    let mut drawn = Vec::new();
    let (naming, others): (Vec<State>, Vec<State>) = states
        .into_iter()
        .partition(|state| state.done > 0 && is_naming(state.done));
    for (mut states, last) in [(naming, count / 2), (others, count)] {
        while drawn.len() < last && !states.is_empty() {
            drawn.push(states.swap_remove(numbers.below(states.len())));
        }
    }
    drawn.sort_by_key(|state| state.done);
    drawn
}

/// An operation without its data.
fn named(operation: &Operation) -> String {
    match operation {
        Operation::Write { path, data, .. } => {
            format!("write {} bytes to {}", data.len(), path.display())
        }
        other => format!("{other:?}"),
    }
}

/// `verify` tells what is damaged, `run` uses none of it and ends as an undisturbed one; then all is
/// good, and nothing is left that `gc` wouldn't take.
fn ends_well(sandbox: &Sandbox, expected: &Contents, context: &str) {
    let verified = sandbox.run(&["verify", "--json", "--quiet"]);
    let is_good = !has_faults(&verified.json());
    assert_eq!(
        verified.code,
        Some(i32::from(!is_good)),
        "{context}: {}",
        verified.stderr
    );
    let run = sandbox.run(&["run", "--json"]);
    assert_eq!(run.code, Some(0), "{context}: {}", run.stderr);
    assert_eq!(&contents(&run.json_lines()), expected, "{context}");
    assert!(
        !(is_good && run.stderr.contains("damaged")),
        "{context}: verify found nothing, run did: {}",
        run.stderr
    );
    let verified = sandbox.run(&["verify", "--quiet"]);
    assert_eq!(verified.code, Some(0), "{context}: {}", verified.stdout);
    clear(sandbox, context);
}

fn has_faults(report: &Value) -> bool {
    let artifacts = report["artifacts"].as_array().unwrap();
    let faults = artifacts.iter().map(|artifact| &artifact["faults"]);
    faults
        .into_iter()
        .any(|faults| !faults.as_array().unwrap().is_empty())
}

fn undisturbed(pipeline: &str) -> Contents {
    contents(&sandbox(pipeline).run_json(&[]))
}

/// One byte in the middle of the images.
fn damage_images(sandbox: &Sandbox) {
    let entries = sandbox.cache_entries("artifacts");
    let part = entries
        .iter()
        .find(|entry| entry.ends_with("images/part-00000.parquet"))
        .unwrap();
    let path = sandbox.path(".seedpipe/v1/artifacts").join(part);
    let mut bytes = fs_err::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn a_power_cut_in_a_run_loses_nothing_that_the_next_run_does_not_make_again() {
    let expected = undisturbed(&pipeline(""));
    let sandbox = sandbox(&pipeline(""));
    replay(&sandbox, &["run", "--quiet"], 60, |context| {
        ends_well(&sandbox, &expected, context);
    });
}

#[test]
fn a_power_cut_in_gc_leaves_what_is_needed() {
    let expected = undisturbed(&pipeline(""));
    let sandbox = sandbox(&pipeline(""));
    for other in ["views.size=9", "images.take.test=5"] {
        let other = ["run", "--quiet", "--set", other];
        sandbox.run(&other).succeeded();
    }
    sandbox.run(&["run", "--quiet"]).succeeded();
    age(&sandbox.path(".seedpipe"));
    replay(&sandbox, &["gc"], 60, |context| {
        // What gc was to leave is whole at every moment: nothing is made again.
        let status = sandbox.run(&["status"]).succeeded();
        assert!(
            status.stdout.contains("2 of 2 stages cached"),
            "{context}: {}",
            status.stdout
        );
        ends_well(&sandbox, &expected, context);
    });
}

#[test]
fn a_power_cut_in_a_push_leaves_a_remote_that_the_next_push_completes() {
    let expected = undisturbed(&pipeline(""));
    let sandbox = sandbox(&pipeline(""));
    sandbox.run(&["run", "--quiet"]).succeeded();
    fs_err::create_dir(sandbox.path("remote")).unwrap();
    let remote = sandbox.path("remote").display().to_string();
    let other = self::sandbox(&format!("remote: {remote}\n{}", pipeline("")));
    let push = ["push", "--quiet", "--remote", "remote"];
    replay(&sandbox, &push, 60, |context| {
        // What is there may be torn: it is refused and made here.
        let run = other.run(&["run", "--json", "--quiet"]);
        assert_eq!(run.code, Some(0), "{context}: {}", run.stderr);
        assert_eq!(contents(&run.json_lines()), expected, "{context}");
        fs_err::remove_dir_all(other.path(".seedpipe")).unwrap();
        let pushed = sandbox.run(&push);
        assert_eq!(pushed.code, Some(0), "{context}: {}", pushed.stderr);
        let pull = other.run(&["pull", "--quiet"]);
        assert_eq!(pull.code, Some(0), "{context}: {}", pull.stderr);
        // The lock is of the run.
        let verified = other.run(&["verify", "--locked", "--quiet"]);
        assert_eq!(verified.code, Some(0), "{context}: {}", verified.stdout);
        forget(&other);
    });
}

fn forget(sandbox: &Sandbox) {
    fs_err::remove_dir_all(sandbox.path(".seedpipe")).unwrap();
    fs_err::remove_file(sandbox.path("pipeline.lock")).unwrap();
}

#[test]
fn a_power_cut_in_a_repair_leaves_what_the_next_run_heals() {
    let expected = undisturbed(&pipeline(""));
    for remote in ["", "remote: remote\n"] {
        let sandbox = sandbox(&format!("{remote}{}", pipeline("")));
        fs_err::create_dir(sandbox.path("remote")).unwrap();
        sandbox.run(&["run", "--quiet"]).succeeded();
        if !remote.is_empty() {
            sandbox.run(&["push", "--quiet"]).succeeded();
        }
        damage_images(&sandbox);
        replay(
            &sandbox,
            &["verify", "--repair", "--quiet"],
            30,
            |context| {
                ends_well(&sandbox, &expected, context);
            },
        );
    }
}

#[test]
fn a_power_cut_in_a_training_that_goes_on_leaves_one_that_goes_on() {
    let pipeline = pipeline(TRAINING);
    let expected = undisturbed(&pipeline);
    let sandbox = sandbox(&pipeline);
    let mut command = sandbox.command(&["run", "--quiet"]);
    command.env("SEEDPIPE_FAULT", "training.step:3=kill");
    assert_eq!(sandbox.finish(&mut command).code, None);
    replay(&sandbox, &["run", "--quiet"], 20, |context| {
        ends_well(&sandbox, &expected, context);
    });
}
