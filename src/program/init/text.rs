//! The choices as a commented pipeline.yaml.

use std::fmt::Write;

use seedpipe_base::neutral;
use seedpipe_stages::Survey;
use serde_json::Value;

use super::{Choice, Given, Published, Template};
use crate::terminal::yaml_flow::yaml_flow;

/// What the evaluation's stages are called, and the weights that they judge.
const JUDGED: [&str; 2] = ["teacher", "student"];
/// The weights that the student begins from.
const PUBLISHED: &str = "published";
/// The student's network as it was drawn.
const UNTRAINED: &str = "untrained";

/// The whole file.
///
/// - `source`: as written under `source:`
/// - `schema`: the schema's path, for editors
/// - `page`: where the report goes
/// - `title`: its heading
pub fn text(
    choice: &Choice,
    survey: &Survey,
    source: &str,
    given: &Given,
    schema: &str,
    page: &str,
    title: &str,
) -> String {
    let mut lines = vec![
        format!("# yaml-language-server: $schema={schema}"),
        format!(
            "# Written by `seedpipe init` for {} images in {}. Everything may be changed: `seedpipe explain STAGE` says what will run again.",
            survey.images,
            neutral::line(source)
        ),
        String::new(),
        "seed: 0".to_owned(),
        format!(
            "precision: {}      # of networks: f32 is fast everywhere; bf16 on GPUs and processors with bf16 instructions{}",
            choice.precision,
            if choice.bf16_is_faster {
                ", such as this one"
            } else {
                ""
            }
        ),
        String::new(),
        "stages:".to_owned(),
    ];
    lines.extend(images(choice, survey, source));
    lines.extend(views(choice, given));
    lines.extend(teachers(choice, given.teacher.as_ref()));
    lines.extend(student(choice, given));
    lines.extend(judges(choice, given));
    lines.extend(report(choice, given, page, title));
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{}", line.trim_end()).expect("BUG: a String can always be written");
    }
    text
}

fn flow(text: &str) -> String {
    yaml_flow(&Value::from(text))
}

fn images(choice: &Choice, survey: &Survey, source: &str) -> Vec<String> {
    let splits: Vec<String> = survey
        .splits
        .iter()
        .map(|(split, count)| format!("{count} {split}"))
        .collect();
    let labels = match choice.is_labelled {
        true => format!(
            "{} classes, which only the evaluation looks at, on `{}`",
            survey.classes, choice.judged
        ),
        false => "no classes: nothing can be judged".to_owned(),
    };
    let mut lines = vec![
        format!("  # {}; {labels}.", splits.join(", ")),
        "  images:".to_owned(),
        "    kind: ingest".to_owned(),
        "    params:".to_owned(),
        format!("      source: {}", flow(source)),
    ];
    let columns = &survey.columns;
    for (key, column) in [
        ("image_column", &columns.image),
        ("label_column", &columns.label),
        ("label_name_column", &columns.label_name),
        ("split_column", &columns.split),
    ] {
        if let Some(column) = column {
            lines.push(format!("      {key}: {}", flow(column)));
        }
    }
    if choice.splits_off {
        lines.push(
            "      hash_split: {test: 0.2}        # a fifth is kept for the evaluation".to_owned(),
        );
    }
    if !survey.broken.is_empty() {
        let all = survey.images + survey.broken.len();
        // Rounded up, so that as many pass.
        let share = (survey.broken.len() as f64 / all as f64 * 1e4).ceil() / 1e4;
        lines.push(format!(
            "      max_bad_fraction: {share}        # {} files can't be read and are left out",
            survey.broken.len()
        ));
    }
    lines.push(String::new());
    lines
}

