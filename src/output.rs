//! What goes to stdout and stderr outside progress. A reader that goes away (`| head`) is no error.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// Writes text and a line end to stdout; an empty text writes nothing.
///
/// # Errors
/// When stdout can't be written, for another reason than that its reader is gone.
pub fn print(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let mut stdout = io::stdout().lock();
    let result = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("stdout can't be written"),
    }
}

/// Writes a value to stdout as indented JSON.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value).context("BUG: an output that JSON can't hold")?)
}

/// Writes a message to stderr; where even that fails, there is no one left to tell.
pub fn error(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
