//! Checkpoint files that users have: safetensors, and PyTorch's zip and legacy `torch.save` files.
//!
//! A file is told by its content, not by its extension. No code in a pickle is ever executed: a pickle may ask for
//! tensors and containers, and anything else is refused by name. Every length is bounded by the file's own.

mod archive;
mod candidates;
mod guesses;
mod hints;
mod layouts;
mod origins;
mod pickle;
mod pickle_calls;
mod pickle_machine;
mod safetensors;
mod sharded;
mod spellings;
mod timm;
mod timm_state;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tch::{Device, Tensor};
use thiserror::Error;

use crate::architecture::{Architecture, ArchitectureError};
use crate::network::{Mismatch, Network, NetworkError};
pub use guesses::{guess, widths};
pub use layouts::{Matched, match_network};
pub use timm_state::{NotInTimm, timm_state};

/// How a file stores its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Safetensors,
    /// Several safetensors files and an index of them.
    Sharded,
    Zip,
    Legacy,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Format::Safetensors => "safetensors",
            Format::Sharded => "sharded safetensors",
            Format::Zip => "zip torch.save",
            Format::Legacy => "legacy torch.save",
        })
    }
}

/// All tensors of a file, on the CPU; the names of nested containers are joined by `.`. Tensors of one storage share memory.
#[derive(Debug)]
pub struct Checkpoint {
    pub path: PathBuf,
    pub format: Format,
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("`{path}`: {reason}\nhint: {hint}")]
    Format {
        path: PathBuf,
        reason: String,
        hint: &'static str,
    },
    #[error(
        "`{path}`: the pickle asks for `{global}`; expected tensors and containers alone, and nothing was executed\nhint: if you trust where it comes from, load it in Python and write it again with `safetensors.torch.save_file(state_dict, …)`"
    )]
    Refused { path: PathBuf, global: String },
    #[error("network: {0}")]
    Architecture(#[from] ArchitectureError),
    #[error("`{path}` ({layout}): {mismatch}")]
    Mismatch {
        path: PathBuf,
        layout: String,
        mismatch: Box<Mismatch>,
    },
}

/// Why bytes could not be read, before the path is known.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    Malformed { reason: String, hint: &'static str },
    Refused(String),
}

const DAMAGED: &str = "the file is damaged or cut short; fetch it again";
const NOT_A_CHECKPOINT: &str = "expected safetensors, or a file written by `torch.save`";

impl Fault {
    fn damaged(reason: impl Into<String>) -> Self {
        Fault::Malformed {
            reason: reason.into(),
            hint: DAMAGED,
        }
    }

    fn at(self, path: &Path) -> CheckpointError {
        match self {
            Fault::Io(error) => CheckpointError::Io(error),
            Fault::Malformed { reason, hint } => CheckpointError::Format {
                path: path.to_owned(),
                reason,
                hint,
            },
            Fault::Refused(global) => CheckpointError::Refused {
                path: path.to_owned(),
                global,
            },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Fault::damaged("the file ends too early"),
            _ => Fault::Io(error),
        }
    }
}

/// Reads every tensor of a file; of an index (`….safetensors.index.json`) those of its shards, which lie beside it.
pub fn read(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let mut file = fs_err::File::open(path)?;
    if sharded::is_index(&mut file)? {
        let tensors = sharded::read(path, file)?;
        return Ok(Checkpoint {
            path: path.to_owned(),
            format: Format::Sharded,
            tensors,
        });
    }
    let (format, tensors) = parse(io::BufReader::new(file)).map_err(|fault| fault.at(path))?;
    Ok(Checkpoint {
        path: path.to_owned(),
        format,
        tensors,
    })
}

type Parsed = (Format, BTreeMap<String, Tensor>);

