//! What serde says of a value that does not fit, in words: its messages name types of Rust, which
//! no user has to know. With the remedy where the value is nearly right.

use crate::{Refusal, text};

/// The starts of serde's messages on values, which go on with what was found.
const STARTS: [&str; 3] = ["invalid type: ", "invalid value: ", "invalid length "];
/// Words that YAML 1.1 read as truth values, and YAML 1.2 reads as texts.
const TRUE: [&str; 4] = ["true", "yes", "on", "y"];
const FALSE: [&str; 4] = ["false", "no", "off", "n"];

/// What is expected.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    Whole(Option<u64>),
    Signed,
    Number,
    Truth,
    Text,
    List,
    /// In serde's words.
    Other(&'a str),
}

/// A message of serde as a refusal; what is no message on a value stays as it is.
pub fn refusal_of(message: &str) -> Refusal {
    match parts(message) {
        Some((got, wanted)) => {
            let wanted = wanted_of(wanted);
            let expected = wanted.in_words(message);
            Refusal::expected(expected, found(got)).hint_if(remedy(wanted, got))
        }
        None => Refusal::new(message),
    }
}

/// The same on one line, without the remedy.
pub fn in_words(message: &str) -> String {
    refusal_of(message).what()
}

/// What was found and what was expected, in serde's words.
fn parts(message: &str) -> Option<(&str, &str)> {
    let place = message.find(STARTS[0]).or_else(|| {
        let mut starts = STARTS[1..].iter();
        starts.find_map(|start| message.find(start))
    })?;
    let rest = &message[place..];
    let start = STARTS.iter().find(|start| rest.starts_with(**start))?;
    let (got, wanted) = rest[start.len()..].rsplit_once(", expected ")?;
    // Where in the file: lines are told in another way.
    Some((got, wanted.split(" at line ").next().unwrap_or(wanted)))
}

fn wanted_of(wanted: &str) -> Wanted<'_> {
    match wanted {
        "u8" => Wanted::Whole(Some(u8::MAX.into())),
        "u16" => Wanted::Whole(Some(u16::MAX.into())),
        "u32" => Wanted::Whole(Some(u32::MAX.into())),
        "u64" | "usize" | "u128" => Wanted::Whole(None),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => Wanted::Signed,
        "f32" | "f64" => Wanted::Number,
        "a boolean" | "bool" => Wanted::Truth,
        "a string" | "string" | "str" | "a character" | "path string" => Wanted::Text,
        "a sequence" | "sequence" => Wanted::List,
        other => Wanted::Other(other),
    }
}

impl Wanted<'_> {
    fn in_words(self, message: &str) -> String {
        match self {
            // The most is told to who went beyond it.
            Wanted::Whole(Some(most)) if message.contains("invalid value: integer") => {
                format!("a whole number from 0 to {}", text::count(most))
            }
            Wanted::Whole(_) => "a whole number from 0".to_owned(),
            Wanted::Signed => "a whole number".to_owned(),
            Wanted::Number => "a number".to_owned(),
            Wanted::Truth => "`true` or `false`".to_owned(),
            Wanted::Text => "a text".to_owned(),
            Wanted::List => "a list".to_owned(),
            Wanted::Other(other) => other_in_words(other),
        }
    }
}

/// Kinds of values that have names of their own in serde.
fn other_in_words(wanted: &str) -> String {
    let length = wanted
        .split(|letter: char| !letter.is_ascii_digit())
        .find(|digits| !digits.is_empty());
    let starts = |start: &str| wanted.starts_with(start);
    match length {
        Some(length) if starts("a tuple") || starts("tuple") || starts("an array") => {
            format!("a list of {length}")
        }
        Some(length) if starts("struct") => format!("a mapping of {length} keys"),
        _ if starts("a nonzero") => "a whole number from 1".to_owned(),
        _ if starts("struct") || wanted == "a map" || wanted == "map" => "a mapping".to_owned(),
        _ if starts("enum") || starts("variant") || wanted == "string or map" => {
            "a name, or a mapping with one".to_owned()
        }
        _ if starts("unit") => "nothing".to_owned(),
        _ if wanted == "option" => "a value or nothing".to_owned(),
        _ => wanted.to_owned(),
    }
}

/// What was found, as it is called in YAML.
fn found(got: &str) -> String {
    let value = |start: &str| Some(got.strip_prefix(start)?.trim_matches('`'));
    if let Some(text) = got.strip_prefix("string ") {
        return format!("the text {text}");
    }
    if let Some(number) = value("integer ").or_else(|| value("floating point ")) {
        return number.to_owned();
    }
    match got {
        "null" | "unit value" | "Option value" => "nothing".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a mapping".to_owned(),
        _ => match value("boolean ") {
            Some(truth) => format!("`{truth}`"),
            // `3, expected …` of a length
            None if got.parse::<usize>().is_ok() => format!("a list of {got}"),
            None => got.to_owned(),
        },
    }
}

