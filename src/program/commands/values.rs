//! Values of options: what they may be, and what is said of others.

use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use seedpipe_engine::GraphFormat;
use seedpipe_stages::deliverable::{Format, Names, Precision};

use crate::init::Template;
use crate::terminal::output::LogFormat;

/// One of a few words, which the help, messages and shells know.
fn word<T: Copy + Send + Sync + 'static>(
    all: impl IntoIterator<Item = T>,
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let all: Vec<T> = all.into_iter().collect();
    let names = all.iter().map(|known| name(*known));
    PossibleValuesParser::new(names.collect::<Vec<_>>()).try_map(move |text| {
        let known = all.iter().find(|known| name(**known) == text);
        known
            .copied()
            .ok_or("BUG: a word that is not among those known")
    })
}

pub fn template() -> impl TypedValueParser<Value = Template> {
    word(Template::ALL, Template::name)
}

pub fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    word(LogFormat::ALL, LogFormat::name)
}

pub fn export_format() -> impl TypedValueParser<Value = Format> {
    word(Format::ALL, Format::name)
}

pub fn export_precision() -> impl TypedValueParser<Value = Precision> {
    word(Precision::ALL, Precision::name)
}

pub fn export_names() -> impl TypedValueParser<Value = Names> {
    word(Names::ALL, Names::name)
}

pub fn device(text: &str) -> Result<String, String> {
    let known = match text.strip_prefix("cuda:") {
        Some(number) => number.parse::<u32>().is_ok(),
        None => ["auto", "cpu", "cuda"].contains(&text),
    };
    if known {
        Ok(text.to_owned())
    } else {
        Err("expected `auto`, `cpu`, `cuda` or `cuda:N`".to_owned())
    }
}

pub fn seconds(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.trim_end_matches('s').parse().ok();
    number
        .filter(|seconds| (0.05..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected seconds, 0.05 to 86400".to_owned())
}

pub fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.trim_end_matches('%').parse().ok();
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| "expected more than 0 and at most 100".to_owned())
}

pub fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "expected a whole number from 0".to_owned())
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.parse().ok();
    number
        .filter(|count| *count > 0)
        .ok_or_else(|| "expected a whole number above 0".to_owned())
}

/// Images of a contact sheet.
pub fn images_of_sheet(text: &str) -> Result<u32, String> {
    let number: Option<u32> = text.parse().ok();
    number
        .filter(|count| (1..=256).contains(count))
        .ok_or_else(|| "expected a whole number from 1 to 256".to_owned())
}

pub fn graph_format() -> impl TypedValueParser<Value = GraphFormat> {
    word(GraphFormat::ALL, GraphFormat::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_without_words_of_rust() {
        assert_eq!(whole("0"), Ok(0u32));
        for text in ["", "-1", "1.0", "1e3", "99999999999", "x"] {
            let told = whole::<u32>(text).unwrap_err();
            assert_eq!(told, "expected a whole number from 0", "{text}");
            at_least_one("0").unwrap_err();
            images_of_sheet(text).unwrap_err();
        }
    }

    #[test]
    fn devices_are_checked() {
        for good in ["auto", "cpu", "cuda", "cuda:0", "cuda:12"] {
            assert_eq!(device(good).unwrap(), good);
        }
        for bad in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            device(bad).unwrap_err();
        }
    }
}
