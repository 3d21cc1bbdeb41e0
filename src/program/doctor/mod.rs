//! What a machine has and lacks for a pipeline, finding by finding, each with its remedy. Nothing
//! here needs libtorch or changes anything.

pub(crate) mod emulation;

pub mod cache;
pub mod machine;

use anyhow::Error;
use seedpipe_base::Refusal;
use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Ok,
    /// Works, but slower than it could or not for long.
    Warning,
    /// Something will not work.
    Fault,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Fault => "fault",
        }
    }
}

/// One line of what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    pub severity: Severity,
    pub message: String,
    /// What to do; `None` where nothing is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(subject: &'static str, message: impl Into<String>) -> Finding {
        Finding {
            subject,
            severity: Severity::Ok,
            message: message.into(),
            remedy: None,
        }
    }

    pub fn warning(
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            severity: Severity::Warning,
            remedy: Some(remedy.into()),
            ..Finding::ok(subject, message)
        }
    }

    pub fn fault(
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            severity: Severity::Fault,
            remedy: Some(remedy.into()),
            ..Finding::ok(subject, message)
        }
    }

    /// A fault whose message and remedy are an error's message and hint.
    pub fn of_error(subject: &'static str, error: &Error) -> Finding {
        let said = Refusal::of_chain(error.chain());
        Finding {
            remedy: said.hint.clone(),
            ..Finding::fault(subject, &said.message, "")
        }
    }
}
