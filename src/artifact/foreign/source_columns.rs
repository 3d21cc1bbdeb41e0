//! Which columns of a user's Parquet hold the images, labels, names and splits. Refusals list the
//! columns that are there.

use std::path::Path;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};

use crate::schema::failure::{self, Result};

/// Names under which an image column is found where several columns could be it.
const IMAGE_NAMES: [&str; 6] = ["image", "img", "jpg", "jpeg", "png", "bytes"];

/// Usual names of the other columns, the likeliest first; capitals, `_`, `-` and spaces don't matter.
const PATH_NAMES: [&str; 7] = [
    "file_name",
    "image",
    "image_path",
    "image_file",
    "file_path",
    "path",
    "file",
];
const LABEL_NAMES: [&str; 9] = [
    "label",
    "labels",
    "class",
    "category",
    "target",
    "fine_label",
    "cls",
    "class_id",
    "label_id",
];
const NAME_NAMES: [&str; 4] = ["label_name", "class_name", "category_name", "fine_name"];
const SPLIT_NAMES: [&str; 1] = ["split"];

/// What an image column may hold.
const IMAGES: &str = "encoded images (binary, or a struct with a binary `bytes`)";

/// The columns that the user names. An image column that is not named is found: the only suitable
/// one, or one called `image`, `img`, `jpg`, `jpeg`, `png` or `bytes`. The others, where not named,
/// are not read. A named image column may also hold text: paths of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceColumns {
    pub image: Option<String>,
    pub label: Option<String>,
    pub label_name: Option<String>,
    pub split: Option<String>,
}

/// Indices into a file's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChosenColumns {
    pub image: usize,
    pub label: Option<usize>,
    pub label_name: Option<usize>,
    pub split: Option<usize>,
}

impl ChosenColumns {
    /// In no order; one that serves twice is there twice.
    pub(crate) fn all(&self) -> Vec<usize> {
        let others = [self.label, self.label_name, self.split];
        others.into_iter().flatten().chain([self.image]).collect()
    }
}

impl SourceColumns {
    /// The columns of usual names and suitable types; an image column is left to be found, unless
    /// there are only paths.
    pub(crate) fn guess(schema: &Schema) -> SourceColumns {
        let find = |names: &[&str], fits: fn(&Field) -> bool| {
            let called = |name: &&str| {
                let mut fields = schema.fields().iter();
                fields.find(|field| folded(field.name()) == folded(name) && fits(field))
            };
            let found = names.iter().find_map(called);
            found.map(|field| field.name().clone())
        };
        let has_images = schema.fields().iter().any(|field| is_image(field));
        SourceColumns {
            image: match has_images {
                true => None,
                false => find(&PATH_NAMES, is_path),
            },
            label: find(&LABEL_NAMES, is_label),
            label_name: find(&NAME_NAMES, is_text),
            split: find(&SPLIT_NAMES, is_text),
        }
    }

    pub(crate) fn choose(&self, path: &Path, schema: &Schema) -> Result<ChosenColumns> {
        let find = |name: &Option<String>, fits: fn(&Field) -> bool, role: &str, expected: &str| {
            let Some(name) = name else { return Ok(None) };
            let Ok(index) = schema.index_of(name) else {
                let found = listing(schema);
                return Err(failure::unexpected(
                    path,
                    format!("{role} column"),
                    format!("`{name}`"),
                    found,
                ));
            };
            let field = schema.field(index);
            if fits(field) {
                return Ok(Some(index));
            }
            let what = format!("{role} column `{name}`");
            Err(failure::unexpected(path, what, expected, field.data_type()))
        };
        let images = format!("{IMAGES}, or their paths (text)");
        let holds_images = |field: &Field| is_image(field) || is_path(field);
        Ok(ChosenColumns {
            image: match find(&self.image, holds_images, "image", &images)? {
                Some(index) => index,
                None => find_image(path, schema)?,
            },
            label: find(&self.label, is_label, "label", "numbers or text")?,
            label_name: find(&self.label_name, is_text, "label name", "text")?,
            split: find(&self.split, is_text, "split", "text")?,
        })
    }
}

