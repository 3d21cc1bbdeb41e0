//! The two containers of `torch.save`: a zip archive (since PyTorch 1.6), and before it pickles one
//! after the other with the storages behind them.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use seedpipe_base::Refusal;
use tch::{Kind, Tensor};
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{PickleStorage, Pickled, TensorReference, Value};
use super::{NOT_A_CHECKPOINT, damaged, malformed, pickle_machine};

/// The number that every legacy file begins with, as pickled, after the pickle's protocol version.
const LEGACY_MAGIC: [u8; 13] = [
    0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.',
];
/// Protocol, version; and from protocol 4 on a frame with its length.
const BEFORE_MAGIC: [usize; 2] = [2, 11];

/// `start`: the file's first 24 bytes at least.
pub(super) fn is_legacy(start: &[u8]) -> bool {
    start.first() == Some(&0x80)
        && BEFORE_MAGIC.iter().any(|&before| {
            start
                .get(before..)
                .is_some_and(|rest| rest.starts_with(&LEGACY_MAGIC))
        })
}

/// Legacy: magic, protocol version, system, object, storage keys (five pickles), then each storage
/// as a count and its numbers.
pub(super) fn read_legacy(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, Refusal> {
    let mut position = 0;
    let next = |position: &mut usize| -> Result<Pickled, Refusal> {
        let pickled = pickle_machine::load(&bytes[*position..])?;
        *position += pickled.length;
        Ok(pickled)
    };
    let _magic = next(&mut position)?;
    let _protocol = next(&mut position)?;
    let system = next(&mut position)?;
    if system.entry("little_endian") == Some(Value::Bool(false)) {
        return Err(big_endian());
    }
    let object = next(&mut position)?;
    let references = object.tensors()?;
    let expected = storages(&references)?;
    let keys = next(&mut position)?;
    let keys = keys
        .texts()
        .ok_or_else(|| damaged("the list of storages is missing"))?;
    let mut loaded = BTreeMap::new();
    let mut rest = &bytes[position..];
    for key in keys {
        let storage = expected.get(key);
        let (count, after) = rest.split_first_chunk::<8>().ok_or_else(ends_early)?;
        let count = i64::from_le_bytes(*count);
        let Some(storage) = storage else {
            return Err(damaged(format!("storage `{key}` belongs to no tensor")));
        };
        if count != storage.elements {
            return Err(wrong_length(storage, count));
        }
        let length = byte_length(storage)?;
        let data = after.get(..length).ok_or_else(ends_early)?;
        loaded.insert(key.to_owned(), flat(data, storage));
        rest = &after[length..];
    }
    views(&references, &loaded)
}

/// Zip: `NAME/data.pkl` with the object, `NAME/data/KEY` with each storage, nothing compressed.
pub(super) fn read_zip(
    file: impl Read + Seek,
    file_length: u64,
) -> Result<BTreeMap<String, Tensor>, Refusal> {
    let mut archive =
        ZipArchive::new(file).map_err(|error| damaged(format!("not a valid zip: {error}")))?;
    let pickle_name = archive
        .file_names()
        .find(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let Some(pickle_name) = pickle_name.map(str::to_owned) else {
        return Err(malformed("a zip without `data.pkl`", NOT_A_CHECKPOINT));
    };
    let folder = pickle_name.trim_end_matches("data.pkl").to_owned();
    let code = format!("{folder}code/");
    if archive.file_names().any(|name| name.starts_with(&code)) {
        return Err(malformed(
            "a TorchScript file, which is a program and no state dict",
            "write its `state_dict()` with `torch.save`, or give it as `torchscript:`",
        ));
    }
    // All entries together can't be longer than the file, unless they overlap.
    let mut budget = file_length;
    let byte_order = format!("{folder}byteorder");
    if archive.index_for_name(&byte_order).is_some()
        && entry(&mut archive, &byte_order, &mut budget)? != b"little"
    {
        return Err(big_endian());
    }
    let object = pickle_machine::load(&entry(&mut archive, &pickle_name, &mut budget)?)?;
    let references = object.tensors()?;
    let mut loaded = BTreeMap::new();
    for (key, storage) in storages(&references)? {
        let data = entry(&mut archive, &format!("{folder}data/{key}"), &mut budget)?;
        if data.len() != byte_length(storage)? {
            return Err(wrong_length(
                storage,
                (data.len() / storage.kind.elt_size_in_bytes()) as i64,
            ));
        }
        loaded.insert(key.to_owned(), flat(&data, storage));
    }
    views(&references, &loaded)
}

fn entry(
    archive: &mut ZipArchive<impl Read + Seek>,
    name: &str,
    budget: &mut u64,
) -> Result<Vec<u8>, Refusal> {
    let entry = archive
        .by_name(name)
        .map_err(|error| damaged(format!("entry `{name}`: {error}")))?;
    if entry.compression() != CompressionMethod::Stored {
        return Err(malformed(
            format!("entry `{name}` is compressed, which `torch.save` never does"),
            "write the file again with `torch.save`",
        ));
    }
    let size = entry.size();
    *budget = budget.checked_sub(size).ok_or_else(|| {
        damaged(format!(
            "entry `{name}` of {size} bytes does not fit into the file"
        ))
    })?;
    let mut bytes = Vec::new();
    entry
        .take(size)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(format!("entry `{name}`: {error}")))?;
    Ok(bytes)
}

fn big_endian() -> Refusal {
    malformed(
        "the tensors are stored big-endian",
        "write the file again on a little-endian machine",
    )
}

fn ends_early() -> Refusal {
    damaged("the file ends within a tensor's data")
}

fn wrong_length(storage: &PickleStorage, got: i64) -> Refusal {
    let PickleStorage { key, elements, .. } = storage;
    damaged(format!(
        "storage `{key}`: expected {elements} numbers, got {got}"
    ))
}

/// The storages that tensors refer to, by key; one key must always mean the same.
fn storages<'tensors>(
    references: &BTreeMap<String, &'tensors TensorReference>,
) -> Result<BTreeMap<&'tensors str, &'tensors PickleStorage>, Refusal> {
    let mut found: BTreeMap<&str, &PickleStorage> = BTreeMap::new();
    for tensor in references.values() {
        let storage = &tensor.storage;
        if *found.entry(&storage.key).or_insert(storage) != storage {
            return Err(damaged(format!(
                "storage `{}` has two types or lengths",
                storage.key
            )));
        }
    }
    Ok(found)
}

