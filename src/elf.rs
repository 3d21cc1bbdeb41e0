//! Which processors a shared library is for, read off its ELF header.

use std::io::Read;
use std::path::Path;

use anyhow::Result;

/// Machines by the header's `e_machine` (System V ABI, chapter 4), under the names of Rust's targets.
const MACHINES: [(u16, &str); 2] = [(62, "x86_64"), (183, "aarch64")];

/// What this program itself is for.
pub const THIS_MACHINE: u16 = if cfg!(target_arch = "aarch64") {
    MACHINES[1].0
} else {
    MACHINES[0].0
};

/// Bytes of the header up to and with `e_machine`.
const BEGINNING: usize = 20;

/// The machine that a file is for; `None` when it is no ELF file.
///
/// # Errors
/// When the file can't be read.
pub fn machine(file: &Path) -> Result<Option<u16>> {
    let mut beginning = Vec::new();
    fs_err::File::open(file)?
        .take(BEGINNING as u64)
        .read_to_end(&mut beginning)?;
    let is_elf = beginning.len() == BEGINNING && beginning.starts_with(b"\x7fELF");
    Ok(is_elf.then(|| u16::from_le_bytes([beginning[18], beginning[19]])))
}

/// `x86_64`, `aarch64`, or the number.
pub fn name(machine: u16) -> String {
    match MACHINES.iter().find(|(number, _)| *number == machine) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("ELF machine {machine}"),
    }
}

/// A header's beginning, for tests.
#[cfg(test)]
pub fn header(machine: u16) -> Vec<u8> {
    let mut header = vec![0; BEGINNING];
    header[..4].copy_from_slice(b"\x7fELF");
    header[18..].copy_from_slice(&machine.to_le_bytes());
    header
}
