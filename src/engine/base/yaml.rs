//! YAML from others: bounded in bytes, nesting and expansion before a value is built, and told with
//! its line when refused.
//!
//! serde_yaml limits nesting and how often aliases are followed, but not what they grow to: one
//! long list and as many aliases of it fit into a small file. So a first pass over the text builds
//! nothing and counts.

use std::cell::{Cell, RefCell};
use std::fmt;

use seedpipe_base::{Refusal, mismatch};
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

/// What a value costs besides its text: about what it takes in memory.
const VALUE_COST: usize = 32;
/// Brackets and braces that may be open at once. serde_yaml's own limit is 128, but libyaml's time
/// grows with the square of it.
const MAXIMAL_OPEN: usize = 512;

/// How much YAML is still believed to be written by people, or by us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct YamlLimits {
    /// Of the text.
    pub bytes: usize,
    /// Of all values, aliases followed.
    pub expanded_bytes: usize,
}

/// pipeline.yaml and `--set`.
pub(crate) const PIPELINE: YamlLimits = YamlLimits {
    bytes: 8 << 20,
    expanded_bytes: 32 << 20,
};
/// pipeline.lock: 10,000 stages take some 20 MB.
pub(crate) const LOCK: YamlLimits = YamlLimits {
    bytes: 64 << 20,
    expanded_bytes: 256 << 20,
};

/// Why a text is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlFault {
    pub line: Option<usize>,
    /// The path of a key that is there twice.
    pub twice: Option<String>,
    pub message: String,
    pub hint: &'static str,
}

const AROUND: &str = "check the indentation and the quotes around that line";

impl fmt::Display for YamlFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        match &self.twice {
            Some(key) => write!(formatter, "expected the key `{key}` once, got it twice"),
            None => formatter.write_str(&self.message),
        }
    }
}

/// The document of a text within limits, merge keys (`<<`) applied.
pub(crate) fn document(text: &str, limits: YamlLimits) -> Result<Yaml, YamlFault> {
    check(text, limits)?;
    let mut document: Yaml = serde_yaml::from_str(text).map_err(|error| fault_of(text, &error))?;
    document
        .apply_merge()
        .map_err(|error| fault_of(text, &error))?;
    Ok(document)
}

/// A value of a type; what it should be is said in words.
pub(crate) fn read<T: DeserializeOwned>(value: &Yaml) -> Result<T, Refusal> {
    serde_yaml::from_value(value.clone()).map_err(|error| mismatch::refusal_of(&error.to_string()))
}

/// The document of a pipeline; what is refused is told with its line.
pub(crate) fn parse(place: &str, text: &str) -> Result<Yaml, Refusal> {
    document(text, PIPELINE).map_err(|fault| {
        let place = match fault.line {
            Some(line) => format!("{place}:{line}"),
            None => place.to_owned(),
        };
        let Some(key) = fault.twice else {
            return Refusal::new(fault.message).place(place).hint(fault.hint);
        };
        match key.strip_prefix("stages.").filter(|key| !key.contains('.')) {
            Some(stage) => Refusal::new("expected one stage of that name, got two")
                .place(place)
                .stage(stage)
                .hint("rename one of them"),
            None => Refusal::new("expected the key once, got it twice")
                .place(place)
                .key(key)
                .hint("remove one of them"),
        }
    })
}

fn fault_of(text: &str, error: &serde_yaml::Error) -> YamlFault {
    let message = error.to_string();
    let line = error.location().map(|location| location.line());
    if let Some(line) = line.filter(|line| is_indented_by_tab(text, *line)) {
        return YamlFault {
            line: Some(line),
            twice: None,
            message: "expected spaces before the text, got a tab".to_owned(),
            hint: "indent with spaces: YAML takes no tabs there",
        };
    }
    let duplicate = message
        .split_once("duplicate entry with key \"")
        .and_then(|(path, rest)| Some((path, rest.split_once('"')?.0)));
    let twice = duplicate.map(|(path, key)| {
        let path = path.trim_end_matches(": ");
        let separator = if path.is_empty() { "" } else { "." };
        format!("{path}{separator}{key}")
    });
    YamlFault {
        line,
        twice,
        message: format!("expected YAML, got something else: {message}"),
        hint: AROUND,
    }
}

