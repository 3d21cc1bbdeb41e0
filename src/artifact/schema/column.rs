//! How Rust types lie in a column: the Arrow type, and the way there and back.

use arrow::array::{
    Array, ArrowPrimitiveType, BinaryArray, FixedSizeBinaryArray, ListArray, PrimitiveArray,
    RecordBatch, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowNativeType, DataType, Float32Type, Float64Type, Int32Type, Int64Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use seedpipe_base::Refusal;

use crate::schema::element;

/// How a column is stored in Parquet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// By dictionary where that pays, and LZ4.
    Dictionary,
    /// LZ4 without a dictionary: values that hardly repeat.
    Distinct,
    /// Identifiers that only count up, as differences.
    Differences,
    /// Plain and uncompressed, so that a value is where its page says.
    Plain,
    /// [`Layout::Plain`], a value a page: the offset index then holds the position of every value.
    Pages,
}

/// The type of a column's cells.
pub(crate) trait Column {
    /// What a row holds of it; mostly the type itself.
    type Value;
    type Array: Array + 'static;

    const NULLABLE: bool = false;
    const LAYOUT: Layout = Layout::Dictionary;

    fn data_type() -> DataType;

    /// The cells of some rows.
    fn array<'a>(values: impl Iterator<Item = &'a Self::Value> + Clone) -> Self::Array
    where
        Self::Value: 'a;

    /// Sets `value` to the cell of `row`. The error says what was expected and got, not where.
    fn read(array: &Self::Array, row: usize, value: &mut Self::Value) -> Result<(), Refusal>;

    /// Bytes of text or binary in a cell.
    fn bytes(_value: &Self::Value) -> usize {
        0
    }
}

/// A batch's column. The schema was checked when the file was opened, so a wrong name or type is a
/// bug of this crate.
pub(crate) fn column<'a, T: Column>(batch: &'a RecordBatch, name: &str) -> &'a T::Array {
    let column = batch.column_by_name(name);
    column
        .unwrap_or_else(|| panic!("BUG: no column `{name}` was read"))
        .as_any()
        .downcast_ref()
        .unwrap_or_else(|| panic!("BUG: column `{name}` is no {}", T::data_type()))
}

/// A list for each length, of `values` one after the other.
pub(crate) fn list(
    lengths: impl Iterator<Item = usize>,
    values: impl Array + 'static,
) -> ListArray {
    let element = element(values.data_type().clone());
    let offsets = OffsetBuffer::from_lengths(lengths);
    ListArray::new(element, offsets, std::sync::Arc::new(values), None)
}

/// The range of `row`'s elements in a list's values.
pub(crate) fn list_range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}

/// The elements of all of a list's rows.
pub(crate) fn list_values<T: 'static>(list: &ListArray) -> &T {
    let values = list.values();
    values
        .as_any()
        .downcast_ref()
        .unwrap_or_else(|| panic!("BUG: elements of {} are read as others", values.data_type()))
}

/// A number that is stored as it is.
pub(crate) trait NumberColumn: ArrowNativeType {
    type Arrow: ArrowPrimitiveType<Native = Self>;
}

macro_rules! numbers {
    ($($native:ident: $arrow:ident),+ $(,)?) => {
        $(impl NumberColumn for $native {
            type Arrow = $arrow;
        })+
    };
}

numbers! {
    u16: UInt16Type,
    u32: UInt32Type,
    u64: UInt64Type,
    i32: Int32Type,
    i64: Int64Type,
    f32: Float32Type,
    f64: Float64Type,
}

impl<T: NumberColumn> Column for T {
    type Value = T;
    type Array = PrimitiveArray<T::Arrow>;

    fn data_type() -> DataType {
        T::Arrow::DATA_TYPE
    }

    fn array<'a>(values: impl Iterator<Item = &'a T> + Clone) -> Self::Array {
        PrimitiveArray::from_iter_values(values.copied())
    }

    fn read(array: &Self::Array, row: usize, value: &mut T) -> Result<(), Refusal> {
        *value = array.value(row);
        Ok(())
    }
}

impl<T: NumberColumn> Column for Option<T> {
    type Value = Self;
    type Array = PrimitiveArray<T::Arrow>;

    const NULLABLE: bool = true;

    fn data_type() -> DataType {
        T::Arrow::DATA_TYPE
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self> + Clone) -> Self::Array {
        values.copied().collect()
    }

