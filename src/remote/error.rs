//! What goes wrong with a remote, in words that hold no credentials.

use crate::secrets::Secrets;

/// The longest message of a library or server that is passed on, in characters.
const MAXIMAL_CHARACTERS: usize = 500;

/// A request that failed: which remote, which object, why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("remote `{remote}`: {action}: {message}")]
pub struct RemoteError {
    pub remote: String,
    /// ``reading `seedpipe/v1/…` ``.
    pub action: String,
    /// What the store said, on one line, without credentials.
    pub message: String,
}

impl RemoteError {
    pub(crate) fn new(
        remote: &str,
        action: impl Into<String>,
        cause: impl std::fmt::Display,
        secrets: &Secrets,
    ) -> Self {
        let text = secrets.hide(&cause.to_string());
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut message: String = line.chars().take(MAXIMAL_CHARACTERS).collect();
        if message.len() < line.len() {
            message.push('…');
        }
        RemoteError {
            remote: remote.to_owned(),
            action: action.into(),
            message,
        }
    }
}
