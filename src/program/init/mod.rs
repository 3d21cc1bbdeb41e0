//! The first pipeline.yaml for somebody's images: what was found in them and in the machine decides
//! its settings.
//!
//! This file chooses, `text` writes. Sizes in pixels; counts are of images.

pub mod gitignore;
mod text;

use anyhow::{Result, bail};
use seedpipe_base::Refusal;
use seedpipe_stages::Survey;

pub use text::text;

/// Which kind of images the settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Small gray signs: no flips, no colours, CIFAR's networks.
    Digits,
    /// Small photographs of up to 64 pixels, CIFAR's networks.
    Cifar10,
    /// Photographs, ResNets.
    Photos,
    /// SEED's own settings (arXiv 2101.04731, section 4.1), whatever the machine.
    Paper,
}

impl Template {
    pub const ALL: [Template; 4] = [
        Template::Digits,
        Template::Cifar10,
        Template::Photos,
        Template::Paper,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Template::Digits => "digits",
            Template::Cifar10 => "cifar10",
            Template::Photos => "photos",
            Template::Paper => "paper",
        }
    }

    /// By the median of the shorter sides.
    fn of_side(side: u32) -> Template {
        match side {
            0..=28 => Template::Digits,
            29..=64 => Template::Cifar10,
            _ => Template::Photos,
        }
    }
}

/// What the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    pub threads: usize,
    /// Whether bf16 is faster than f32 there.
    pub has_bf16: bool,
    pub has_gpu: bool,
}

/// A network with its weights, as an `import` stage has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// As written under `checkpoint:`.
    pub checkpoint: String,
    /// As written under `network:`.
    pub network: String,
    /// As written under `preprocessing:`, where it is not the network's own.
    pub preprocessing: Option<String>,
}

/// The student that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Student {
    /// As written under `network:`.
    pub network: String,
    /// The weights that it begins from; none: it begins from nothing.
    pub begins_as: Option<Published>,
}

/// What the caller brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub teacher: Option<Published>,
    pub student: Option<Student>,
}

/// The settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub template: Template,
    /// Side of a view.
    pub size: u32,
    pub batch: usize,
    pub queue: usize,
    pub teacher_epochs: u32,
    pub student_epochs: u32,
    /// Stored of each image.
    pub views: u32,
    pub precision: &'static str,
    /// bf16 would be faster on this machine, and is not chosen.
    pub bf16_is_faster: bool,
    pub threads: usize,
    /// Images are labelled: kNN and probe can judge, else the agreement with the teacher does.
    pub is_labelled: bool,
    /// The split that judges: `val` where only that has labels, or images; `all` of few images
    /// without labels.
    pub judged: &'static str,
    /// A fifth of the training images becomes that split, since there is none.
    pub splits_off: bool,
    /// Labelled images beside those that judge are there to choose by: those of `val`.
    pub can_choose: bool,
    /// A tenth of the training images becomes that split, since there is none.
    pub splits_off_val: bool,
}

/// Fewer images than these teach nothing.
const FEWEST: usize = 16;
/// Of fewer images without labels the agreement with the teacher says nothing.
const FEWEST_JUDGED: usize = 20;
/// Fewer labelled images choose nothing: of a hundred, of which half are named rightly, the share
/// is known to ten points either way.
const FEWEST_CHOOSING: usize = 100;
/// Side of a photograph's view that a CPU trains on in hours.
const CPU_SIDE: u32 = 128;
/// Updates that a teacher learns for, on a CPU and on a GPU.
const STEPS: [usize; 2] = [2_500, 40_000];
/// A teacher that learns from few photographs alone gets worse when it learns for long: from 480 of
/// groceries, its nearest neighbours are right on 44 % after 30 epochs, 39 % after 60 and 31 %
/// after 167 (docs/first-hour.md). So an epoch for each of so many images, but not fewer than that.
const IMAGES_AN_EPOCH: usize = 16;
const FEWEST_EPOCHS: usize = 20;
/// Sizes of views of photographs, from which the largest that the images have is taken.
const SIDES: [u32; 5] = [224, 160, 128, 96, 64];

