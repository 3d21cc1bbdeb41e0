//! `completions SHELL` and `man [DIR]`: the command line as shells and `man` know it, from the same definitions as `--help`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::commands::cli::{Arguments, Completions, Man};
use crate::terminal::output;

const PROGRAM: &str = "seedpipe";

pub fn completions(arguments: &Completions) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        PROGRAM,
        &mut script,
    );
    print_bytes(script)
}

/// A page a command into the folder, or the program's own page on stdout.
pub fn man(arguments: &Man) -> Result<ExitCode> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Arguments::command())
            .render(&mut page)
            .context("BUG: a manual page in memory")?;
        return print_bytes(page);
    };
    fs_err::create_dir_all(folder)?;
    clap_mangen::generate_to(Arguments::command(), folder)
        .with_context(|| format!("`{}`: manual pages can't be written", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn print_bytes(bytes: Vec<u8>) -> Result<ExitCode> {
    output::print(&String::from_utf8(bytes).context("BUG: a text that is not UTF-8")?)?;
    Ok(ExitCode::SUCCESS)
}
