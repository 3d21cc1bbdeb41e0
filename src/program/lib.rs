//! The program that both binaries share: parse, run, print `error: {:#}`, exit code.
//!
//! Exit codes: 0 done, 1 a stage failed or a check found faults, 2 bad usage or a bad pipeline.
//!
//! The rooms, each knowing only those before it: `terminal`, `torch`, `progress`, `project`,
//! `delivery`, `init`, `reference`, `doctor`, `launch`, `commands`.

mod commands;
mod delivery;
mod doctor;
mod init;
mod launch;
mod progress;
mod project;
mod reference;
mod terminal;
mod torch;

use std::process::ExitCode;

use seedpipe_base::Refusal;
use seedpipe_engine::Registry;
use seedpipe_imaging::Instructions;
use seedpipe_remote::without_credentials;
use seedpipe_stages::tools::Tools;

use crate::commands::Invocation;
use crate::commands::arguments::Arguments;
use crate::progress::console::Console;
use crate::terminal::output;
use crate::torch::sibling;

/// Where the code of stages that need libtorch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tensors {
    /// In this program: it is linked with libtorch.
    Here,
    /// In `seedpipe-torch`, which lies beside this program.
    InSibling,
}

impl Tensors {
    fn of(tools: &Option<Tools>) -> Self {
        match tools {
            Some(_) => Tensors::Here,
            None => Tensors::InSibling,
        }
    }
}

/// Tells what is wrong with the command line, or the help that it asked for. A mistyped remote is
/// repeated without its credentials.
fn refuse(error: &clap::Error) -> ExitCode {
    let said = error.render().to_string();
    match without_credentials(&said) == said {
        true => error.exit(),
        false => output::error(said.trim_end()),
    }
    ExitCode::from(2)
}

/// Parses the command line, runs the command and gives the exit code.
///
/// - `registry`: the kinds, with the work that this program can do itself
/// - `tools`: what commands do with networks, in a program that is linked with libtorch
pub fn main_with(registry: Registry, tools: Option<Tools>) -> ExitCode {
    commands::complete();
    let tensors = Tensors::of(&tools);
    if tensors == Tensors::Here
        && let Err(error) = sibling::settle_threads()
    {
        output::error(&format!("error: {error:#}"));
        return ExitCode::FAILURE;
    }
    let arguments = match Arguments::of_this_process() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    output::set_log_format(arguments.log_format);
    seedpipe_engine::waiting::tell_by(output::error);
    let result = sibling::check_caller(tensors).and_then(|()| {
        Instructions::chosen()?;
        let invocation = Invocation::new(registry, tools, &arguments);
        // Shows what goes on beside runs, which have a console of their own.
        let _console = Console::new(invocation.verbosity(), []);
        commands::execute(invocation, arguments.command)
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            output::error(&format!("error: {error:#}"));
            let refusal = error.downcast_ref::<Refusal>();
            let is_refused = refusal.is_some_and(|refusal| !refusal.is_failure);
            if is_refused {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
