//! Ctrl-C, SIGTERM and SIGHUP: the first asks the engine to stop after the shard or step at hand,
//! the second stops at once.

use anyhow::{Context, Result};
use seedpipe_engine::cancel;

/// Exit code of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Takes over the signals for the rest of the program's life.
///
/// - `print`: shows one line to the user
///
/// # Errors
/// When the system refuses a handler.
pub fn listen(print: impl Fn(&str) + Send + 'static) -> Result<()> {
    ctrlc::set_handler(move || {
        if cancel::requested() {
            // SAFETY: `_exit` touches no memory of this program. `exit` would destroy libtorch's
            // globals under the threads that compute with them.
            unsafe { libc::_exit(INTERRUPTED) };
        }
        cancel::request();
        print("stopping as soon as what is finished is safe; once more stops at once");
    })
    .context("Ctrl-C can't be caught")
}
