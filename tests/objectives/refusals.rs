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
    assert_snapshot!(refused("objective: l2, queue: 32"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.queue`: expected nothing, since objective `l2` doesn't have it, got 32
    hint: leave the key out, or take an objective that has it: `seed`, `swav`, `contrastive`, `compress`
    exit code 2
    ");
    assert_snapshot!(refused("objective: contrastive, queue: 32, temperature_teacher: 0.1"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.temperature_teacher`: expected nothing, since objective `contrastive` doesn't have it, got 0.1
    hint: leave the key out, or take an objective that has it: `seed`, `simclr`, `compress`
    exit code 2
    ");
    assert_snapshot!(refused("queue: 32, clusters: 7"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.clusters`: expected nothing, since objective `seed` doesn't have it, got 7
    hint: leave the key out, or take an objective that has it: `kmeans`
    exit code 2
    ");
    assert_snapshot!(refused("objective: kmeans, head: false"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.head`: expected nothing, since objective `kmeans` doesn't have it, got false
    hint: leave the key out, or take an objective that has it: `seed`, `simclr`, `swav`, `l2`, `cosine`, `contrastive`, `compress`
    exit code 2
    ");
    assert_snapshot!(refused("objective: compress, queue: 32, queue_start: targets"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.queue_start`: expected nothing, since objective `compress` doesn't have it, got targets
    hint: leave the key out, or take an objective that has it: `seed`, `contrastive`
    exit code 2
    ");
    assert_snapshot!(refused("objective: simcrl"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.objective`: expected one of `seed`, `simclr`, `swav`, `l2`, `cosine`, `kmeans`, `contrastive`, `compress`, got `simcrl`
    hint: did you mean `simclr`?
    exit code 2
    ");
}

#[test]
fn values_that_can_not_be() {
    assert_snapshot!(refused("queue: 32, temperature_teacher: {from: 0.1, to: 0, epochs: 2}"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.temperature_teacher.to`: expected a number from 0.000001 to 1000000, got 0
    hint: SEED uses 0.01; a smaller value follows the nearest neighbours more
    exit code 2
    ");
    assert_snapshot!(refused("queue: 32, temperature_teacher: {from: 0.1, till: 0.01}"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.temperature_teacher.till`: unknown key of kind `distill`
    hint: known keys: `from`, `to`, `epochs`
    exit code 2
    ");
    assert_snapshot!(refused("queue: 32, temperature_student: warm"), @r#"
    error: pipeline.yaml: stage `student_wrong`: key `params.temperature_student`: expected a number or {from: …, to: …, epochs: …}, got the text "warm"
    hint: `seedpipe schema` has what each key may be
    exit code 2
    "#);
    assert_snapshot!(refused("objective: compress, queue: 30"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.queue`: expected a multiple of the batch of 8, got 30
    hint: e.g. 32
    exit code 2
    ");
    assert_snapshot!(refused("objective: swav, prototypes: 1, queue: 0"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.prototypes`: expected 2 to 67108864, got 1
    hint: raise it
    exit code 2
    ");
    assert_snapshot!(refused("objective: compress, queue: 32, head_hidden: [8]"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.head_hidden`: expected nothing, since the student has no head, got widths
    hint: leave the key out, or set `head: true`
    exit code 2
    ");
}

#[test]
fn small_views_that_do_not_fit() {
    assert_snapshot!(refused("objective: kmeans, clusters: 7, small_crops: 2"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.small_crops`: expected nothing, since objective `kmeans` doesn't have it, got 2
    hint: leave the key out, or take an objective that has it: `seed`, `simclr`, `l2`, `cosine`, `contrastive`
    exit code 2
    ");
    assert_snapshot!(refused("queue: 32, small_crops: 5"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `small_crops`: expected at most the 4 small views that each image has, got 5
    hint: set `views_per_image` of stage `small_views` to 5 times the epochs, or to a multiple of 5 that training cycles through
    exit code 1
    ");
    let alone = student("wrong", "queue: 32").replace(
        "targets: targets",
        "targets: targets, small_views: small_views",
    );
    let sandbox = Sandbox::with(&format!("{OBJECTIVES}{alone}"));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.small_crops`: expected the inputs `small_views` and `small_targets`, or neither, got `small_views` alone
    hint: connect `small_targets`: an `augment` stage with `recipe: seed_small`, and the `encode` of its views
    exit code 2
    ");
    let without = student("wrong", "queue: 32, small_crops: 2").replace(
        ", small_views: small_views, small_targets: small_targets",
        "",
    );
    let sandbox = Sandbox::with(&format!("{OBJECTIVES}{without}"));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @r"
    error: pipeline.yaml: stage `student_wrong`: key `params.small_crops`: expected the inputs `small_views` and `small_targets`, got 2 without them
    hint: connect both, or leave the key out
    exit code 2
    ");
    let other_images = OBJECTIVES.replace(
        "size: 8, views_per_image: 4",
        "size: 8, views_per_image: 4, split: test",
    );
    let sandbox = Sandbox::with(&format!(
        "{other_images}{}",
        student("wrong", "queue: 32, small_crops: 2")
    ));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @r"
    error: pipeline.yaml: stage `student_wrong`: input `small_views`: expected views of the 40 images that `views` looks at, got views of 20 others or in another order
    hint: give both `augment` stages the same `images` and `split`
    exit code 1
    ");
}

#[test]
fn what_only_the_inputs_tell() {
    assert_snapshot!(refused("objective: kmeans, clusters: 41"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `clusters`: expected 1 to 40 clusters of 40 rows, got 41
    hint: lower their number
    exit code 1
    ");
    assert_snapshot!(refused("queue: 88, queue_start: targets"), @r"
    error: pipeline.yaml: stage `student_wrong`: key `queue`: expected at most the 80 targets that there are to begin with, got 88
    hint: lower it, or store more views of each image
    exit code 1
    ");
    let one_view = OBJECTIVES.replace("size: 12, views_per_image: 2", "size: 12");
    let independent = student("wrong", "queue: 32, augmentation: independent");
    let sandbox = Sandbox::with(&format!("{one_view}{independent}"));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @r"
    error: pipeline.yaml: stage `student_wrong`: input `views`: expected at least 2 views of each image, since `augmentation: independent` takes the target of another view, got 1
    hint: set `views_per_image` of stage `views` to 2 or more
    exit code 1
    ");
    let wider =
        student("wrong", "objective: cosine, head: false").replace("width: 0.25", "width: 0.5");
    let sandbox = Sandbox::with(&format!("{OBJECTIVES}{wider}"));
    assert_snapshot!(sandbox.run(&["run", "--quiet"]).refusal(), @r"
    error: pipeline.yaml: stage `student_wrong`: key `head`: expected a student with the teacher's 16 features, since `head: false` compares them with its embedding, got 32
    hint: leave `head` out: its last layer has the teacher's dimension
    exit code 1
    ");
}
