//! What the published algorithms begin with, for tests/reference/trainers.py: the first tensors,
//! and all orders, which are drawn by keyed generators that only this program has.

use seedpipe_engine::keyed_rng;
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::beta::symmetric_beta;
use seedpipe_learn::network::Network;
use seedpipe_learn::queue::Queue;
use seedpipe_learn::random::{normal, permutation};
use seedpipe_learn::tch::{Device, Tensor};
use seedpipe_learn::training_state::{TrainingState, save};
use serde_json::{Map, Value, json};

use super::draws::label_keys;
use super::ran::{Ran, RanStage};
use crate::sandbox::Sandbox;

/// Writes `plan.json`, and beside it the first tensors of each stage.
pub fn write(sandbox: &Sandbox, ran: &Ran) {
    let mut plan = Map::new();
    for stage in &ran.stages {
        let metadata = stage.weights().metadata().clone();
        let read = |key: &str| -> Value { serde_json::from_str(&metadata[key]).unwrap() };
        let network = with_head(stage, read("architecture"));
        let folder = sandbox.path(&format!("start/{}", stage.name));
        let start = first_tensors(stage, &network);
        let start = save(&folder, &start, |path, bytes| fs_err::write(path, bytes)).unwrap();
        let training = &stage.recipe["params"]["training"];
        let draw = Draw::of(stage);
        let epochs = 0..training["epochs"].as_u64().unwrap() as u32;
        let orders = epochs.map(|epoch| draw.order(stage.images, "order", &epoch.to_le_bytes()));
        let mut inputs = json!(stage.inputs);
        for (slot, parts) in inputs.as_object_mut().unwrap() {
            if !slot.ends_with("targets") && !slot.starts_with("teacher_") {
                *parts = parts[0].take(); // one stage's
            }
        }
        let described = json!({
            "kind": stage.recipe["kind"],
            "params": stage.recipe["params"],
            "inputs": inputs,
            "network": network,
            "preprocessing": read("preprocessing"),
            "start": start,
            "kept_step": stage.checkpoint.step,
            "orders": orders.collect::<Vec<_>>(),
            "draws": draws(stage, &draw),
        });
        plan.insert(stage.name.clone(), described);
    }
    sandbox.write("plan.json", Value::Object(plan).to_string());
}

/// The generators of a stage.
struct Draw<'a> {
    seed: u64,
    kind: &'a str,
}

impl Draw<'_> {
    fn of(stage: &RanStage) -> Draw<'_> {
        Draw {
            seed: stage.recipe["seed"].as_u64().unwrap(),
            kind: stage.recipe["kind"].as_str().unwrap(),
        }
    }

    fn rng(&self, label: &str, item: &[u8]) -> rand_chacha::ChaCha8Rng {
        keyed_rng(self.seed, self.kind, label, item)
    }

    fn order(&self, count: usize, label: &str, item: &[u8]) -> Vec<u32> {
        permutation(count, &mut self.rng(label, item))
    }
}

/// A student's head isn't written with its weights, but its checkpoint has it.
fn with_head(stage: &RanStage, mut network: Value) -> Value {
    let mut widths: Vec<i64> = stage
        .checkpoint
        .tensors
        .iter()
        .filter(|(name, _)| name.starts_with("student.head.") && name.ends_with("weight"))
        .map(|(_, tensor)| tensor.size()[0])
        .collect();
    if let Some(out) = widths.pop() {
        network["head"] = json!({ "hidden": widths, "out": out, "batch_norm": false });
    }
    network
}

/// What a training begins with, by the names in its checkpoints. Copies of the network are left to
/// the script, and so is what begins as targets.
fn first_tensors(stage: &RanStage, network: &Value) -> TrainingState {
    let draw = Draw::of(stage);
    let architecture: Architecture = serde_json::from_value(network.clone()).unwrap();
    let initial = |name: &str| draw.rng("initialise", name.as_bytes());
    let network = Network::initialise(&architecture, initial, Device::Cpu).unwrap();
    let prefixes = ["student.", "query.", "network."];
    let is_there = |prefix: &&&str| {
        stage
            .checkpoint
            .tensors
            .keys()
            .any(|name| name.starts_with(**prefix))
    };
    let prefix = prefixes.iter().find(is_there).unwrap();
    let mut start = TrainingState::new(0, json!({}));
    start.insert_all(prefix, network.state());

    let queues = [
        ("queue.rows", "queue", &[][..]),
        ("small.queue.rows", "small_queue", &[]),
        ("teacher_memory.rows", "queue", &[]),
        ("student_memory.rows", "student_queue", &[]),
        ("queue0.rows", "queue", &[0]),
        ("queue1.rows", "queue", &[1]),
    ];
    let mut insert =
        |name: &str, tensor: Tensor| start.insert_all("", vec![(name.to_owned(), tensor)]);
    for (name, label, item) in queues {
        if let Some(later) = stage.checkpoint.tensors.get(name) {
            let [rows, dimension] = later.size()[..] else {
                panic!("{name}: {:?}", later.size());
            };
            let rng = &mut draw.rng(label, item);
            let queue = Queue::new(rows as usize, dimension as usize, 1, rng, Device::Cpu);
            insert(name, queue.unwrap().rows().shallow_clone());
        }
    }
    let prototypes = "swav.prototypes.weight";
    if let Some(later) = stage.checkpoint.tensors.get(prototypes) {
        insert(
            prototypes,
            normal(&later.size(), &mut initial("prototypes.weight")),
        );
    }
    // They never move.
    let centroids = "centroids.rows";
    if let Some(centres) = stage.checkpoint.tensors.get(centroids) {
        insert(centroids, centres.shallow_clone());
    }
    start
}

/// The orders beside that of the images.
fn draws(stage: &RanStage, draw: &Draw) -> Value {
    let params = &stage.recipe["params"];
    let of_images = |label: &str| draw.order(stage.images, label, &[]);
    let training = &params["training"];
    let number = |key: &str| training[key].as_u64().unwrap();
    let batch = number("batch") as usize;
    let batches = (stage.images / batch) as u64 * number("epochs");
    let shuffles = (0..batches).map(|step| draw.order(batch, "shuffle", &step.to_le_bytes()));
    let mixing = (0..batches).map(|step| {
        let mut rng = draw.rng("mixup", &step.to_le_bytes());
        let share = symmetric_beta(params["mixup"].as_f64().unwrap_or(1.0), &mut rng);
        json!({"share": share, "partners": permutation(batch, &mut rng)})
    });
    json!({
        "queue_start": of_images("queue_start"),
        "small_queue_start": of_images("small_queue_start"),
        "prototypes": of_images("prototypes"),
        "shuffles": shuffles.collect::<Vec<_>>(),
        "keys": label_keys(&stage.inputs["images"][0], draw.seed),
        "mixing": mixing.collect::<Vec<_>>(),
    })
}
