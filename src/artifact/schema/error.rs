//! The one error of this crate: which file, what is wrong with it, what was expected and got, and
//! the remedy where there is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use seedpipe_base::Refusal;

pub type Result<T> = std::result::Result<T, ArtifactError>;

/// What went wrong with a file. An [`io::Error`] behind it (a full disk, a refused permission) is
/// its `source`.
#[derive(Debug)]
pub struct ArtifactError {
    path: PathBuf,
    what: Refusal,
}

impl ArtifactError {
    /// The file (for an output without parts: an empty path).
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn of(path: &Path, what: Refusal) -> Self {
        Self {
            path: path.to_path_buf(),
            what,
        }
    }

    pub(crate) fn new(path: &Path, what: impl Into<String>) -> Self {
        Self::of(path, Refusal::new(what))
    }

    pub(crate) fn unexpected(
        path: &Path,
        what: impl fmt::Display,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        Self::of(
            path,
            Refusal::expected(expected, got).place(what.to_string()),
        )
    }

    pub(crate) fn io(path: &Path, action: &str, source: io::Error) -> Self {
        Self::of(path, Refusal::new(action).source(source))
    }

    /// `action`: "cannot read", "cannot write". An IO error inside is unwrapped, so that its kind
    /// is kept.
    pub(crate) fn parquet(path: &Path, action: &str, error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(source) => Self::io(path, action, *source),
                Err(other) => Self::new(path, format!("{action}: {other}")),
            },
            other => Self::new(path, format!("{action}: {other}")),
        }
    }

    pub(crate) fn arrow(path: &Path, action: &str, error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, source) => Self::io(path, action, source),
            ArrowError::ExternalError(inner) => match inner.downcast::<ParquetError>() {
                Ok(parquet) => Self::parquet(path, action, *parquet),
                Err(other) => Self::new(path, format!("{action}: {other}")),
            },
            other => Self::new(path, format!("{action}: {other}")),
        }
    }

    pub(crate) fn hint(self, hint: &str) -> Self {
        Self {
            what: self.what.hint(hint),
            ..self
        }
    }
}

impl fmt::Display for ArtifactError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`: {}", self.path.display(), self.what)
    }
}

impl std::error::Error for ArtifactError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.what.source.as_deref().map(|source| source as _)
    }
}

/// Runs a decoder over a file's content. The Parquet reader is meant to refuse garbage with an
/// error; where it panics instead, that is an error of the file too, and nothing is printed.
pub(crate) fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    seedpipe_base::caught(work).unwrap_or_else(|_| {
        Err(ArtifactError::new(
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
        let error = ArtifactError::parquet(
            Path::new("a.parquet"),
            "cannot write",
            ParquetError::External(Box::new(full)),
        );
        assert_eq!(error.to_string(), "`a.parquet`: cannot write");
        assert_eq!(
            error.what.source.as_ref().map(|source| source.kind()),
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
