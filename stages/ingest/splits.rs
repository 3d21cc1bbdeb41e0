//! What names say of splits, wherever they stand: first folders, a column, tables' files.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Words for splits, in small or capital letters, and the split; those of Hugging Face's
/// `datasets`.
const WORDS: [(&str, &str); 10] = [
    ("train", "train"),
    ("training", "train"),
    ("test", "test"),
    ("testing", "test"),
    ("eval", "test"),
    ("evaluation", "test"),
    ("val", "val"),
    ("valid", "val"),
    ("validation", "val"),
    ("dev", "val"),
];

/// Whether names say splits, where they could also be something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Splits {
    /// Every first folder is a split.
    Folders,
    /// No name says a split.
    None,
}

/// The split that a word means.
pub fn meaning(word: &str) -> Option<&'static str> {
    let word = word.trim();
    let mut words = WORDS.iter();
    let known = words.find(|(known, _)| known.eq_ignore_ascii_case(word));
    known.map(|(_, split)| *split)
}

/// The split that a value of a column or a split's folder names: another word is a split itself.
pub fn named(word: &str) -> &str {
    meaning(word).unwrap_or(word)
}

/// Whether the first folders of an image folder are splits, and what people should know of that.
///
/// By themselves they are where each of them is a word for one: a class may be called `train`, too.
pub fn are_folders_splits<'a>(
    folders: impl Iterator<Item = &'a str> + Clone,
    told: Option<Splits>,
) -> (bool, Option<String>) {
    match told {
        Some(Splits::Folders) => return (true, None),
        Some(Splits::None) => return (false, None),
        None => {}
    }
    let other = folders.clone().find(|name| meaning(name).is_none());
    let words: Vec<String> = folders
        .filter(|name| meaning(name).is_some())
        .map(|name| format!("`{name}`"))
        .collect();
    match other {
        None => (!words.is_empty(), None),
        Some(_) if words.is_empty() => (false, None),
        Some(other) => (
            false,
            Some(format!(
                "a class each is made of the folders called {}, since `{other}` beside them is no split\nhint: `splits: folders` makes each first folder a split, `splits: none` says that none is one",
                words.join(", ")
            )),
        ),
    }
}

/// What a table's path below the source says of its split.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    Split(&'static str),
    /// Words for several; the first.
    Several(&'static str),
    /// No word, but the name that Hugging Face's `datasets` gives to a split's files, such as
    /// `unlabeled-00000-of-00004.parquet`.
    Name(&'a str),
    Nothing,
}

/// The file's name decides before the folders that it is in: `train-00000-of-00001.parquet`,
/// `default/train/0000.parquet`.
pub fn of_table(path: &Path) -> Said<'_> {
    let file = path.file_stem().and_then(|stem| stem.to_str());
    let folders = path.parent().into_iter().flat_map(Path::components).rev();
    let folders = folders.filter_map(|folder| folder.as_os_str().to_str());
    for name in file.into_iter().chain(folders) {
        let words = name.split(|letter: char| !letter.is_alphabetic());
        let mut said = words.filter_map(meaning);
        if let Some(first) = said.next() {
            return match said.all(|other| other == first) {
                true => Said::Split(first),
                false => Said::Several(first),
            };
        }
    }
    file.and_then(name_of_shard)
        .map_or(Said::Nothing, Said::Name)
}

/// `digits` of `digits-00000-of-00002`.
fn name_of_shard(stem: &str) -> Option<&str> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, shard) = rest.rsplit_once('-')?;
    (number(count) && number(shard) && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_splits_in_small_and_capital_letters() {
        for (word, split) in [
            ("TRAIN", Some("train")),
            (" Training ", Some("train")),
            ("testing", Some("test")),
            ("Evaluation", Some("test")),
            ("Valid", Some("val")),
            ("dev", Some("val")),
            ("unlabeled", None),
            ("trains", None),
            ("", None),
        ] {
            assert_eq!(meaning(word), split, "{word}");
        }
        assert_eq!(named("Validation"), "val");
        assert_eq!(named("holdout"), "holdout");
    }

    #[test]
    fn first_folders_are_splits_where_each_is_a_word_for_one() {
        let are = |folders: &[&str], told| {
            let (are, note) = are_folders_splits(folders.iter().copied(), told);
            (are, note.is_some())
        };
        assert_eq!(are(&["Train", "val"], None), (true, false));
        assert_eq!(are(&["valid"], None), (true, false));
        assert_eq!(are(&["bus", "car"], None), (false, false));
        assert_eq!(are(&[], None), (false, false));
        assert_eq!(are(&["bus", "train"], None), (false, true));
        assert_eq!(are(&["bus", "train"], Some(Splits::Folders)), (true, false));
        assert_eq!(are(&["train", "val"], Some(Splits::None)), (false, false));
        let (_, note) = are_folders_splits(["test", "train", "up"].into_iter(), None);
        let note = note.unwrap();
        assert!(
            note.starts_with(
                "a class each is made of the folders called `test`, `train`, since `up`"
            ),
            "{note}"
        );
    }

    #[test]
    fn a_tables_path_says_its_split() {
        for (path, said) in [
            ("test-00000-of-00002.parquet", Said::Split("test")),
            ("validation.parquet", Said::Split("val")),
            ("training-0.pq", Said::Split("train")),
            ("Testing_0.parquet", Said::Split("test")),
            ("cifar10_train2.parquet", Said::Split("train")),
            ("data/train-00000-of-00001.parquet", Said::Split("train")),
            ("default/validation/0000.parquet", Said::Split("val")),
            ("default/partial-train/0000.parquet", Said::Split("train")),
            ("test/train-0.parquet", Said::Split("train")),
            ("train_test.parquet", Said::Several("train")),
            ("train_training.parquet", Said::Split("train")),
            ("unlabeled-00000-of-00004.parquet", Said::Name("unlabeled")),
            ("digits.parquet", Said::Nothing),
            ("0000-of-0001.parquet", Said::Nothing),
            ("latest.parquet", Said::Nothing),
        ] {
            assert_eq!(of_table(Path::new(path)), said, "{path}");
        }
    }
}
