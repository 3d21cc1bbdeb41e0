//! Numbers and files' names as text.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole number for people: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes for people: `17 B`, `1.2 kB`, `3.4 GB`, by powers of 1,000.
pub fn bytes(number: u64) -> String {
    let mut size = number as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if size < 999.95 {
            break;
        }
        size /= 1_000.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{number} B")
    } else {
        format!("{size:.1} {unit}")
    }
}

/// How many of a list messages name.
pub const NAMED: usize = 3;

/// The first of a list, and how many more there are.
///
/// - `all`: how many there are; of them `first` has no more than [`NAMED`]
pub fn named(first: &[String], all: usize) -> String {
    let text = first.join(", ");
    match all - first.len() {
        0 => text,
        more => format!("{text} and {} more", count(more as u64)),
    }
}

/// A file's name or path as text from which its bytes can be told.
///
/// Names in UTF-8 are as they are. In others, a byte that is no letter becomes `\xe9`, and `\`
/// becomes `\\`; so it does in the few that already hold such a sign.
pub fn of_name(name: &OsStr) -> String {
    let bytes = name.as_bytes();
    if let Some(text) = name.to_str()
        && !bytes.windows(4).any(is_sign)
    {
        return text.to_owned();
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            write!(text, r"\x{byte:02x}").ok();
        }
    }
    text
}

fn is_sign(bytes: &[u8]) -> bool {
    bytes.starts_with(br"\x") && bytes[2..].iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_list_the_first_are_named() {
        let few = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            [2, 1_002].map(|all| named(&few, all)),
            ["a, b", "a, b and 1,000 more"]
        );
    }

    #[test]
    fn units_change_at_a_thousand() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_000), "1.0 kB");
        assert_eq!(bytes(999_960), "1.0 MB");
        assert_eq!(bytes(3_449_000_000), "3.4 GB");
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
    }

    #[test]
    fn every_name_has_a_text_of_its_own() {
        let cases: [(&[u8], &str); 7] = [
            ("pâté".as_bytes(), "pâté"),
            (b"p\xe2t\xe9", r"p\xe2t\xe9"),
            (b"p\xe2t\xe8", r"p\xe2t\xe8"),
            (br"p\xe2t\xe9", r"p\\xe2t\\xe9"),
            (br"a\b", r"a\b"),
            (b"a\\\xe9", r"a\\\xe9"),
            (b"\xc3", r"\xc3"),
        ];
        for (name, text) in cases {
            assert_eq!(of_name(OsStr::from_bytes(name)), text);
        }
    }
}
