//! Numbers of bytes for people.

/// `17 B`, `1.2 kB`, `3.4 GB`: powers of 1,000.
pub(crate) fn readable(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 999.95 {
            break;
        }
        value /= 1_000.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_change_at_a_thousand() {
        assert_eq!(readable(0), "0 B");
        assert_eq!(readable(999), "999 B");
        assert_eq!(readable(1_000), "1.0 kB");
        assert_eq!(readable(999_960), "1.0 MB");
        assert_eq!(readable(3_449_000_000), "3.4 GB");
    }
}
