//! Fault points: where tests make a run die or its disk fail, at every write, fsync and rename.
//! Only in builds with debug assertions, as the tests use; in a release build a point is nothing.
//!
//! `SEEDPIPE_FAULT=NAME:N=kill|stop|enospc|eio` acts at the N-th time that the process comes to the
//! point (1 when left out); the name `*` counts every point. `SEEDPIPE_FAULT_LOG=FILE` gets a line
//! with the name of each point, before it acts.

use std::io;
use std::path::Path;

#[cfg(debug_assertions)]
pub use enabled::point;

/// A point at a file or folder, which its error names as a real one would.
///
/// # Errors
/// The error that is asked for.
#[inline(always)]
pub fn at(name: &str, path: &Path) -> io::Result<()> {
    point(name).map_err(|error| {
        let text = format!("{name} of `{}`: {error}", path.display());
        io::Error::new(error.kind(), text)
    })
}

/// A point that does nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &str) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
mod enabled {
    use std::fs::File;
    use std::io::{self, Write};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    /// What the environment asks for.
    static ASKED: LazyLock<Asked> = LazyLock::new(Asked::from_environment);

    #[derive(Default)]
    struct Asked {
        fault: Option<ArmedFault>,
        log: Option<File>,
    }

    struct ArmedFault {
        /// `*`: every point.
        name: String,
        /// Counts down; it acts when it comes to 0.
        left: AtomicU64,
        action: FaultAction,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum FaultAction {
        Kill,
        /// Until somebody sends SIGCONT.
        Stop,
        Fail(Errno),
    }

    /// Does what `SEEDPIPE_FAULT` asks for at this point.
    ///
    /// # Errors
    /// The error that is asked for.
    pub fn point(name: &str) -> io::Result<()> {
        let asked = &*ASKED;
        if let Some(mut log) = asked.log.as_ref() {
            log.write_all(format!("{name}\n").as_bytes())?;
        }
        let Some(fault) = asked.fault.as_ref() else {
            return Ok(());
        };
        if fault.name != "*" && fault.name != name {
            return Ok(());
        }
        // Below 1 it wraps and never comes to 1 again.
        if fault.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return Ok(());
        }
        match fault.action {
            FaultAction::Fail(error) => Err(error.into()),
            FaultAction::Stop => Ok(kill_process(getpid(), Signal::STOP)?),
            FaultAction::Kill => {
                kill_process(getpid(), Signal::KILL)?;
                loop {
                    std::thread::park(); // until the signal arrives
                }
            }
        }
    }

    impl Asked {
        fn from_environment() -> Asked {
            let fault = std::env::var("SEEDPIPE_FAULT").ok().map(|text| {
                parse(&text).unwrap_or_else(|| {
                    panic!("BUG: SEEDPIPE_FAULT is `{text}`, not NAME:N=kill|stop|enospc|eio")
                })
            });
            let log = std::env::var_os("SEEDPIPE_FAULT_LOG").map(|path| {
                let log = File::options().create(true).append(true).open(&path);
                log.unwrap_or_else(|error| {
                    panic!("BUG: SEEDPIPE_FAULT_LOG `{}`: {error}", path.display())
                })
            });
            Asked { fault, log }
        }
    }

    fn parse(text: &str) -> Option<ArmedFault> {
        let (place, action) = text.split_once('=')?;
        let (name, count) = match place.split_once(':') {
            Some((name, count)) => (name, count.parse().ok()?),
            None => (place, 1),
        };
        let action = match action {
            "kill" => FaultAction::Kill,
            "stop" => FaultAction::Stop,
            "enospc" => FaultAction::Fail(Errno::NOSPC),
            "eio" => FaultAction::Fail(Errno::IO),
            _ => return None,
        };
        Some(ArmedFault {
            name: name.to_owned(),
            left: AtomicU64::new(count),
            action,
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_the_environment_asks_for_is_understood_or_refused() {
            let fault = parse("publish.rename:3=eio").unwrap();
            assert_eq!(
                (fault.name.as_str(), fault.left.into_inner(), fault.action),
                ("publish.rename", 3, FaultAction::Fail(Errno::IO))
            );
            let fault = parse("*=kill").unwrap();
            assert_eq!(
                (fault.left.into_inner(), fault.action),
                (1, FaultAction::Kill)
            );
            for bad in ["", "x", "x=halt", "x:y=kill"] {
                assert!(parse(bad).is_none(), "{bad}");
            }
        }
    }
}
