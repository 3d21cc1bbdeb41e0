//! The definitions of all kinds in one place: equal ones once. Of one name with several meanings,
//! the one that most kinds have keeps the name; the others are under `kind.name`, with the first
//! kind that has it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

const PREFIX: &str = "#/definitions/";

pub struct Definitions {
    /// (kind, name there) → name among the merged.
    names: BTreeMap<(String, String), String>,
    merged: Map<String, Value>,
}

impl Definitions {
    /// - `kinds`: names and schemas
    pub fn of<'a>(kinds: impl Iterator<Item = (&'a str, &'a Value)>) -> Definitions {
        let kinds: Vec<(&str, &Value)> = kinds.collect();
        // What a name means in a kind, references followed → the kinds in which it means that.
        let mut meanings: BTreeMap<&String, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
        for (kind, schema) in &kinds {
            for (name, _) in definitions(schema) {
                let meaning = meaning(schema, name, &mut Vec::new());
                let of_name = meanings.entry(name).or_default();
                of_name.entry(meaning).or_default().push(kind);
            }
        }
        let mut names = BTreeMap::new();
        for (kind, schema) in &kinds {
            for (name, _) in definitions(schema) {
                let of_name = &meanings[name];
                let meaning = meaning(schema, name, &mut Vec::new());
                let owners = &of_name[&meaning];
                let mut others = of_name.iter().filter(|(other, _)| **other != meaning);
                let merged = match others.all(|(_, others)| others.len() < owners.len()) {
                    true => name.clone(),
                    false => format!("{}.{name}", owners[0]),
                };
                names.insert(((*kind).to_owned(), name.clone()), merged);
            }
        }
        let mut all = Definitions {
            names,
            merged: Map::new(),
        };
        for (kind, schema) in kinds {
            for (name, body) in definitions(schema) {
                let body = all.renamed(kind, body);
                all.merged.insert(all.name(kind, name), body);
            }
        }
        all
    }

    /// A schema of that kind with its references to the merged definitions, and without its own.
    pub fn renamed(&self, kind: &str, schema: &Value) -> Value {
        let mut schema = schema.clone();
        if let Some(entries) = schema.as_object_mut() {
            entries.remove("definitions");
            entries.remove("$schema");
        }
        self.rename(kind, &mut schema);
        schema
    }

    pub fn insert(&mut self, name: &str, schema: Value) {
        self.merged.insert(name.to_owned(), schema);
    }

    pub fn into_value(self) -> Value {
        Value::Object(self.merged)
    }

    fn name(&self, kind: &str, name: &str) -> String {
        let key = (kind.to_owned(), name.to_owned());
        self.names.get(&key).map_or(key.1, String::clone)
    }

    fn rename(&self, kind: &str, schema: &mut Value) {
        match schema {
            Value::Object(entries) => {
                for (key, value) in entries {
                    match value.as_str().and_then(|text| text.strip_prefix(PREFIX)) {
                        Some(name) if key == "$ref" => {
                            *value = Value::from(format!("{PREFIX}{}", self.name(kind, name)));
                        }
                        _ => self.rename(kind, value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(kind, item)),
            _ => {}
        }
    }
}

fn definitions(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["definitions"].as_object().into_iter().flatten()
}

/// A definition as text, with the meanings of what it refers to.
///
/// - `above`: names that are being followed, where a definition holds itself
fn meaning(schema: &Value, name: &str, above: &mut Vec<String>) -> String {
    if above.iter().any(|followed| followed == name) {
        return name.to_owned();
    }
    above.push(name.to_owned());
    let mut body = schema["definitions"][name].clone();
    follow(schema, &mut body, above);
    above.pop();
    body.to_string()
}

fn follow(schema: &Value, body: &mut Value, above: &mut Vec<String>) {
    match body {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value.as_str().and_then(|text| text.strip_prefix(PREFIX)) {
                    Some(name) if key == "$ref" => *value = meaning(schema, name, above).into(),
                    _ => follow(schema, value, above),
                }
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| follow(schema, item, above)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_definitions_are_there_once_and_others_by_kind() {
        let schema = |options: u32| {
            json!({
                "properties": {"a": {"$ref": "#/definitions/Outer"}, "b": {"$ref": "#/definitions/Same"}},
                "definitions": {
                    "Outer": {"properties": {"inner": {"$ref": "#/definitions/Inner"}}},
                    "Inner": {"minimum": options},
                    "Same": {"type": "string"},
                },
            })
        };
        let (one, two) = (schema(1), schema(2));
        let kinds = [("one", &one), ("two", &two), ("three", &two)];
        let definitions = Definitions::of(kinds.into_iter());
        let renamed = definitions.renamed("three", &two);
        assert_eq!(
            renamed,
            json!({"properties": {"a": {"$ref": "#/definitions/Outer"}, "b": {"$ref": "#/definitions/Same"}}})
        );
        let merged = definitions.into_value();
        let names: Vec<&String> = merged.as_object().unwrap().keys().collect();
        assert_eq!(names, ["Inner", "Outer", "Same", "one.Inner", "one.Outer"]);
        assert_eq!(
            merged["one.Outer"]["properties"]["inner"]["$ref"],
            "#/definitions/one.Inner"
        );
        assert_eq!(merged["Inner"]["minimum"], 2);
        // Of two meanings with as many kinds, none is the usual one.
        let tied = Definitions::of([("one", &one), ("two", &two)].into_iter()).into_value();
        let names: Vec<&String> = tied.as_object().unwrap().keys().collect();
        assert_eq!(
            names,
            ["Same", "one.Inner", "one.Outer", "two.Inner", "two.Outer"]
        );
    }
}
