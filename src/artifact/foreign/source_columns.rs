//! Which columns of a user's Parquet hold the images, labels, names and splits. Refusals list the
//! columns that are there.

use std::path::Path;

use arrow::datatypes::{DataType, Field, Schema};

use crate::schema::failure::{self, Result};

/// Names under which an image column is found where several columns could be it.
const IMAGE_NAMES: [&str; 6] = ["image", "img", "jpg", "jpeg", "png", "bytes"];

/// Usual names of the other columns, the likeliest first.
const LABEL_NAMES: [&str; 6] = [
    "label",
    "labels",
    "class",
    "category",
    "target",
    "fine_label",
];
const NAME_NAMES: [&str; 4] = ["label_name", "class_name", "category_name", "fine_name"];
const SPLIT_NAMES: [&str; 1] = ["split"];

/// The columns that the user names. An image column that is not named is found: the only suitable
/// one, or one called `image`, `img`, `jpg`, `jpeg`, `png` or `bytes`. The others, where not named,
/// are not read.
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

impl SourceColumns {
    /// The columns of usual names and suitable types; the image column is left to be found.
    pub(crate) fn guess(schema: &Schema) -> SourceColumns {
        let find = |names: &[&str], fits: fn(&Field) -> bool| {
            let field = |name: &&str| schema.field_with_name(name).ok();
            let mut fields = names.iter().filter_map(field);
            let found = fields.find(|field| fits(field));
            found.map(|field| field.name().clone())
        };
        SourceColumns {
            image: None,
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
        let images = "encoded images (binary, or a struct with a binary `bytes`)";
        Ok(ChosenColumns {
            image: match find(&self.image, is_image, "image", images)? {
                Some(index) => index,
                None => find_image(path, schema)?,
            },
            label: find(&self.label, is_label, "label", "integers or text")?,
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
            "a column of encoded images (binary, or a struct with a binary `bytes`)",
            listing(schema),
        )
        .hint("store the images' files as bytes, or point `source` at a folder of images")),
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
    let columns = schema
        .fields()
        .iter()
        .map(|field| format!("`{}` ({})", field.name(), field.data_type()));
    format!("the columns {}", columns.collect::<Vec<_>>().join(", "))
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

pub(crate) fn is_image(field: &Field) -> bool {
    match field.data_type() {
        DataType::Struct(children) => children
            .iter()
            .any(|child| child.name() == "bytes" && is_binary(child.data_type())),
        other => is_binary(other),
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
    is_text(field)
        || plain(field.data_type()).is_integer()
        || *field.data_type() == DataType::Boolean
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
    }
}
