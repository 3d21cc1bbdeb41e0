//! A kind of artifact as it is declared: what it holds, and its columns.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::schema::column::{Column, Layout};
use crate::schema::failure::Result;
use crate::schema::metadata::Metadata;

/// The declaration of a kind. Names, types and nullability of its columns are its identity: a file
/// that differs is refused, and all of them are content.
#[derive(Debug)]
pub struct Table {
    pub(crate) kind: &'static str,
    /// The documentation's lines.
    pub(crate) holds: &'static [&'static str],
    /// Fails where they follow from the metadata, and those are wrong.
    pub(crate) columns: fn(&Path, &Metadata) -> Result<Vec<Declared>>,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Declared {
    pub(crate) field: Field,
    pub(crate) layout: Layout,
    /// The documentation's lines.
    pub(crate) meaning: &'static [&'static str],
}

impl Table {
    pub(crate) fn schema(&self, path: &Path, metadata: &Metadata) -> Result<SchemaRef> {
        Ok(schema_of(&(self.columns)(path, metadata)?))
    }
}

pub(crate) fn schema_of(columns: &[Declared]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|column| column.field.clone()).collect();
    Arc::new(Schema::new(fields))
}

impl Declared {
    pub(crate) fn new<T: Column>(name: &str, meaning: &'static [&'static str]) -> Self {
        Self {
            field: Field::new(name, T::data_type(), T::NULLABLE),
            layout: T::LAYOUT,
            meaning,
        }
    }

    pub(crate) fn stored(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }
}

/// What documentation says first: its lines up to an empty one.
pub(crate) fn first_paragraph(lines: &[&str]) -> String {
    let lines = lines.iter().map(|line| line.trim());
    let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}
