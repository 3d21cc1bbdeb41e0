//! The live screen, as a user sees it.

use std::process::Command;

use super::endless_teacher;
use super::terminal::Terminal;
use crate::sandbox::{LIGHT_PIPELINE, Sandbox};

/// The whole road with 2 students and long names, whose teacher learns until it is stopped.
fn with_matrix() -> String {
    endless_teacher().replace(
        "  student:\n    kind: distill\n",
        "  student:\n    kind: distill\n    matrix: {temperature_student: [0.2, 0.3], queue: [32, 64]}\n",
    )
}

fn on_terminal(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.command(arguments);
    for variable in ["LC_ALL", "LC_CTYPE"] {
        command.env_remove(variable);
    }
    command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
    command
}

/// The line of a stage in the tree.
fn of_stage<'a>(text: &'a str, stage: &str, state: &str) -> &'a str {
    let is_it = |line: &&str| line.contains(&format!("{stage} ")) && line.contains(state);
    let found = text.lines().find(is_it);
    found.unwrap_or_else(|| panic!("no `{stage}` that is {state} in\n{text}"))
}

fn is_training(text: &str) -> bool {
    [" left  ", "loss ", "/s  "]
        .iter()
        .all(|part| text.contains(part))
}

#[test]
fn a_training_shows_the_tree_of_stages_and_a_line_with_bar_rate_time_left_and_loss() {
    let sandbox = Sandbox::with(&endless_teacher());
    let mut terminal = Terminal::start(&mut on_terminal(&sandbox, &["run"]), 30, 140);
    let text = terminal.wait_for("a training", is_training);
    of_stage(&text, "images", "done");
    of_stage(&text, "└ views", "done");
    assert!(
        of_stage(&text, "teacher", "running").contains("never run"),
        "{text}"
    );
    let targets = of_stage(&text, "targets", "waiting");
    assert!(
        targets.contains("waits for the content of `teacher`"),
        "{text}"
    );
    let bar = text.lines().last().unwrap();
    for part in [
        "teacher  ─",
        "  0 %  ",
        " of 4,800,000 images  ",
        "/s  ",
        " left  ",
        " of 100000  ",
        "loss ",
        " % for rendering",
    ] {
        assert!(bar.contains(part), "`{part}` is not in\n{text}");
    }
    // The cursor waits below.
    assert_eq!(terminal.cursor(), (text.lines().count() as u16, 0));
}

#[test]
fn control_c_leaves_the_tree_and_a_clean_terminal() {
    let sandbox = Sandbox::with(&endless_teacher());
    let mut terminal = Terminal::start(&mut on_terminal(&sandbox, &["run"]), 30, 120);
    terminal.wait_for("a training", is_training);
    terminal.press_control_c();
    assert_eq!(terminal.end(), Some(1));
    let text = terminal.text();
    for absent in ["━", "─", "^C", "/s "] {
        assert!(!text.contains(absent), "`{absent}` is in\n{text}");
    }
    of_stage(&text, "teacher", "stopped");
    assert!(
        of_stage(&text, "report", "skipped").contains("not reached"),
        "{text}"
    );
    assert!(
        text.contains("stopping as soon as what is finished is safe"),
        "{text}"
    );
    assert!(text.contains("interrupted; "), "{text}");
    // Every stage has one line, and what was said stands whole below the tree.
    assert_eq!(text.matches("neighbours").count(), 1, "{text}");
    assert_eq!(terminal.cursor(), (text.lines().count() as u16, 0));
    // No mode of the terminal was changed that would have to be set back.
    assert!(
        !terminal.bytes().contains("\u{1b}[?"),
        "{:?}",
        terminal.bytes()
    );
}

#[test]
fn long_names_and_another_width_break_no_line() {
    let sandbox = Sandbox::with(&with_matrix());
    let mut terminal = Terminal::start(&mut on_terminal(&sandbox, &["run"]), 40, 100);
    terminal.wait_for("a training", is_training);
    for columns in [60, 44, 70, 132] {
        terminal.resize(40, columns);
        // A bar that fills the new width, and nothing of the old picture.
        let text = terminal.wait_for("the new width", |text| {
            let bar = text.lines().last().unwrap_or_default();
            let length = bar.chars().count();
            let is_new = length < usize::from(columns) && length + 25 > usize::from(columns);
            is_new && bar.contains("%") && text.matches("images ").count() <= 2
        });
        let tree: Vec<&str> = text.lines().collect();
        let count = |word: &str| tree.iter().filter(|line| line.contains(word)).count();
        // 4 students and what depends on each, under the 4 stages before them.
        assert_eq!(count("waiting"), 1 + 4 * 4 + 1, "{columns}:\n{text}");
        assert_eq!(count("running"), 1, "{columns}:\n{text}");
        for seen in ["=32]", "=64]"] {
            assert!(text.contains(seen), "{columns}: `{seen}` is not in\n{text}");
        }
    }
}

