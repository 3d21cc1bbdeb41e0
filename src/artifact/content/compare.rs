//! How far two outputs of one kind are apart, row by row: for a rerun on another machine, where
//! floating point may differ a little.
//!
//! Numbers with a fraction are compared by their difference, vectors (embeddings, a tensor's
//! values) also by their cosine; everything else must be equal.

use std::ops::Range;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use half::{bf16, f16};
use seedpipe_base::{Comparison, Tolerance, WorstRow};

use crate::content::codec::open;
use crate::on_disk::part::Part;
use crate::on_disk::parts::PartList;
use crate::schema::column::column;
use crate::schema::failure::{self, Result};
use crate::schema::{WEIGHTS, type_name};
use crate::tables::weights::Dtype;

/// What is compared at a time of either output: bounds memory.
const BLOCK_ROWS: usize = 4096;
const BLOCK_BYTES: usize = 16 << 20;

/// Compares two outputs of `kind`, each given by its parts in logical row order; `points` of the
/// tolerance is not looked at.
pub fn compare(
    kind: &str,
    a: &[PathBuf],
    b: &[PathBuf],
    tolerance: &Tolerance,
) -> Result<Comparison> {
    let (a, b) = (open(kind, a)?, open(kind, b)?);
    let all = 0..a.rows();
    compare_parts(kind, (&a, &[all]), &b, tolerance)
}

/// Compares some rows of `a` with all of `b`, which holds just those.
///
/// - `rows`: ranges within `a`, ascending
pub fn compare_rows(
    kind: &str,
    a: &[PathBuf],
    rows: &[Range<usize>],
    b: &[PathBuf],
    tolerance: &Tolerance,
) -> Result<Comparison> {
    compare_parts(kind, (&open(kind, a)?, rows), &open(kind, b)?, tolerance)
}

fn compare_parts(
    kind: &str,
    (a, chosen): (&PartList, &[Range<usize>]),
    b: &PartList,
    tolerance: &Tolerance,
) -> Result<Comparison> {
    let mut difference = Comparison {
        metadata: differing_keys(a, b),
        ..Comparison::default()
    };
    difference.structure = structure(a, b, chosen.iter().map(Range::len).sum());
    if difference.structure.is_some() {
        return Ok(difference);
    }
    difference.within = difference.metadata.iter().all(|key| {
        let values = [a.metadata().get(key), b.metadata().get(key)];
        values
            .into_iter()
            .all(|value| value.is_some_and(|value| is_digest(value)))
    });
    let row_bytes = a
        .iter()
        .chain(b.iter())
        .map(Part::row_bytes)
        .max()
        .unwrap_or(0);
    let block = (BLOCK_BYTES / row_bytes.max(1)).clamp(1, BLOCK_ROWS);
    let mut worst = f64::NEG_INFINITY;
    let mut compared = 0;
    for range in chosen {
        for first in range.clone().step_by(block) {
            let rows = first..(first + block).min(range.end);
            let count = rows.len();
            let (left, right) = (block_of(a, rows)?, block_of(b, compared..compared + count)?);
            compare_block(
                kind,
                first,
                (&left, &right),
                tolerance,
                &mut difference,
                &mut worst,
            );
            compared += count;
        }
    }
    difference.equal = difference.metadata.is_empty() && difference.differing == 0;
    Ok(difference)
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn differing_keys(a: &PartList, b: &PartList) -> Vec<String> {
    let mut keys: Vec<String> = a
        .metadata()
        .keys()
        .chain(b.metadata().keys())
        .cloned()
        .collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| a.metadata().get(key) != b.metadata().get(key));
    keys
}

/// - `rows`: of `a` that `b` should hold
fn structure(a: &PartList, b: &PartList, rows: usize) -> Option<String> {
    let columns = |parts: &PartList| -> Vec<String> {
        let fields = parts.first().schema().fields();
        fields
            .iter()
            .map(|field| format!("{} {}", field.name(), type_name(field)))
            .collect()
    };
    let (left, right) = (columns(a), columns(b));
    if left != right {
        return Some(format!(
            "columns: {} against {}",
            left.join(", "),
            right.join(", ")
        ));
    }
    (rows != b.rows()).then(|| format!("rows: {rows} against {}", b.rows()))
}

fn block_of(parts: &PartList, rows: Range<usize>) -> Result<RecordBatch> {
    let schema = parts.first().schema();
    let columns: Vec<usize> = (0..schema.fields().len()).collect();
    let mut batches = Vec::new();
    for (part, within) in parts.spans(rows)? {
        for batch in parts.part(part).batches(within, &columns)? {
            batches.push(batch?);
        }
    }
    concat_batches(schema, &batches)
        .map_err(|error| failure::arrow(parts.first().path(), "cannot read", error))
}

/// What one cell's comparison found.
enum CellDifference {
    Equal,
    /// Both are numbers or vectors of numbers: the largest difference, and the cosine of vectors.
    Near {
        difference: f64,
        cosine: Option<f64>,
    },
    /// Different, and no numbers.
    Other,
}

