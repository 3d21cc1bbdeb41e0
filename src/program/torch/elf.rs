//! Which processors a shared library is for, read off its ELF header. The build script includes
//! this file: the standard library alone.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Machines by the header's `e_machine` (System V ABI, chapter 4), under the names of Rust's
/// targets.
const MACHINES: [(u16, &str); 2] = [(62, "x86_64"), (183, "aarch64")];

/// Bytes of the header up to and with `e_machine`.
const BEGINNING: usize = 20;

/// What a library is for when it isn't for that architecture: a name of Rust's, a number, or no ELF
/// file at all.
///
/// - `architecture`: as in Rust's targets; one that isn't known here fits everything
///
/// # Errors
/// When the file can't be read.
pub fn mismatch(library: &Path, architecture: &str) -> io::Result<Option<String>> {
    let Some((expected, _)) = MACHINES.iter().find(|(_, name)| *name == architecture) else {
        return Ok(None);
    };
    let mut beginning = Vec::new();
    File::open(library)?
        .take(BEGINNING as u64)
        .read_to_end(&mut beginning)?;
    if beginning.len() < BEGINNING || !beginning.starts_with(b"\x7fELF") {
        return Ok(Some("no ELF file".to_owned()));
    }
    let got = u16::from_le_bytes([beginning[18], beginning[19]]);
    let known = MACHINES.iter().find(|(number, _)| *number == got);
    Ok((got != *expected).then(|| match known {
        Some((_, name)) => format!("one for {name}"),
        None => format!("one for ELF machine {got}"),
    }))
}

/// A header's beginning, for tests.
#[cfg(test)]
pub fn header(machine: u16) -> Vec<u8> {
    let mut header = vec![0; BEGINNING];
    header[..4].copy_from_slice(b"\x7fELF");
    header[18..].copy_from_slice(&machine.to_le_bytes());
    header
}

/// This program's own.
#[cfg(test)]
pub fn own_header() -> Vec<u8> {
    let own = MACHINES
        .iter()
        .find(|(_, name)| *name == std::env::consts::ARCH);
    header(own.map_or(0, |(number, _)| *number))
}
