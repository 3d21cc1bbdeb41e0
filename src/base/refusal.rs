//! What is wrong with what people bring: a file, an argument, a pipeline, a number, a network.

use std::error::Error;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use crate::neutral;

/// One message of what is refused: where, what, expected and got, and the remedy. Written as
///
/// ```text
/// pipeline.yaml: stage `views`: key `params.size`: expected 1 or more, got 0
/// hint: set it to the network's input size
/// ```
///
/// What is not known is left out: who finds a wrong number knows its key, who reads the file knows
/// its name, and puts it before.
#[derive(Debug, Clone, Default)]
pub struct Refusal(Box<Parts>);

/// A text with its remedy, as every message has it: also of reports and warnings, which are no
/// errors.
pub fn hinted(text: impl fmt::Display, hint: impl fmt::Display) -> String {
    format!("{text}\nhint: {hint}")
}

/// What a [`Refusal`] says, piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// The file, or the argument, that is wrong: `pipeline.yaml`, `--set views.size=0`.
    pub place: Option<String>,
    pub stage: Option<String>,
    /// Dotted, as in the file: `params.queue`, `inputs.views`, `kind`.
    pub key: Option<String>,
    /// What was expected and what was found.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// The system's own error behind it, whose kind decides what a caller does (a full disk, a
    /// refused permission).
    pub source: Option<Arc<io::Error>>,
    /// The work failed, though call and pipeline are sound: the program ends with 1, else with 2.
    pub is_failure: bool,
}

impl Refusal {
    /// Of a call, a pipeline or a setting: the program ends with 2, before it does what it was
    /// asked.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            message: message.into(),
            ..Parts::default()
        }))
    }

    /// Of what only the work meets, such as a file's content: the program ends with 1.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::new(message).failed()
    }

    /// As a [`failure`](Self::failure).
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.0.is_failure = true;
        self
    }

    /// A value that cannot be.
    pub fn expected(expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self::new(format!("expected {expected}, got {got}"))
    }

    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.0.place = Some(place.into());
        self
    }

    /// The place as it is called further out: a row within a file.
    #[must_use]
    pub fn in_place(mut self, outer: impl fmt::Display) -> Self {
        self.0.place = Some(match self.0.place {
            Some(place) => format!("{outer}: {place}"),
            None => outer.to_string(),
        });
        self
    }

    #[must_use]
    pub fn stage(mut self, stage: impl Into<String>) -> Self {
        self.0.stage = Some(stage.into());
        self
    }

    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// The key as it is called further out: `weight_decay` within `training.optimiser`.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.0.key = Some(match self.0.key {
            Some(key) => format!("{outer}.{key}"),
            None => outer.to_owned(),
        });
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// A remedy where there is one; an empty one is none.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint.filter(|hint| !hint.is_empty());
        self
    }

    #[must_use]
    pub fn source(mut self, source: io::Error) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What a chain of errors says, on one line, and the remedy of the refusal in it.
    pub fn of_chain<'a>(chain: impl IntoIterator<Item = &'a (dyn Error + 'static)>) -> Self {
        let mut hint = None;
        let said: Vec<String> = chain
            .into_iter()
            .map(|error| match error.downcast_ref::<Refusal>() {
                Some(refusal) => {
                    hint = hint.take().or_else(|| refusal.hint.clone());
                    refusal.what()
                }
                None => error.to_string(),
            })
            .collect();
        Self::failure(said.join(": ")).hint_if(hint)
    }

    /// The message without the remedy, on one line.
    pub fn what(&self) -> String {
        let mut parts = self.0.clone();
        parts.hint = None;
        Self(parts).to_string()
    }
}

impl Deref for Refusal {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{}: ", neutral::line(place))?;
        }
        if let Some(stage) = &self.stage {
            write!(formatter, "stage `{}`: ", neutral::line(stage))?;
        }
        if let Some(key) = &self.key {
            write!(formatter, "key `{}`: ", neutral::line(key))?;
        }
        match &self.hint {
            Some(hint) => formatter.write_str(&hinted(&self.message, hint)),
            None => formatter.write_str(&self.message),
        }
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl PartialEq for Refusal {
    /// By what is said.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_where_what_and_the_remedy() {
        let error = Refusal::expected("1 or more", 0)
            .key("size")
            .within("params")
            .stage("views")
            .place("pipeline.yaml")
            .hint("set it to the network's input size");
        assert_eq!(
            error.to_string(),
            "pipeline.yaml: stage `views`: key `params.size`: expected 1 or more, got 0\nhint: set it to the network's input size"
        );
        assert_eq!(
            error.what(),
            "pipeline.yaml: stage `views`: key `params.size`: expected 1 or more, got 0"
        );
    }

    #[test]
    fn a_chain_is_told_on_one_line_with_the_remedy_apart() {
        let disk = io::Error::other("no space");
        let error = Refusal::failure("can't be written")
            .place("cache")
            .hint("free some")
            .source(disk);
        let chain = std::iter::successors(Some(&error as &(dyn Error + 'static)), |error| {
            Error::source(*error)
        });
        let said = Refusal::of_chain(chain);
        assert_eq!(said.message, "cache: can't be written: no space");
        assert_eq!(said.hint.as_deref(), Some("free some"));
        assert!(said.is_failure && !Refusal::new("no such stage").is_failure);
    }
}
