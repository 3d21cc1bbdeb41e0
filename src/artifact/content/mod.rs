//! The logical content digest of an output: equal exactly when schema, declared metadata and every
//! cell are equal. Parts, row groups, pages, dictionaries, encodings and compression do not matter.
//!
//! # Byte form
//!
//! All integers are little-endian. The content digest is BLAKE3 in key-derivation mode, context
//! `seedpipe content v1`, over
//!
//! 1. the schema: its length in bytes (u64), then `{"columns":[[NAME,TYPE],…],"metadata":{…}}`,
//!    JSON without white space; types as [`crate::schema::type_name`] writes them (`?` marks what
//!    may be null), metadata with `kind`, keys sorted by their bytes;
//! 2. the number of rows (u64);
//! 3. for each column in the schema's order, for each block of 65,536 rows by global row number
//!    (the last may be shorter), for each of the column's streams: the BLAKE3 (plain mode) of the
//!    stream's bytes in that block, 32 bytes.
//!
//! The streams of a column follow from its type, outermost first:
//!
//! - a column that may be null: *validity*, one byte a row, 1 for a value and 0 for null; what
//!   follows then holds the rows with a value only;
//! - numbers: *values*, each in its own width as stored (the bits of −0.0 and of a NaN are kept);
//! - `fixed[N]`: *values*, N bytes each;
//! - `utf8`, `binary`: *lengths* in bytes, u64 each, then *values*, one after the other;
//! - `list<T>`: *lengths* in elements, u64 each, then the streams of all elements as a column of
//!   type T;
//! - `T[N]`: the streams of all elements as a column of type T.
//!
//! Blocks are what makes the digest parallel, and its memory bounded: a batch of rows a thread.

pub(crate) mod codec;
pub(crate) mod compare;
pub(crate) mod described;
pub(crate) mod show;
pub(crate) mod summary;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field};
use rayon::prelude::*;

use crate::on_disk::part::Part;
use crate::on_disk::parts::PartList;
use crate::schema::failure::Result;
use crate::schema::metadata::canonical;
use crate::schema::{EMBEDDINGS, type_name};
use crate::tables::embeddings;
use crate::tables::embeddings::header::{EMBEDDING, EmbeddingsHeader};

const CONTEXT: &str = "seedpipe content v1";
const BLOCK_ROWS: usize = 65_536;
/// BLAKE3 is faster on several threads from about here.
const PARALLEL_BYTES: usize = 1 << 20;

