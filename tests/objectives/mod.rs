//! `distill`: that a student learns; and with every objective: resumed bit for bit, refused where
//! its numbers don't belong to it, and what its targets take.

mod learning;
mod refusals;
mod resume;
mod storage;

/// 40 training digits, two whole and four small views of each, and an untrained teacher: every
/// objective in a moment.
///
/// Each `student_*` has 10 steps and a checkpoint every 2.
pub const OBJECTIVES: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 40, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 12, views_per_image: 2}}
  small_views: {kind: augment, inputs: {images: images}, params: {recipe: swav_small, size: 8, views_per_image: 4}}
  targets: {kind: encode, inputs: {images: images, views: views}, params: {network: &teacher {name: cifar_resnet8, width: 0.25}, batch: 16}}
  small_targets: {kind: encode, inputs: {images: images, views: small_views}, params: {network: *teacher, batch: 16}}
";

/// The students' names, and their params beside `network` and `training`.
pub const STUDENTS: [(&str, &str); 11] = [
    ("seed", "queue: 32"),
    (
        "seed_small",
        "queue: 32, queue_start: targets, small_crops: 2, augmentation: independent, \
         temperature_teacher: {from: 0.1, to: 0.02, epochs: 1.5}, temperature_student: {from: 0.3, to: 0.2, epochs: 1}",
    ),
    ("simclr", "objective: simclr, head_hidden: []"),
    ("swav", "objective: swav, queue: 16, prototypes: 12"),
    ("swav_alone", "objective: swav, queue: 0, prototypes: 5"),
    ("l2", "objective: l2, head: false"),
    ("cosine", "objective: cosine, small_crops: 3"),
    ("kmeans", "objective: kmeans, clusters: 7"),
    (
        "contrastive",
        "objective: contrastive, queue: 32, queue_start: targets",
    ),
    ("compress", "objective: compress, queue: 32"),
    (
        "compress_own",
        "objective: compress, queue: 32, encoder_momentum: 0, head: true",
    ),
];

/// [`OBJECTIVES`] with all students.
pub fn with_students() -> String {
    let mut text = OBJECTIVES.to_owned();
    for (name, params) in STUDENTS {
        text += &student(name, params);
    }
    text
}

/// The stage `student_NAME`; with the small views where its params speak of them.
pub fn student(name: &str, params: &str) -> String {
    let small = match params.contains("small_crops") {
        true => ", small_views: small_views, small_targets: small_targets",
        false => "",
    };
    format!(
        "  student_{name}:
    kind: distill
    inputs: {{images: images, views: views, targets: targets{small}}}
    params: {{network: {{name: cifar_resnet8, width: 0.25}}, training: {{epochs: 2, batch: 8, checkpoint_steps: 2, threads: 1}}, {params}}}
"
    )
}
