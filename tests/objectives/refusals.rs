//! Numbers that an objective hasn't, and inputs that don't fit, are refused with what to do.

use insta::assert_snapshot;

use super::{OBJECTIVES, student};
use crate::sandbox::Sandbox;

/// What `run` says of a student with these params.
fn refused(params: &str) -> String {
    let sandbox = Sandbox::with(&format!("{OBJECTIVES}{}", student("wrong", params)));
    sandbox.run(&["run", "--quiet"]).refusal()
}

#[test]
fn numbers_of_other_objectives() {
    assert_snapshot!(refused("objective: l2, queue: 32"), @"");
    assert_snapshot!(refused("objective: contrastive, queue: 32, temperature_teacher: 0.1"), @"");
    assert_snapshot!(refused("queue: 32, clusters: 7"), @"");
    assert_snapshot!(refused("objective: kmeans, head: false"), @"");
    assert_snapshot!(refused("objective: compress, queue: 32, queue_start: targets"), @"");
    assert_snapshot!(refused("objective: simcrl"), @"");
}

#[test]
fn values_that_can_not_be() {
    assert_snapshot!(refused("queue: 32, temperature_teacher: {from: 0.1, to: 0, epochs: 2}"), @"");
    assert_snapshot!(refused("queue: 32, temperature_teacher: {from: 0.1, till: 0.01}"), @"");
    assert_snapshot!(refused("queue: 32, temperature_student: warm"), @"");
    assert_snapshot!(refused("objective: compress, queue: 30"), @"");
    assert_snapshot!(refused("objective: swav, prototypes: 1, queue: 0"), @"");
    assert_snapshot!(refused("objective: compress, queue: 32, head_hidden: [8]"), @"");
}

#[test]
fn small_views_that_do_not_fit() {
    assert_snapshot!(refused("objective: kmeans, clusters: 7, small_crops: 2"), @"");
    assert_snapshot!(refused("queue: 32, small_crops: 5"), @"");
    let alone = student("wrong", "queue: 32").replace(
        "targets: targets",
        "targets: targets, small_views: small_views",
    );
    let sandbox = Sandbox::with(&format!("{OBJECTIVES}{alone}"));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @"");
    let without = student("wrong", "queue: 32, small_crops: 2").replace(
        ", small_views: small_views, small_targets: small_targets",
        "",
    );
    let sandbox = Sandbox::with(&format!("{OBJECTIVES}{without}"));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @"");
    let other_images = OBJECTIVES.replace(
        "size: 8, views_per_image: 4",
        "size: 8, views_per_image: 4, split: test",
    );
    let sandbox = Sandbox::with(&format!(
        "{other_images}{}",
        student("wrong", "queue: 32, small_crops: 2")
    ));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @"");
}

#[test]
fn what_only_the_inputs_tell() {
    assert_snapshot!(refused("objective: kmeans, clusters: 41"), @"");
    assert_snapshot!(refused("queue: 88, queue_start: targets"), @"");
    let one_view = OBJECTIVES.replace("size: 12, views_per_image: 2", "size: 12");
    let independent = student("wrong", "queue: 32, augmentation: independent");
    let sandbox = Sandbox::with(&format!("{one_view}{independent}"));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @"");
    let wider =
        student("wrong", "objective: cosine, head: false").replace("width: 0.25", "width: 0.5");
    let sandbox = Sandbox::with(&format!("{OBJECTIVES}{wider}"));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @"");
}
