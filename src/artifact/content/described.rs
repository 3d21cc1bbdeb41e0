//! What every kind and column means, for people: as declared.

use std::path::Path;

use crate::schema::metadata::Metadata;
use crate::schema::table::{Table, first_paragraph};
use crate::schema::type_name;
use crate::tables::TABLES;
use crate::tables::embeddings::header::{EmbeddingsHeader, Of, Precision};

/// A kind of artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub kind: &'static str,
    /// What it holds, with the keys of its declared metadata.
    pub holds: String,
    pub columns: Vec<DescribedColumn>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedColumn {
    pub name: String,
    /// As content digests write it: `u32`, `fixed[32]`, `f16[D]`, `?` where it may be null.
    pub type_name: String,
    pub meaning: String,
}

/// Every kind of artifact; the columns of embeddings as of views in f16.
pub fn described() -> Vec<Described> {
    let header = EmbeddingsHeader {
        of: Of::Views,
        precision: Precision::F16,
        dimension: 1,
        normalised: false,
        network: String::new(),
        extra: Metadata::new(),
    };
    let path = Path::new("");
    let columns = |table: &Table| {
        let metadata = header.to_metadata(path)?;
        (table.columns)(path, &metadata)
    };
    let described = TABLES.into_iter().map(|table| Described {
        kind: table.kind,
        holds: first_paragraph(table.holds),
        columns: columns(table)
            .unwrap_or_else(|error| panic!("BUG: an example of metadata is wrong: {error}"))
            .into_iter()
            .map(|column| DescribedColumn {
                name: column.field.name().clone(),
                type_name: type_name(&column.field).replace("f16[1]", "f16[D]"),
                meaning: first_paragraph(column.meaning),
            })
            .collect(),
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{EMBEDDINGS, IMAGES, KINDS};

    #[test]
    fn every_kind_and_column_is_described() {
        let described = described();
        let kinds: Vec<&str> = described.iter().map(|table| table.kind).collect();
        assert_eq!(kinds, KINDS);
        for table in described {
            assert!(table.holds.ends_with('.'), "{table:?}");
            for column in &table.columns {
                assert!(column.meaning.ends_with('.'), "{column:?}");
            }
        }
    }

    #[test]
    fn types_are_told_as_in_content_digests() {
        let described = described();
        let columns = |kind: &str| {
            let table = described.iter().find(|table| table.kind == kind);
            &table.unwrap().columns
        };
        let images = columns(IMAGES);
        assert_eq!(
            (images[1].type_name.as_str(), images[6].type_name.as_str()),
            ("fixed[32]", "i32?")
        );
        assert_eq!(columns(EMBEDDINGS)[1].type_name, "f16[D]");
    }

    #[test]
    fn a_meaning_is_the_first_paragraph_of_the_documentation() {
        let images = &described()[0];
        assert_eq!(
            images.holds,
            "Images as they were found, one a row. An image is known by its digest and its occurrence; ids are for joins within one artifact."
        );
        assert_eq!(images.columns[0].meaning, "Counts from 0.");
    }
}
