//! Checkpoint files that users have: safetensors, and PyTorch's zip and legacy `torch.save` files.
//!
//! A file is told by its content, not by its extension. No code in a pickle is ever executed: a
//! pickle may ask for tensors and containers, and anything else is refused by name. Every length is
//! bounded by the file's own.

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
mod strangers;
mod timm;
mod timm_state;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, bail};
use seedpipe_base::Refusal;
use tch::{Device, Tensor};

use crate::architecture::Architecture;
use crate::network::Network;
pub use guesses::{guess, widths};
pub use layouts::{Matched, Unmatched, match_network, try_match};
pub use timm_state::timm_state;

/// How a file stores its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointFormat {
    Safetensors,
    /// Several safetensors files and an index of them.
    Sharded,
    Zip,
    Legacy,
}

impl fmt::Display for CheckpointFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            CheckpointFormat::Safetensors => "safetensors",
            CheckpointFormat::Sharded => "sharded safetensors",
            CheckpointFormat::Zip => "zip torch.save",
            CheckpointFormat::Legacy => "legacy torch.save",
        })
    }
}

/// All tensors of a file, on the CPU; the names of nested containers are joined by `.`. Tensors of
/// one storage share memory.
#[derive(Debug)]
pub struct Checkpoint {
    pub path: PathBuf,
    pub format: CheckpointFormat,
    pub tensors: BTreeMap<String, Tensor>,
}

const DAMAGED: &str = "the file is damaged or cut short; fetch it again";
const NOT_A_CHECKPOINT: &str = "expected safetensors, or a file written by `torch.save`";

fn malformed(reason: impl Into<String>, hint: &str) -> Refusal {
    Refusal::failure(reason).hint(hint)
}

fn damaged(reason: impl Into<String>) -> Refusal {
    malformed(reason, DAMAGED)
}

/// A pickle that asks for more than tensors and containers.
fn refused(global: &str) -> Refusal {
    malformed(
        format!(
            "the pickle asks for `{global}`; expected tensors and containers alone, and nothing was executed"
        ),
        "if you trust where it comes from, load it in Python and write it again with `safetensors.torch.save_file(state_dict, …)`",
    )
}

/// Names the file, which those who read its bytes don't know.
fn at(path: &Path) -> impl Fn(Error) -> Error {
    move |error| match error.downcast::<Refusal>() {
        Ok(refusal) => refusal.place(format!("`{}`", path.display())).into(),
        Err(error) => error,
    }
}

/// Reads every tensor of a file; of an index (`….safetensors.index.json`) those of its shards,
/// which lie beside it.
pub fn read(path: &Path) -> Result<Checkpoint> {
    check_is_file(path)?;
    let mut file = fs_err::File::open(path)?;
    if sharded::is_index(&mut file)? {
        let tensors = sharded::read(path, file)?;
        return Ok(Checkpoint {
            path: path.to_owned(),
            format: CheckpointFormat::Sharded,
            tensors,
        });
    }
    let (format, tensors) = parse(BufReader::new(file)).map_err(at(path))?;
    Ok(Checkpoint {
        path: path.to_owned(),
        format,
        tensors,
    })
}

/// Refuses a folder, naming a checkpoint in it.
pub fn check_is_file(path: &Path) -> Result<(), Refusal> {
    if !path.is_dir() {
        return Ok(());
    }
    let entries = fs_err::read_dir(path).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_checkpoint = |name: &String| {
        let endings = [
            ".safetensors",
            ".safetensors.index.json",
            ".pth",
            ".pt",
            ".ckpt",
            ".bin",
        ];
        endings.iter().any(|ending| name.ends_with(ending))
    };
    let hint = match names.filter(is_checkpoint).min() {
        Some(name) => format!("name the file: `{}`", path.join(name).display()),
        None => "name a checkpoint: .safetensors, or what `torch.save` wrote".to_owned(),
    };
    Err(Refusal::failure("expected a checkpoint, got a folder")
        .place(format!("`{}`", path.display()))
        .hint(hint))
}

type Parsed = (CheckpointFormat, BTreeMap<String, Tensor>);

fn parse(mut file: impl Read + Seek) -> Result<Parsed> {
    let length = file.seek(SeekFrom::End(0))?;
    file.rewind()?;
    let mut start = Vec::new();
    file.by_ref()
        .take(strangers::START as u64)
        .read_to_end(&mut start)?;
    file.rewind()?;
    if start.starts_with(b"PK\x03\x04") {
        return Ok((CheckpointFormat::Zip, archive::read_zip(file, length)?));
    }
    if archive::is_legacy(&start) {
        let bytes = whole(file)?;
        return Ok((CheckpointFormat::Legacy, archive::read_legacy(&bytes)?));
    }
    if safetensors::is_safetensors(&start, length) {
        let bytes = whole(file)?;
        return Ok((CheckpointFormat::Safetensors, safetensors::read(&bytes)?));
    }
    if start.first() == Some(&0x80) {
        // Some other pickle: what it asks for beyond containers is worth more than "unknown".
        pickle_machine::load(&whole(file)?)?;
        bail!(malformed(
            "a pickle, but not one written by `torch.save`",
            NOT_A_CHECKPOINT
        ));
    }
    if safetensors::is_cut_short(&start) {
        bail!(damaged("safetensors whose header ends after the file"));
    }
    bail!(strangers::stranger(&start, length))
}

fn whole(mut file: impl Read) -> Result<Vec<u8>> {
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
    /// Prefixes of other whole networks of this architecture in the file.
    pub others: Vec<String>,
}

/// Leftovers that are told by name.
const NAMED: usize = 3;

impl Recognised {
    /// What of the file was not used, for people; nothing where all of it was.
    pub fn told(&self, path: &Path) -> Option<String> {
        let mut told = Vec::new();
        if !self.others.is_empty() {
            told.push(format!(
                "the network also lies under {}, which `prefix` would take",
                layouts::listed(&self.others)
            ));
        }
        let is_others = |name: &&String| self.others.iter().any(|other| name.starts_with(other));
        let left: Vec<&str> = self
            .leftovers
            .iter()
            .filter(|name| !is_others(name))
            .map(String::as_str)
            .collect();
        if !left.is_empty() {
            let named = left.iter().take(NAMED).copied().collect::<Vec<_>>();
            let more = match left.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            told.push(format!("not used: {}{more}", named.join(", ")));
        }
        let told = (!told.is_empty()).then(|| told.join("; "))?;
        Some(format!("`{}` ({}): {told}", path.display(), self.layout))
    }
}

/// Reads a file and makes the network of it; every tensor must match.
///
/// - `prefix`: of several networks, the one whose tensors' names begin so
pub fn load_network(
    path: &Path,
    architecture: &Architecture,
    prefix: Option<&str>,
    device: Device,
) -> Result<(Network, Recognised)> {
    to_network(read(path)?, architecture, prefix, device)
}

/// As [`load_network`], of a file that was read.
pub fn to_network(
    checkpoint: Checkpoint,
    architecture: &Architecture,
    prefix: Option<&str>,
    device: Device,
) -> Result<(Network, Recognised)> {
    let path = checkpoint.path.clone();
    let Matched {
        weights,
        layout,
        leftovers,
        others,
    } = match_network(checkpoint, architecture, prefix)?;
    let network = Network::with_weights(architecture, weights, device);
    let network = network.map_err(|refusal| refusal.in_place(format!("`{}`", path.display())))?;
    let recognised = Recognised {
        layout,
        leftovers,
        others,
    };
    Ok((network, recognised))
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