fn compare_block(
    kind: &str,
    first: usize,
    (left, right): (&RecordBatch, &RecordBatch),
    tolerance: &Tolerance,
    found: &mut Comparison,
    worst: &mut f64,
) {
    found.rows += left.num_rows() as u64;
    let mut differs = vec![false; left.num_rows()];
    for (column, field) in left.schema_ref().fields().iter().enumerate() {
        let tensors = kind == WEIGHTS && field.name() == "data";
        if tensors || matches!(field.data_type(), DataType::FixedSizeList(..)) {
            found.min_cosine.get_or_insert(1.0);
        }
        let (left_cells, right_cells) = (left.column(column), right.column(column));
        if left_cells == right_cells {
            continue;
        }
        for (row, differs) in differs.iter_mut().enumerate() {
            let tensor = tensors.then(|| dtype(left, row)).flatten();
            let cell = compare_cell(
                (&left_cells.slice(row, 1), &right_cells.slice(row, 1)),
                tensor,
            );
            let Some((excess, detail)) = judge(found, cell, tolerance) else {
                continue;
            };
            *differs = true;
            if excess > *worst {
                *worst = excess;
                found.worst = Some(WorstRow {
                    row: (first + row) as u64,
                    column: field.name().clone(),
                    detail,
                });
            }
        }
    }
    found.differing += differs.iter().filter(|differs| **differs).count() as u64;
}

/// Takes a cell into account: by how much it is beyond the tolerance (negative: within), and what
/// it is; `None` where it is equal.
fn judge(
    found: &mut Comparison,
    cell: CellDifference,
    tolerance: &Tolerance,
) -> Option<(f64, String)> {
    let (excess, detail) = match cell {
        CellDifference::Equal => return None,
        CellDifference::Other => (f64::INFINITY, "not equal".to_string()),
        CellDifference::Near { difference, cosine } => {
            found.max_abs = found.max_abs.max(difference);
            let unbounded = tolerance.cosine.map_or(0.0, |_| f64::INFINITY);
            let beyond = difference - tolerance.max_abs.unwrap_or(unbounded);
            match cosine {
                None => (beyond, format!("differs by up to {difference:e}")),
                Some(cosine) => {
                    found.min_cosine = Some(found.min_cosine.unwrap_or(1.0).min(cosine));
                    let angle = tolerance
                        .cosine
                        .map_or(f64::NEG_INFINITY, |least| least - cosine);
                    (
                        beyond.max(angle),
                        format!("differs by up to {difference:e}, cosine {cosine:.6}"),
                    )
                }
            }
        }
    };
    found.within &= excess <= 0.0;
    Some((excess, detail))
}

/// The type of a tensor's elements, where it is one of floating point.
fn dtype(batch: &RecordBatch, row: usize) -> Option<Dtype> {
    Dtype::from_name(column::<Dtype>(batch, "dtype").value(row))
        .filter(|dtype| matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16))
}

fn compare_cell((left, right): (&ArrayRef, &ArrayRef), tensor: Option<Dtype>) -> CellDifference {
    let (numbers, vector) = match tensor {
        Some(dtype) => {
            let values = |cell: &ArrayRef| tensor_values(cell.as_binary::<i32>().value(0), dtype);
            (Some((values(left), values(right))), true)
        }
        None => {
            let vector = matches!(left.data_type(), DataType::FixedSizeList(..));
            (fractions(left).zip(fractions(right)), vector)
        }
    };
    match numbers {
        Some((left, right)) if left.len() == right.len() => compare_numbers(&left, &right, vector),
        Some(_) => CellDifference::Other,
        None if left.to_data() == right.to_data() => CellDifference::Equal,
        None => CellDifference::Other,
    }
}

fn compare_numbers(left: &[f64], right: &[f64], vector: bool) -> CellDifference {
    if left
        .iter()
        .zip(right)
        .all(|(left, right)| left.to_bits() == right.to_bits())
    {
        return CellDifference::Equal;
    }
    let apart = |(left, right): (&f64, &f64)| match (left.is_nan(), right.is_nan()) {
        (true, true) => 0.0,
        (false, false) if left == right => 0.0,
        (false, false) => (left - right).abs(),
        _ => f64::INFINITY,
    };
    let difference = left.iter().zip(right).map(apart).fold(0.0, f64::max);
    CellDifference::Near {
        difference,
        cosine: vector.then(|| cosine(left, right)),
    }
}

/// Of two vectors of length 0: 1; of one: 0.
fn cosine(left: &[f64], right: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (dot(left, left), dot(right, right));
    match lengths {
        (0.0, 0.0) => 1.0,
        (left, 0.0) | (0.0, left) if !left.is_nan() => 0.0,
        (a, b) => dot(left, right) / (a.sqrt() * b.sqrt()),
    }
}

/// The numbers of a cell whose type has fractions, alone or in a list; `None` for every other type.
fn fractions(cell: &ArrayRef) -> Option<Vec<f64>> {
    match cell.data_type() {
        DataType::Float16 => Some(
            cell.as_primitive::<Float16Type>()
                .values()
                .iter()
                .map(|v| v.to_f64())
                .collect(),
        ),
        DataType::Float32 => Some(
            cell.as_primitive::<Float32Type>()
                .values()
                .iter()
                .map(|v| f64::from(*v))
                .collect(),
        ),
        DataType::Float64 => Some(cell.as_primitive::<Float64Type>().values().to_vec()),
        DataType::List(_) => fractions(&cell.as_list::<i32>().value(0)),
        DataType::FixedSizeList(..) => fractions(&cell.as_fixed_size_list().value(0)),
        _ => None,
    }
}

fn tensor_values(data: &[u8], dtype: Dtype) -> Vec<f64> {
    fn each<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>()
            .0
            .iter()
            .map(|bytes| value(*bytes))
            .collect()
    }
    match dtype {
        Dtype::F64 => each(data, f64::from_le_bytes),
        Dtype::F32 => each(data, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F16 => each(data, |bytes| f16::from_le_bytes(bytes).to_f64()),
        Dtype::Bf16 => each(data, |bytes| bf16::from_le_bytes(bytes).to_f64()),
        other => panic!("BUG: tensors of {} are compared as bytes", other.name()),
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
