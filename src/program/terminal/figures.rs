//! Numbers and tables as people read them.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

use seedpipe_base::neutral;

pub use seedpipe_base::text::{bytes, count};

/// `0.42 s`, `3.2 s`, `2 min 05 s`, `1 h 02 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    if seconds < 0.995 {
        format!("{seconds:.2} s")
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// An estimate: `under a second`, `about 12 s`, `about 7 min`, `about 3.5 h`, `about 12 days`.
pub fn about(seconds: f64) -> String {
    if seconds < 1.0 {
        "under a second".to_owned()
    } else if seconds < 99.5 {
        format!("about {seconds:.0} s")
    } else if seconds < 99.5 * 60.0 {
        format!("about {:.0} min", seconds / 60.0)
    } else if seconds < 48.0 * 3600.0 {
        format!("about {:.1} h", seconds / 3600.0)
    } else {
        format!("about {} days", count((seconds / 86_400.0).round() as u64))
    }
}

/// A duration that moves, in whole seconds: `0 s`, `12 s`, `2 min 05 s`.
pub fn clock(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{:.0} s", seconds.floor())
    } else {
        duration(seconds.floor())
    }
}

/// `1 fault`, `1,234 faults`.
pub fn counted(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {what}{ending}", count(number))
}

/// Things a second: `0.42`, `12.3`, `1,234`.
pub fn rate(number: f64) -> String {
    if number < 9.995 {
        format!("{number:.2}")
    } else if number < 99.95 {
        format!("{number:.1}")
    } else {
        count(number.round() as u64)
    }
}

/// `0.9120`, `4.0e-5`.
pub fn value(number: f64) -> String {
    if number != 0.0 && number.abs() < 0.001 {
        format!("{number:.1e}")
    } else if number.fract() == 0.0 && (2.0..1e15).contains(&number) {
        count(number as u64) // of images, say
    } else {
        format!("{number:.4}")
    }
}

/// A path without a leading `./`, on one line.
pub fn path(path: &Path) -> String {
    let path = path.strip_prefix("./").unwrap_or(path).display();
    neutral::line(&path.to_string()).into_owned()
}

/// Which side of its column a cell stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Rows in aligned columns, two spaces between, nothing after the last cell; a row is a line.
///
/// - `sides`: one a column; every row has as many cells
pub fn table(sides: &[Side], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<str>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| neutral::line(cell)).collect())
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..sides.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for ((cell, side), &width) in row.iter().zip(sides).zip(&widths) {
            let padded = match side {
                Side::Left => write!(line, "{cell:<width$}  "),
                Side::Right => write!(line, "{cell:>width$}  "),
            };
            padded.expect("BUG: a String can always be written");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_have_no_more_digits_than_they_know() {
        let texts = [0.3, 7.2, 99.0, 100.0, 5_900.0, 7_200.0, 900_000.0].map(about);
        let expected = [
            "under a second",
            "about 7 s",
            "about 99 s",
            "about 2 min",
            "about 98 min",
            "about 2.0 h",
            "about 10 days",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn durations_have_the_unit_that_suits_them() {
        let texts: Vec<String> = [0.004, 0.42, 3.21, 59.94, 60.0, 125.4, 3725.0]
            .map(duration)
            .into();
        assert_eq!(
            texts,
            [
                "0.00 s",
                "0.42 s",
                "3.2 s",
                "59.9 s",
                "1 min 00 s",
                "2 min 05 s",
                "1 h 02 min"
            ]
        );
    }

    #[test]
    fn rates_have_three_digits_or_more() {
        assert_eq!(
            [0.421, 9.999, 42.34, 99.97, 1234.5].map(rate),
            ["0.42", "10.0", "42.3", "100", "1,235"]
        );
    }

    #[test]
    fn bytes_have_decimal_units() {
        let texts = [17, 999, 1000, 4230, 999_960, 1_000_000_000].map(bytes);
        assert_eq!(
            texts,
            ["17 B", "999 B", "1.0 kB", "4.2 kB", "1.0 MB", "1.0 GB"]
        );
    }

    #[test]
    fn small_values_keep_their_digits() {
        let texts = [0.0, 0.912, 12.5, 0.00004, -0.0005].map(value);
        assert_eq!(texts, ["0.0000", "0.9120", "12.5000", "4.0e-5", "-5.0e-4"]);
    }

    #[test]
    fn paths_lose_the_current_folder() {
        let texts = ["./a/b", "../a", "/a", "a"].map(|text| path(Path::new(text)));
        assert_eq!(texts, ["a/b", "../a", "/a", "a"]);
    }

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_last_cell() {
        let rows = [
            vec!["a".into(), "10".into(), "x".into()],
            vec!["l\nng".into(), "9".into(), String::new()],
        ];
        assert_eq!(
            table(&[Side::Left, Side::Right, Side::Left], &rows),
            "a      10  x\nl\\nng   9\n"
        );
    }
}