#[test]
fn where_there_are_fewer_lines_than_stages_those_around_the_running_one_are_shown() {
    let sandbox = Sandbox::with(&endless_teacher());
    let mut terminal = Terminal::start(&mut on_terminal(&sandbox, &["run"]), 8, 100);
    let text = terminal.wait_for("a training", is_training);
    assert!(text.lines().count() <= 7, "{text}");
    assert!(text.contains("stages below: "), "{text}");
    of_stage(&text, "teacher", "running");
    terminal.press_control_c();
    assert_eq!(terminal.end(), Some(1));
}

#[test]
fn a_run_leaves_each_stage_with_what_came_of_it() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let mut terminal = Terminal::start(&mut on_terminal(&sandbox, &["run"]), 24, 100);
    assert_eq!(terminal.end(), Some(0));
    let text = terminal.text();
    assert!(
        of_stage(&text, "images", "done").contains(" s, 80 images"),
        "{text}"
    );
    assert!(
        of_stage(&text, "└ views", "done").contains(" s, 120 views"),
        "{text}"
    );
    assert!(text.ends_with(" s"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    // Green, blue, red: by the terminal's own palette.
    assert!(
        terminal.bytes().contains("\u{1b}[32m"),
        "{:?}",
        terminal.bytes()
    );
}

#[test]
fn a_refused_run_draws_nothing_and_says_why() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    fs_err::remove_file(sandbox.path("digits.parquet")).unwrap();
    let mut terminal = Terminal::start(&mut on_terminal(&sandbox, &["run"]), 24, 200);
    assert_eq!(terminal.end(), Some(2));
    let text = terminal.text();
    assert!(text.starts_with("error: "), "{text}");
    assert!(
        terminal.bytes().contains("\u{1b}[31m"),
        "{:?}",
        terminal.bytes()
    );
}

#[test]
fn colours_obey_the_user_and_a_dumb_terminal_gets_lines() {
    let run = |name: &str, value: &str| {
        let sandbox = Sandbox::with(LIGHT_PIPELINE);
        let mut command = on_terminal(&sandbox, &["run"]);
        command.env(name, value);
        let mut terminal = Terminal::start(&mut command, 24, 100);
        assert_eq!(terminal.end(), Some(0));
        (terminal.bytes(), terminal.text())
    };
    let (bytes, text) = run("NO_COLOR", "1");
    let has_colour = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    assert!(!has_colour.is_match(&bytes), "{bytes:?}");
    assert!(text.contains("└ views"), "{text}");
    let (bytes, text) = run("TERM", "dumb");
    assert!(!bytes.contains('\u{1b}'), "{bytes:?}");
    assert!(text.contains("images  starts  (ingest)"), "{text}");
    let (bytes, _) = run("LANG", "C");
    assert!(bytes.is_ascii(), "{bytes:?}");
    let (bytes, text) = run("TERM", "xterm");
    assert!(
        has_colour.is_match(&bytes) && text.contains("└ views"),
        "{text}"
    );
}

#[test]
fn quiet_is_quiet_on_a_terminal_too() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let mut terminal = Terminal::start(&mut on_terminal(&sandbox, &["run", "-q"]), 24, 100);
    assert_eq!(terminal.end(), Some(0));
    assert_eq!(terminal.bytes(), "");
}

#[test]
fn verbose_tells_kinds_reasons_and_fingerprints_in_the_tree() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let mut terminal = Terminal::start(&mut on_terminal(&sandbox, &["run", "-v"]), 24, 200);
    assert_eq!(terminal.end(), Some(0));
    let text = terminal.text();
    let views = of_stage(&text, "└ views", "done");
    for part in ["augment, ", "fingerprint ", "content ", "never run"] {
        assert!(views.contains(part), "`{part}` is not in\n{text}");
    }
}
