//! `completions SHELL` and `man [DIR]`: the command line as shells and `man` know it, from the same
//! definitions as `--help`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;

use crate::commands::Invocation;
use crate::commands::arguments::Arguments;
use crate::terminal::output;

#[derive(Args, Debug)]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub struct Man {
    /// Where the pages are written: `seedpipe.1`, `seedpipe-run.1` …
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

const PROGRAM: &str = "seedpipe";
/// The variable by which a shell's script asks the program.
const ASKED_BY: &str = "COMPLETE";

/// Answers a shell that asks how a word may go on, and ends the process; else nothing. To be called
/// before there is another thread.
pub fn complete() {
    CompleteEnv::with_factory(Arguments::whole_command)
        .var(ASKED_BY)
        .complete();
}

pub fn completions(_: Invocation, arguments: &Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    let shell = arguments.shell.to_string();
    Shells::builtins()
        .completer(&shell)
        .context("BUG: a shell that is known")?
        .write_registration(ASKED_BY, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    print_bytes(script)
}

/// A page a command into the folder, or the program's own page on stdout.
pub fn man(_: Invocation, arguments: &Man) -> Result<ExitCode> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::whole_command())
            .render(&mut page)
            .context("BUG: a manual page in memory")?;
        return print_bytes(page);
    };
    fs_err::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::whole_command(), folder)
        .with_context(|| format!("`{}`: manual pages can't be written", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn print_bytes(bytes: Vec<u8>) -> Result<ExitCode> {
    output::print(&String::from_utf8(bytes).context("BUG: a text that is not UTF-8")?)?;
    Ok(ExitCode::SUCCESS)
}
