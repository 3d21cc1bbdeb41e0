//! safetensors files with metadata: what an exported network is stored as, and the description that
//! travels with it.
//!
//! Tensors lie in the order given and metadata sorted, so that equal networks give equal bytes.
//! Reading tensors is `checkpoint_file`'s.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value, json};
use tch::Tensor;

use crate::torch::tensors;

/// Longest header that is looked at, in bytes: the same limit as of safetensors' own reader.
const LARGEST_HEADER: u64 = 100_000_000;
const METADATA: &str = "__metadata__";

/// The file's bytes.
pub fn to_bytes(state: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let mut header = Map::new();
    header.insert(METADATA.to_owned(), json!(metadata));
    let mut data = Vec::new();
    for (name, tensor) in state {
        let (dtype, shape, bytes) = tensors::to_bytes(tensor);
        let begin = data.len();
        data.extend(bytes);
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    // Readers that map the file want the numbers aligned.
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// The metadata of a safetensors file; empty when it has none or is another kind of file.
///
/// # Errors
/// When the file can't be read.
pub fn metadata(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut file = fs_err::File::open(path)?;
    let mut length = [0; 8];
    match file.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(BTreeMap::new()),
        other => other?,
    }
    let length = u64::from_le_bytes(length);
    if length > LARGEST_HEADER {
        return Ok(BTreeMap::new());
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let header: Map<String, Value> = serde_json::from_slice(&header).unwrap_or_default();
    let found = header.get(METADATA).cloned().unwrap_or_default();
    Ok(serde_json::from_value(found).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint_file;
    use tch::{Device, Kind};

    #[test]
    fn what_is_written_reads_back_with_its_metadata() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.safetensors");
        let state = [
            (
                "z.weight".to_owned(),
                Tensor::arange(6, (Kind::Half, Device::Cpu)).reshape([2, 3]),
            ),
            ("a.count".to_owned(), Tensor::from(7_i64)),
        ];
        let said = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        fs_err::write(&path, to_bytes(&state, &said)).unwrap();
        assert_eq!(metadata(&path).unwrap(), said);
        let read = checkpoint_file::read(&path).unwrap();
        assert_eq!(read.tensors.len(), 2);
        for (name, tensor) in &state {
            assert!(read.tensors[name].equal(tensor), "{name}");
            assert_eq!(read.tensors[name].kind(), tensor.kind());
        }
    }

    #[test]
    fn other_files_have_no_metadata() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("short", &b"abc"[..]),
            ("long", &[0xff; 64]),
            ("text", b"\x04\0\0\0\0\0\0\0null"),
        ] {
            let path = folder.path().join(name);
            fs_err::write(&path, bytes).unwrap();
            assert!(metadata(&path).unwrap().is_empty(), "{name}");
        }
    }
}
