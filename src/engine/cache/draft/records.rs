//! Records of finished shards: `shard-00000.json` in a draft, with length and BLAKE3 of each file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::base::durable;
use crate::base::untrusted;
use crate::cache::manifest::{PartRecord, is_plain_name};

/// A finished shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShardRecord {
    pub shard: usize,
    pub total: usize,
    pub files: Vec<ShardFile>,
    /// What the stage had told by then: a shard that is not done again doesn't tell it again.
    #[serde(default)]
    pub telemetry: BTreeMap<String, f64>,
}

impl ShardRecord {
    /// Whether no name leads out of the draft: its files are read, and removed with it.
    fn stays_inside(&self) -> bool {
        self.files
            .iter()
            .all(|file| is_plain_name(&file.slot) && is_plain_name(&file.part.name))
    }
}

/// A file of a finished shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShardFile {
    pub slot: String,
    pub part: PartRecord,
}

/// The records in a draft's folder, of which the files are not looked at.
#[derive(Debug, Default)]
pub(crate) struct ShardRecords {
    pub sound: Vec<ShardRecord>,
    /// What is no record, or was still being written.
    pub unsound: Vec<PathBuf>,
}

/// Reads the records in a draft's folder.
pub(crate) fn shards_in(directory: &Path) -> std::io::Result<ShardRecords> {
    let mut records = ShardRecords::default();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("shard-") && name.ends_with(".json") {
            let text = untrusted::read_text(&path, untrusted::MAXIMAL_RECORD);
            let record = text
                .ok()
                .and_then(|text| untrusted::from_json::<ShardRecord>(&text).ok());
            match record {
                Some(record)
                    if path == record_path(directory, record.shard) && record.stays_inside() =>
                {
                    records.sound.push(record);
                }
                _ => records.unsound.push(path),
            }
        } else if durable::is_temporary(&path) {
            records.unsound.push(path);
        }
    }
    Ok(records)
}

pub(crate) fn record_path(directory: &Path, shard: usize) -> PathBuf {
    directory.join(format!("shard-{shard:05}.json"))
}
