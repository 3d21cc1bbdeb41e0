//! Whether what is written has colours, and which: `NO_COLOR` (none), `CLICOLOR_FORCE` (always),
//! `CLICOLOR=0`, `TERM=dumb` and whether there is a terminal at all decide, in this order.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use console::{Style, measure_text_width};
use seedpipe_base::neutral;

/// What words look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours {
    are_on: bool,
}

impl Colours {
    #[cfg(test)]
    pub const NONE: Colours = Colours { are_on: false };

    pub fn of_stderr() -> Self {
        Self::of(io::stderr().is_terminal())
    }

    pub fn of_stdout() -> Self {
        Self::of(io::stdout().is_terminal())
    }

    fn of(is_terminal: bool) -> Self {
        Colours {
            are_on: are_wanted(|name| env::var_os(name), is_terminal),
        }
    }

    pub fn good(self, text: &str) -> String {
        self.paint(text, Style::new().green().bold())
    }

    pub fn bad(self, text: &str) -> String {
        self.paint(text, Style::new().red().bold())
    }

    pub fn warning(self, text: &str) -> String {
        self.paint(text, Style::new().yellow().bold())
    }

    /// What is at work.
    pub fn active(self, text: &str) -> String {
        self.paint(text, Style::new().cyan().bold())
    }

    /// What was done before.
    pub fn calm(self, text: &str) -> String {
        self.paint(text, Style::new().blue())
    }

    /// What is less important.
    pub fn faint(self, text: &str) -> String {
        self.paint(text, Style::new().dim())
    }

    fn paint(self, text: &str, style: Style) -> String {
        match self.are_on && measure_text_width(text) > 0 {
            true => style.force_styling(true).apply_to(text).to_string(),
            false => text.to_owned(),
        }
    }

    /// A message with its first word, `error:` or `warning:`, and the word `hint:` set off. Nothing
    /// in the text itself steers the terminal.
    pub fn message(self, text: &str) -> String {
        let text = neutral::lines(text);
        if !self.are_on {
            return text.into_owned();
        }
        let lines: Vec<String> = text
            .split('\n')
            .map(|line| self.message_line(line))
            .collect();
        lines.join("\n")
    }

    fn message_line(self, line: &str) -> String {
        for (word, painted) in [
            ("error:", self.bad("error:")),
            ("warning:", self.warning("warning:")),
            ("hint:", self.active("hint:")),
        ] {
            if let Some(rest) = line.strip_prefix(word) {
                return format!("{painted}{rest}");
            }
        }
        line.to_owned()
    }
}

/// Whether a terminal can be drawn on: not one that only writes line after line.
pub fn is_dumb() -> bool {
    env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty())
}

/// Whether what is written may hold other letters than ASCII.
pub fn has_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(env::var_os)
        .find(|value| !value.is_empty());
    set.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn are_wanted(variable: impl Fn(&str) -> Option<std::ffi::OsString>, is_terminal: bool) -> bool {
    let is_set = |name: &str, unless: &str| {
        variable(name).is_some_and(|value| !value.is_empty() && value != OsStr::new(unless))
    };
    if is_set("NO_COLOR", "") {
        return false;
    }
    if is_set("CLICOLOR_FORCE", "0") {
        return true;
    }
    let is_dumb = variable("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    is_terminal && !is_dumb && variable("CLICOLOR").is_none_or(|value| value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(variables: &[(&str, &str)], is_terminal: bool) -> bool {
        let find = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).into())
        };
        are_wanted(find, is_terminal)
    }

    #[test]
    fn no_color_is_stronger_than_force_and_force_than_everything_else() {
        let term = ("TERM", "xterm-256color");
        assert!(wanted(&[term], true));
        assert!(!wanted(&[term], false));
        assert!(!wanted(&[], true));
        assert!(!wanted(&[("TERM", "dumb")], true));
        assert!(!wanted(&[term, ("CLICOLOR", "0")], true));
        assert!(!wanted(&[term, ("NO_COLOR", "1")], true));
        assert!(wanted(&[term, ("NO_COLOR", "")], true));
        assert!(wanted(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!wanted(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!wanted(
            &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
            false
        ));
    }

    #[test]
    fn words_that_say_what_a_message_is_are_set_off() {
        let on = Colours { are_on: true };
        assert_eq!(
            on.message("error: bad\nhint: mend it"),
            "\u{1b}[31m\u{1b}[1merror:\u{1b}[0m bad\n\u{1b}[36m\u{1b}[1mhint:\u{1b}[0m mend it"
        );
        assert_eq!(on.message("no error: here"), "no error: here");
        assert_eq!(Colours::NONE.message("error: bad"), "error: bad");
        for colours in [on, Colours::NONE] {
            assert_eq!(colours.message("`\u{1b}[2J`"), "`\\u{1b}[2J`");
        }
    }
}
