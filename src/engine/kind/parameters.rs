//! A stage's `params:` block to its struct and back, with serde's messages taken apart into key,
//! expected and got.

use seedpipe_base::{Refusal, mismatch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use seedpipe_base::suggestion;

// Keys of refusals are dotted and inside the params.

/// Reads the struct of a kind; an absent block is an empty one.
pub(crate) fn read<S: DeserializeOwned>(kind: &str, params: Value) -> Result<S, Refusal> {
    serde_path_to_error::deserialize(params).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        take_apart(kind, &path, &error.inner().to_string())
    })
}

/// The struct with every default filled in. NaN and infinity have no JSON and are refused.
pub(crate) fn write<S: Serialize>(params: &S) -> Result<Value, Refusal> {
    serde_json::to_value(params).map_err(|error| wrong("", &error.to_string()))
}

/// serde's message as key, expected and got.
fn take_apart(kind: &str, path: &str, message: &str) -> Refusal {
    if let Some((field, rest)) = quoted_after(message, "unknown field ") {
        let known = all_quoted(rest);
        return Refusal::new(format!("unknown key of kind `{kind}`"))
            .key(with_field(path, field))
            .hint(suggestion::hint_or_list(field, "known keys", &known));
    }
    if let Some((field, _)) = quoted_after(message, "missing field ") {
        let key = with_field(path, field);
        let hint = format!("add `{key}:` under `params:`");
        return Refusal::new("missing key").key(key).hint(hint);
    }
    if let Some((variant, rest)) = quoted_after(message, "unknown variant ") {
        let known = all_quoted(rest);
        let near = suggestion::hint(variant, known.iter().copied());
        let expected = format!("one of {}", suggestion::list(&known));
        return Refusal::expected(expected, format!("`{variant}`"))
            .key(path)
            .hint_if(near);
    }
    wrong(path, message)
}

fn wrong(key: &str, message: &str) -> Refusal {
    let refusal = mismatch::refusal_of(message).key(key);
    // A message that lists what may be there needs no more.
    match refusal.hint.is_some() || message.contains("expected one of") {
        true => refusal,
        false => refusal.hint("`seedpipe schema` has what each key may be"),
    }
}

/// `prefix` + `` `name` `` + rest.
fn quoted_after<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    message
        .strip_prefix(prefix)?
        .strip_prefix('`')?
        .split_once('`')
}

/// Everything between backticks.
fn all_quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The path of the struct, or of the field itself, as serde happens to report it, to the field's
/// path.
fn with_field(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else if path == field || path.ends_with(&format!(".{field}")) {
        path.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read, to see what serde says")]
    struct Params {
        size: u32,
        #[serde(default)]
        head: Head,
        #[serde(default)]
        filter: Filter,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Head {
        hidden: Option<u32>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Filter {
        #[default]
        Bilinear,
        Bicubic,
    }

    fn refused(params: Value) -> String {
        read::<Params>("example", params).unwrap_err().to_string()
    }

    #[test]
    fn unknown_and_missing_keys_are_named_with_their_path() {
        assert_eq!(
            refused(json!({"size": 1, "head": {"hiden": 2}})),
            "key `head.hiden`: unknown key of kind `example`\nhint: did you mean `hidden`?"
        );
        assert_eq!(
            refused(json!({"siz": 1})),
            "key `siz`: unknown key of kind `example`\nhint: did you mean `size`?"
        );
        assert_eq!(
            refused(json!({})),
            "key `size`: missing key\nhint: add `size:` under `params:`"
        );
    }

    #[test]
    fn wrong_values_say_expected_and_got() {
        assert_eq!(
            refused(json!({"size": "big"})),
            "key `size`: expected a whole number from 0, got the text \"big\"\nhint: `seedpipe schema` has what each key may be"
        );
        assert_eq!(
            refused(json!({"size": 1, "filter": "bicubik"})),
            "key `filter`: expected one of `bilinear`, `bicubic`, got `bicubik`\nhint: did you mean `bicubic`?"
        );
        assert_eq!(
            refused(json!({"size": 1, "filter": "xyz"})),
            "key `filter`: expected one of `bilinear`, `bicubic`, got `xyz`"
        );
        let negative = refused(json!({"size": -1}));
        assert!(
            negative.starts_with(
                "key `size`: expected a whole number from 0 to 4,294,967,295, got -1\n"
            ),
            "{negative}"
        );
    }
}
