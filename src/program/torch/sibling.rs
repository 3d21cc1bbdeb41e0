//! The way from `seedpipe` to `seedpipe-torch`, which has the stages that need libtorch: same
//! arguments, same process.
//!
//! Both carry the stamp of the sources that they were built from, so that two builds never mix.

use std::convert::Infallible;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use seedpipe_base::Refusal;
use seedpipe_stages::tools::Tools;

use crate::torch::processor::Processor;
use crate::{Tensors, terminal::output, torch::libtorch};

const NAME: &str = "seedpipe-torch";

/// Digest of the sources, made by the build script.
const STAMP: &str = env!("SEEDPIPE_BUILD_STAMP");

/// Hands the caller's stamp to the sibling.
const STAMP_VARIABLE: &str = "SEEDPIPE_BUILD_STAMP";

/// Hands over what `seedpipe` found out about the remote.
const HANDOVER_VARIABLE: &str = "SEEDPIPE_HANDOVER";

/// Tells `seedpipe-torch` that a [`note`] was printed.
const NOTED_VARIABLE: &str = "SEEDPIPE_NOTED";

static HAS_NOTED: AtomicBool = AtomicBool::new(false);

/// Prints a message, unless the program that became this one has.
pub fn note(message: &str) {
    if env::var_os(NOTED_VARIABLE).is_none() {
        output::error(message);
        HAS_NOTED.store(true, Ordering::Relaxed);
    }
}

/// How libtorch's OpenMP threads wait for each other: they sleep, after some microseconds of
/// spinning. Left to itself, libgomp spins for milliseconds: beside any other busy thread, such as
/// our own rendering, a spinning thread keeps the one that it waits for off the core (measured on 2
/// cores with another load: ResNet-20 trains at 342 images/s waiting passively and at 19 spinning).
/// Without any spinning, waking up costs more than most layers (on 2 idle cores: 866 images/s with
/// a count of 0, 1,086 with 1,000, 1,173 with 100,000).
const WAITING: [(&str, &str); 2] = [("OMP_WAIT_POLICY", "passive"), ("GOMP_SPINCOUNT", "1000")];

/// How many threads one operation of libtorch has, unless a training asks for more
/// (`training.threads`): sums depend on it, and what only looks or counts works on several pieces
/// at a time instead. A number of the user's own is not kept.
const THREADS: [(&str, &str); 2] = [("OMP_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1")];

/// What is to be set in the environment that isn't yet.
fn settings() -> Vec<(&'static str, &'static str)> {
    let waits = WAITING.iter().any(|(name, _)| env::var_os(name).is_some());
    let waiting = WAITING.into_iter().filter(|_| !waits);
    let threads = THREADS.into_iter();
    let threads = threads.filter(|(name, count)| env::var_os(name).is_none_or(|set| set != *count));
    waiting.chain(threads).collect()
}

/// In `seedpipe-torch`: starts itself again when something is to be set, since OpenMP reads it when
/// it is loaded.
///
/// # Errors
/// When it can't be started: with another number of threads sums would have other bits.
pub fn settle_threads() -> Result<()> {
    let settings = settings();
    if settings.is_empty() {
        return Ok(());
    }
    let program = env::current_exe().context("this program's own path can't be read")?;
    // Only a failure returns.
    let error = Command::new(&program)
        .args(env::args_os().skip(1))
        .envs(settings.iter().copied())
        .exec();
    let named: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    bail!(
        Refusal::failure(format!(
            "`{}` can't be started again with {}: {error}",
            program.display(),
            named.join(" ")
        ))
        .hint("set them yourself")
    )
}

