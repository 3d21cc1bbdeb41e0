//! What is wrong with a pipeline or with what was asked of it, found before anything runs.

use std::fmt;

/// One message: where (file, stage, key), what was expected and got, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineError {
    /// The file, or the argument, that is wrong: `pipeline.yaml`, `--set views.size=0`.
    pub place: String,
    pub stage: Option<String>,
    /// Dotted, as in the file: `params.queue`, `inputs.views`, `kind`.
    pub key: Option<String>,
    /// What was expected and what was found.
    pub message: String,
    pub hint: Option<String>,
}

impl PipelineError {
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        PipelineError {
            place: place.into(),
            stage: None,
            key: None,
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn stage(mut self, stage: impl Into<String>) -> Self {
        self.stage = Some(stage.into());
        self
    }

    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for PipelineError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.place)?;
        if let Some(stage) = &self.stage {
            write!(formatter, "stage `{stage}`: ")?;
        }
        if let Some(key) = &self.key {
            write!(formatter, "key `{key}`: ")?;
        }
        write!(formatter, "{}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(formatter, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PipelineError {}

/// A value of the params that cannot work, as `Stage::validate` finds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key `{key}`: expected {expected}, got {got}")]
pub struct Invalid {
    /// Inside the params, dotted: `queue`, `head.hidden`.
    pub key: String,
    pub expected: String,
    pub got: String,
    pub hint: String,
}

impl Invalid {
    pub fn new(
        key: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Invalid {
            key: key.into(),
            expected: expected.into(),
            got: got.into(),
            hint: hint.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_where_what_and_the_remedy() {
        let error = PipelineError::new("pipeline.yaml", "expected 1 or more, got 0")
            .stage("views")
            .key("params.size")
            .hint("set it to the network's input size");
        assert_eq!(
            error.to_string(),
            "pipeline.yaml: stage `views`: key `params.size`: expected 1 or more, got 0\nhint: set it to the network's input size"
        );
    }
}