    fn read(array: &Self::Array, row: usize, value: &mut Self) -> Result<(), Refusal> {
        *value = array.is_valid(row).then(|| array.value(row));
        Ok(())
    }
}

impl<T: NumberColumn> Column for Vec<T> {
    type Value = Self;
    type Array = ListArray;

    fn data_type() -> DataType {
        DataType::List(element(T::Arrow::DATA_TYPE))
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self> + Clone) -> ListArray {
        list(values.clone().map(Vec::len), T::array(values.flatten()))
    }

    fn read(array: &ListArray, row: usize, value: &mut Self) -> Result<(), Refusal> {
        let values = list_values::<PrimitiveArray<T::Arrow>>(array).values();
        *value = values[list_range(array, row)].to_vec();
        Ok(())
    }
}

impl Column for String {
    type Value = Self;
    type Array = StringArray;

    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self> + Clone) -> StringArray {
        StringArray::from_iter_values(values)
    }

    fn read(array: &StringArray, row: usize, value: &mut Self) -> Result<(), Refusal> {
        *value = array.value(row).to_owned();
        Ok(())
    }

    fn bytes(value: &Self) -> usize {
        value.len()
    }
}

impl Column for Option<String> {
    type Value = Self;
    type Array = StringArray;

    const NULLABLE: bool = true;

    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self> + Clone) -> StringArray {
        values.map(Option::as_ref).collect()
    }

    fn read(array: &StringArray, row: usize, value: &mut Self) -> Result<(), Refusal> {
        *value = array.is_valid(row).then(|| array.value(row).to_owned());
        Ok(())
    }

    fn bytes(value: &Self) -> usize {
        value.as_ref().map_or(0, String::len)
    }
}

impl Column for Vec<u8> {
    type Value = Self;
    type Array = BinaryArray;

    const LAYOUT: Layout = Layout::Plain;

    fn data_type() -> DataType {
        DataType::Binary
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self> + Clone) -> BinaryArray {
        BinaryArray::from_iter_values(values)
    }

    fn read(array: &BinaryArray, row: usize, value: &mut Self) -> Result<(), Refusal> {
        *value = array.value(row).to_vec();
        Ok(())
    }

    fn bytes(value: &Self) -> usize {
        value.len()
    }
}

impl<const N: usize> Column for [u8; N] {
    type Value = Self;
    type Array = FixedSizeBinaryArray;

    const LAYOUT: Layout = Layout::Distinct;

    fn data_type() -> DataType {
        DataType::FixedSizeBinary(N as i32)
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self> + Clone) -> FixedSizeBinaryArray {
        let bytes: Vec<u8> = values.copied().flatten().collect();
        FixedSizeBinaryArray::new(N as i32, Buffer::from_vec(bytes), None)
    }

    fn read(array: &FixedSizeBinaryArray, row: usize, value: &mut Self) -> Result<(), Refusal> {
        value.copy_from_slice(array.value(row));
        Ok(())
    }
}

/// An enumeration whose values have names.
macro_rules! named {
    (
        $(#[$about:meta])*
        pub enum $type:ident {
            $($(#[$meaning:meta])* $variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$meaning])* $variant,)+
        }

        impl $type {
            /// Of all values.
            pub const NAMES: &[&'static str] = &[$($name),+];

            /// As stored.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use named;

/// Stores a type with `name` and `from_name` by its names; `expected` says which there are.
macro_rules! by_name {
    ($type:ty, $expected:expr) => {
        impl $crate::schema::column::Column for $type {
            type Value = Self;
            type Array = ::arrow::array::StringArray;

            fn data_type() -> ::arrow::datatypes::DataType {
                ::arrow::datatypes::DataType::Utf8
            }

            fn array<'a>(values: impl Iterator<Item = &'a Self> + Clone) -> Self::Array {
                Self::Array::from_iter_values(values.map(|value| value.name()))
            }

            fn read(
                array: &Self::Array,
                row: usize,
                value: &mut Self,
            ) -> ::std::result::Result<(), ::seedpipe_base::Refusal> {
                let name = array.value(row);
                *value = Self::from_name(name).ok_or_else(|| {
                    ::seedpipe_base::Refusal::expected($expected, format!("`{name}`"))
                })?;
                Ok(())
            }
        }
    };
}
pub(crate) use by_name;
