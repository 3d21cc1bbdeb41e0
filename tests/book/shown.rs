//! What a page shows of an output, held against what came out.
//!
//! `…` stands for anything: alone on a line for any number of lines. What differs from machine to
//! machine and from run to run is not compared: figures with a decimal point, times, sizes in
//! bytes, dates, digests, and how many spaces stand between columns.

use std::sync::LazyLock;

use regex::{Regex, escape};

const ANYTHING: &str = "…";

/// # Errors
/// The first shown line that is nowhere in the output, or that all are there but not in this order.
pub fn check(shown: &[String], output: &str) -> Result<(), String> {
    let lines: Vec<&str> = shown.iter().map(|line| line.trim_end()).collect();
    if lines.iter().all(|line| line.is_empty()) {
        return Ok(());
    }
    let mut pattern = String::from(r"\A");
    for line in &lines {
        if *line == ANYTHING {
            pattern.push_str(r"(?:[^\n]*\n)*");
        } else {
            pattern.push_str(&format!("{}\n", pattern_of(line)));
        }
    }
    pattern.push_str(r"\z");
    let mut text: String = output
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    // Empty lines at the end of a block are for the eye.
    while text.ends_with("\n\n") {
        text.pop();
    }
    if Regex::new(&pattern).unwrap().is_match(&text) {
        return Ok(());
    }
    let missing = lines.iter().find(|line| {
        **line != ANYTHING && {
            let alone = Regex::new(&format!("^{}$", pattern_of(line))).unwrap();
            !text.lines().any(|line| alone.is_match(line))
        }
    });
    Err(match missing {
        Some(line) => format!("the line `{line}` did not come"),
        None => "the lines came in another order, or others came between".to_owned(),
    })
}

/// A shown line as a pattern.
fn pattern_of(line: &str) -> String {
    static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
        let parts = [
            "(?P<any>…)",
            r"(?P<space>\s+)",
            r"(?P<date>\d{4}-\d\d-\d\dT[\d:.]+Z)",
            r"(?P<digest>\b[0-9a-f]{12,64}\b)",
            r"(?P<time>\b\d+\.\d+ s\b|\b\d+ min \d\d s\b)",
            r"(?P<size>\b\d+(?:\.\d+)? (?:B|kB|MB|GB)\b)",
            r"(?P<figure>[-+]?\b\d[\d,]*\.\d+(?:e-?\d+)?)",
        ];
        Regex::new(&parts.join("|")).unwrap()
    });
    let mut pattern = String::new();
    let mut end = 0;
    for found in VARIABLE.captures_iter(line) {
        let whole = found.get(0).unwrap();
        pattern.push_str(&escape(&line[end..whole.start()]));
        end = whole.end();
        let stands_for = |name: &str| found.name(name).is_some();
        pattern.push_str(if stands_for("any") {
            r"[^\n]*"
        } else if stands_for("space") {
            r"\s+"
        } else if stands_for("date") {
            r"\d{4}-\d\d-\d\dT[\d:.]+Z"
        } else if stands_for("digest") {
            "[0-9a-f]{12,64}"
        } else if stands_for("time") {
            r"(?:[\d.]+ s|\d+ min \d\d s)"
        } else if stands_for("size") {
            r"\d+(?:\.\d+)? (?:B|kB|MB|GB)"
        } else {
            r"[-+]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?"
        });
    }
    pattern.push_str(&escape(&line[end..]));
    pattern
}

#[test]
fn shown_lines_stand_for_what_may_come() {
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    for (shown, output) in [
        ("", "anything"),
        ("done  in 1.2 s", "done in 2 min 05 s\n"),
        ("loss 0.9120", "loss 4.0e-5"),
        ("student  91.20 % ± 1.8", "student   100.00 % ± 0.9"),
        ("…\nlast", "first\nsecond\nlast\n\n"),
        ("wrote `a.onnx`, 70.1 kB", "wrote `a.onnx`, 812 B"),
        (
            "images cached 51cf8fc01d2b made …",
            "images  cached  0000000000ff  made today",
        ),
        ("change +12.50 points", "change -3.00 points"),
    ] {
        assert_eq!(check(&lines(shown), output), Ok(()), "{shown}");
    }
    for (shown, output) in [
        ("8 stages", "9 stages"),
        ("one\ntwo", "two\none"),
        ("first", "first\nsecond"),
        ("…\nlast", "last\nmore"),
        ("loss 0.9120", "loss none"),
    ] {
        check(&lines(shown), output).unwrap_err();
    }
}
