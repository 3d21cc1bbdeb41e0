//! Who is told that this process waits for another one, where no observer is at hand; and how
//! waiting is done: by looking again and again, told after 2 seconds and then every 30, until the
//! user wants to stop.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::base::cancel;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(25);
/// From when on a waiter says for whom it waits, and how often.
const FIRST_NOTICE: Duration = Duration::from_secs(2);
const NEXT_NOTICE: Duration = Duration::from_secs(30);

type Tell = Box<dyn Fn(&str) + Send>;

static TELL: Mutex<Option<Tell>> = Mutex::new(None);

/// From now on `tell` shows such lines to the user.
pub fn tell_by(tell: impl Fn(&str) + Send + 'static) {
    if let Ok(mut told) = TELL.lock() {
        *told = Some(Box::new(tell));
    }
}

pub(crate) fn tell(line: &str) {
    if let Ok(told) = TELL.lock()
        && let Some(tell) = told.as_ref()
    {
        tell(line);
    }
}

/// Waits until `look` finds something.
///
/// # Errors
/// What `look` gives, and [`Cancelled`](cancel::Cancelled).
pub(crate) fn until<T>(look: impl Fn() -> Result<Option<T>>, waiting: impl Fn()) -> Result<T> {
    let start = Instant::now();
    let mut next_notice = FIRST_NOTICE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        cancel::check()?;
        if start.elapsed() >= next_notice {
            waiting();
            next_notice += NEXT_NOTICE;
        }
        std::thread::sleep(PAUSE);
    }
}