/// In `seedpipe-torch`: refuses a `seedpipe` of another build.
///
/// # Errors
/// When this program was started by a `seedpipe` with another stamp.
pub fn check_caller(tensors: Tensors) -> Result<()> {
    let Some(caller) = env::var_os(STAMP_VARIABLE).filter(|_| tensors == Tensors::Here) else {
        return Ok(());
    };
    if caller != STAMP {
        bail!(
            Refusal::failure(format!(
                "`seedpipe` and `{NAME}` are of different builds: expected build {STAMP}, got {}",
                caller.display()
            ))
            .hint("run `cargo build`, which makes both")
        );
    }
    Ok(())
}

/// In `seedpipe-torch`: what the `seedpipe` that became it handed over.
pub fn handover() -> Option<String> {
    env::var_os(STAMP_VARIABLE)?;
    env::var(HANDOVER_VARIABLE).ok()
}

/// The `seedpipe-torch` beside this program.
///
/// # Errors
/// When it is missing.
pub fn program() -> Result<PathBuf> {
    let program = env::current_exe()
        .and_then(fs_err::canonicalize)
        .context("this program's own path can't be read")?;
    let sibling = program.parent().unwrap_or(Path::new("/")).join(NAME);
    if !sibling.is_file() {
        bail!(
            Refusal::failure(format!(
                "`{}` is missing: it runs the stages that need libtorch",
                sibling.display()
            ))
            .hint("run `cargo build`, which makes both programs; when they are installed, both belong in one folder")
        );
    }
    Ok(sibling)
}

/// What looks at networks: this program's own, or, in `seedpipe`, what it becomes `seedpipe-torch`
/// for.
///
/// # Errors
/// As [`become_tensor_program`].
pub fn tools(own: Option<Tools>) -> Result<Tools> {
    match own {
        Some(tools) => Ok(tools),
        None => match become_tensor_program(None)? {},
    }
}

/// In `seedpipe`: becomes `seedpipe-torch` with the same arguments. Returns only on failure.
///
/// - `handed_over`: for [`handover`] there, by commands that ask for it
///
/// # Errors
/// When the sibling or its libtorch is missing, or it can't be started.
pub fn become_tensor_program(handed_over: Option<&str>) -> Result<Infallible> {
    let mut command = command()?;
    command.args(env::args_os().skip(1));
    command.env_remove(NOTED_VARIABLE);
    if HAS_NOTED.load(Ordering::Relaxed) {
        command.env(NOTED_VARIABLE, "1");
    }
    if let Some(handed_over) = handed_over {
        command.env(HANDOVER_VARIABLE, handed_over);
    }
    let error = command.exec();
    Err(anyhow!(error).context(cannot_start(&command)))
}

/// A call of the sibling without arguments.
///
/// # Errors
/// When it or its libtorch is missing.
pub fn command() -> Result<Command> {
    let sibling = program()?;
    let libtorch = libtorch::find()?;
    Processor::of_this_machine().check()?;
    let mut command = Command::new(&sibling);
    libtorch.show_to_loader(&mut command);
    command
        .env(STAMP_VARIABLE, STAMP)
        .env_remove(HANDOVER_VARIABLE)
        .envs(settings());
    Ok(command)
}

fn cannot_start(command: &Command) -> String {
    format!(
        "`{}` can't be started",
        Path::new(command.get_program()).display()
    )
}

/// Asks the sibling for something in a process of its own: a line for each line of `questions`, as
/// far as it comes before the patience is over.
///
/// # Errors
/// When the sibling or its libtorch is missing, or it can't be started.
pub fn ask(argument: &str, questions: &str, patience: Duration) -> Result<Vec<String>> {
    let mut command = command()?;
    let mut child = command
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| cannot_start(&command))?;
    let begun = Instant::now();
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(questions.as_bytes()); // one that ended answers less
    }
    let (sender, receiver) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines();
            lines
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
    }
    let mut answers = Vec::new();
    while let Some(left) = patience.checked_sub(begun.elapsed())
        && let Ok(line) = receiver.recv_timeout(left)
    {
        answers.push(line);
    }
    let _ = child.kill(); // it may have ended
    child.wait()?;
    Ok(answers)
}
