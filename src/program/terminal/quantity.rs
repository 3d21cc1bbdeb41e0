//! Durations and amounts of bytes on the command line: `30d`, `1h`, `90s`; `10GB`, `1.5GiB`,
//! `4096`.

use std::time::Duration;

const SECONDS: [(&str, f64); 5] = [
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
    ("w", 604_800.0),
];
const BYTES: [(&str, f64); 10] = [
    ("", 1.0),
    ("b", 1.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("kib", 1_024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("tib", 1_099_511_627_776.0),
];

/// A duration with its unit, since a plain number is taken for days by one and for seconds by
/// another; 0 needs none.
///
/// # Errors
/// The message for clap.
pub fn duration(text: &str) -> Result<Duration, String> {
    let known = if text == "0" {
        Some(0.0)
    } else {
        amount(text, &SECONDS)
    };
    known
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a duration such as `90s`, `15min`, `1h`, `30d` or `2w`".to_owned())
}

/// An amount of bytes; `kB`, `MB`, `GB`, `TB` are powers of 1,000, `KiB` … `TiB` of 1,024.
///
/// # Errors
/// The message for clap.
pub fn bytes(text: &str) -> Result<u64, String> {
    amount(text, &BYTES)
        .filter(|bytes| *bytes <= 1e18)
        .map(|bytes| bytes.round() as u64)
        .ok_or_else(|| "expected an amount such as `500MB`, `10GB` or `1.5TiB`".to_owned())
}

fn amount(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let seconds = |text: &str| duration(text).map(|duration| duration.as_secs());
        assert_eq!(
            ["0", "90s", "15min", "1.5h", "30d", "2 w"].map(|text| seconds(text).unwrap()),
            [0, 90, 900, 5_400, 2_592_000, 1_209_600]
        );
        for wrong in [
            "", "90", "d", "-1d", "1 year", "1.2.3d", "1e30w", "nan", "inf",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_have_decimal_and_binary_units() {
        assert_eq!(
            ["4096", "1kB", "10GB", "1.5 GiB", "0"].map(|text| bytes(text).unwrap()),
            [4_096, 1_000, 10_000_000_000, 1_610_612_736, 0]
        );
        for wrong in ["", "GB", "-1", "1XB", "99999999TB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
