//! Makes of a generated schema what people read in an editor: defaults in words, short numbers, no
//! links of rustdoc.

use serde_json::{Map, Value, json};

/// The same schema, better to read.
pub fn tidied(mut schema: Value) -> Value {
    if let Some(entries) = schema.as_object_mut() {
        entries.remove("title");
    }
    tidy(&mut schema);
    schema
}

/// Keys below which names are a user's, each with a schema.
const NAMED: [&str; 2] = ["properties", "definitions"];
/// Keys below which there are values, no schemas.
const VALUES: [&str; 4] = ["default", "enum", "const", "required"];

fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            entries.remove("format"); // names of Rust's types
            tell_default(entries);
            if let Some(Value::String(text)) = entries.get_mut("description") {
                *text = plain(text);
            }
            for (key, value) in entries {
                if NAMED.contains(&key.as_str()) {
                    let schemas = value.as_object_mut().into_iter().flatten();
                    schemas.for_each(|(_, schema)| tidy(schema));
                } else if !VALUES.contains(&key.as_str()) {
                    tidy(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// One paragraph, without rustdoc's links.
fn plain(text: &str) -> String {
    let text = text.replace("[`", "`").replace("`]", "`");
    text.split('\n').collect::<Vec<_>>().join(" ")
}

/// A default that is a single value, or a short list, is told in words; a block's defaults are told
/// at its own keys.
fn tell_default(entries: &mut Map<String, Value>) {
    match entries.get("default").map(short) {
        Some(Value::Null | Value::Object(_)) => {
            entries.remove("default");
        }
        Some(default) => {
            if let Some(Value::String(text)) = entries.get_mut("description")
                && !text.to_lowercase().contains("default")
            {
                let end = if text.ends_with(['.', '!', ')']) {
                    ""
                } else {
                    "."
                };
                let default = match &default {
                    Value::String(word) => word.clone(),
                    other => other.to_string(),
                };
                *text = format!("{text}{end} Default: `{default}`.");
            }
            entries.insert("default".to_owned(), default);
        }
        None => {}
    }
}

/// A number that was an f32 has more digits as an f64 than were written.
fn short(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            let single = number as f32;
            let is_single = f64::from(single) == number;
            let written = if is_single {
                single.to_string().parse().unwrap_or(number)
            } else {
                number
            };
            json!(written)
        }
        Value::Array(items) => items.iter().map(short).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_told_once_and_keys_may_have_any_name() {
        let schema = tidied(json!({
            "title": "Params",
            "properties": {
                "format": {"description": "See [`Format`]\nand more", "type": "string", "default": "onnx"},
                "mean": {"description": "A mean; default: small.", "default": [0.485f32], "format": "float"},
                "block": {"description": "More keys.", "default": {"a": 1}},
                "absent": {"description": "Nothing.", "default": null},
            },
        }));
        let expected = json!({
            "properties": {
                "format": {"description": "See `Format` and more. Default: `onnx`.", "type": "string", "default": "onnx"},
                "mean": {"description": "A mean; default: small.", "default": [0.485]},
                "block": {"description": "More keys."},
                "absent": {"description": "Nothing."},
            },
        });
        assert_eq!(schema, expected);
    }
}
