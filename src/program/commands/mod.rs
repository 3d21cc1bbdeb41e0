//! One file a subcommand; here what they share: the pipeline as the command line names it.

pub(crate) mod cli;

mod among;
mod confusion;
mod doctor;
mod explain;
mod export;
mod gc;
mod graph;
mod init;
mod look;
mod manual;
mod metrics;
mod network;
mod params;
mod preview;
mod pull;
mod push;
mod reference;
mod report;
mod rerun;
mod run;
mod schema;
mod show;
mod status;
mod verify;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use seedpipe_engine::{Engine, Project, Registry};

use seedpipe_stages::tools::Tools;

use crate::commands::cli::{Arguments, Command};
use crate::progress::console::Verbosity;
use crate::project::codec::ParquetCodec;
use crate::{
    Tensors, project::pipeline_file, project::remote_connection, torch::libtorch, torch::numerics,
};

/// One call of the program.
pub struct Invocation {
    registry: Registry,
    tensors: Tensors,
    /// What needs libtorch outside a run, in the program that has it.
    tools: Option<Tools>,
    pipeline: Option<PathBuf>,
    verbosity: Verbosity,
}

impl Invocation {
    pub fn new(registry: Registry, tools: Option<Tools>, arguments: &Arguments) -> Self {
        let tensors = Tensors::of(&tools);
        let verbosity = match (arguments.quiet, arguments.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        Self {
            registry,
            tensors,
            tools,
            pipeline: arguments.pipeline.clone(),
            verbosity,
        }
    }

    /// Reads and checks the pipeline.
    ///
    /// - `overrides`: `stage.key=value`
    ///
    /// # Errors
    /// `UsageError` or `PipelineError`.
    fn engine(self, overrides: &[String]) -> Result<Engine> {
        self.engine_with_remote(overrides, None, false)
    }

    /// As [`engine`](Self::engine), with another remote than the pipeline's where one is named.
    ///
    /// - `create`: whether a remote folder that isn't there is made
    fn engine_with_remote(
        self,
        overrides: &[String],
        remote: Option<&str>,
        create: bool,
    ) -> Result<Engine> {
        let path = pipeline_file::find(self.pipeline.as_deref())?;
        let project = Project::open(&path, &self.registry, overrides)?;
        let remote = remote_connection::choose(&project, remote, create)?;
        let mut versions = BTreeMap::new();
        if self.tensors == Tensors::Here {
            versions.insert("libtorch".to_owned(), libtorch::VERSION.to_owned());
        }
        let engine = Engine::new(project, self.registry, Box::new(ParquetCodec))?
            .with_versions(versions)
            .with_numerics(numerics::classes(self.tools.map(|tools| tools.numerics)));
        Ok(match remote {
            Some((remote, write_back)) => engine.with_remote(Box::new(remote), write_back),
            None => engine,
        })
    }
}

/// Runs one command.
///
/// # Errors
/// Whatever the command could not do; a stage that failed is no error but exit code 1.
pub fn execute(invocation: Invocation, command: Command) -> Result<ExitCode> {
    match command {
        Command::Run(arguments) => run::execute(invocation, arguments),
        Command::Status(arguments) => status::execute(invocation, &arguments),
        Command::Explain(arguments) => explain::execute(invocation, &arguments),
        Command::Graph(arguments) => graph::execute(invocation, &arguments),
        Command::Show(arguments) => show::execute(invocation, &arguments),
        Command::Export(arguments) => export::execute(invocation, &arguments),
        Command::Embed(arguments) => look::embed(invocation, &arguments),
        Command::Predict(arguments) => look::predict(invocation, &arguments),
        Command::Network(arguments) => network::execute(invocation, &arguments),
        Command::Metrics(arguments) => metrics::execute(invocation, &arguments),
        Command::Verify(arguments) if arguments.rerun => rerun::execute(invocation, &arguments),
        Command::Params(arguments) => params::execute(invocation, &arguments),
        Command::Verify(arguments) => verify::execute(invocation, &arguments),
        Command::Push(arguments) => push::execute(invocation, &arguments),
        Command::Pull(arguments) => pull::execute(invocation, &arguments),
        Command::Gc(arguments) => gc::execute(invocation, &arguments),
        Command::Init(arguments) => init::execute(invocation, &arguments),
        Command::Doctor(arguments) => doctor::execute(invocation, &arguments),
        Command::Preview(arguments) => preview::execute(invocation, &arguments),
        Command::Report(arguments) => report::execute(invocation, &arguments),
        Command::Schema => schema::execute(&invocation),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
        Command::Reference(arguments) => reference::execute(&invocation, &arguments),
    }
}
