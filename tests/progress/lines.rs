//! Progress where there is no terminal.

use crate::sandbox::{LIGHT_PIPELINE, Sandbox};

#[test]
fn verbose_lines_say_why_a_stage_runs() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    sandbox.run(&["run", "-q"]).succeeded();
    let run = sandbox
        .run(&["run", "-v", "--set", "views.views_per_image=3"])
        .succeeded();
    let starts = run
        .stderr
        .lines()
        .find(|line| line.starts_with("views   starts"));
    let starts = starts.unwrap_or_else(|| panic!("{}", run.stderr));
    assert!(
        starts.starts_with("views   starts  (augment): "),
        "{starts}"
    );
    assert!(starts.contains("views_per_image"), "{starts}");
    assert!(!run.stderr.contains('\u{1b}'), "{}", run.stderr);
}

#[test]
fn colours_can_be_forced_into_a_file() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let mut command = sandbox.command(&["show", "nothing"]);
    command.env("CLICOLOR_FORCE", "1");
    let refused = sandbox.finish(&mut command);
    assert!(
        refused
            .stderr
            .starts_with("\u{1b}[31m\u{1b}[1merror:\u{1b}[0m "),
        "{:?}",
        refused.stderr
    );
    command.env("NO_COLOR", "1");
    let plain = sandbox.finish(&mut command);
    assert!(plain.stderr.starts_with("error: "), "{:?}", plain.stderr);
}
