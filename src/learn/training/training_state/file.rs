//! The bytes of a checkpoint: a safetensors file whose metadata holds step, scalars and a BLAKE3 of
//! everything.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;

use fs_err as fs;
use safetensors::SafeTensors;
use safetensors::tensor::{TensorView, serialize};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TrainingState;
use crate::torch::tensors::{from_bytes, to_bytes};

/// The one entry of the file's metadata: a [`StateHeader`] as JSON.
const HEADER: &str = "seedpipe";
/// In bytes: the same limit as of safetensors' own reader.
const LONGEST_HEADER: u64 = 100_000_000;

#[derive(Serialize, Deserialize)]
struct StateHeader {
    step: u64,
    scalars: Value,
    /// of everything in the file, see [`checksum`]
    blake3: String,
}

/// A tensor as it lies in the file.
struct StoredTensor {
    dtype: &'static str,
    shape: Vec<i64>,
    bytes: Vec<u8>,
}

pub(super) fn encode(state: &TrainingState) -> Vec<u8> {
    let stored: BTreeMap<&str, StoredTensor> = state
        .tensors
        .iter()
        .map(|(name, tensor)| {
            let (dtype, shape, bytes) = to_bytes(tensor);
            (
                name.as_str(),
                StoredTensor {
                    dtype,
                    shape,
                    bytes,
                },
            )
        })
        .collect();
    let parts = stored.iter().map(|(&name, tensor)| {
        (
            name,
            tensor.dtype,
            tensor.shape.as_slice(),
            tensor.bytes.as_slice(),
        )
    });
    let blake3 = checksum(state.step, &state.scalars, parts);
    let header = StateHeader {
        step: state.step,
        scalars: state.scalars.clone(),
        blake3,
    };
    let header = serde_json::to_string(&header).expect("BUG: a header of plain values");
    let views = stored.iter().map(|(&name, tensor)| {
        let shape = tensor.shape.iter().map(|&length| length as usize).collect();
        let dtype = serde_json::from_value(tensor.dtype.into())
            .expect("BUG: dtype names are safetensors' own");
        (
            name,
            TensorView::new(dtype, shape, &tensor.bytes).expect("BUG: bytes fit the shape"),
        )
    });
    let metadata = HashMap::from([(HEADER.to_owned(), header)]);
    serialize(views, Some(metadata)).expect("BUG: tensors that safetensors can hold")
}

/// Reads a checkpoint. Of a file that isn't as long as its header says, which may be of any length,
/// nothing but that is read.
pub(super) fn read(path: &Path) -> Result<TrainingState, String> {
    let unread = |error: io::Error| format!("can't be read: {error}");
    // Not opened before: a named pipe would be waited for.
    let metadata = fs::metadata(path).map_err(unread)?;
    if !metadata.is_file() {
        return Err("can't be read: expected a file, got something else".to_owned());
    }
    let mut file = fs::File::open(path).map_err(unread)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(8)
        .read_to_end(&mut bytes)
        .map_err(unread)?;
    let length = bytes.first_chunk().copied().map_or(0, u64::from_le_bytes);
    let mut header = file.by_ref().take(length.min(LONGEST_HEADER));
    header.read_to_end(&mut bytes).map_err(unread)?;
    let (expected, found) = (expected_length(&bytes), metadata.len());
    match expected {
        None => return Err("corrupt: it has no header".to_owned()),
        Some(expected) if expected != found => {
            return Err(format!("corrupt: expected {expected} bytes, got {found}"));
        }
        Some(_) => {}
    }
    file.read_to_end(&mut bytes).map_err(unread)?;
    decode(&bytes)
}

/// How long a file with this header is; `None` when it is none.
fn expected_length(header: &[u8]) -> Option<u64> {
    let tensors: BTreeMap<String, Value> = serde_json::from_slice(header.get(8..)?).ok()?;
    let ends = tensors
        .values()
        .filter_map(|entry| entry["data_offsets"][1].as_u64());
    ends.max().unwrap_or(0).checked_add(header.len() as u64)
}

pub(super) fn decode(bytes: &[u8]) -> Result<TrainingState, String> {
    let bad = |error: &dyn std::fmt::Display| format!("corrupt: {error}");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| bad(&error))?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(HEADER));
    let header = header.ok_or("corrupt: it has no header of this program")?;
    let header: StateHeader = serde_json::from_str(header).map_err(|error| bad(&error))?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| bad(&error))?;
    let mut views: BTreeMap<&str, (String, Vec<i64>, &[u8])> = BTreeMap::new();
    for (name, view) in file.iter() {
        let shape = view.shape().iter().map(|&length| length as i64).collect();
        views.insert(name, (format!("{:?}", view.dtype()), shape, view.data()));
    }
    let parts = views
        .iter()
        .map(|(&name, (dtype, shape, data))| (name, dtype.as_str(), shape.as_slice(), *data));
    let found = checksum(header.step, &header.scalars, parts);
    if found != header.blake3 {
        return Err(format!(
            "corrupt: its contents have BLAKE3 {found}, expected {}",
            header.blake3
        ));
    }
    let mut state = TrainingState::new(header.step, header.scalars);
    for (name, (dtype, shape, data)) in views {
        state.tensors.insert(
            name.to_owned(),
            from_bytes(&dtype, &shape, data).map_err(|error| bad(&error))?,
        );
    }
    Ok(state)
}

/// BLAKE3 of step, scalars and every tensor's name, dtype, shape and bytes, each with its length,
/// in order of names.
fn checksum<'a>(
    step: u64,
    scalars: &Value,
    tensors: impl Iterator<Item = (&'a str, &'a str, &'a [i64], &'a [u8])>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update_rayon(bytes);
    };
    add(&step.to_le_bytes());
    add(scalars.to_string().as_bytes());
    for (name, dtype, shape, bytes) in tensors {
        add(name.as_bytes());
        add(dtype.as_bytes());
        add(&shape
            .iter()
            .flat_map(|length| length.to_le_bytes())
            .collect::<Vec<u8>>());
        add(bytes);
    }
    hasher.finalize().to_string()
}
