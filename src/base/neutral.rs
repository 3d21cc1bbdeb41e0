//! Text from others (names of files, folders, classes and columns, what servers say) made harmless
//! for where it goes, a function a destination. Letters that steer what shows them, or that nobody
//! sees, are told by their number, such as `\u{1b}`; so names that differ stay different.
//!
//! Data for programs is exact: [`json`] and [`yaml`] read back as the same text.

use std::borrow::Cow;

/// Whether a letter moves the cursor or colours the rest, turns the direction of writing, ends a
/// line for some readers, or is not seen at all.
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with each letter that `is_told` said in another way.
fn told(text: &str, is_told: impl Fn(char) -> bool, how: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_told) {
        return Cow::Borrowed(text);
    }
    let letters = text.chars().map(|letter| match is_told(letter) {
        true => Cow::Owned(how(letter)),
        false => Cow::Owned(letter.to_string()),
    });
    Cow::Owned(letters.collect::<String>())
}

fn number(letter: char) -> String {
    match letter {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        other => other.escape_unicode().to_string(),
    }
}

/// For a terminal or a log, line by line: lines and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    told(
        text,
        |letter| steers(letter) && !"\n\t".contains(letter),
        number,
    )
}

/// For one line of it: a name in a message, the cell of a table.
pub fn line(text: &str) -> Cow<'_, str> {
    told(text, steers, number)
}

/// For HTML, between tags and within double quotes.
pub fn html(text: &str) -> String {
    lines(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// For an attribute of XML, whose reader takes plain line ends for spaces.
pub fn xml_attribute(text: &str) -> String {
    html(text).replace('\n', "&#10;").replace('\t', "&#9;")
}

/// For Markdown, within a line of text or the cell of a table: nothing of it is markup or HTML.
pub fn markdown(text: &str) -> String {
    let line = line(text);
    let is_in_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let mut written = String::new();
    let mut letters = line.chars().peekable();
    let mut before = None;
    while let Some(letter) = letters.next() {
        // Within a word it is no markup.
        let is_plain = letter == '_' && is_in_word(before) && is_in_word(letters.peek().copied());
        if "\\`*_{}[]<>#|~&!".contains(letter) && !is_plain {
            written.push('\\');
        }
        written.push(letter);
        before = Some(letter);
    }
    written
}

/// For Markdown, as code.
pub fn markdown_code(text: &str) -> String {
    let line = line(text);
    let longest = line.split(|letter| letter != '`').map(str::len).max();
    let fence = "`".repeat(longest.unwrap_or(0) + 1);
    // A table's cells are cut before code is looked for.
    let inner = line.replace('|', "\\|");
    match line.starts_with('`') || line.ends_with('`') {
        true => format!("{fence} {inner} {fence}"),
        false => format!("{fence}{inner}{fence}"),
    }
}

/// For a cell of CSV (RFC 4180). What a spreadsheet would compute is text: a quote comes before it.
pub fn csv(text: &str) -> String {
    cell(text, &[',', '"'])
}

/// For a cell between tabs: as in CSV. A tab in it is told by its name.
pub fn tsv(text: &str) -> String {
    cell(text, &['"'])
}

fn cell(text: &str, quoted: &[char]) -> String {
    let line = line(text);
    let is_formula = line.starts_with(['=', '+', '-', '@']) && line.parse::<f64>().is_err();
    let quote = if is_formula { "'" } else { "" };
    match line.contains(quoted) {
        true => format!("\"{quote}{}\"", line.replace('"', "\"\"")),
        false => format!("{quote}{line}"),
    }
}

/// JSON as a serializer wrote it, with the letters that it leaves and a terminal would obey by
/// their numbers. It reads back as the same value.
pub fn json(written: &str) -> Cow<'_, str> {
    told(
        written,
        |letter| steers(letter) && letter > '\u{7e}',
        |letter| {
            let mut units = [0; 2];
            let units = letter.encode_utf16(&mut units).iter();
            units.map(|unit| format!("\\u{unit:04x}")).collect()
        },
    )
}

/// A text in double quotes, for YAML.
pub fn yaml(text: &str) -> String {
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    let inner = told(&quoted, steers, |letter| match letter {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        other => format!("\\U{:08x}", u32::from(other)),
    });
    format!("\"{inner}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Escapes, a C1 control, a direction, a letter that nobody sees, a line end.
    const HOSTILE: &str = "a\u{1b}[31m\u{9b}2J\u{202e}\u{200b}\nb";

    #[test]
    fn a_terminal_is_steered_by_no_name_and_names_stay_apart() {
        let told = "a\\u{1b}[31m\\u{9b}2J\\u{202e}\\u{200b}";
        assert_eq!(line(HOSTILE), format!("{told}\\nb"));
        assert_eq!(lines(HOSTILE), format!("{told}\nb"));
        for plain in ["Käse 東京 🍎", "a\tb\nc", "e\u{301}"] {
            assert_eq!(lines(plain), plain);
        }
        assert_ne!(line("a\rb"), line("a\nb"));
    }

    #[test]
    fn pages_hold_names_as_text() {
        assert_eq!(
            html("<b \"x\">&\u{202e}"),
            "&lt;b &quot;x&quot;&gt;&amp;\\u{202e}"
        );
        assert_eq!(
            xml_attribute("a\n\"b\"\t\0"),
            "a&#10;&quot;b&quot;&#9;\\u{0}"
        );
        assert_eq!(
            markdown("a|b `c` <img src=x> [d](e) _f_ g_h\n# i"),
            "a\\|b \\`c\\` \\<img src=x\\> \\[d\\](e) \\_f\\_ g_h\\\\n\\# i"
        );
        for (text, code) in [
            ("cat", "`cat`"),
            ("a`b", "``a`b``"),
            ("``", "``` `` ```"),
            ("a|b\nc", "`a\\|b\\nc`"),
        ] {
            assert_eq!(markdown_code(text), code);
        }
    }

    #[test]
    fn spreadsheets_compute_no_name() {
        for (text, cell) in [
            ("cat", "cat"),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("=HYPERLINK(1,2)", "\"'=HYPERLINK(1,2)\""),
            ("@x", "'@x"),
            ("-cat", "'-cat"),
            ("-0.5", "-0.5"),
            ("+1e-3", "+1e-3"),
            ("a\nb", "a\\nb"),
        ] {
            assert_eq!(csv(text), cell);
        }
    }

    #[test]
    fn json_and_yaml_read_back_as_they_were() {
        assert_eq!(
            json("{\"a\":\"\u{9b}\u{e0041}ö\"}"),
            "{\"a\":\"\\u009b\\udb40\\udc41ö\"}"
        );
        assert_eq!(json("[\n  1\n]"), "[\n  1\n]");
        assert_eq!(yaml("a\\\"b\u{85}\n"), "\"a\\\\\\\"b\\U00000085\\n\"");
    }
}
