//! Workers on this machine: `seedpipe-torch worker`, a process for each stage.
//!
//! A process of its own is what keeps stages apart that run at once: libtorch has one number of
//! threads and one pool for all that a process does.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seedpipe_base::Refusal;
use seedpipe_engine::{Cancelled, Executor, Kind, Observer, Share, Task, cancel, listen};

use crate::torch::sibling;

/// Between two looks whether the user wants to stop.
const PATIENCE: Duration = Duration::from_millis(50);
/// Lines of a worker's stderr that are told when it ends without a word.
const LAST_LINES: usize = 20;

/// Starts workers on this machine.
pub struct Local {
    /// Stages at once.
    pub jobs: usize,
}

impl Executor for Local {
    fn jobs(&self) -> usize {
        self.jobs
    }

    /// What needs no libtorch is quicker done than a process started.
    fn takes(&self, kind: &Kind) -> bool {
        kind.tensors()
    }

    fn work(&self, task: Task, observer: &dyn Observer) -> Result<()> {
        work(task, Share::WHOLE, observer)
    }
}

/// Starts one worker, and hears it until it ends.
fn work(task: Task, share: Share, observer: &dyn Observer) -> Result<()> {
    cancel::check()?;
    let mut command = sibling::command()?;
    command
        .args(["worker", &task.fingerprint.to_string(), "--share"])
        .arg(share.to_string())
        .arg("--cache")
        .arg(task.cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C goes to the terminal's group: this process alone hears it, and passes it on once.
        .process_group(0);
    end_with_this_thread(&mut command);
    let mut child = command.spawn().context("a worker can't be started")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let is_over = AtomicBool::new(false);
    let pid = child.id();
    thread::scope(|scope| {
        scope.spawn(|| pass_on_the_wish_to_stop(pid, &is_over));
        let last = scope.spawn(move || last_lines(stderr));
        let heard = match stdout {
            Some(stdout) => listen(task.stage, BufReader::new(stdout), observer),
            None => bail!("BUG: a worker's stdout is a pipe"),
        };
        let status = wait(&mut child);
        is_over.store(true, Ordering::Release);
        let last = last.join().unwrap_or_default();
        match (heard, status?) {
            (Ok(()), status) if status.success() => Ok(()),
            (Err(error), _) if error.is::<Refusal>() || error.is::<Cancelled>() => Err(error),
            // It was asked to stop before it listened.
            (_, status) if cancel::requested() && status.signal() == Some(libc::SIGTERM) => {
                Err(Cancelled.into())
            }
            (_, status) => bail!(
                Refusal::failure(format!("its worker {}{last}", how(status)))
                    .hint("finished shards and checkpoints are kept: run again")
            ),
        }
    })
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    child.wait().context("a worker can't be waited for")
}

/// A worker whose run was killed goes too: nobody would publish what it makes, and the next run
/// could not know of it.
fn end_with_this_thread(command: &mut Command) {
    let kill = || {
        // SAFETY: a system call without pointers.
        match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes one system call, which is safe after a fork.
    unsafe { command.pre_exec(kill) };
}

fn pass_on_the_wish_to_stop(pid: u32, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Acquire) {
        if cancel::requested() {
            if let Ok(pid) = libc::pid_t::try_from(pid) {
                // SAFETY: a system call without pointers; the child is not waited for before it
                // has ended by itself, so the number is its own.
                unsafe { libc::kill(pid, libc::SIGTERM) };
            }
            return;
        }
        thread::sleep(PATIENCE);
    }
}

/// The end of what a worker wrote to stderr, as lines below a message.
fn last_lines(stderr: Option<impl Read>) -> String {
    let mut last = VecDeque::new();
    for line in stderr
        .into_iter()
        .flat_map(|read| BufReader::new(read).lines())
    {
        let Ok(line) = line else { break };
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.iter().map(|line| format!("\n  {line}")).collect()
}

/// How a process ended, after "it".
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(libc::SIGKILL)) => {
            "was killed (signal 9), which is how a system ends what needs too much memory"
                .to_owned()
        }
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    }
}
