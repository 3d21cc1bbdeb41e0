//! Ctrl-C, SIGTERM and SIGHUP: the first asks the engine to stop after the shard or step at hand,
//! the second stops at once. One that was ignored when the program began, as `nohup` and shells in
//! the background have it, stays ignored. By SIGXCPU, SIGUSR1 and SIGUSR2 time limits are announced
//! (`ulimit -t`, batch systems), perhaps again and again: they ask, and never stop at once.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use seedpipe_engine::cancel;

/// Exit code of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// `timeout` and shells send one wish to stop twice, to the process and to its group.
const ONE_WISH: Duration = Duration::from_millis(50);
const TIME_LIMITS: [libc::c_int; 3] = [libc::SIGXCPU, libc::SIGUSR1, libc::SIGUSR2];

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
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || {
        if first.is_some_and(|first| first.elapsed() < ONE_WISH) {
            return;
        }
        if cancel::requested() {
            // SAFETY: `_exit` touches no memory of this program. `exit` would destroy libtorch's
            // globals under the threads that compute with them.
            unsafe { libc::_exit(INTERRUPTED) };
        }
        cancel::request();
        print("stopping as soon as what is finished is safe; once more stops at once");
        first = Some(Instant::now());
    })
    .context("Ctrl-C can't be caught")?;
    for (signal, was_ignored) in SIGNALS.into_iter().zip(ignored) {
        if was_ignored {
            // SAFETY: no handler runs for an ignored signal.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
    for signal in TIME_LIMITS
        .into_iter()
        .filter(|&signal| !is_ignored(signal))
    {
        let handler: extern "C" fn(libc::c_int) = ask;
        // SAFETY: the handler only stores into an atomic.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    Ok(())
}

extern "C" fn ask(_signal: libc::c_int) {
    cancel::request();
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: all zeros is a value of this struct, which is only written to; nothing is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let asked = libc::sigaction(signal, std::ptr::null(), &raw mut action);
        asked == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}
