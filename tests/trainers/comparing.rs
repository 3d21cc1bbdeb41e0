//! Two trainings, quantity by quantity.

use std::collections::BTreeMap;

use serde_json::Value;

/// A tensor's length, and its products with waves.
type Figures = Vec<f64>;

/// What came of a training.
#[derive(Debug)]
pub struct Results {
    /// Mean of each epoch.
    pub losses: Vec<f64>,
    /// Before the last update: weights, statistics, velocities, memories.
    pub kept: BTreeMap<String, Figures>,
    /// Pointers and filled rows then.
    pub queues: BTreeMap<String, Value>,
    /// In the end.
    pub weights: BTreeMap<String, Figures>,
}

// How far two trainings may be apart. At first they differ by roundings alone. Then somewhere a
// number that is nearly 0 falls on the other side of a ReLU, which moves a gradient by far more than
// a rounding, and from there on the two trainings go apart by themselves.

/// Of the loss of the first [`EARLY`] epochs, as a share of it. Between two processors the teachers
/// differ by roundings as well, which f16 may double; on one it was within 6e-6.
const EARLY_LOSS: f64 = 1e-4;
const EARLY: usize = 3;
/// Of a later one.
const LATE_LOSS: f64 = 1e-2;
/// As a share of a tensor's length, or of [`SHORT`] where it is shorter.
const TENSOR: f64 = 1e-1;
/// Of a velocity's length, which is a sum of the last gradients, or of [`SHORT`] squared.
const VELOCITY: f64 = 1.0;
/// Biases begin as 0.
const SHORT: f64 = 0.1;

/// How far each epoch's loss may be, as a share of it.
fn of_losses() -> impl Iterator<Item = f64> {
    let early = std::iter::repeat_n(EARLY_LOSS, EARLY);
    early.chain(std::iter::repeat(LATE_LOSS))
}

impl Results {
    /// As tests/reference/trainers.py writes them.
    pub fn of_script(written: &Value, updates_per_epoch: usize) -> Results {
        let read = |key: &str| serde_json::from_value(written[key].clone()).unwrap();
        Results {
            losses: losses_of_epochs(written, updates_per_epoch),
            kept: read("tensors"),
            queues: serde_json::from_value(written["queues"].clone()).unwrap(),
            weights: read("weights"),
        }
    }
}

/// The mean of each whole epoch.
pub fn losses_of_epochs(written: &Value, updates_per_epoch: usize) -> Vec<f64> {
    let losses: Vec<f64> = serde_json::from_value(written["losses"].clone()).unwrap();
    let mean = |epoch: &[f64]| epoch.iter().sum::<f64>() / epoch.len() as f64;
    let epochs = losses.chunks_exact(updates_per_epoch);
    epochs.map(mean).collect()
}

/// The greatest distance of two losses of an epoch, in tolerances; of the epochs that both have.
pub fn losses_apart(own: &[f64], right: &[f64]) -> f64 {
    let pairs = own.iter().zip(right).zip(of_losses());
    let apart = pairs.map(|((own, right), may)| (own - right).abs() / right.abs() / may);
    apart.fold(0.0, f64::max)
}

/// As `figures` of tests/reference/trainer/figures.py.
pub fn figures(values: &[f32]) -> Figures {
    const WAVES: u32 = 6;
    let values = || values.iter().map(|value| f64::from(*value));
    let length = values().map(|value| value * value).sum::<f64>().sqrt();
    let scale = (values().count() as f64 / 2.0).max(1.0).sqrt();
    let product = |wave: u32| {
        let turned = |index: usize| (index as f64 * f64::from(wave + 1)).cos();
        let terms = values()
            .enumerate()
            .map(|(index, value)| value * turned(index));
        terms.sum::<f64>() / scale
    };
    std::iter::once(length)
        .chain((0..WAVES).map(product))
        .collect()
}

/// Each quantity that is further apart than it may be, the worst first.
pub fn differences(own: &Results, right: &Results) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: String, apart: f64, may: f64| {
        // Also where it is no number.
        if apart > may || apart.is_nan() {
            found.push((
                apart / may,
                format!("{what}: {apart:.1e} apart, at most {may:.0e}"),
            ));
        }
    };
    assert_eq!(own.losses.len(), right.losses.len());
    let losses = own.losses.iter().zip(&right.losses).zip(of_losses());
    for (epoch, ((own, right), may)) in losses.enumerate() {
        let what = format!("loss of epoch {epoch}, {own:.5} and {right:.5}");
        check(what, (own - right).abs() / right.abs(), may);
    }
    for (when, own, right) in [
        ("", &own.kept, &right.kept),
        ("last ", &own.weights, &right.weights),
    ] {
        assert!(
            own.keys().eq(right.keys()),
            "{:?} {:?}",
            own.keys(),
            right.keys()
        );
        for ((name, own), right) in own.iter().zip(right.values()) {
            let (may, shortest) = match name.starts_with("momentum.") {
                true => (VELOCITY, SHORT * SHORT),
                false => (TENSOR, SHORT),
            };
            let differences = own
                .iter()
                .zip(right)
                .map(|(own, right)| (own - right).abs());
            let apart = differences.fold(0.0, f64::max) / right[0].max(shortest);
            check(format!("{when}{name}"), apart, may);
        }
    }
    assert!(
        own.queues.keys().eq(right.queues.keys()),
        "{:?}",
        own.queues
    );
    for ((name, own), right) in own.queues.iter().zip(right.queues.values()) {
        check(
            format!("{name}, {own} and {right}"),
            f64::from(own != right),
            0.5,
        );
    }
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    found.into_iter().map(|(_, text)| text).collect()
}

/// With as many digits as are compared, and some more.
pub fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let short = format!("{:.6e}", number.as_f64().unwrap());
            serde_json::from_str(&short).unwrap()
        }
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Object(items) => {
            let items = items.iter().map(|(key, item)| (key.clone(), rounded(item)));
            Value::Object(items.collect())
        }
        other => other.clone(),
    }
}