/// Settings that suit the images and the machine.
///
/// # Errors
/// When there are too few images.
pub fn choose(template: Option<Template>, survey: &Survey, machine: &Machine) -> Result<Choice> {
    let median = survey.shorter_side[1];
    let template = template.unwrap_or_else(|| Template::of_side(median));
    let is_labelled = survey.classes > 1;
    let count = |split: &str| survey.splits.get(split).copied().unwrap_or(0);
    let judges = |split: &str| match is_labelled {
        true => survey.labelled.contains_key(split),
        false => count(split) >= FEWEST_JUDGED,
    };
    let train = count("train");
    let judged = match (judges("test"), judges("val")) {
        (false, true) => "val",
        (false, false) if !is_labelled && train / 5 < FEWEST_JUDGED => "all",
        _ => "test",
    };
    let splits_off = judged == "test" && !judges(judged);
    let labelled = survey.labelled.get("train").copied().unwrap_or(0);
    let has_val = judged == "test" && judges("val") && is_labelled;
    let splits_off_val =
        judged == "test" && is_labelled && count("val") == 0 && labelled / 10 >= FEWEST_CHOOSING;
    let tenths = 10 - 2 * usize::from(splits_off) - usize::from(splits_off_val);
    let train = train * tenths / 10;
    if train < FEWEST {
        let splits: Vec<String> = survey
            .splits
            .iter()
            .map(|(split, count)| format!("{count} of `{split}`"))
            .collect();
        let hint = match survey.splits.contains_key("train") {
            true => {
                "add images; a folder holds CLASS/*.jpg, train/CLASS/*.jpg and test/CLASS/*.jpg, or images without classes".to_owned()
            }
            false => format!(
                "networks learn from the split `train`, and there are only {}: call them `train`, where a folder, a file or a column names their split",
                splits.join(", ")
            ),
        };
        bail!(
            Refusal::failure(format!(
                "expected at least {FEWEST} images to train on, got {train} of {}",
                survey.images
            ))
            .hint(hint)
        );
    }
    let size = match template {
        Template::Digits | Template::Cifar10 => median.clamp(8, 64).next_multiple_of(4),
        Template::Photos => {
            let most = if machine.has_gpu { 224 } else { CPU_SIDE };
            let mut fitting = SIDES.into_iter().filter(|side| *side <= most.min(median));
            fitting.next().unwrap_or(64)
        }
        Template::Paper => 224,
    };
    let wanted = if machine.has_gpu || template == Template::Paper {
        256
    } else {
        32
    };
    let batch = power_below(train / 4).clamp(2, wanted);
    let longest = if template == Template::Paper {
        65_536
    } else {
        4_096
    };
    let queue = match template {
        // The paper's queue, whatever the number of images: it may hold several views of one.
        Template::Paper => longest,
        _ => power_below(train / 2).clamp(batch, longest),
    };
    let steps = STEPS[usize::from(machine.has_gpu)];
    let epochs = (steps * batch).div_ceil(train).clamp(8, 200) as u32;
    let (teacher_epochs, student_epochs) = match template {
        Template::Paper => (200, 200),
        Template::Photos => (
            epochs.min((train / IMAGES_AN_EPOCH).max(FEWEST_EPOCHS) as u32),
            (epochs / 2).max(8),
        ),
        _ => (epochs, (epochs / 2).max(8)),
    };
    let views = if template == Template::Paper {
        200
    } else {
        teacher_epochs.max(student_epochs).min(16)
    };
    Ok(Choice {
        template,
        size,
        batch,
        queue,
        teacher_epochs,
        student_epochs,
        views,
        // A pipeline.yaml goes from machine to machine, and f32 is fast on every processor.
        precision: if machine.has_gpu { "bf16" } else { "f32" },
        bf16_is_faster: machine.has_bf16 && !machine.has_gpu,
        threads: machine.threads.div_ceil(2).clamp(1, 8),
        is_labelled,
        judged,
        splits_off,
        can_choose: has_val || splits_off_val,
        splits_off_val,
    })
}