fn parse(mut file: impl Read + Seek) -> Result<Parsed, Fault> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut start = Vec::new();
    file.by_ref().take(32).read_to_end(&mut start)?;
    file.rewind()?;
    if start.starts_with(b"PK\x03\x04") {
        return Ok((Format::Zip, archive::read_zip(file, length)?));
    }
    if archive::is_legacy(&start) {
        let bytes = whole(file)?;
        return Ok((Format::Legacy, archive::read_legacy(&bytes)?));
    }
    if safetensors::is_safetensors(&start, length) {
        let bytes = whole(file)?;
        return Ok((Format::Safetensors, safetensors::read(&bytes)?));
    }
    if start.first() == Some(&0x80) {
        // Some other pickle: what it asks for beyond containers is worth more than "unknown".
        pickle_machine::load(&whole(file)?)?;
        return Err(Fault::Malformed {
            reason: "a pickle, but not one written by `torch.save`".to_owned(),
            hint: NOT_A_CHECKPOINT,
        });
    }
    if safetensors::is_cut_short(&start) {
        return Err(Fault::damaged(
            "safetensors whose header ends after the file",
        ));
    }
    let reason = if length == 0 {
        "the file is empty"
    } else {
        "not a checkpoint that is known"
    };
    Err(Fault::Malformed {
        reason: reason.to_owned(),
        hint: NOT_A_CHECKPOINT,
    })
}

fn whole(mut file: impl Read) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What was recognised in a file that became a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// Such as "legacy torch.save, prefix `state_dict.module.`".
    pub layout: String,
    /// Tensors of the file that the network has no place for.
    pub leftovers: Vec<String>,
}

/// Reads a file and makes the network of it; every tensor must match.
pub fn load_network(
    path: &Path,
    architecture: &Architecture,
    device: Device,
) -> Result<(Network, Recognised), CheckpointError> {
    let Matched {
        weights,
        layout,
        leftovers,
    } = match_network(read(path)?, architecture)?;
    let network =
        Network::with_weights(architecture, weights, device).map_err(|error| match error {
            NetworkError::Architecture(error) => CheckpointError::Architecture(error),
            NetworkError::Mismatch(mismatch) => CheckpointError::Mismatch {
                path: path.to_owned(),
                layout: layout.clone(),
                mismatch: Box::new(mismatch),
            },
        })?;
    Ok((network, Recognised { layout, leftovers }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn testdata(name: &str) -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata")
            .join(name);
        fs_err::read(path).unwrap()
    }

    const FILES: [&str; 5] = [
        "nested_zip.pt",
        "nested_legacy.pt",
        "nested_legacy_protocol4.pt",
        "malicious_zip.pt",
        "malicious_legacy.pt",
    ];

    #[test]
    fn whatever_is_cut_off_is_an_error_and_no_panic() {
        for name in FILES {
            let bytes = testdata(name);
            for length in 0..bytes.len() {
                assert!(
                    parse(Cursor::new(&bytes[..length])).is_err(),
                    "{name} cut to {length}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn flipped_bytes_never_panic(file in 0..FILES.len(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = testdata(FILES[file]);
            for (index, value) in changes {
                let position = index.index(bytes.len());
                bytes[position] = value;
            }
            let _ = parse(Cursor::new(bytes));
        }

        #[test]
        fn arbitrary_pickles_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vec![0x80, 2];
            bytes.extend(body);
            let _ = parse(Cursor::new(bytes));
        }

        #[test]
        fn arbitrary_opcodes_after_the_legacy_magic_never_panic(body in prop::collection::vec(prop::sample::select(&b".(0]}l)tdesauRbcQKMJX\x85\x86\x87\x88\x89qhNq\x00\x01\x02\n"[..]), 0..120)) {
            let mut bytes = testdata("nested_legacy.pt")[..15].to_vec();
            bytes.extend(b"\x80\x02M\xe9\x03.\x80\x02}.");
            bytes.extend(body);
            let _ = parse(Cursor::new(bytes));
        }

        #[test]
        fn arbitrary_safetensors_headers_never_panic(header in "[{}\\[\\]\":,a-z0-9A-Z]{0,80}", data in prop::collection::vec(any::<u8>(), 0..32)) {
            let mut bytes = (header.len() as u64 + 1).to_le_bytes().to_vec();
            bytes.push(b'{');
            bytes.extend(header.as_bytes());
            bytes.extend(data);
            let _ = parse(Cursor::new(bytes));
        }
    }
}
