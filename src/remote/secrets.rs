//! Takes credentials out of texts: values of the environment's secret variables, and whatever
//! stands where a URL or a header holds one.

use std::env;

const HIDDEN: &str = "[hidden]";
/// A shorter value would hide parts of ordinary words.
const MINIMAL_CHARACTERS: usize = 6;
/// Variables of these families are secret when their name has one of `SECRET_WORDS`.
const FAMILIES: [&str; 4] = ["AWS_", "AZURE_", "GOOGLE_", "SEEDPIPE_"];
const SECRET_WORDS: [&str; 7] = [
    "KEY",
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "SIGNATURE",
    "SAS",
    "CREDENTIAL",
];
/// What follows one of these up to the next delimiter is a credential.
const MARKERS: [&str; 11] = [
    "sig=",
    "signature=",
    "x-amz-signature=",
    "x-amz-credential=",
    "x-amz-security-token=",
    "bearer ",
    "<awsaccesskeyid>",
    "credential=",
    "token=",
    "password=",
    "secret=",
];

/// What must not be seen.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    values: Vec<String>,
}

impl Secrets {
    /// The values of the environment's secret variables.
    pub fn of_environment() -> Self {
        Self::of(env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let is_secret = |name: &str| {
            FAMILIES.iter().any(|family| name.starts_with(family))
                && SECRET_WORDS.iter().any(|word| name.contains(word))
        };
        let mut values: Vec<String> = variables
            .into_iter()
            .filter(|(name, value)| {
                is_secret(&name.to_uppercase()) && value.len() >= MINIMAL_CHARACTERS
            })
            .flat_map(|(_, value)| [percent_encoded(&value), value])
            .collect();
        // The longest first: one may be part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Secrets { values }
    }

    /// The text without them.
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            text = text.replace(value, HIDDEN);
        }
        for marker in MARKERS {
            text = hide_after(&text, marker);
        }
        hide_user(&text)
    }
}

/// A text as it may be shown, whoever wrote it: without the user and the keys of an address.
pub fn without_credentials(text: &str) -> String {
    Secrets::of_environment().hide(text)
}

/// As in a URL's query.
fn percent_encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn is_delimiter(letter: char) -> bool {
    letter.is_whitespace() || "&\"'`<>(),;".contains(letter)
}

/// Replaces what follows every `marker`, whatever its case, up to a delimiter.
fn hide_after(text: &str, marker: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut shown = String::new();
    let mut position = 0;
    while let Some(found) = lower[position..].find(marker) {
        let start = position + found + marker.len();
        let length = text[start..]
            .find(is_delimiter)
            .unwrap_or(text.len() - start);
        shown.push_str(&text[position..start]);
        if length > 0 {
            shown.push_str(HIDDEN);
        }
        position = start + length;
    }
    shown.push_str(&text[position..]);
    shown
}

/// `scheme://user:password@host` without user and password; without the scheme, or with one that is
/// mistyped, too.
fn hide_user(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(first) = rest.find('@') {
        // The last of several: one may be the password's own.
        let end = rest[first..].find(|letter| is_delimiter(letter) || letter == '/');
        let end = end.map_or(rest.len(), |end| first + end);
        let at = rest[..end].rfind('@').unwrap_or(first);
        let before = &rest[..at];
        let word = before.rfind(is_delimiter).map_or(0, |end| {
            end + before[end..].chars().next().map_or(0, char::len_utf8)
        });
        // Where the user begins, and whether there is one: a password may hold `/`, and so may a
        // path that holds `@`.
        let start = before[word..].find("://").map(|scheme| word + scheme + 3);
        let user = start.unwrap_or(word);
        let colon = before[user..].find(':').map(|colon| user + colon);
        let is_user = start.is_some() && !before[user..].contains('/');
        let hidden = match colon {
            // From its own part of the path on.
            Some(colon) => Some(
                before[user..colon]
                    .rfind('/')
                    .map_or(user, |end| user + end + 1),
            ),
            None => is_user.then_some(user),
        };
        shown.push_str(&before[..hidden.unwrap_or(at)]);
        shown.push_str(hidden.map_or("", |_| HIDDEN));
        shown.push('@');
        rest = &rest[at + 1..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_variables_are_hidden_in_both_spellings() {
        let variables = [
            ("AWS_SECRET_ACCESS_KEY", "wJalr/XUtn+FEMI"),
            ("AWS_REGION", "eu-west-1"),
            ("AZURE_STORAGE_SAS_TOKEN", "sv=2024&st=now"),
            ("AWS_ACCESS_KEY_ID", "x"),
        ];
        let secrets =
            Secrets::of(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(
            secrets.hide("wJalr/XUtn+FEMI wJalr%2FXUtn%2BFEMI eu-west-1 sv=2024&st=now x"),
            "[hidden] [hidden] eu-west-1 [hidden] x"
        );
    }

    #[test]
    fn what_stands_where_a_credential_does_is_hidden() {
        let secrets = Secrets::default();
        for (text, shown) in [
            (
                "GET https://host/x?X-Amz-Signature=ab12&y=1 failed",
                "GET https://host/x?X-Amz-Signature=[hidden]&y=1 failed",
            ),
            ("https://me:secret@host/x", "https://[hidden]@host/x"),
            (
                "<AWSAccessKeyId>AKIA1</AWSAccessKeyId>",
                "<AWSAccessKeyId>[hidden]</AWSAccessKeyId>",
            ),
            (
                "Authorization: Bearer abc.def, more",
                "Authorization: Bearer [hidden], more",
            ),
            ("s3://bucket/a@b", "s3://bucket/a@b"),
            (
                "`https://me:sec/ret@host/x` failed",
                "`https://[hidden]@host/x` failed",
            ),
            ("got https:/me:secret@host", "got [hidden]@host"),
            ("got 'me:secret@host'", "got '[hidden]@host'"),
            ("s3://me@bucket, a@b", "s3://[hidden]@bucket, a@b"),
            ("https://me:se@cret@host/x@y", "https://[hidden]@host/x@y"),
            ("folder/me@host:2024/x", "folder/me@host:2024/x"),
            (
                "/folder/https//me:se/cret@host",
                "/folder/https//[hidden]@host",
            ),
            ("host/x?token=abc&y", "host/x?token=[hidden]&y"),
            ("Ünïcode sig=ü", "Ünïcode sig=[hidden]"),
        ] {
            assert_eq!(secrets.hide(text), shown);
        }
    }
}
