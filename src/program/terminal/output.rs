//! What goes to stdout and stderr outside progress. A reader that goes away (`| head`) is no error.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result};
use seedpipe_base::neutral;
use seedpipe_engine::clock;
use seedpipe_remote::without_credentials;
use serde::Serialize;
use serde_json::{Value, json};

use crate::terminal::colours::Colours;

/// Of the events of `--log-format json`.
pub const EVENTS_VERSION: u32 = 1;

/// How stderr is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An event of JSON a line.
    Json,
}

impl LogFormat {
    pub const ALL: [LogFormat; 2] = [LogFormat::Text, LogFormat::Json];

    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

static LOG_FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Decides how stderr is written for the rest of the program's life; the first call counts.
pub fn set_log_format(format: LogFormat) {
    LOG_FORMAT.get_or_init(|| format);
}

pub fn log_format() -> LogFormat {
    LOG_FORMAT.get().copied().unwrap_or_default()
}

type MakeRoom = Box<dyn Fn() + Send>;

static MAKE_ROOM: Mutex<Option<MakeRoom>> = Mutex::new(None);

/// From now on `make_room` takes away what is drawn on the terminal before something is printed.
pub fn make_room_by(make_room: impl Fn() + Send + 'static) {
    if let Ok(mut known) = MAKE_ROOM.lock() {
        *known = Some(Box::new(make_room));
    }
}

fn make_room() {
    if let Ok(known) = MAKE_ROOM.try_lock()
        && let Some(make_room) = known.as_ref()
    {
        make_room();
    }
}

static READER_IS_GONE: AtomicBool = AtomicBool::new(false);

/// Whether something was printed that nobody reads: time to end, for who prints without end.
pub fn reader_is_gone() -> bool {
    READER_IS_GONE.load(Ordering::Relaxed)
}

/// Writes text and a line end to stdout; an empty text writes nothing. Nothing in it steers the
/// terminal.
///
/// # Errors
/// When stdout can't be written, for another reason than that its reader is gone.
pub fn print(text: &str) -> Result<()> {
    write_out(&neutral::lines(text))
}

fn write_out(text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    if io::stdout().is_terminal() {
        make_room();
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let mut stdout = io::stdout().lock();
    let result = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            READER_IS_GONE.store(true, Ordering::Relaxed);
            Ok(())
        }
        other => other.context("stdout can't be written"),
    }
}

/// Writes a value to stdout as indented JSON.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print_json_text(
        &serde_json::to_string_pretty(value).context("BUG: an output that JSON can't hold")?,
    )
}

/// Writes what is JSON already, such as a line of it.
///
/// # Errors
/// As [`print`].
pub fn print_json_text(json: &str) -> Result<()> {
    write_out(&neutral::json(json))
}

/// Writes a message to stderr, as an event where those are wanted; where even that fails, there is
/// no one left to tell. What it repeats of the command line or a file may hold credentials, which
/// are left out.
pub fn error(message: &str) {
    let message = without_credentials(message);
    let message = message.as_str();
    match log_format() {
        LogFormat::Text => {
            make_room();
            let message = Colours::of_stderr().message(message);
            let _ = writeln!(io::stderr().lock(), "{message}");
        }
        LogFormat::Json => {
            let known = [("error: ", "error"), ("warning: ", "warning")];
            let found = known.iter().find(|(word, _)| message.starts_with(word));
            let (word, level) = found.copied().unwrap_or(("", "info"));
            let message = &message[word.len()..];
            event(
                "message",
                json!({"level": level, "stage": null, "message": message}),
            );
        }
    }
}

/// Writes an event to stderr, a line of JSON:
/// `{"v":1,"event":"progress","time":"2025-03-01T12:00:00.250Z", …}`.
///
/// - `fields`: an object
pub fn event(name: &str, fields: Value) {
    let mut line = format!(
        "{{\"v\":{EVENTS_VERSION},\"event\":\"{name}\",\"time\":\"{}\"",
        clock::now_to_the_millisecond()
    );
    for (key, value) in fields.as_object().into_iter().flatten() {
        line.push_str(&format!(",{}:{value}", json!(key)));
    }
    let _ = writeln!(io::stderr().lock(), "{}}}", neutral::json(&line));
}
