//! The lowest lines of a terminal, drawn again and again in their place. The cursor always stands
//! at the start of the line below them: a program that is killed leaves a prompt that is clean, and
//! nothing has to be set back.

use std::fmt::Write;
use std::io;

use console::{Term, measure_text_width};

use super::run_progress::RunProgress;
use super::style::Style;
use super::tree;
use crate::terminal::colours::{self, Colours};

/// Where the terminal's size is unknown.
const USUAL_SIZE: (u16, u16) = (24, 80);

pub struct Screen {
    terminal: Term,
    colours: Colours,
    /// As drawn last.
    drawn: Vec<String>,
    /// Columns that the terminal had then.
    columns: usize,
}

impl Screen {
    /// On stderr, where it is a terminal that can be drawn on.
    pub fn on_stderr() -> Option<Self> {
        Self::on(Term::stderr(), Colours::of_stderr())
    }

    /// On stdout, where it is a terminal that can be drawn on.
    pub fn on_stdout() -> Option<Self> {
        Self::on(Term::stdout(), Colours::of_stdout())
    }

    fn on(terminal: Term, colours: Colours) -> Option<Self> {
        let can_be_drawn_on = terminal.is_term() && !colours::is_dumb();
        can_be_drawn_on.then_some(Screen {
            terminal,
            colours,
            drawn: Vec::new(),
            columns: 0,
        })
    }

    /// What lines may be made of, as large as the terminal is now.
    pub fn style(&self, is_verbose: bool) -> Style {
        let (rows, columns) = self.terminal.size_checked().unwrap_or(USUAL_SIZE);
        Style {
            // The last column stays free: a letter there makes some terminals begin a new line.
            width: usize::from(columns).saturating_sub(1).max(1),
            // The cursor's line.
            height: usize::from(rows).saturating_sub(1).max(1),
            colours: self.colours,
            has_unicode: colours::has_unicode(),
            is_verbose,
        }
    }

    /// Draws these lines in the place of those before.
    pub fn draw(&mut self, lines: Vec<String>) {
        let columns = self.columns_now();
        if lines == self.drawn && columns == self.columns {
            return;
        }
        let mut text = self.back();
        let is_same = |place: usize, line: &String| {
            columns == self.columns && self.drawn.get(place) == Some(line)
        };
        for (place, line) in lines.iter().enumerate() {
            match is_same(place, line) {
                true => text.push('\n'),
                false => push(&mut text, line),
            }
        }
        text.push_str("\u{1b}[J"); // whatever was below, such as the terminal's `^C`
        (self.drawn, self.columns) = (lines, columns);
        self.write(&text);
    }

    /// Puts lines above, which stay.
    pub fn print(&mut self, text: &str) {
        let mut whole = self.back();
        whole.push_str("\u{1b}[J");
        whole.push_str(text);
        whole.push('\n');
        for line in &self.drawn {
            push(&mut whole, line);
        }
        self.columns = self.columns_now();
        self.write(&whole);
    }

    /// Leaves the whole tree, however long, in place of the drawn lines.
    pub fn leave(&mut self, progress: &RunProgress, is_verbose: bool) {
        self.clear();
        let style = Style {
            height: usize::MAX,
            ..self.style(is_verbose)
        };
        if !progress.stages.is_empty() {
            self.print(&tree::lines(progress, &style).join("\n"));
        }
    }

    /// Takes the drawn lines away.
    pub fn clear(&mut self) {
        if !self.drawn.is_empty() {
            let text = self.back() + "\u{1b}[J";
            self.drawn.clear();
            self.write(&text);
        }
    }

    /// To the start of the first drawn line. A terminal that became narrower has broken lines that
    /// were longer.
    fn back(&self) -> String {
        let columns = self.columns_now().max(1);
        let rows: usize = self
            .drawn
            .iter()
            .map(|line| measure_text_width(line).div_ceil(columns).max(1))
            .sum();
        match rows {
            0 => "\r".to_owned(),
            rows => format!("\r\u{1b}[{rows}A"),
        }
    }

    fn columns_now(&self) -> usize {
        usize::from(self.terminal.size_checked().unwrap_or(USUAL_SIZE).1)
    }

    fn write(&self, text: &str) {
        // A terminal that went away is no reason to stop the work.
        let _: io::Result<()> = self.terminal.write_str(text);
    }
}

/// A line, and nothing of what stood there before.
fn push(text: &mut String, line: &str) {
    writeln!(text, "{line}\u{1b}[K").expect("BUG: a String can always be written");
}
