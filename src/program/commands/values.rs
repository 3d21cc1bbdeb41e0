//! Values of options: what they may be, and what is said of others.

use std::str::FromStr;
use std::time::Duration;

use seedpipe_engine::GraphFormat;
use seedpipe_stages::deliverable::{Format, Names, Precision};

use crate::init::Template;
use crate::terminal::output::LogFormat;

pub fn template(text: &str) -> Result<Template, String> {
    let known = Template::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| "expected `digits`, `cifar10`, `photos` or `paper`".to_owned())
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

pub fn log_format(text: &str) -> Result<LogFormat, String> {
    let known = LogFormat::ALL
        .into_iter()
        .find(|known| known.name() == text);
    known.ok_or_else(|| "expected `text` or `json`".to_owned())
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

pub fn export_format(text: &str) -> Result<Format, String> {
    let known = Format::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| "expected `safetensors`, `torchscript` or `onnx`".to_owned())
}

pub fn export_precision(text: &str) -> Result<Precision, String> {
    let known = Precision::ALL
        .into_iter()
        .find(|known| known.name() == text);
    known.ok_or_else(|| "expected `fp32`, `fp16` or `int8`".to_owned())
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

pub fn export_names(text: &str) -> Result<Names, String> {
    let known = Names::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| "expected `torchvision` or `timm`".to_owned())
}

pub fn graph_format(text: &str) -> Result<GraphFormat, String> {
    text.parse()
        .map_err(|_| "expected `mermaid`, `dot` or `svg`".to_owned())
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
