//! The stages of a run as a tree: each below the last one that it needs, with its state and why.
//! Where there are more stages than lines, those around the running one.

use std::collections::BTreeMap;

use seedpipe_base::neutral;

use super::run_progress::{RunProgress, StageProgress, State};
use super::style::Style;
use crate::terminal::figures;

/// Columns between name, state and the rest.
const GAP: &str = "  ";
const STATE_COLUMNS: usize = 7;
/// What is left beside the names for a stage's text, at least.
const LEAST_TEXT: usize = 12;

/// A stage and how it hangs in the tree.
struct Hung<'a> {
    stage: &'a StageProgress,
    /// Branches before the name: two columns a level.
    branches: String,
}

/// The whole tree, or as many lines as there may be.
pub fn lines(progress: &RunProgress, style: &Style) -> Vec<String> {
    let hung = hang(progress, style.has_unicode);
    let columns = |hung: &Hung| hung.branches.chars().count() + hung.stage.stage.chars().count();
    let widest = hung.iter().map(columns).max().unwrap_or(0);
    let others = 2 * GAP.len() + STATE_COLUMNS + LEAST_TEXT;
    let names = widest.min(style.width.saturating_sub(others).max(style.width / 3));
    let (first, end) = window(&hung, style.height);
    let mut lines = Vec::new();
    lines.extend(left_out(&hung[..first], "above", style));
    let drawn = hung[first..end].iter();
    lines.extend(drawn.map(|hung| line(hung, names, style)));
    lines.extend(left_out(&hung[end..], "below", style));
    lines
}

/// The stages in the order of the tree.
fn hang(progress: &RunProgress, has_unicode: bool) -> Vec<Hung<'_>> {
    let places: BTreeMap<&str, usize> = progress
        .stages
        .iter()
        .enumerate()
        .map(|(place, stage)| (stage.stage.as_str(), place))
        .collect();
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); progress.stages.len()];
    let mut roots = Vec::new();
    for (place, stage) in progress.stages.iter().enumerate() {
        let needs = stage
            .needs
            .iter()
            .filter_map(|need| places.get(need.as_str()));
        // A file that is not ours may say anything: only what comes earlier can be above.
        match needs.filter(|need| **need < place).max() {
            Some(&parent) => below[parent].push(place),
            None => roots.push(place),
        }
    }
    let (fork, last, line) = match has_unicode {
        true => ("├ ", "└ ", "│ "),
        false => ("|-", "`-", "| "),
    };
    let mut hung = Vec::new();
    let mut open: Vec<(usize, String, String)> = roots
        .into_iter()
        .rev()
        .map(|place| (place, String::new(), String::new()))
        .collect();
    while let Some((place, branches, under)) = open.pop() {
        hung.push(Hung {
            stage: &progress.stages[place],
            branches,
        });
        for (number, &child) in below[place].iter().rev().enumerate() {
            let (own, deeper) = if number == 0 {
                (last, "  ")
            } else {
                (fork, line)
            };
            open.push((child, format!("{under}{own}"), format!("{under}{deeper}")));
        }
    }
    hung
}

/// Which of them are drawn, from and to: all when they fit, else those around what runs, with a
/// line for what is left out.
fn window(hung: &[Hung], height: usize) -> (usize, usize) {
    if hung.len() <= height {
        return (0, hung.len());
    }
    let height = height.saturating_sub(2);
    let is_now = |hung: &Hung| matches!(hung.stage.state, State::Running | State::Failed);
    let now = hung.iter().position(is_now).unwrap_or_else(|| {
        let next = hung
            .iter()
            .position(|hung| hung.stage.state == State::Waiting);
        next.unwrap_or(hung.len() - 1)
    });
    let first = now
        .saturating_sub(height / 2)
        .min(hung.len() - height.min(hung.len()));
    (first, (first + height).min(hung.len()))
}