/// - `line`: from 1
fn is_indented_by_tab(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or("");
    let indentation = line.len() - line.trim_start().len();
    line[..indentation].contains('\t')
}

/// Counts without building anything.
fn check(text: &str, limits: YamlLimits) -> Result<(), YamlFault> {
    let refuse = |message: String| YamlFault {
        line: None,
        twice: None,
        message,
        hint: AROUND,
    };
    if text.len() > limits.bytes {
        return Err(refuse(format!(
            "expected at most {} bytes, got {}",
            limits.bytes,
            text.len()
        )));
    }
    if most_open(text) > MAXIMAL_OPEN {
        return Err(refuse(format!(
            "expected at most {MAXIMAL_OPEN} brackets inside each other, got more"
        )));
    }
    let left = Cell::new(limits.expanded_bytes);
    let fault = RefCell::new(None);
    let count = Count {
        left: &left,
        fault: &fault,
    };
    match count.deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(()) => Ok(()),
        Err(error) => match fault.take() {
            Some(message) => Err(YamlFault {
                line: error.location().map(|location| location.line()),
                twice: None,
                message,
                hint: AROUND,
            }),
            None => Err(fault_of(text, &error)),
        },
    }
}

/// An upper bound of how many brackets are open at once: those in quotes count too.
fn most_open(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// Looks at a value and everything in it.
#[derive(Clone, Copy)]
struct Count<'a> {
    left: &'a Cell<usize>,
    fault: &'a RefCell<Option<String>>,
}

