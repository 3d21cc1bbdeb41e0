//! Ctrl-C, SIGTERM and SIGHUP: the first asks the engine to stop after the shard or step at hand,
//! the second stops at once. One that was ignored when the program began, as `nohup` and shells in
//! the background have it, stays ignored.

use anyhow::{Context, Result};
use seedpipe_engine::cancel;

/// Exit code of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// What `ctrlc` takes over.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Takes over the signals for the rest of the program's life.
///
/// - `print`: shows one line to the user
///
/// # Errors
/// When the system refuses a handler.
pub fn listen(print: impl Fn(&str) + Send + 'static) -> Result<()> {
    let ignored = SIGNALS.map(is_ignored);
    ctrlc::set_handler(move || {
        if cancel::requested() {
            // SAFETY: `_exit` touches no memory of this program. `exit` would destroy libtorch's
            // globals under the threads that compute with them.
            unsafe { libc::_exit(INTERRUPTED) };
        }
        cancel::request();
        print("stopping as soon as what is finished is safe; once more stops at once");
    })
    .context("Ctrl-C can't be caught")?;
    for (signal, was_ignored) in SIGNALS.into_iter().zip(ignored) {
        if was_ignored {
            // SAFETY: no handler runs for an ignored signal.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
    Ok(())
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: all zeros is a value of this struct, which is only written to; nothing is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let asked = libc::sigaction(signal, std::ptr::null(), &raw mut action);
        asked == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}
