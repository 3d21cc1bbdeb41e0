//! Names as keys: equal ones are one name, and different ones never become one.

use std::collections::BTreeMap;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Names as they were written, each with its composed form (Unicode's NFC), which is the key.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// The name as a key: a letter with an accent is the same, composed (as on Linux) or decomposed
    /// (as on a Mac).
    pub fn key(&mut self, written: &str) -> String {
        if let Some(key) = self.0.get(written) {
            return key.clone();
        }
        let key = composed(written);
        self.0.insert(written.to_owned(), key.clone());
        key
    }

    /// What people should know: which names were joined, and which look alike but were not.
    /// `what`: what the names are of.
    pub fn remarks(&self, what: &str) -> Vec<String> {
        let mut spellings: BTreeMap<&str, usize> = BTreeMap::new();
        for key in self.0.values() {
            *spellings.entry(key).or_default() += 1;
        }
        let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in spellings.keys() {
            let names = alike.entry(appearance(key)).or_default();
            names.push(format!("`{key}`"));
        }
        let joined: Vec<String> = spellings
            .into_iter()
            .filter(|(_, count)| *count > 1)
            .map(|(key, _)| format!("`{key}`"))
            .collect();
        let alike: Vec<String> = alike
            .into_values()
            .filter(|names| names.len() > 1)
            .map(|names| names.join(" and "))
            .collect();
        let mut remarks = Vec::new();
        if !joined.is_empty() {
            remarks.push(format!(
                "one {what} each, though written with composed and with decomposed letters: {}",
                some_of(&joined)
            ));
        }
        if !alike.is_empty() {
            remarks.push(format!(
                "a {what} each, though they differ only in capitals, in spaces or in how letters are stored: {}\nhint: give them one name if they are one",
                some_of(&alike)
            ));
        }
        remarks
    }
}

/// Some of many, for people.
pub fn some_of(all: &[String]) -> String {
    const NAMED: usize = 5;
    let named = all
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().checked_sub(NAMED) {
        None | Some(0) => named,
        Some(more) => format!("{named} and {more} more"),
    }
}

/// Unicode's NFC.
pub fn composed(name: &str) -> String {
    const NFC: ComposingNormalizerBorrowed = ComposingNormalizerBorrowed::new_nfc();
    NFC.normalize(name).into_owned()
}

/// The same for names that people take for one.
fn appearance(name: &str) -> String {
    const NFKC: ComposingNormalizerBorrowed = ComposingNormalizerBorrowed::new_nfkc();
    let is_seen = |letter: &char| {
        !(letter.is_whitespace()
            || letter.is_control()
            || matches!(
                letter,
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
            ))
    };
    let plain = NFKC.normalize(name);
    let seen = plain.chars().filter(is_seen);
    seen.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_names_are_one_and_said_to_be() {
        let mut names = Names::default();
        assert_eq!(names.key("cafe\u{301}"), "caf\u{e9}");
        assert_eq!(names.key("caf\u{e9}"), "caf\u{e9}");
        assert_eq!(names.key("tea"), "tea");
        let remarks = names.remarks("class");
        let expected =
            "one class each, though written with composed and with decomposed letters: `café`";
        assert_eq!(remarks, [expected]);
    }

    #[test]
    fn names_that_look_alike_are_kept_apart_and_told() {
        let mut names = Names::default();
        for name in [
            "Cat",
            "cat",
            "dog",
            "dog ",
            "d\u{200b}og",
            "owl",
            "ｏwl",
            "hen",
        ] {
            assert_eq!(names.key(name), name);
        }
        let remarks = names.remarks("class");
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        let told = "`Cat` and `cat`, `dog` and `dog ` and `d\u{200b}og`, `owl` and `ｏwl`\nhint: ";
        assert!(remarks[0].contains(told), "{remarks:?}");
    }

    #[test]
    fn of_many_names_some_are_told() {
        let many: Vec<String> = (0..7).map(|name| name.to_string()).collect();
        assert_eq!(some_of(&many), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(some_of(&many[..5]), "0, 1, 2, 3, 4");
    }
}