fn views(choice: &Choice, given: &Given) -> Vec<String> {
    let (what, adjust) = match choice.template {
        Template::Digits => (
            "crops and contrast as MoCo v2's, but no flip, blur or colour for signs",
            ", adjust: {crop_area: [0.3, 1.0], flip_probability: 0, blur_probability: 0, grayscale_probability: 0, saturation: 0, hue: 0}",
        ),
        Template::Cifar10 => (
            "MoCo v2's, without blur for images so small",
            ", adjust: {blur_probability: 0}",
        ),
        Template::Photos | Template::Paper => ("MoCo v2's", ""),
    };
    let mut lines = vec![
        format!(
            "  # How networks look at the training images: {what}. `seedpipe preview views` shows them."
        ),
        "  # Stored as numbers, and cycled through when training has more epochs.".to_owned(),
        "  views:".to_owned(),
        "    kind: augment".to_owned(),
        "    inputs: {images: images}".to_owned(),
        format!(
            "    params: {{recipe: mocov2, size: {}, views_per_image: {}{adjust}}}",
            choice.size, choice.views
        ),
        String::new(),
    ];
    if choice.template == Template::Paper && given.teacher.is_none() {
        lines.extend([
            "  # MoCo looks at two views of an image in each epoch.".to_owned(),
            "  teacher_views:".to_owned(),
            "    kind: augment".to_owned(),
            "    inputs: {images: images}".to_owned(),
            format!(
                "    params: {{recipe: mocov2, size: {}, views_per_image: {}}}",
                choice.size,
                2 * choice.teacher_epochs
            ),
            String::new(),
        ]);
    }
    lines
}

/// Networks: the teacher that learns here, and the student.
fn networks(choice: &Choice) -> [&'static str; 2] {
    let is_large = choice.size >= 160;
    match choice.template {
        Template::Digits => ["cifar_resnet20", "{name: cifar_resnet8, width: 0.5}"],
        Template::Cifar10 => ["cifar_resnet20", "{name: cifar_resnet8}"],
        Template::Photos if is_large => ["resnet50", "{name: resnet18}"],
        Template::Photos => ["resnet18, width: 0.5", "{name: resnet18, width: 0.125}"],
        Template::Paper => ["resnet50", "{name: resnet18}"],
    }
}

/// Looks at the accuracy while a network is trained, where there are labels.
const LOOKS: u32 = 10;

/// What says which split judges, where it is another.
fn unless_test<'a>(choice: &Choice, said: &'a str) -> &'a str {
    if choice.judged == "test" { "" } else { said }
}

fn training(choice: &Choice, epochs: u32, more: &str) -> String {
    let evaluate = match choice.is_labelled {
        true => format!(
            ", evaluate: {{every: {}{}}}",
            epochs.div_ceil(LOOKS),
            unless_test(choice, ", split: val")
        ),
        false => String::new(),
    };
    format!(
        "training: {{epochs: {epochs}, batch: {}, learning_rate: 0.03, {more}threads: {}{evaluate}}}",
        choice.batch, choice.threads
    )
}

/// A checkpoint's weights as a stage.
fn import(name: &str, published: &Published) -> Vec<String> {
    let mut lines = vec![
        format!("  {name}:"),
        "    kind: import".to_owned(),
        "    params:".to_owned(),
        format!("      checkpoint: {}", flow(&published.checkpoint)),
        format!("      network: {}", published.network),
    ];
    if let Some(preprocessing) = &published.preprocessing {
        lines.push(format!("      preprocessing: {preprocessing}"));
    }
    lines.push(String::new());
    lines
}

