//! A value as YAML on one line, to paste into a pipeline: `{name: resnet18, stem: cifar}`.

use seedpipe_base::neutral;
use serde_json::Value;

/// Words that YAML takes for something else than text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

pub fn yaml_flow(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", text(key), yaml_flow(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(yaml_flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(string) => text(string),
        Value::Number(number) => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => format!("{whole:.0}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Plain where that is read as text.
fn text(string: &str) -> String {
    let letters = string.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let plain = letters && string.chars().all(rest);
    if plain && !WORDS.contains(&string.to_ascii_lowercase().as_str()) {
        return string.to_owned();
    }
    neutral::yaml(string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_short_and_reads_back_as_the_same_value() {
        let value = json!({
            "name": "resnet18", "width": 2.0, "head": {"hidden": [64, 0.5], "batch_norm": true},
            "odd": ["no", "3x", "a: b", "", "null", "a#b", "ö", "a\u{85}b\u{9b}\u{202e}"], "none": null,
        });
        let line = yaml_flow(&value);
        let short = r#"head: {batch_norm: true, hidden: [64, 0.5]}, name: resnet18"#;
        assert!(line.contains(short), "{line}");
        let read: Value = serde_yaml::from_str(&line).unwrap();
        let plain = |value: &Value| value.to_string().replace("2.0", "2");
        assert_eq!(plain(&read), plain(&value));
    }
}
