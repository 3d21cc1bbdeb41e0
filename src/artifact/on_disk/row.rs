//! Rows of a kind. [`table!`] is where a column stands: its name, type and meaning, and from these
//! the row's field, the schema, writing and reading. A kind's file adds the rules, [`TableRow`].

use arrow::array::{ArrayRef, RecordBatch};
use seedpipe_base::Refusal;

use crate::schema::metadata::Metadata;
use crate::schema::table::Table;

/// How a row lies in columns: written by [`table!`].
pub trait StoredRow: Sized {
    #[doc(hidden)]
    const TABLE: &'static Table;

    /// Bytes of the row's text and binary cells together.
    #[doc(hidden)]
    fn bytes(&self) -> usize;

    #[doc(hidden)]
    fn columns(rows: &[Self]) -> Vec<ArrayRef>;

    /// Appends the rows of a batch.
    #[doc(hidden)]
    fn rows(batch: &RecordBatch, rows: &mut Vec<Self>) -> Result<(), Refusal>;
}

/// A row struct of a kind and the kind's rules. Sealed: only this crate's row structs are.
pub trait TableRow: StoredRow + Send + Sync {
    /// What an error calls a cell of this row.
    #[doc(hidden)]
    fn cell(&self, column: &str) -> String {
        column.to_owned()
    }

    /// What a single row must satisfy.
    #[doc(hidden)]
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// What the rows of an output must satisfy together: a row's key, which must differ from all
    /// others' or be greater than the last.
    #[doc(hidden)]
    fn key(&self) -> RowKey {
        RowKey::None
    }

    #[doc(hidden)]
    fn check_metadata(_metadata: &Metadata) -> Result<(), Refusal> {
        Ok(())
    }
}

/// A row's place among an output's rows.
#[doc(hidden)]
pub enum RowKey {
    None,
    /// Strictly ascending.
    Ascending(u64),
    /// Different from all others.
    Distinct(String),
}

/// Declares a kind's row struct and its columns in their order:
///
/// ```text
/// table! {
///     /// What the kind holds.
///     pub struct ImageRow of IMAGES {
///         /// What the column means.
///         image_id: u32 as Differences,
/// ```
///
/// The first paragraph of a documentation is what `seedpipe` tells people. A type is a
/// [`Column`](crate::schema::column::Column); `as` names a
/// [`Layout`](crate::schema::column::Layout) other than the type's own. For a struct that is
/// declared elsewhere, each column says which place of it is stored: `size: u32 = view.size`.
macro_rules! table {
    (
        $(#[doc = $holds:literal])*
        pub struct $row:ident of $kind:ident {
            $(
                $(#[doc = $meaning:literal])*
                $name:ident: $type:ty $(as $layout:ident)?,
            )+
        }
    ) => {
        $(#[doc = $holds])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $row {
            $(
                $(#[doc = $meaning])*
                pub $name: $type,
            )+
        }

        $crate::on_disk::row::table! {
            $(#[doc = $holds])*
            $row of $kind {
                $($(#[doc = $meaning])* $name: $type $(as $layout)? = $name,)+
            }
        }
    };
    (
        $(#[doc = $holds:literal])*
        $row:ident of $kind:ident {
            $(
                $(#[doc = $meaning:expr])*
                $name:ident: $type:ty $(as $layout:ident)? = $($place:ident).+ $([$index:literal])?,
            )+
        }
    ) => {
        impl $crate::on_disk::row::StoredRow for $row {
            const TABLE: &'static $crate::schema::table::Table = &$crate::schema::table::Table {
                kind: $kind,
                holds: &[$($holds),*],
                columns: |_, _| Ok(vec![$(
                    $crate::schema::table::Declared::new::<$type>(
                        stringify!($name),
                        &[$($meaning),*],
                    )
                    $(.stored($crate::schema::column::Layout::$layout))?
                ),+]),
            };

            fn bytes(&self) -> usize {
                use $crate::schema::column::Column;
                0 $(+ <$type as Column>::bytes(&self.$($place).+ $([$index])?))+
            }

            fn columns(rows: &[Self]) -> Vec<::arrow::array::ArrayRef> {
                use $crate::schema::column::Column;
                vec![$(::std::sync::Arc::new(<$type as Column>::array(
                    rows.iter().map(|row| &row.$($place).+ $([$index])?),
                ))),+]
            }

            fn rows(
                batch: &::arrow::array::RecordBatch,
                rows: &mut Vec<Self>,
            ) -> ::std::result::Result<(), ::seedpipe_base::Refusal> {
                use $crate::on_disk::row::TableRow;
                use $crate::schema::column::{Column, column};
                $(let $name = column::<$type>(batch, stringify!($name));)+
                rows.reserve(batch.num_rows());
                for index in 0..batch.num_rows() {
                    let mut row = Self::default();
                    $(<$type as Column>::read($name, index, &mut row.$($place).+ $([$index])?)
                        .map_err(|wrong| wrong.place(row.cell(stringify!($name))))?;)+
                    rows.push(row);
                }
                Ok(())
            }
        }
    };
}
pub(crate) use table;
