//! What a drawn line may be made of: columns, colours, letters. Every line that is drawn ends
//! within the width.

use console::{measure_text_width, truncate_str};
use seedpipe_base::neutral;

use crate::terminal::colours::Colours;

#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns that a line may fill.
    pub width: usize,
    /// Lines that may be drawn.
    pub height: usize,
    pub colours: Colours,
    pub has_unicode: bool,
    pub is_verbose: bool,
}

impl Style {
    /// Where there are so few columns, as much of it as there is room for.
    pub fn ellipsis(&self, columns: usize) -> &'static str {
        match (self.has_unicode, columns) {
            (true, 0) => "",
            (true, _) => "…",
            (false, columns) => &"..."[..columns.min(3)],
        }
    }

    /// The line, cut off where it is too long. Line ends within it become spaces.
    pub fn cut(&self, line: &str) -> String {
        let line = line.replace(['\n', '\r', '\t'], " ");
        truncate_str(&line, self.width, self.ellipsis(self.width)).into_owned()
    }

    /// A name of exactly this many columns. One that is too long loses its middle: names of a
    /// matrix differ in their ends.
    pub fn name(&self, name: &str, columns: usize) -> String {
        let name = &neutral::line(name);
        let length = measure_text_width(name);
        if length <= columns {
            return format!("{name}{}", " ".repeat(columns - length));
        }
        let ellipsis = self.ellipsis(columns);
        let kept = columns.saturating_sub(measure_text_width(ellipsis));
        let letters: Vec<char> = name.chars().collect();
        let (mut head, mut tail) = (String::new(), Vec::new());
        let (mut from, mut to, mut used) = (0, letters.len(), 0);
        while from < to {
            let takes_head = head.chars().count() <= tail.len();
            let letter = if takes_head {
                letters[from]
            } else {
                letters[to - 1]
            };
            let columns = measure_text_width(&letter.to_string());
            if used + columns > kept {
                break;
            }
            used += columns;
            if takes_head {
                head.push(letter);
                from += 1;
            } else {
                tail.push(letter);
                to -= 1;
            }
        }
        let tail: String = tail.into_iter().rev().collect();
        let text = format!("{head}{ellipsis}{tail}");
        let padding = columns.saturating_sub(measure_text_width(&text));
        format!("{text}{}", " ".repeat(padding))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn plain(width: usize, height: usize) -> Style {
        Style {
            width,
            height,
            colours: Colours::NONE,
            has_unicode: true,
            is_verbose: false,
        }
    }

    #[test]
    fn a_name_keeps_its_columns_and_both_of_its_ends() {
        let style = plain(80, 24);
        assert_eq!(style.name("views", 8), "views   ");
        assert_eq!(
            style.name("student[width=0.5,seed=0]", 14),
            "student…eed=0]"
        );
        assert_eq!(style.name("student", 1), "…");
        assert_eq!(
            measure_text_width(&style.name("研究室の長い名前です", 9)),
            9
        );
        let ascii = Style {
            has_unicode: false,
            ..style
        };
        let name = "student[width=0.5,seed=0]";
        assert_eq!(ascii.name(name, 14), "studen...ed=0]");
        assert_eq!(
            (ascii.name(name, 2), style.name(name, 0)),
            ("..".into(), "".into())
        );
    }

    #[test]
    fn a_line_ends_within_the_width_and_stays_one_line() {
        assert_eq!(plain(10, 1).cut("one line\nand another"), "one line …");
    }
}