/// The largest power of two that is not above; 1 for 0.
fn power_below(number: usize) -> usize {
    1 << number.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(train: usize, test: usize, side: u32, classes: usize) -> Survey {
        let splits = [("train", train), ("test", test)];
        let splits = splits.into_iter().filter(|(_, count)| *count > 0);
        Survey {
            images: train + test,
            splits: splits
                .clone()
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
            labelled: match classes {
                0 => std::collections::BTreeMap::new(),
                _ => splits
                    .map(|(name, count)| (name.to_owned(), count))
                    .collect(),
            },
            shorter_side: [side; 3],
            classes,
            ..Survey::default()
        }
    }

    const LAPTOP: Machine = Machine {
        threads: 4,
        has_bf16: false,
        has_gpu: false,
    };

    #[test]
    fn settings_follow_the_images_and_the_machine() {
        let digits = choose(None, &survey(4000, 1000, 28, 10), &LAPTOP).unwrap();
        assert_eq!((digits.template, digits.size), (Template::Digits, 28));
        assert_eq!((digits.batch, digits.queue), (32, 1024));
        assert_eq!((digits.teacher_epochs, digits.student_epochs), (23, 11));
        assert_eq!((digits.precision, digits.threads), ("f32", 2));
        assert!(digits.is_labelled && !digits.splits_off);
        let wide = Machine {
            has_bf16: true,
            ..LAPTOP
        };
        let wide = choose(None, &survey(4000, 1000, 28, 10), &wide).unwrap();
        assert_eq!((wide.precision, wide.bf16_is_faster), ("f32", true));

        let few = choose(None, &survey(80, 0, 200, 3), &LAPTOP).unwrap();
        assert_eq!((few.template, few.size), (Template::Photos, 128));
        assert_eq!((few.batch, few.queue, few.teacher_epochs), (16, 32, 20));
        assert!(few.splits_off);

        let some = choose(None, &survey(480, 192, 128, 12), &LAPTOP).unwrap();
        assert_eq!((some.teacher_epochs, some.student_epochs), (30, 83));
        assert_eq!(some.views, 16);

        let server = Machine {
            has_gpu: true,
            ..LAPTOP
        };
        let many = choose(None, &survey(1_000_000, 0, 500, 0), &server).unwrap();
        assert_eq!((many.size, many.batch, many.precision), (224, 256, "bf16"));
        assert!(!many.is_labelled && many.splits_off);
        assert!(many.queue.is_multiple_of(many.batch));

        let paper = choose(Some(Template::Paper), &survey(80, 0, 200, 0), &LAPTOP).unwrap();
        assert_eq!(
            (paper.queue, paper.student_epochs, paper.views),
            (65_536, 200, 200)
        );
        assert!(paper.queue.is_multiple_of(paper.batch));
    }

    #[test]
    fn labelled_images_of_val_judge_where_test_has_none() {
        let mut found = survey(480, 192, 64, 12);
        assert_eq!(choose(None, &found, &LAPTOP).unwrap().judged, "test");
        found.splits.insert("val".into(), 50);
        found.labelled.insert("val".into(), 50);
        assert_eq!(choose(None, &found, &LAPTOP).unwrap().judged, "test");
        found.labelled.remove("test");
        let choice = choose(None, &found, &LAPTOP).unwrap();
        assert_eq!((choice.judged, choice.splits_off), ("val", false));
        let mut unlabelled = survey(480, 0, 64, 0);
        let choice = choose(None, &unlabelled, &LAPTOP).unwrap();
        assert_eq!((choice.judged, choice.splits_off), ("test", true));
        unlabelled.splits.insert("test".into(), 3);
        unlabelled.splits.insert("train".into(), 90);
        let choice = choose(None, &unlabelled, &LAPTOP).unwrap();
        assert_eq!((choice.judged, choice.splits_off), ("all", false));
        unlabelled.splits.insert("val".into(), 50);
        let choice = choose(None, &unlabelled, &LAPTOP).unwrap();
        assert_eq!((choice.judged, choice.splits_off), ("val", false));
    }

    #[test]
    fn a_tenth_is_kept_to_choose_by_where_that_is_enough() {
        let of = |survey: &Survey| {
            let choice = choose(None, survey, &LAPTOP).unwrap();
            (choice.splits_off, choice.splits_off_val, choice.can_choose)
        };
        assert_eq!(of(&survey(4000, 1000, 28, 10)), (false, true, true));
        assert_eq!(of(&survey(1000, 0, 64, 10)), (true, true, true));
        assert_eq!(of(&survey(999, 0, 64, 10)), (true, false, false));
        assert_eq!(of(&survey(4000, 0, 64, 0)), (true, false, false));
        // Of 4,000 images few have labels.
        let mut found = survey(4000, 1000, 64, 10);
        found.labelled.insert("train".into(), 500);
        assert_eq!(of(&found), (false, false, false));
        let mut found = survey(4000, 1000, 64, 10);
        found.splits.insert("val".into(), 50);
        found.labelled.insert("val".into(), 50);
        assert_eq!(of(&found), (false, false, true));
        // Images of `val` without labels stay what they are, and where they alone judge, nothing
        // else chooses.
        found.labelled.remove("val");
        assert_eq!(of(&found), (false, false, false));
        found.labelled.insert("val".into(), 50);
        found.labelled.remove("test");
        assert_eq!(of(&found), (false, false, false));
    }

    #[test]
    fn images_of_other_splits_are_told_from_too_few() {
        let mut found = survey(0, 48, 64, 2);
        found.splits.insert("holdout".into(), 7);
        let message = choose(None, &found, &LAPTOP).unwrap_err().to_string();
        assert!(
            message
                .ends_with("there are only 7 of `holdout`, 48 of `test`: call them `train`, where a folder, a file or a column names their split"),
            "{message}"
        );
    }

    #[test]
    fn too_few_images_are_refused() {
        let message = choose(None, &survey(15, 300, 64, 2), &LAPTOP)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("expected at least 16 images to train on, got 15 of 315"),
            "{message}"
        );
    }
}
