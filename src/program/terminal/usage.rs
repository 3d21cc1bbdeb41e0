//! An error in how the program was called: exit code 2.

/// What is wrong with the call, and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{message}\nhint: {hint}")]
pub struct UsageError {
    message: String,
    hint: String,
}

impl UsageError {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}
