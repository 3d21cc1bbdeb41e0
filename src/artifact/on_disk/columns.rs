//! Typed access to a batch's columns. The schema was checked when the file was opened, so a wrong type here is a bug of this crate.

use arrow::array::{
    Array, ArrowPrimitiveType, BinaryArray, FixedSizeBinaryArray, ListArray, PrimitiveArray,
    RecordBatch, StringArray,
};

fn typed<T: 'static>(array: &dyn Array) -> &T {
    array.as_any().downcast_ref().unwrap_or_else(|| {
        panic!(
            "BUG: a column of type {} is read as another",
            array.data_type()
        )
    })
}

pub(crate) fn numbers<T: ArrowPrimitiveType>(
    batch: &RecordBatch,
    column: usize,
) -> &PrimitiveArray<T> {
    typed(batch.column(column))
}

pub(crate) fn texts(batch: &RecordBatch, column: usize) -> &StringArray {
    typed(batch.column(column))
}

pub(crate) fn binaries(batch: &RecordBatch, column: usize) -> &BinaryArray {
    typed(batch.column(column))
}

pub(crate) fn fixed(batch: &RecordBatch, column: usize) -> &FixedSizeBinaryArray {
    typed(batch.column(column))
}

pub(crate) fn lists(batch: &RecordBatch, column: usize) -> &ListArray {
    typed(batch.column(column))
}

/// The elements of a list column, all rows' one after the other from the list's first offset on.
pub(crate) fn list_numbers<T: ArrowPrimitiveType>(list: &ListArray) -> &[T::Native] {
    let values: &PrimitiveArray<T> = typed(list.values());
    values.values()
}

pub(crate) fn list_texts(list: &ListArray) -> &StringArray {
    typed(list.values())
}

/// The range of `row`'s elements in a list's values.
pub(crate) fn list_range(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = list.value_offsets();
    offsets[row] as usize..offsets[row + 1] as usize
}
