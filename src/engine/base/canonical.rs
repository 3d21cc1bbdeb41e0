//! The one text of a JSON value: keys sorted, two spaces of indentation, shortest round-trip
//! numbers.
//!
//! Equal values give equal bytes, whatever the order in which keys were written; the text is what a
//! fingerprint hashes and what people read, so that nothing is hashed that cannot be seen.

use serde_json::Value;

/// The canonical text of `value`, ending in a newline.
pub(crate) fn canonical_text(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, 0);
    text.push('\n');
    text
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        // -0.0 equals 0.0, so they must have one spelling.
        Value::Number(number) if number.is_f64() && number.as_f64() == Some(0.0) => {
            text.push_str("0.0");
        }
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => write_string(text, string),
        Value::Array(items) if items.is_empty() => text.push_str("[]"),
        Value::Array(items) if items.iter().all(is_scalar) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_value(text, item, depth);
            }
            text.push(']');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                start_line(text, index, depth + 1);
                write_value(text, item, depth + 1);
            }
            end_block(text, depth, ']');
        }
        Value::Object(entries) if entries.is_empty() => text.push_str("{}"),
        Value::Object(entries) => {
            // Sorted here and not left to the map, whose order depends on a feature that any
            // dependency may switch on.
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|left, right| left.0.cmp(right.0));
            text.push('{');
            for (index, (key, item)) in sorted.into_iter().enumerate() {
                start_line(text, index, depth + 1);
                write_string(text, key);
                text.push_str(": ");
                write_value(text, item, depth + 1);
            }
            end_block(text, depth, '}');
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

fn write_string(text: &mut String, string: &str) {
    text.push_str(&Value::from(string).to_string());
}

fn start_line(text: &mut String, index: usize, depth: usize) {
    text.push_str(if index > 0 { ",\n" } else { "\n" });
    text.extend(std::iter::repeat_n("  ", depth));
}

fn end_block(text: &mut String, depth: usize, bracket: char) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
    text.push(bracket);
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Any JSON value without NaN or infinity, a few levels deep.
    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(|number| Value::from(if number == 0.0 { 0.0 } else { number })),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[a-z\"\\\\]{0,4}", inner), 0..4)
                    .prop_map(|entries| entries.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn reading_the_text_gives_the_value_back(value in any_json()) {
            let read: Value = serde_json::from_str(&canonical_text(&value)).unwrap();
            prop_assert_eq!(read, value);
        }

        #[test]
        fn different_values_have_different_texts(left in any_json(), right in any_json()) {
            prop_assert_eq!(left == right, canonical_text(&left) == canonical_text(&right));
        }

        #[test]
        fn the_order_of_keys_does_not_matter(entries in proptest::collection::btree_map("[a-z]{1,4}", any::<i32>(), 0..6)) {
            let forwards: Value = entries.iter().map(|(key, item)| (key.clone(), Value::from(*item))).collect();
            let backwards: Value = entries.iter().rev().map(|(key, item)| (key.clone(), Value::from(*item))).collect();
            prop_assert_eq!(canonical_text(&forwards), canonical_text(&backwards));
        }
    }

    #[test]
    fn the_text_is_readable() {
        let value = json!({"b": [1, 2.5, "x"], "a": {"z": null, "y": []}, "c": [{"k": -0.0}]});
        let expected = "{\n  \"a\": {\n    \"y\": [],\n    \"z\": null\n  },\n  \"b\": [1, 2.5, \"x\"],\n  \"c\": [\n    {\n      \"k\": 0.0\n    }\n  ]\n}\n";
        assert_eq!(canonical_text(&value), expected);
    }
}
