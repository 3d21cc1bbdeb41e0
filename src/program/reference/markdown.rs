//! Markdown as GitHub and mdBook both read it: tables, headings' anchors, text that can't be taken
//! for markup.

use std::fmt::Write;

/// Text for a line or a table's cell: one line, `|` and what looks like HTML escaped outside of
/// code.
pub fn plain(text: &str) -> String {
    let text = text.replace('\n', " ");
    let mut written = String::with_capacity(text.len());
    for (number, part) in text.split('`').enumerate() {
        if number > 0 {
            written.push('`');
        }
        let is_code = number % 2 == 1;
        let part = part.replace('|', "\\|");
        if is_code {
            written.push_str(&part);
        } else {
            written.push_str(&part.replace('<', "&lt;").replace('>', "&gt;"));
        }
    }
    written
}

/// A value or a name as code, in a table as well.
pub fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// A table with its heading; nothing when there are no rows.
///
/// - `rows`: cells as they are written, each row as long as the heading
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        return text;
    }
    push(&mut text, &format!("| {} |", heading.join(" | ")));
    push(&mut text, &format!("|{}", "---|".repeat(heading.len())));
    for row in rows {
        push(&mut text, &format!("| {} |", row.join(" | ")));
    }
    text.push('\n');
    text
}

/// A heading, with the empty line that it needs.
pub fn heading(level: usize, text: &str) -> String {
    format!("{} {text}\n\n", "#".repeat(level))
}

/// A paragraph; nothing for an empty text.
pub fn paragraph(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("{text}\n\n"),
    }
}

fn push(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("BUG: a String can always be written");
}

/// What a heading is called in links: lower case, spaces as `-`, nothing but letters, digits, `-`
/// and `_`.
pub fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_outside_of_code() {
        assert_eq!(
            plain("a|b <c>\nand `d|e <f>`"),
            "a\\|b &lt;c&gt; and `d\\|e <f>`"
        );
    }

    #[test]
    fn tables_have_a_line_a_row() {
        let rows = [vec!["a".to_owned(), "1".to_owned()]];
        assert_eq!(
            table(&["name", "value"], &rows),
            "| name | value |\n|---|---|\n| a | 1 |\n\n"
        );
        assert_eq!(table(&["name"], &[]), "");
    }

    #[test]
    fn anchors_are_those_of_the_book() {
        assert_eq!(anchor("Training options"), "training-options");
        assert_eq!(anchor("`kind: sgd`"), "kind-sgd");
    }
}
