//! safetensors in several files: an index of JSON, whose `weight_map` says which file beside it
//! holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};
use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use tch::Tensor;

use super::{DAMAGED, at, malformed, safetensors};

/// Longest index that is read, in bytes: about a million tensors.
const LONGEST: u64 = 128 << 20;

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// Whether a file begins as JSON does; leaves it at its start.
pub(super) fn is_index(file: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    let mut start = vec![];
    file.by_ref().take(64).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start.trim_ascii_start().first() == Some(&b'{'))
}

pub(super) fn read(path: &Path, file: impl Read) -> Result<BTreeMap<String, Tensor>> {
    let malformed = |reason: String, hint| at(path)(malformed(reason, hint).into());
    let mut text = vec![];
    file.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(malformed(
            format!("an index of more than {LONGEST} bytes"),
            DAMAGED,
        ));
    }
    let index: ShardIndex = serde_json::from_slice(&text).map_err(|error| {
        malformed(
            format!("JSON, but no index of safetensors: {error}"),
            "expected `weight_map` with a file for every tensor",
        )
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let shards: BTreeSet<&String> = index.weight_map.values().collect();
    for shard in &shards {
        if Path::new(shard)
            .file_name()
            .is_none_or(|name| name != shard.as_str())
        {
            return Err(malformed(
                format!("the index names the file `{shard}`"),
                "expected the plain name of a file beside the index",
            ));
        }
    }
    let absent: Vec<&str> = shards
        .iter()
        .filter(|shard| !folder.join(shard).is_file())
        .map(|shard| shard.as_str())
        .collect();
    if !absent.is_empty() {
        let count = format!("{} of the index's {} files", absent.len(), shards.len());
        return Err(malformed(
            format!("{count} are not beside it: {}", absent.join(", ")),
            "fetch all of them into the index's folder",
        ));
    }
    let mut found = BTreeMap::new();
    for shard in shards {
        let shard_path = folder.join(shard);
        let tensors = safetensors::read(&fs_err::read(&shard_path)?)
            .map_err(|refusal| at(&shard_path)(refusal.into()))?;
        for (name, tensor) in tensors {
            match index.weight_map.get(&name) {
                Some(file) if file == shard => drop(found.insert(name, tensor)),
                _ => {
                    return Err(malformed(
                        format!("tensor `{name}` lies in `{shard}`, and not by the index"),
                        DAMAGED,
                    ));
                }
            }
        }
    }
    let missing: Vec<&str> = index
        .weight_map
        .keys()
        .filter(|name| !found.contains_key(*name))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        return Err(malformed(
            format!("no file holds {}", missing.join(", ")),
            DAMAGED,
        ));
    }
    Ok(found)
}
