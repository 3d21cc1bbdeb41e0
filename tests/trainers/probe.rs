//! `probe`: the optimum of the logistic regression, on all labels and on a share, and 50 steps of
//! the SGD protocol.

use seedpipe_engine::keyed_rng;
use seedpipe_learn::random::{normal, permutation};
use serde_json::{Value, json};

use super::draws::label_keys;
use super::heads::{CLASSES, PIXELS_OF_AN_IMAGE, SEED, TRAIN, compare};
use super::numbers::Run;

/// Each number is written, so that no default decides what is compared. `first` learns by steps of
/// nothing: what is left is what `descent` begins with.
const STAGES: &str = "
  optimum: {kind: probe, inputs: &on {images: images, features: features}, params: {method: lbfgs, label_fraction: 1, lbfgs: {l2: 0.01, gradient_tolerance: 1e-9, max_iterations: 2000}}}
  share: {kind: probe, inputs: *on, params: {method: lbfgs, label_fraction: 0.35, lbfgs: {l2: 0.03, gradient_tolerance: 1e-9, max_iterations: 2000}}}
  descent: {kind: probe, inputs: *on, params: {method: sgd, label_fraction: 1, sgd: {learning_rate: 0.1, momentum: 0.9, weight_decay: 0.001, batch: 36, epochs: 10, decay_epochs: [6, 8], decay_factor: 0.1}}}
  first: {kind: probe, inputs: *on, params: {method: sgd, sgd: {learning_rate: 1e-30, momentum: 0, weight_decay: 0, batch: 160, epochs: 1, decay_epochs: [], decay_factor: 1}}}
";
const EPOCHS: usize = 10;

#[test]
fn classifiers_are_the_optimum_and_what_sgd_comes_to() {
    // The weights of standardised features are known to 1e-9 / (2 · l2); folded and stored in f32,
    // with sums of some 64 terms that cancel, a logit of raw features keeps five digits of the
    // largest. SGD's 50 steps are f32 throughout, on a convex loss that lets no rounding grow.
    let tolerances = [
        ("weight", 1e-5),
        ("bias", 1e-5),
        ("train/linear_loss", 1e-5),
        ("probabilities", 2e-4),
        ("classes", 0.0),
        ("test/", 1e-12),
    ];
    compare("probe", STAGES, &tolerances, plan);
}

fn plan(run: &Run) -> Value {
    let pipeline: Value = serde_yaml::from_str(&format!("stages:{STAGES}")).unwrap();
    let keys = label_keys(&run.parts("images", "images"), SEED);
    let inputs = json!({"images": run.parts("images", "images"), "features": run.parts("features", "embeddings")});
    let mut plan = json!({});
    for stage in ["optimum", "share", "descent"] {
        plan[stage] = json!({
            "kind": "probe",
            "inputs": inputs,
            "params": pipeline["stages"][stage]["params"],
            "draws": {"keys": keys, "orders": orders()},
            "first": run.parts("first", "classifier"),
        });
    }
    plan
}

/// Of each epoch the samples' order, which the first weights are drawn before.
fn orders() -> Vec<Vec<u32>> {
    let mut rng = keyed_rng(SEED, "probe", "order", &[]);
    let _ = normal(&[CLASSES, PIXELS_OF_AN_IMAGE], &mut rng);
    (0..EPOCHS).map(|_| permutation(TRAIN, &mut rng)).collect()
}
