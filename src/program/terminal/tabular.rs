//! One table in several forms: for people, as CSV (RFC 4180) and as Markdown.

use seedpipe_base::neutral;

use crate::terminal::figures::{self, Side};

/// The forms that are text; JSON is made of the rows themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Aligned,
    Csv,
    Markdown,
}

/// Rows of equal length, the heading first.
pub struct Table {
    pub sides: Vec<Side>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn text(&self, form: Form) -> String {
        match form {
            Form::Aligned => figures::table(&self.sides, &self.rows),
            Form::Csv => self.csv(),
            Form::Markdown => self.markdown(),
        }
    }

    fn csv(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|cell| neutral::csv(cell)).collect();
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = String::new();
        for (position, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| neutral::markdown(cell)).collect();
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
            if position == 0 {
                let rules: Vec<&str> = self
                    .sides
                    .iter()
                    .map(|side| match side {
                        Side::Left => "---",
                        Side::Right => "---:",
                    })
                    .collect();
                text.push_str(&format!("| {} |\n", rules.join(" | ")));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let rows = [["stage", "value"], ["s[a=1,b=2]", "say \"a|b\""]];
        Table {
            sides: vec![Side::Left, Side::Right],
            rows: rows.map(|row| row.map(str::to_owned).to_vec()).to_vec(),
        }
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(
            table().text(Form::Csv),
            "stage,value\n\"s[a=1,b=2]\",\"say \"\"a|b\"\"\"\n"
        );
    }

    #[test]
    fn markdown_escapes_what_would_end_a_cell() {
        assert_eq!(
            table().text(Form::Markdown),
            "| stage | value |\n| --- | ---: |\n| s\\[a=1,b=2\\] | say \"a\\|b\" |\n"
        );
    }
}