/// How to write what is nearly right.
fn remedy(wanted: Wanted, got: &str) -> Option<String> {
    let inner = |start: &str, quote: char| {
        let inner = got.strip_prefix(start)?.strip_prefix(quote)?;
        inner.strip_suffix(quote)
    };
    let quoted = inner("string ", '"');
    let number = inner("integer ", '`').or_else(|| inner("floating point ", '`'));
    let written = quoted.or(number).map(str::trim)?;
    match wanted {
        Wanted::Whole(most) => {
            let whole = whole(written).filter(|whole| most.is_none_or(|most| *whole <= most))?;
            Some(write(&whole.to_string(), quoted))
        }
        Wanted::Signed => {
            let negative = written.strip_prefix('-');
            let whole = whole(negative.unwrap_or(written))?;
            let sign = negative.map_or("", |_| "-");
            Some(write(&format!("{sign}{whole}"), quoted))
        }
        Wanted::Number => {
            let plain = written.replace('_', "");
            let number: f64 = plain.parse().ok()?;
            number.is_finite().then(|| write(&plain, quoted))
        }
        Wanted::Truth => {
            let lower = written.to_lowercase();
            let is = |words: &[&str], digit| words.contains(&&*lower) || lower == digit;
            let truth = is(&TRUE, "1").then_some("true");
            let truth = truth.or(is(&FALSE, "0").then_some("false"))?;
            Some(write(truth, quoted))
        }
        Wanted::Text => number.map(|number| format!("write \"{number}\", in quotes")),
        Wanted::List => Some(match quoted {
            Some(text) => format!("write [\"{text}\"]"),
            None => format!("write [{written}]"),
        }),
        Wanted::Other(_) => None,
    }
}

/// - `quoted`: the text that was found, which may only lack its quotes
fn write(value: &str, quoted: Option<&str>) -> String {
    match quoted == Some(value) {
        true => format!("write {value}, without quotes"),
        false => format!("write {value}"),
    }
}

/// `040`, `32.0`, `1e5`, `1_000`, `1,000`: a whole number written in another way.
fn whole(written: &str) -> Option<u64> {
    let plain = written.replace(['_', ','], "");
    if let Ok(whole) = plain.parse() {
        return Some(whole);
    }
    // Beyond these a number of 64 bits is not exact.
    let number: f64 = plain.parse().ok()?;
    ((0.0..9e15).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_of_rust_reaches_a_message() {
        for (message, told) in [
            (
                "invalid type: string \"1e-4\", expected u64",
                "expected a whole number from 0, got the text \"1e-4\"",
            ),
            (
                "invalid type: floating point `32.0`, expected usize",
                "expected a whole number from 0, got 32.0\nhint: write 32",
            ),
            (
                "invalid type: floating point `100000.0`, expected u32",
                "expected a whole number from 0, got 100000.0\nhint: write 100000",
            ),
            (
                "invalid type: floating point `0.5`, expected u32",
                "expected a whole number from 0, got 0.5",
            ),
            (
                "invalid type: string \"040\", expected u64",
                "expected a whole number from 0, got the text \"040\"\nhint: write 40",
            ),
            (
                "invalid type: string \"32\", expected u16",
                "expected a whole number from 0, got the text \"32\"\nhint: write 32, without quotes",
            ),
            (
                "invalid type: string \"1_000\", expected u32",
                "expected a whole number from 0, got the text \"1_000\"\nhint: write 1000",
            ),
            (
                "invalid value: integer `70000`, expected u16",
                "expected a whole number from 0 to 65,535, got 70000",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                "expected a whole number from 0 to 4,294,967,295, got -1",
            ),
            (
                "invalid type: string \"-07\", expected i32",
                "expected a whole number, got the text \"-07\"\nhint: write -7",
            ),
            (
                "invalid type: string \"1e-4\", expected f64",
                "expected a number, got the text \"1e-4\"\nhint: write 1e-4, without quotes",
            ),
            (
                "invalid type: string \"nan\", expected f32",
                "expected a number, got the text \"nan\"",
            ),
            (
                "invalid type: boolean `true`, expected f64",
                "expected a number, got `true`",
            ),
            (
                "invalid type: string \"yes\", expected a boolean",
                "expected `true` or `false`, got the text \"yes\"\nhint: write true",
            ),
            (
                "invalid type: string \"Off\", expected a boolean",
                "expected `true` or `false`, got the text \"Off\"\nhint: write false",
            ),
            (
                "invalid type: integer `1`, expected a boolean",
                "expected `true` or `false`, got 1\nhint: write true",
            ),
            (
                "invalid type: integer `5`, expected a string",
                "expected a text, got 5\nhint: write \"5\", in quotes",
            ),
            (
                "invalid type: integer `20`, expected a sequence",
                "expected a list, got 20\nhint: write [20]",
            ),
            (
                "invalid type: null, expected u64",
                "expected a whole number from 0, got nothing",
            ),
            (
                "invalid type: sequence, expected struct Architecture",
                "expected a mapping, got a list",
            ),
            (
                "invalid type: map, expected a string",
                "expected a text, got a mapping",
            ),
            (
                "invalid length 3, expected a tuple of size 2",
                "expected a list of 2, got a list of 3",
            ),
            (
                "invalid length 1, expected an array of length 2",
                "expected a list of 2, got a list of 1",
            ),
            (
                "x.y: invalid type: unit value, expected struct Tolerance at line 3 column 1",
                "expected a mapping, got nothing",
            ),
            ("anything else", "anything else"),
        ] {
            assert_eq!(refusal_of(message).to_string(), told, "{message}");
        }
    }
}
