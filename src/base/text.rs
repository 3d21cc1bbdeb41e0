//! Numbers as text.

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
}