fn teachers(choice: &Choice, teacher: Option<&Published>) -> Vec<String> {
    let [network, _] = networks(choice);
    let told = "  # The frozen teacher's embedding of every view, once for any number of students."
        .to_owned();
    if let Some(teacher) = teacher {
        let mut lines = vec![
            "  # The teacher, as it was published. `seedpipe export teacher` takes it out as well."
                .to_owned(),
        ];
        lines.extend(import("teacher", teacher));
        lines.extend([
            told,
            "  targets:".to_owned(),
            "    kind: encode".to_owned(),
            "    inputs: {images: images, views: views, weights: teacher}".to_owned(),
            "    params: {embedding: features}".to_owned(),
            String::new(),
        ]);
        return lines;
    }
    let moco = match choice.template {
        // As main_moco.py with `--mlp --moco-t 0.2 --aug-plus --cos`, on 8 devices.
        Template::Paper => Moco {
            views: "teacher_views",
            head: 2048,
            temperature: 0.2,
            momentum: 0.999,
            parts: Some(8.min(choice.batch / 2)),
            training: "scale_learning_rate: true, schedule: {kind: cosine, per: epoch}, optimiser: {kind: sgd, weight_decay: 0.0001}, ",
        },
        // A short training needs a key encoder that follows faster than the paper's.
        _ => Moco {
            views: "views",
            head: 256,
            temperature: 0.1,
            momentum: 0.99,
            parts: None,
            training: "optimiser: {kind: sgd, weight_decay: 0.0005}, ",
        },
    };
    let parts = moco
        .parts
        .map(|parts| format!("      batch_norm_parts: {parts}"));
    let mut lines = vec![
        "  # The teacher learns by itself: MoCo v2 on the unlabelled images. A pretrained one: `seedpipe init --teacher FILE`.".to_owned(),
        "  teacher:".to_owned(),
        "    kind: pretrain".to_owned(),
        format!("    inputs: {{images: images, views: {}}}", moco.views),
        "    params:".to_owned(),
        format!(
            "      network: {{name: {network}, head: {{hidden: [{}], out: 128}}}}",
            moco.head
        ),
        format!("      queue: {}", choice.queue),
        format!("      temperature: {}", moco.temperature),
        format!("      encoder_momentum: {}", moco.momentum),
    ];
    lines.extend(parts);
    lines.extend([
        format!(
            "      {}",
            training(choice, choice.teacher_epochs, moco.training)
        ),
        String::new(),
        told,
        "  targets:".to_owned(),
        "    kind: encode".to_owned(),
        "    inputs: {images: images, views: views, weights: teacher}".to_owned(),
        String::new(),
    ]);
    lines
}

/// What is written of the teacher that learns here.
struct Moco {
    views: &'static str,
    /// Width of the head's hidden layer.
    head: i64,
    temperature: f64,
    momentum: f64,
    parts: Option<usize>,
    /// Of the `training:` block.
    training: &'static str,
}

/// The student's network, as written under `network:`.
fn student_network<'given>(choice: &Choice, given: &'given Given) -> &'given str {
    match &given.student {
        Some(student) => &student.network,
        None => networks(choice)[1],
    }
}

/// The weights that the student begins from.
fn begins_as(given: &Given) -> Option<&Published> {
    given.student.as_ref()?.begins_as.as_ref()
}

fn student(choice: &Choice, given: &Given) -> Vec<String> {
    let network = student_network(choice, given);
    let begins_as = begins_as(given);
    let mut lines = Vec::new();
    if let Some(published) = begins_as {
        lines.push("  # What the student begins from.".to_owned());
        lines.extend(import(PUBLISHED, published));
    }
    let weights = match begins_as {
        Some(_) => format!(", weights: {PUBLISHED}"),
        None => String::new(),
    };
    // The paper's as its main.py has it; its head is as wide as the features, the default.
    let (sharp, head, more) = match choice.template {
        Template::Paper => (
            0.01,
            None,
            "scale_learning_rate: true, schedule: {kind: official, warmup_epochs: 5}, optimiser: {kind: sgd, weight_decay: 0.0001}, ",
        ),
        _ => (0.04, Some("      head_hidden: [256]".to_owned()), ""),
    };
    lines.extend([
        "  # SEED: the student spreads its similarities over a queue of teacher embeddings as the teacher does.".to_owned(),
        "  student:".to_owned(),
        "    kind: distill".to_owned(),
        format!("    inputs: {{images: images, views: views, targets: targets{weights}}}"),
        "    params:".to_owned(),
        format!("      network: {network}"),
    ]);
    lines.extend(head);
    lines.extend([
        format!("      queue: {}", choice.queue),
        "      temperature_student: 0.2".to_owned(),
        format!("      temperature_teacher: {sharp}"),
        format!("      {}", training(choice, choice.student_epochs, more)),
        String::new(),
    ]);
    lines
}

