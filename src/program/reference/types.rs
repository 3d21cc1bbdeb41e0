//! What a key may hold, in words, from its schema.

use serde_json::Value;

use super::markdown::{anchor, code};

/// Values of an enumeration that are listed where it is used; a longer one is only named.
const LISTED: usize = 8;

/// Where definitions are described, seen from the page that refers to them.
pub struct Blocks<'a> {
    definitions: &'a Value,
    /// Path of the page with the definitions, empty on that page itself.
    page: &'static str,
}

impl<'a> Blocks<'a> {
    /// - `definitions`: of the whole schema, by name
    pub fn new(definitions: &'a Value, page: &'static str) -> Self {
        Self { definitions, page }
    }

    /// What a definition says of itself; nothing for none.
    pub fn described(&self, name: Option<&str>) -> &'a str {
        let definition = name.map(|name| &self.definitions[name]);
        let text = definition.and_then(|definition| definition["description"].as_str());
        text.unwrap_or_default()
    }

    /// A key's type: `whole number`, `list of texts`, or a link to the block that it is.
    pub fn type_of(&self, schema: &Value) -> String {
        if let Some(name) = referred(schema) {
            return self.reference(name);
        }
        if let Some(value) = schema.get("const") {
            return code(&written(value));
        }
        if let Some(values) = schema["enum"].as_array() {
            return alternatives(values.iter().map(|value| code(&written(value))));
        }
        if let Some(branches) = schema["anyOf"]
            .as_array()
            .or_else(|| schema["oneOf"].as_array())
        {
            let told = branches
                .iter()
                .filter(|branch| branch["type"] != "null")
                .map(|branch| self.type_of(branch));
            return alternatives(told);
        }
        let names: Vec<&str> = match &schema["type"] {
            Value::String(name) => vec![name.as_str()],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let told = names
            .into_iter()
            .filter(|name| *name != "null")
            .map(|name| self.named(name, schema));
        alternatives(told)
    }

    fn named(&self, name: &str, schema: &Value) -> String {
        match name {
            "integer" => "whole number".to_owned(),
            "string" => "text".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "array" => {
                let of = self.type_of(&schema["items"]);
                let (least, most) = (&schema["minItems"], &schema["maxItems"]);
                match least.as_u64().filter(|_| least == most) {
                    Some(count) => format!("{count} {}", several(&of)),
                    None if of.is_empty() => "list".to_owned(),
                    None => format!("list of {}", several(&of)),
                }
            }
            "object" => match schema.get("additionalProperties") {
                Some(value @ Value::Object(_)) => {
                    format!("mapping of names to {}", several(&self.type_of(value)))
                }
                _ => "mapping".to_owned(),
            },
            other => other.to_owned(),
        }
    }

    /// A definition: the values of an enumeration, else its title, as a link.
    fn reference(&self, name: &str) -> String {
        let title = title(name);
        let target = format!("{}#{}", self.page, anchor(&title));
        let values = values_of(&self.definitions[name]);
        match values.len() {
            1..=LISTED => format!(
                "[{}]({target})",
                alternatives(values.iter().map(|(value, _)| code(value)))
            ),
            _ => format!("[{}]({target})", title.to_lowercase()),
        }
    }
}

/// The definition that a schema is, alone or with a description beside it.
pub fn referred(schema: &Value) -> Option<&str> {
    let path = schema["$ref"].as_str().or_else(|| {
        let all = schema["allOf"].as_array()?;
        all.first()?["$ref"].as_str()
    })?;
    path.rsplit('/').next()
}

/// What a definition's heading says: `TrainingOptions` is `Training options`, `distill.Objective`
/// is `Objective of distill`.
pub fn title(name: &str) -> String {
    let (of, name) = match name.split_once('.') {
        Some((kind, name)) => (format!(" of {kind}"), name),
        None => (String::new(), name),
    };
    let mut title = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !title.is_empty() {
            title.push(' ');
            title.extend(letter.to_lowercase());
        } else {
            title.push(letter);
        }
    }
    title + &of
}

/// The values of an enumeration, each with its description; none for a definition that is something
/// else.
pub fn values_of(definition: &Value) -> Vec<(String, String)> {
    let listed = |schema: &Value| -> Vec<String> {
        let values = schema["enum"].as_array().into_iter().flatten();
        values.chain(schema.get("const")).map(written).collect()
    };
    let described = |schema: &Value| {
        schema["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let branches = match definition["oneOf"].as_array() {
        Some(branches) => branches.iter().collect(),
        None => vec![definition],
    };
    if branches.iter().any(|branch| listed(branch).is_empty()) {
        return Vec::new();
    }
    let told = branches.into_iter().flat_map(|branch| {
        // An enumeration that is its own definition is described as a whole.
        let text = if std::ptr::eq(branch, definition) {
            String::new()
        } else {
            described(branch)
        };
        listed(branch)
            .into_iter()
            .map(move |value| (value, text.clone()))
    });
    told.collect()
}

/// A value as it is written in YAML.
pub fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn alternatives(told: impl Iterator<Item = String>) -> String {
    let told: Vec<String> = told.filter(|text| !text.is_empty()).collect();
    match told.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

fn several(name: &str) -> String {
    match name {
        "whole number" | "number" | "text" | "mapping" | "list" => format!("{name}s"),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_told_in_words() {
        let definitions = json!({
            "Precision": {"description": "Numbers.", "oneOf": [{"enum": ["f32"]}, {"const": "bf16", "description": "Half."}]},
            "TrainingOptions": {"properties": {"epochs": {}}},
            "Storage": {"enum": ["f16", "f32"], "description": "How."},
        });
        let blocks = Blocks::new(&definitions, "blocks.md");
        for (schema, told) in [
            (json!({"type": ["integer", "null"]}), "whole number"),
            (
                json!({"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}),
                "3 numbers",
            ),
            (
                json!({"type": "array", "items": {"type": "string"}}),
                "list of texts",
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": "number"}}),
                "mapping of names to numbers",
            ),
            (
                json!({"$ref": "#/definitions/Precision"}),
                "[`f32` or `bf16`](blocks.md#precision)",
            ),
            (
                json!({"anyOf": [{"allOf": [{"$ref": "#/definitions/TrainingOptions"}]}, {"type": "null"}]}),
                "[training options](blocks.md#training-options)",
            ),
            (
                json!({"anyOf": [{"type": "number"}, {"type": "boolean"}]}),
                "number or `true` or `false`",
            ),
        ] {
            assert_eq!(blocks.type_of(&schema), told);
        }
        let values = values_of(&definitions["Precision"]);
        assert_eq!(values[1], ("bf16".to_owned(), "Half.".to_owned()));
        assert_eq!(
            values_of(&definitions["Storage"])[0],
            ("f16".to_owned(), String::new())
        );
        assert!(values_of(&definitions["TrainingOptions"]).is_empty());
    }

    #[test]
    fn titles_are_words() {
        assert_eq!(title("TrainingOptions"), "Training options");
        assert_eq!(title("distill.Objective"), "Objective of distill");
    }
}