fn find_image(path: &Path, schema: &Schema) -> Result<usize> {
    let suitable: Vec<usize> = (0..schema.fields().len())
        .filter(|index| is_image(schema.field(*index)))
        .collect();
    let by_name = || {
        let named = |name: &&str| {
            suitable
                .iter()
                .find(|index| schema.field(**index).name().eq_ignore_ascii_case(name))
        };
        IMAGE_NAMES.iter().find_map(named)
    };
    match suitable[..] {
        [only] => Ok(only),
        [] => Err(failure::unexpected(
            path,
            "image column",
            format!("a column of {IMAGES}"),
            listing(schema),
        )
        .hint(match SourceColumns::guess(schema).image {
            Some(paths) => format!("`image_column: {paths}` reads the files that it names"),
            None => {
                "store the images' files as bytes, or point `source` at a folder of images".into()
            }
        })),
        _ => by_name().copied().ok_or_else(|| {
            let names: Vec<String> = suitable
                .iter()
                .map(|index| format!("`{}`", schema.field(*index).name()))
                .collect();
            failure::unexpected(path, "image column", "one that is named", names.join(", "))
                .hint("name the one that holds the images")
        }),
    }
}

fn listing(schema: &Schema) -> String {
    if schema.fields().is_empty() {
        return "no columns".to_string();
    }
    format!("the columns {}", named(schema.fields().iter()))
}

/// Columns with their types, for people.
pub(crate) fn named<'a>(fields: impl Iterator<Item = &'a FieldRef>) -> String {
    let columns = fields.map(|field| format!("`{}` ({})", field.name(), field.data_type()));
    columns.collect::<Vec<_>>().join(", ")
}

/// A column's name without what people write in several ways.
fn folded(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// The type behind a dictionary.
fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

pub(crate) fn is_binary(data_type: &DataType) -> bool {
    matches!(
        plain(data_type),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

/// Binary, or Hugging Face's struct, whose bytes may all be missing.
pub(crate) fn is_image(field: &Field) -> bool {
    match field.data_type() {
        DataType::Struct(children) => children.iter().any(|child| {
            let held = child.data_type();
            child.name() == "bytes" && (is_binary(held) || *held == DataType::Null)
        }),
        other => is_binary(other),
    }
}

/// Text, or a struct of Hugging Face's without bytes.
fn is_path(field: &Field) -> bool {
    match field.data_type() {
        DataType::Struct(children) => children
            .iter()
            .any(|child| child.name() == "path" && is_text(child)),
        _ => is_text(field),
    }
}

fn is_text(field: &Field) -> bool {
    is_text_type(field.data_type())
}

pub(crate) fn is_text_type(data_type: &DataType) -> bool {
    matches!(
        plain(data_type),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

fn is_label(field: &Field) -> bool {
    let held = plain(field.data_type());
    is_text(field) || held.is_numeric() || *held == DataType::Boolean
}

/// Numbers that may have a fraction: pandas has no other ones where a value is missing.
pub(crate) fn is_fraction(data_type: &DataType) -> bool {
    let held = plain(data_type);
    held.is_numeric() && !held.is_integer()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_usual_names_are_guessed_where_their_types_fit() {
        let schema = Schema::new(vec![
            Field::new("image", DataType::Binary, false),
            Field::new("class", DataType::Int32, true),
            Field::new("label", DataType::Binary, true),
            Field::new("label_name", DataType::Utf8, true),
            Field::new("split", DataType::Int8, true),
        ]);
        let guessed = SourceColumns::guess(&schema);
        assert_eq!(guessed.label.as_deref(), Some("class"));
        assert_eq!(guessed.label_name.as_deref(), Some("label_name"));
        assert_eq!((guessed.image, guessed.split), (None, None));
        let schema = Schema::new(vec![
            Field::new("Image Path", DataType::Utf8, false),
            Field::new("Target", DataType::Float64, true),
            Field::new("className", DataType::Utf8, true),
            Field::new("Split", DataType::Utf8, true),
        ]);
        let guessed = SourceColumns::guess(&schema);
        assert_eq!(guessed.image.as_deref(), Some("Image Path"));
        assert_eq!(guessed.label.as_deref(), Some("Target"));
        assert_eq!(guessed.label_name.as_deref(), Some("className"));
        assert_eq!(guessed.split.as_deref(), Some("Split"));
    }
}