/// The names of networks with weights that are looked at, and the untrained one.
fn looked_at(given: &Given) -> Vec<&'static str> {
    let published = begins_as(given).map(|_| PUBLISHED);
    JUDGED
        .into_iter()
        .chain(published)
        .chain([UNTRAINED])
        .collect()
}

/// What is judged, and by which kind.
fn judgements(choice: &Choice, given: &Given) -> Vec<(&'static str, &'static str)> {
    let kinds: &[&str] = match choice.is_labelled {
        true => &["knn", "probe"],
        false => &["agreement"],
    };
    // The teacher agrees with itself.
    let is_judged = |name: &&str| choice.is_labelled || *name != JUDGED[0];
    let names = looked_at(given).into_iter().filter(is_judged);
    names
        .flat_map(|name| kinds.iter().map(move |kind| (name, *kind)))
        .collect()
}

fn judges(choice: &Choice, given: &Given) -> Vec<String> {
    let network = student_network(choice, given);
    let how = match choice.is_labelled {
        true => "judged by nearest neighbours and by a linear classifier",
        false => "judged without labels, by how far they agree with the teacher's",
    };
    let mut lines = vec![format!(
        "  # Features of the plain images, {how}; the untrained network as the floor."
    )];
    for name in looked_at(given) {
        lines.push(match name {
            UNTRAINED => format!(
                "  {name}: {{kind: encode, inputs: {{images: images}}, params: {{network: {network}, preprocessing: {{size: {}}}}}}}",
                choice.size
            ),
            _ => format!("  {name}_features: {{kind: encode, inputs: {{images: images, weights: {name}}}, params: {{embedding: features}}}}"),
        });
    }
    let (teacher, split) = match choice.is_labelled {
        true => ("", "test_split"),
        false => (", teacher: teacher_features", "split"),
    };
    for (name, kind) in judgements(choice, given) {
        // The report calls a network as the stage of its features is called.
        let features = match name {
            UNTRAINED => name.to_owned(),
            judged => format!("{judged}_features"),
        };
        let mut params = Vec::new();
        if choice.template == Template::Paper && kind == "probe" {
            params.push("method: sgd".to_owned());
        }
        if choice.judged != "test" {
            params.push(format!("{split}: {}", choice.judged));
        }
        let params = match params.is_empty() {
            true => String::new(),
            false => format!(", params: {{{}}}", params.join(", ")),
        };
        lines.push(format!(
            "  {name}_{kind}: {{kind: {kind}, inputs: {{images: images, features: {features}{teacher}}}{params}}}"
        ));
    }
    lines.push(String::new());
    lines
}

fn report(choice: &Choice, given: &Given, page: &str, title: &str) -> Vec<String> {
    let mut metrics = Vec::new();
    if given.teacher.is_none() {
        metrics.push("teacher.metrics".to_owned());
    }
    metrics.push("student.metrics".to_owned());
    let judgements = judgements(choice, given).into_iter();
    metrics.extend(judgements.map(|(name, kind)| format!("{name}_{kind}")));
    let mut lines = vec![
        "  # One page with the results, the curves, mistakes and maps, and what ran.".to_owned(),
        "  report:".to_owned(),
        "    kind: report".to_owned(),
        "    inputs:".to_owned(),
        format!("      metrics: [{}]", metrics.join(", ")),
        "      images: images".to_owned(),
        "      views: views".to_owned(),
    ];
    if choice.is_labelled {
        lines.extend([
            "      predictions: [student_probe, teacher_probe]".to_owned(),
            "      features: [student_features, teacher_features]".to_owned(),
        ]);
    }
    lines.push(format!(
        "    params: {{path: {}, title: {}}}",
        flow(page),
        flow(title)
    ));
    lines
}
