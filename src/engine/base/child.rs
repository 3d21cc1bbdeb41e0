//! Other programs that are asked something: they get no input, and are ended when they take too long
//! or the user wants to stop.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::cancel;

/// More is not read of what a program says.
const MAXIMAL_BYTES: u64 = 64 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// What a program says until it ends.
///
/// # Errors
/// When it can't be started; [`TimedOut`](io::ErrorKind::TimedOut) when it doesn't end, and
/// [`Interrupted`](io::ErrorKind::Interrupted) when the user wants to stop.
pub fn output(command: &mut Command, patience: Duration) -> io::Result<Output> {
    let deadline = Instant::now() + patience;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdout = read_beside(child.stdout.take());
    let stderr = read_beside(child.stderr.take());
    let mut pause = FIRST_PAUSE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let given_up = match (Instant::now() >= deadline, cancel::requested()) {
            (true, _) => too_long(patience),
            (_, true) => io::Error::new(io::ErrorKind::Interrupted, cancel::Cancelled),
            _ => {
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
        };
        // It may have ended by now.
        let _ = child.kill();
        child.wait()?;
        return Err(given_up);
    };
    // A program of its own that goes on may hold the pipes.
    let rest = |said: Receiver<Vec<u8>>| {
        let left = deadline.saturating_duration_since(Instant::now());
        said.recv_timeout(left).map_err(|_| too_long(patience))
    };
    Ok(Output {
        status,
        stdout: rest(stdout)?,
        stderr: rest(stderr)?,
    })
}

fn too_long(patience: Duration) -> io::Error {
    let message = format!("no end after {} s", patience.as_secs_f64());
    io::Error::new(io::ErrorKind::TimedOut, message)
}

fn read_beside(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was said before an error counts.
            let _ = pipe.take(MAXIMAL_BYTES).read_to_end(&mut bytes);
        }
        // Nobody may be left to hear it.
        let _ = sender.send(bytes);
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, patience: Duration) -> io::Result<Output> {
        output(Command::new("sh").args(["-c", script]), patience)
    }

    #[test]
    fn what_a_program_says_comes_back() {
        let said = shell(
            "cat; echo out; echo err >&2; exit 3",
            Duration::from_secs(60),
        )
        .unwrap();
        assert_eq!(said.status.code(), Some(3));
        assert_eq!(
            (said.stdout, said.stderr),
            (b"out\n".to_vec(), b"err\n".to_vec())
        );
    }

    #[test]
    fn a_program_without_end_is_ended() {
        for script in ["exec sleep 600", "sleep 600 & echo on its way"] {
            let error = shell(script, Duration::from_millis(200)).unwrap_err();
            assert_eq!(error.to_string(), "no end after 0.2 s", "{script}");
        }
    }
}