fn byte_length(storage: &PickleStorage) -> Result<usize, Refusal> {
    usize::try_from(storage.elements)
        .ok()
        .and_then(|elements| elements.checked_mul(storage.kind.elt_size_in_bytes()))
        .ok_or_else(|| {
            damaged(format!(
                "storage `{}`: a length of {}",
                storage.key, storage.elements
            ))
        })
}

fn flat(data: &[u8], storage: &PickleStorage) -> Tensor {
    if storage.kind == Kind::Bool {
        // A bool of any other value is undefined behaviour in C++.
        let normal: Vec<u8> = data.iter().map(|byte| u8::from(*byte != 0)).collect();
        return Tensor::from_data_size(&normal, &[storage.elements], storage.kind);
    }
    Tensor::from_data_size(data, &[storage.elements], storage.kind)
}

/// The tensors as views of their storages, each within its bounds.
fn views(
    references: &BTreeMap<String, &TensorReference>,
    loaded: &BTreeMap<String, Tensor>,
) -> Result<BTreeMap<String, Tensor>, Refusal> {
    let mut found = BTreeMap::new();
    let mut repeated = MOST_REPEATED;
    for (name, tensor) in references {
        let storage = loaded.get(&tensor.storage.key).ok_or_else(|| {
            damaged(format!(
                "tensor `{name}`: storage `{}` is missing",
                tensor.storage.key
            ))
        })?;
        if !within_bounds(tensor, &mut repeated) {
            return Err(damaged(format!(
                "tensor `{name}`: shape {:?}, strides {:?} and offset {} reach beyond its {} numbers",
                tensor.shape, tensor.strides, tensor.offset, tensor.storage.elements
            )));
        }
        let view = storage
            .f_as_strided(&tensor.shape[..], &tensor.strides[..], tensor.offset)
            .map_err(|error| damaged(format!("tensor `{name}`: {error}")))?;
        found.insert(name.clone(), view);
    }
    Ok(found)
}

/// Numbers of a file that may be others repeated: `expand` gives a dimension the stride 0.
const MOST_REPEATED: i64 = 1 << 27;

/// - `repeated`: how many may still be, in the whole file
fn within_bounds(tensor: &TensorReference, repeated: &mut i64) -> bool {
    let TensorReference {
        storage,
        offset,
        shape,
        strides,
    } = tensor;
    let sound = shape.len() == strides.len()
        && shape.len() <= 32
        && shape.iter().chain(strides).all(|&number| number >= 0)
        && (0..=storage.elements).contains(offset);
    if !sound {
        return false;
    }
    if shape.contains(&0) {
        return true;
    }
    let count = shape
        .iter()
        .try_fold(1_i64, |count, &length| count.checked_mul(length));
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(*offset, |last, (&length, &stride)| {
            last.checked_add((length - 1).checked_mul(stride)?)
        });
    if let Some(more) = count
        .map(|count| count - storage.elements)
        .filter(|more| *more > 0)
    {
        *repeated -= more.min(MOST_REPEATED + 1);
    }
    count.is_some() && *repeated >= 0 && last.is_some_and(|last| last < storage.elements)
}