/// The content digest of an output.
pub(crate) fn content_digest(parts: &PartList) -> Result<[u8; 32]> {
    let fields = parts.first().schema().fields().clone();
    let blocks = parts.rows().div_ceil(BLOCK_ROWS);
    let jobs: Vec<(usize, usize)> = (0..fields.len())
        .flat_map(|column| (0..blocks).map(move |block| (column, block)))
        .collect();
    let digests: Vec<Vec<[u8; 32]>> = jobs
        .into_par_iter()
        .map(|(column, block)| block_digests(parts, column, block))
        .collect::<Result<_>>()?;

    let columns: Vec<[String; 2]> = fields
        .iter()
        .map(|field| [field.name().clone(), type_name(field)])
        .collect();
    let columns = serde_json::to_string(&columns).expect("BUG: strings are always JSON");
    let metadata = canonical(parts.first().kind(), parts.metadata());
    let schema = format!(r#"{{"columns":{columns},"metadata":{metadata}}}"#);
    let mut whole = blake3::Hasher::new_derive_key(CONTEXT);
    whole.update(&(schema.len() as u64).to_le_bytes());
    whole.update(schema.as_bytes());
    whole.update(&(parts.rows() as u64).to_le_bytes());
    for digest in digests.iter().flatten() {
        whole.update(digest);
    }
    Ok(*whole.finalize().as_bytes())
}

/// The digests of a column's streams in one block.
fn block_digests(parts: &PartList, column: usize, block: usize) -> Result<Vec<[u8; 32]>> {
    let rows = block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(parts.rows());
    let mut streams = Streams::of(parts.first().schema().field(column));
    for (part, within) in parts.spans(rows)? {
        let part = parts.part(part);
        if let Some(header) = plain_vectors(part, column)? {
            embeddings::vectors(part, &header)
                .visit(within, |values| update(&mut streams.hashers[0], values))?;
            continue;
        }
        for batch in part.batches(within, &[column])? {
            let batch = batch?;
            streams.feed(parts.first().schema().field(column), batch.column(0));
        }
    }
    Ok(streams
        .hashers
        .iter()
        .map(|hasher| *hasher.finalize().as_bytes())
        .collect())
}

/// The header, where the column is that of the vectors: its values are then hashed as they lie in
/// the file.
fn plain_vectors(part: &Part, column: usize) -> Result<Option<EmbeddingsHeader>> {
    if part.kind() != EMBEDDINGS || part.schema().field(column).name() != EMBEDDING {
        return Ok(None);
    }
    EmbeddingsHeader::from_metadata(part.path(), part.metadata()).map(Some)
}

fn update(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    if bytes.len() >= PARALLEL_BYTES {
        hasher.update_rayon(bytes);
    } else {
        hasher.update(bytes);
    }
}

/// A hasher for each stream of a column.
struct Streams {
    hashers: Vec<blake3::Hasher>,
}

impl Streams {
    fn of(field: &Field) -> Self {
        Self {
            hashers: vec![blake3::Hasher::new(); stream_count(field)],
        }
    }

    fn feed(&mut self, field: &Field, array: &ArrayRef) {
        feed(field, array, &mut self.hashers);
    }
}

fn stream_count(field: &Field) -> usize {
    let own = match field.data_type() {
        DataType::Utf8 | DataType::Binary => 2,
        DataType::List(element) => 1 + stream_count(element),
        DataType::FixedSizeList(element, _) => stream_count(element),
        _ => 1,
    };
    usize::from(field.is_nullable()) + own
}

fn feed(field: &Field, array: &ArrayRef, hashers: &mut [blake3::Hasher]) {
    if !field.is_nullable() {
        return feed_values(array, hashers);
    }
    let (validity, hashers) = hashers
        .split_first_mut()
        .expect("BUG: a nullable column has a validity stream");
    let valid: Vec<bool> = (0..array.len()).map(|row| array.is_valid(row)).collect();
    update(
        validity,
        &valid
            .iter()
            .map(|valid| u8::from(*valid))
            .collect::<Vec<u8>>(),
    );
    if valid.iter().all(|valid| *valid) {
        return feed_values(array, hashers);
    }
    let values =
        filter(array, &BooleanArray::from(valid)).expect("BUG: the mask has the column's length");
    feed_values(&values, hashers);
}

/// Feeds rows that are all valid.
fn feed_values(array: &ArrayRef, hashers: &mut [blake3::Hasher]) {
    match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            feed_variable(array.value_offsets(), array.value_data(), hashers);
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            feed_variable(array.value_offsets(), array.value_data(), hashers);
        }
        DataType::FixedSizeBinary(width) => {
            let array = array.as_fixed_size_binary();
            debug_assert_eq!(array.value_data().len(), array.len() * *width as usize);
            update(&mut hashers[0], array.value_data());
        }
        DataType::List(element) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            feed_lengths(offsets, &mut hashers[0]);
            let (first, last) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
            feed(
                element,
                &list.values().slice(first, last - first),
                &mut hashers[1..],
            );
        }
        DataType::FixedSizeList(element, length) => {
            let list = array.as_fixed_size_list();
            let length = *length as usize;
            feed(
                element,
                &list
                    .values()
                    .slice(list.offset() * length, list.len() * length),
                hashers,
            );
        }
        numbers => {
            let width = numbers
                .primitive_width()
                .unwrap_or_else(|| panic!("BUG: no kind has a column of {numbers}"));
            let data = array.to_data();
            update(
                &mut hashers[0],
                &data.buffers()[0][data.offset() * width..(data.offset() + data.len()) * width],
            );
        }
    }
}

fn feed_variable(offsets: &[i32], values: &[u8], hashers: &mut [blake3::Hasher]) {
    feed_lengths(offsets, &mut hashers[0]);
    update(
        &mut hashers[1],
        &values[offsets[0] as usize..offsets[offsets.len() - 1] as usize],
    );
}

fn feed_lengths(offsets: &[i32], hasher: &mut blake3::Hasher) {
    let lengths: Vec<u8> = offsets
        .windows(2)
        .flat_map(|pair| ((pair[1] - pair[0]) as u64).to_le_bytes())
        .collect();
    update(hasher, &lengths);
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "content_layout_tests.rs"]
mod layout_tests;
