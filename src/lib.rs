//! The program that both binaries share: parse, run, print `error: {:#}`, exit code.
//!
//! Exit codes: 0 done, 1 a stage failed or a check found faults, 2 bad usage or a bad pipeline.

mod cli;
mod codec;
mod colours;
mod commands;
mod console;
mod doctor;
mod elf;
mod emulation;
mod figures;
mod first_pipeline;
mod image_files;
mod interrupt;
mod junit;
mod libtorch;
mod model_card;
mod neighbours;
mod numerics;
mod onnx_speed;
mod output;
mod pipeline_file;
mod pipeline_schema;
mod processor;
mod python_environment;
mod python_lines;
mod python_timm;
mod quantity;
mod reference;
mod remote_connection;
mod report;
mod sibling;
mod storage;
mod tabular;
mod tensorboard;
mod tolerances;
mod usage;
mod yaml_flow;

use std::process::ExitCode;

use clap::Parser;
use seedpipe_engine::{LockMismatch, PipelineError, Registry};
use seedpipe_imaging::{Instructions, InstructionsError};
use seedpipe_stages::tools::Tools;

use crate::cli::Arguments;
use crate::commands::Invocation;
use crate::usage::UsageError;

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

/// Parses the command line, runs the command and gives the exit code.
///
/// - `registry`: the kinds, with the work that this program can do itself
/// - `tools`: what commands do with networks, in a program that is linked with libtorch
pub fn main_with(registry: Registry, tools: Option<Tools>) -> ExitCode {
    let tensors = Tensors::of(&tools);
    if tensors == Tensors::Here {
        sibling::settle_threads();
    }
    let arguments = Arguments::parse();
    output::set_log_format(arguments.log_format);
    let result = sibling::check_caller(tensors).and_then(|()| {
        Instructions::chosen()?;
        commands::execute(
            Invocation::new(registry, tools, &arguments),
            arguments.command,
        )
    });
    match result {
        Ok(code) => code,
        Err(error) => {
            output::error(&format!("error: {error:#}"));
            let is_refused = error.is::<PipelineError>()
                || error.is::<UsageError>()
                || error.is::<LockMismatch>()
                || error.is::<InstructionsError>();
            if is_refused {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