/// `… 12 stages above: 10 cached, 2 done`.
fn left_out(hung: &[Hung], place: &str, style: &Style) -> Option<String> {
    if hung.is_empty() {
        return None;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for hung in hung {
        *counts.entry(hung.stage.state.word()).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    let text = format!(
        "{} {} stages {place}: {}",
        style.ellipsis(style.width),
        hung.len(),
        counts.join(", ")
    );
    Some(style.colours.faint(&style.cut(&text)))
}

fn line(hung: &Hung, names: usize, style: &Style) -> String {
    let stage = hung.stage;
    let branches = style.name(
        &hung.branches,
        hung.branches.chars().count().min(names.saturating_sub(4)),
    );
    let name = style.name(&stage.stage, names.saturating_sub(branches.chars().count()));
    let word = format!("{:<STATE_COLUMNS$}", stage.state.word());
    let colours = style.colours;
    let word = match stage.state {
        State::Done => colours.good(&word),
        State::Failed => colours.bad(&word),
        State::Stopped => colours.warning(&word),
        State::Running => colours.active(&word),
        State::Cached | State::Fetched => colours.calm(&word),
        State::Waiting | State::Skipped => colours.faint(&word),
    };
    let text = rest(stage, style.is_verbose);
    let text = match stage.state {
        State::Waiting | State::Skipped => colours.faint(&text),
        _ => text,
    };
    let line = format!("{}{name}{GAP}{word}{GAP}{text}", colours.faint(&branches));
    style.cut(line.trim_end())
}

/// What came of the stage, or why it is as it is.
fn rest(stage: &StageProgress, is_verbose: bool) -> String {
    let mut parts = Vec::new();
    match stage.state {
        State::Running => {
            let seconds = figures::clock(stage.seconds.unwrap_or(0.0));
            parts.extend([seconds, stage.why.clone()]);
        }
        State::Waiting | State::Skipped => parts.push(stage.why.clone()),
        State::Failed => {
            let seconds = figures::duration(stage.seconds.unwrap_or(0.0));
            parts.extend([seconds, stage.result.clone()]);
        }
        State::Cached | State::Fetched | State::Done | State::Stopped => {
            parts.push(stage.result.clone());
            if is_verbose {
                parts.push(stage.why.clone());
            }
        }
    }
    if is_verbose {
        parts.insert(0, stage.kind.clone());
        // A result holds the fingerprint.
        if stage.result.is_empty() {
            parts.extend(
                stage
                    .fingerprint
                    .iter()
                    .map(|it| format!("fingerprint {it}")),
            );
        }
    }
    parts.retain(|part| !part.is_empty());
    // Reasons are of several lines at times.
    neutral::line(&parts.join(", ").replace('\n', " ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::style::tests::plain;
    use super::*;

    fn progress(stages: &[(&str, &[&str], State, &str)]) -> RunProgress {
        let mut progress = RunProgress::empty();
        for (name, needs, state, text) in stages {
            let stage = progress.stage(name);
            stage.needs = needs.iter().map(|need| (*need).to_owned()).collect();
            stage.state = *state;
            stage.seconds = Some(72.0);
            match state {
                State::Waiting | State::Running | State::Skipped => stage.why = (*text).to_owned(),
                _ => stage.result = (*text).to_owned(),
            }
        }
        progress
    }

    #[test]
    fn a_stage_hangs_below_the_last_one_that_it_needs() {
        let progress = progress(&[
            ("images", &[], State::Cached, ""),
            ("views", &["images"], State::Done, "120 views, 0.1 s"),
            ("teacher", &["images", "views"], State::Running, "never run"),
            ("extra", &["images"], State::Waiting, "never run"),
            (
                "targets",
                &["teacher", "views"],
                State::Waiting,
                "waits for the content of `teacher`",
            ),
        ]);
        insta::assert_snapshot!(lines(&progress, &plain(60, 24)).join("\n"), @r"
        images         cached
        ├ views        done     120 views, 0.1 s
        │ └ teacher    running  1 min 12 s, never run
        │   └ targets  waiting  waits for the content of `teacher`
        └ extra        waiting  never run
        ");
    }

    #[test]
    fn where_lines_are_few_those_around_the_running_stage_stay() {
        let names: Vec<String> = (0..40).map(|number| format!("stage-{number:02}")).collect();
        let stages: Vec<(&str, &[&str], State, &str)> = names
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let state = match number {
                    0..20 => State::Cached,
                    20 => State::Running,
                    _ => State::Waiting,
                };
                (name.as_str(), &[][..], state, "")
            })
            .collect();
        let drawn = lines(&progress(&stages), &plain(60, 7));
        assert_eq!(drawn.len(), 7, "{drawn:#?}");
        assert_eq!(drawn[0], "… 18 stages above: 18 cached");
        assert!(drawn[3].starts_with("stage-20  running"), "{drawn:#?}");
        assert_eq!(drawn[6], "… 17 stages below: 17 waiting");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "student[width=0.5,learning_rate=0.03,seed=17,augmentation=independent]";
        let progress = progress(&[
            ("images", &[], State::Cached, ""),
            (
                long,
                &["images"],
                State::Failed,
                "expected this, got that, and so on for a while",
            ),
        ]);
        for width in [1, 5, 10, 20, 40, 80] {
            for line in lines(&progress, &plain(width, 24)) {
                assert!(
                    console::measure_text_width(&line) <= width,
                    "{width}: {line}"
                );
            }
        }
    }
}
