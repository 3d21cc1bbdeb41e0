//! What goes wrong with a file, as a [`Refusal`] that names it.

use std::fmt;
use std::io;
use std::path::Path;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use seedpipe_base::Refusal;

pub type Result<T> = std::result::Result<T, Refusal>;

/// What is wrong with a file (of an output without parts: with an empty path).
pub(crate) fn of(path: &Path, what: Refusal) -> Refusal {
    what.failed().in_place(format!("`{}`", path.display()))
}

pub(crate) fn new(path: &Path, what: impl Into<String>) -> Refusal {
    of(path, Refusal::new(what))
}

pub(crate) fn unexpected(
    path: &Path,
    what: impl fmt::Display,
    expected: impl fmt::Display,
    got: impl fmt::Display,
) -> Refusal {
    of(
        path,
        Refusal::expected(expected, got).place(what.to_string()),
    )
}

/// The system's own error (a full disk, a refused permission) is the source.
pub(crate) fn io(path: &Path, action: &str, source: io::Error) -> Refusal {
    of(path, Refusal::new(action).source(source))
}

/// `action`: "cannot read", "cannot write". An IO error inside is unwrapped, so that its kind is
/// kept.
pub(crate) fn parquet(path: &Path, action: &str, error: ParquetError) -> Refusal {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(source) => io(path, action, *source),
            Err(other) => new(path, format!("{action}: {other}")),
        },
        other => new(path, format!("{action}: {other}")),
    }
}

/// As [`parquet`].
pub(crate) fn arrow(path: &Path, action: &str, error: ArrowError) -> Refusal {
    match error {
        ArrowError::IoError(_, source) => io(path, action, source),
        ArrowError::ExternalError(inner) => match inner.downcast::<ParquetError>() {
            Ok(error) => parquet(path, action, *error),
            Err(other) => new(path, format!("{action}: {other}")),
        },
        other => new(path, format!("{action}: {other}")),
    }
}

/// Runs a decoder over a file's content. The Parquet reader is meant to refuse garbage with an
/// error; where it panics instead, that is an error of the file too, and nothing is printed.
pub(crate) fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    seedpipe_base::caught(work).unwrap_or_else(|_| {
        Err(new(
            path,
            "cannot read: the Parquet decoder gave up on this file's content",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_inside_a_parquet_error_keeps_its_kind() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = parquet(
            Path::new("a.parquet"),
            "cannot write",
            ParquetError::External(Box::new(full)),
        );
        assert_eq!(error.to_string(), "`a.parquet`: cannot write");
        assert_eq!(
            error.source.as_ref().map(|source| source.kind()),
            Some(io::ErrorKind::StorageFull)
        );
    }

    #[test]
    fn a_panic_of_the_decoder_is_an_error_of_the_file() {
        let error =
            guarded::<()>(Path::new("x.parquet"), || panic!("index out of bounds")).unwrap_err();
        assert!(error.to_string().starts_with("`x.parquet`: cannot read"));
    }
}
