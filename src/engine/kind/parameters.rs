//! A stage's `params:` block to its struct and back, with serde's messages taken apart into key, expected and got.

use seedpipe_base::Refusal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::suggestion;

/// Why params were refused. Keys are dotted and inside the params.
#[derive(Debug, PartialEq)]
pub(crate) enum ParameterError {
    Unknown {
        key: String,
        hint: String,
    },
    Missing {
        key: String,
    },
    Wrong {
        key: String,
        message: String,
        hint: Option<String>,
    },
    Invalid(Refusal),
}

/// Reads the struct; an absent block is an empty one.
pub(crate) fn read<S: DeserializeOwned>(params: Value) -> Result<S, ParameterError> {
    serde_path_to_error::deserialize(params).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        take_apart(&path, &error.inner().to_string())
    })
}

/// The struct with every default filled in. NaN and infinity have no JSON and are refused.
pub(crate) fn write<S: Serialize>(params: &S) -> Result<Value, ParameterError> {
    serde_json::to_value(params).map_err(|error| ParameterError::Wrong {
        key: String::new(),
        message: error.to_string(),
        hint: None,
    })
}

/// serde's message as key, expected and got.
fn take_apart(path: &str, message: &str) -> ParameterError {
    if let Some((field, rest)) = quoted_after(message, "unknown field ") {
        let known = all_quoted(rest);
        let hint = suggestion::hint_for(field, "known keys", &known);
        return ParameterError::Unknown {
            key: with_field(path, field),
            hint,
        };
    }
    if let Some((field, _)) = quoted_after(message, "missing field ") {
        return ParameterError::Missing {
            key: with_field(path, field),
        };
    }
    if let Some((variant, rest)) = quoted_after(message, "unknown variant ") {
        let known = all_quoted(rest);
        let message = format!(
            "expected one of {}, got `{variant}`",
            suggestion::list(&known)
        );
        let hint = suggestion::nearest(variant, known.iter().copied())
            .map(|near| format!("did you mean `{near}`?"));
        return ParameterError::Wrong {
            key: path.to_owned(),
            message,
            hint,
        };
    }
    for prefix in ["invalid type: ", "invalid value: ", "invalid length "] {
        let rest = message.strip_prefix(prefix);
        if let Some((got, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) {
            let message = format!("expected {expected}, got {got}");
            return ParameterError::Wrong {
                key: path.to_owned(),
                message,
                hint: None,
            };
        }
    }
    ParameterError::Wrong {
        key: path.to_owned(),
        message: message.to_owned(),
        hint: None,
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

/// The path of the struct, or of the field itself, as serde happens to report it, to the field's path.
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

    fn refused(params: Value) -> ParameterError {
        read::<Params>(params).unwrap_err()
    }

    #[test]
    fn unknown_and_missing_keys_are_named_with_their_path() {
        let unknown = refused(json!({"size": 1, "head": {"hiden": 2}}));
        let hint = "did you mean `hidden`?".to_owned();
        assert_eq!(
            unknown,
            ParameterError::Unknown {
                key: "head.hiden".into(),
                hint
            }
        );
        let top = refused(json!({"siz": 1}));
        let hint = "did you mean `size`?".to_owned();
        assert_eq!(
            top,
            ParameterError::Unknown {
                key: "siz".into(),
                hint
            }
        );
        assert_eq!(
            refused(json!({})),
            ParameterError::Missing { key: "size".into() }
        );
    }

    #[test]
    fn wrong_values_say_expected_and_got() {
        let wrong = refused(json!({"size": "big"}));
        let message = "expected u32, got string \"big\"".to_owned();
        assert_eq!(
            wrong,
            ParameterError::Wrong {
                key: "size".into(),
                message,
                hint: None
            }
        );
        let variant = refused(json!({"size": 1, "filter": "bicubik"}));
        let ParameterError::Wrong { key, message, hint } = variant else {
            panic!("{variant:?}")
        };
        assert_eq!(key, "filter");
        assert_eq!(
            message,
            "expected one of `bilinear`, `bicubic`, got `bicubik`"
        );
        assert_eq!(hint.as_deref(), Some("did you mean `bicubic`?"));
        let negative = refused(json!({"size": -1}));
        assert!(
            matches!(&negative, ParameterError::Wrong { message, .. } if message == "expected u32, got integer `-1`"),
            "{negative:?}"
        );
    }
}