impl Count<'_> {
    fn take<E: Error>(self, bytes: usize) -> Result<(), E> {
        match self.left.get().checked_sub(VALUE_COST + bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.fail("expected a document that stays small when its aliases are followed, got one that grows too large".to_owned())),
        }
    }

    fn fail<E: Error>(self, message: String) -> E {
        let error = E::custom(&message);
        *self.fault.borrow_mut() = Some(message);
        error
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("plain YAML")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.take(0)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.take(0)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.take(0)
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<(), E> {
        Err(self.fail(format!("expected a number of 64 bits, got `{number}`")))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<(), E> {
        Err(self.fail(format!("expected a number of 64 bits, got `{number}`")))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        if number.is_finite() {
            self.take(0)
        } else {
            Err(self.fail(format!("expected a finite number, got `{number}`")))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.take(text.len())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.take(0)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.take(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.take(0)?;
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.take(0)?;
        while entries.next_key_seed(self)?.is_some() {
            entries.next_value_seed(self)?;
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.fail("expected plain values, got one with a tag (`!…`)".to_owned()))
    }
}

/// A value that an argument holds, as JSON.
///
/// # Errors
/// When it is no YAML, or has no JSON.
pub fn yaml_value(place: &str, text: &str) -> Result<Json, Refusal> {
    to_json(&parse(place, text)?).map_err(|reason| Refusal::new(reason).place(place))
}

/// The same value as JSON. `Err` says what has none: keys that are no text.
pub(crate) fn to_json(value: &Yaml) -> Result<Json, String> {
    Ok(match value {
        Yaml::Null => Json::Null,
        Yaml::Bool(flag) => Json::Bool(*flag),
        Yaml::String(text) => Json::String(text.clone()),
        Yaml::Number(number) => {
            let number = match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(whole), ..) => Some(whole.into()),
                (_, Some(whole), _) => Some(whole.into()),
                (.., Some(number)) => serde_json::Number::from_f64(number),
                _ => None,
            };
            Json::Number(
                number.ok_or_else(|| format!("expected a number, got {}", describe(value)))?,
            )
        }
        Yaml::Sequence(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let mut object = serde_json::Map::new();
            for (key, item) in entries {
                let name = match key {
                    Yaml::String(name) => name.clone(),
                    Yaml::Number(number) => number.to_string(),
                    Yaml::Bool(flag) => flag.to_string(),
                    other => {
                        return Err(format!("expected a name as key, got {}", describe(other)));
                    }
                };
                if object.insert(name.clone(), to_json(item)?).is_some() {
                    return Err(format!("expected the key `{name}` once, got it twice"));
                }
            }
            Json::Object(object)
        }
        Yaml::Tagged(_) => return Err(format!("expected a plain value, got {}", describe(value))),
    })
}

/// A YAML value for a message.
pub(crate) fn describe(value: &Yaml) -> String {
    match value {
        Yaml::Null => "nothing".to_owned(),
        Yaml::Bool(flag) => format!("`{flag}`"),
        Yaml::Number(number) => format!("`{number}`"),
        Yaml::String(text) => format!("the text `{}`", text.chars().take(60).collect::<String>()),
        Yaml::Sequence(items) => format!("a list of {}", items.len()),
        Yaml::Mapping(entries) if entries.is_empty() => "an empty mapping".to_owned(),
        Yaml::Mapping(_) => "a mapping".to_owned(),
        Yaml::Tagged(tagged) => format!("a value with the tag `{}`", tagged.tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        document(text, PIPELINE).unwrap_err().to_string()
    }

    /// A list of `length` and as many aliases of it.
    fn quadratic(item: &str, length: usize, aliases: usize) -> String {
        format!(
            "a: &a [{}]\nb: [{}]\n",
            format!("{item}, ").repeat(length),
            "*a, ".repeat(aliases)
        )
    }

    #[test]
    fn what_aliases_grow_to_is_bounded() {
        assert!(refused(&quadratic("1", 10_000, 10_000)).contains("grows too large"));
        let long = "x".repeat(100_000);
        assert!(refused(&quadratic(&long, 1, 10_000)).contains("grows too large"));
        document(&quadratic("1", 10, 10), PIPELINE).unwrap();
    }

    #[test]
    fn alias_bombs_and_deep_nesting_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let previous = format!("*a{}, ", level - 1).repeat(9);
            bomb.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
        }
        assert!(
            refused(&bomb).contains("repetition limit"),
            "{}",
            refused(&bomb)
        );
        for text in [
            "[".repeat(4 << 20),
            "{a: ".repeat(1 << 20),
            "{".repeat(1 << 20),
        ] {
            assert!(refused(&text).contains("brackets inside each other"));
        }
        for text in ["- ".repeat(100_000), "? ".repeat(100_000), "[".repeat(200)] {
            assert!(
                refused(&text).contains("expected YAML"),
                "{}",
                refused(&text)
            );
        }
        let mut steps = String::new();
        for depth in 0..1_000 {
            steps.push_str(&format!("{}a:\n", " ".repeat(depth)));
        }
        assert!(
            refused(&steps).contains("expected YAML"),
            "{}",
            refused(&steps)
        );
    }

    #[test]
    fn numbers_that_are_none_and_tags_are_refused_with_their_line() {
        for (text, part) in [
            (
                "a: 1\nb: .nan\n",
                "line 2: expected a finite number, got `NaN`",
            ),
            (
                "a: [-.inf]\n",
                "line 1: expected a finite number, got `-inf`",
            ),
            (
                "a: 99999999999999999999999999\n",
                "expected a number of 64 bits",
            ),
            ("a: !secret x\n", "with a tag"),
            ("a: 1\na: 2\n", "expected the key `a` once"),
            ("a: *b\n", "expected YAML"),
            ("a: &a [*a]\n", "expected"),
            ("<<: 1\n", "expected YAML"),
            (
                "a:\n\tb: 1\n",
                "line 2: expected spaces before the text, got a tab",
            ),
            ("a:\n  b: 1\n \tc: 1\n", "got a tab"),
        ] {
            assert!(refused(text).contains(part), "{text:?}: {}", refused(text));
        }
    }

    #[test]
    fn a_long_text_is_not_read() {
        let limits = YamlLimits {
            bytes: 10,
            ..PIPELINE
        };
        assert!(
            document("a: 1234567890", limits)
                .unwrap_err()
                .message
                .contains("at most 10 bytes, got 13")
        );
    }

    #[test]
    fn values_stay_themselves_as_json() {
        let text = "{a: [1, -2, 0.5, 1e3, 18446744073709551615], b: {c: null, 1: true}, d: 'x'}";
        let json = to_json(&document(text, PIPELINE).unwrap()).unwrap();
        let expected = serde_json::json!({"a": [1, -2, 0.5, 1000.0, u64::MAX], "b": {"c": null, "1": true}, "d": "x"});
        assert_eq!(json, expected);
        assert!(
            to_json(&document("{1: a, '1': b}", PIPELINE).unwrap())
                .unwrap_err()
                .contains("once")
        );
        assert!(
            to_json(&document("{[a]: b}", PIPELINE).unwrap())
                .unwrap_err()
                .contains("as key")
        );
    }
}
