//! One line for a stage at work: its name, a bar, and as many figures as there is room for.

use console::measure_text_width;
use seedpipe_base::neutral;

use super::run_progress::StageProgress;
use super::style::Style;
use super::work::Work;
use crate::terminal::figures;

const GAP: &str = "  ";
const MOST_BAR: usize = 30;
const LEAST_BAR: usize = 8;
/// Of the width, what the name may take.
const NAME_SHARE: usize = 3;

/// - `names`: columns of the longest name of those that are at work
pub fn line(stage: &StageProgress, names: usize, style: &Style) -> String {
    let name = style.name(&stage.stage, names.min(style.width / NAME_SHARE));
    let nothing = Work::default();
    let work = stage.work.as_ref().unwrap_or(&nothing);
    let figures = figures_of(stage, work, style.is_verbose);
    let least = if work.share().is_some() {
        LEAST_BAR + GAP.len()
    } else {
        0
    };
    let room = style
        .width
        .saturating_sub(measure_text_width(&name) + GAP.len() + least);
    let text = neutral::line(&fitting(figures, room)).into_owned();
    let bar = match work.share() {
        Some(share) => {
            let most = room.saturating_sub(measure_text_width(&text)) + LEAST_BAR;
            format!("{}{GAP}", bar(share, most.min(MOST_BAR), style))
        }
        None => String::new(),
    };
    style.cut(format!("{}{GAP}{bar}{text}", style.colours.active(&name)).trim_end())
}

/// What may be shown, in the order of the line, each with its rank: where there is little room, the
/// higher ranks go first.
fn figures_of(stage: &StageProgress, work: &Work, is_verbose: bool) -> Vec<(u8, String)> {
    let percent = work
        .share()
        .map(|share| format!("{:3.0} %", (share * 100.0).floor()));
    let label = Some(work.label.clone()).filter(|label| !label.is_empty());
    let kind = work.unit.is_empty().then(|| stage.kind.clone());
    let elapsed = work
        .share()
        .is_none()
        .then(|| figures::clock(stage.seconds.unwrap_or(0.0)));
    let amount = Some(work.amount()).filter(|amount| !amount.is_empty());
    let note = Some(work.note.clone()).filter(|note| !note.is_empty());
    let mut all = vec![
        (1, percent),
        (1, elapsed),
        (4, label),
        (4, kind),
        (6, amount),
        (3, work.rate()),
        (1, work.left()),
        (5, work.epoch()),
        (2, work.loss()),
        (3, work.accuracy()),
        (8, work.learning_rate()),
        (7, note),
        (5, work.waiting()),
    ];
    if is_verbose {
        all.extend(work.others().into_iter().map(|other| (9, Some(other))));
    }
    let known = all.into_iter();
    known
        .filter_map(|(rank, text)| Some((rank, text?)))
        .collect()
}

/// The figures that fit beside each other.
fn fitting(mut figures: Vec<(u8, String)>, room: usize) -> String {
    loop {
        let texts: Vec<&str> = figures.iter().map(|(_, text)| text.as_str()).collect();
        let line = texts.join(GAP);
        if figures.len() <= 1 || measure_text_width(&line) <= room {
            return line;
        }
        let last = figures
            .iter()
            .enumerate()
            .max_by_key(|(place, (rank, _))| (*rank, *place))
            .map_or(0, |(place, _)| place);
        figures.remove(last);
    }
}

/// `━━━━━━━╸─────`.
fn bar(share: f64, columns: usize, style: &Style) -> String {
    // In ASCII between brackets.
    let columns = if style.has_unicode {
        columns
    } else {
        columns - 2
    };
    let halves = (share * columns as f64 * 2.0).floor() as usize;
    let (whole, half) = (halves / 2, halves % 2);
    let (full, tip, empty) = match style.has_unicode {
        true => ("━", "╸", "─"),
        false => ("=", ">", " "),
    };
    let done = full.repeat(whole) + if half == 1 { tip } else { "" };
    let left = empty.repeat(columns - whole - half);
    let bar = format!(
        "{}{}",
        style.colours.active(&done),
        style.colours.faint(&left)
    );
    if style.has_unicode {
        bar
    } else {
        format!("[{bar}]")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seedpipe_engine::{Measured, MeasuredOver};

    use super::super::run_progress::RunProgress;
    use super::super::style::tests::plain;
    use super::*;

    fn student() -> StageProgress {
        let mut progress = RunProgress::empty();
        let stage = progress.stage("student");
        stage.start("distill", "0".repeat(12), "", 0.0);
        let work = stage.work.as_mut().unwrap();
        work.begin("", "images", 12_000, 0, 0.0);
        work.advance(7_440, 12.0);
        work.wait("rendering", Duration::from_secs_f64(0.36));
        work.measured(&Measured {
            over: MeasuredOver::Step,
            step: 40,
            epoch: Some(2),
            epochs: Some(3),
            split: "train",
            values: &[("loss", 3.21), ("learning_rate", 0.03)],
        });
        work.refresh(12.0);
        stage.clone()
    }

    #[test]
    fn where_there_is_little_room_the_less_important_figures_go() {
        let drawn = [160, 120, 80, 50, 30].map(|width| line(&student(), 7, &plain(width, 24)));
        insta::assert_snapshot!(drawn.join("\n"), @r"
        student  ━━━━━━━━━━━━━━━━╸──────────   62 %  7,440 of 12,000 images  620/s  7.4 s left  epoch 2 of 3  loss 3.2100  learning rate 0.0300  waits 3 % for rendering
        student  ━━━━━╸───   62 %  7,440 of 12,000 images  620/s  7.4 s left  epoch 2 of 3  loss 3.2100  waits 3 % for rendering
        student  ━━━━━━━━━━━───────   62 %  620/s  7.4 s left  epoch 2 of 3  loss 3.2100
        student  ━━━━━╸───   62 %  7.4 s left  loss 3.2100
        student  ━━━━━━━━╸─────   62 %
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut stage = student();
        stage.stage = "student[width=0.5,learning_rate=0.03,seed=17]".to_owned();
        for width in 1..200 {
            for has_unicode in [true, false] {
                let style = Style {
                    has_unicode,
                    ..plain(width, 24)
                };
                let line = line(&stage, 45, &style);
                assert!(measure_text_width(&line) <= width, "{width}: {line}");
            }
        }
    }
}
