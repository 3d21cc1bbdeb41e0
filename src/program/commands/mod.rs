//! One file a subcommand; here what they share: the pipeline as the command line names it.

mod among;
pub(crate) mod arguments;
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
mod values;
mod verify;
mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use seedpipe_engine::{Engine, Project, Registry};
use seedpipe_stages::tools::Tools;

use crate::commands::arguments::Arguments;
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
    /// A `Refusal`.
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

/// The commands: a line each.
macro_rules! commands {
    ($($(#[$about:meta])* $name:ident($arguments:ty) => $execute:path,)+) => {
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($(#[$about])* $name($arguments),)+
        }

        /// Runs one command.
        ///
        /// # Errors
        /// Whatever the command could not do; a stage that failed is no error but exit code 1.
        pub fn execute(invocation: Invocation, command: Command) -> Result<ExitCode> {
            match command {
                $(Command::$name(arguments) => $execute(invocation, &arguments),)+
            }
        }
    };
}

commands! {
    /// Run the stages that are not cached
    Run(run::Run) => run::execute,
    /// Which stages are cached, and which will run
    Status(status::Status) => status::execute,
    /// Why a stage will run: what differs from its last run, and where that began
    Explain(explain::Explain) => explain::execute,
    /// Draw the pipeline
    Graph(graph::Graph) => graph::execute,
    /// What a stage made: columns, first rows, and where they come from
    Show(show::Show) => show::execute,
    /// The figures of every stage that is cached
    Metrics(metrics::Metrics) => metrics::execute,
    /// What decides every stage, as its recipe holds it
    Params(params::Params) => params::execute,
    /// Write a trained network as a file for other programs
    Export(export::Export) => export::execute,
    /// The embeddings of image files by a trained network, as JSON lines or Parquet
    Embed(look::Embed) => look::embed,
    /// The classes of image files by a trained network, as JSON lines or Parquet
    Predict(look::Predict) => look::predict,
    /// The networks that are known, and what a checkpoint holds
    #[command(subcommand)]
    Network(network::Network) => network::execute,
    /// Hash every file of the cache again and compare; with `--rerun`, run stages again and compare
    Verify(verify::Verify) => verify::execute,
    /// Copy cached results into the remote
    Push(push::Push) => push::execute,
    /// Bring results from the remote into the cache
    Pull(pull::Pull) => pull::execute,
    /// Delete what the pipeline no longer needs from the cache
    Gc(gc::Gc) => gc::execute,
    /// Write a pipeline.yaml that suits a folder of images and this machine
    Init(init::Init) => init::execute,
    /// What this machine has and lacks for the pipeline, with remedies
    Doctor(doctor::Doctor) => doctor::execute,
    /// A contact sheet of images and their views, as PNG
    Preview(preview::Preview) => preview::execute,
    /// All results as one HTML page that needs nothing else: tables, curves, mistakes, maps, times
    Report(report::Report) => report::execute,
    /// JSON Schema of pipeline.yaml, by which editors complete and check
    Schema(schema::Schema) => schema::execute,
    /// A script by which a shell completes commands and options
    Completions(manual::Completions) => manual::completions,
    /// Manual pages: this program's on stdout, or one a command into a folder
    Man(manual::Man) => manual::man,
    /// The reference part of the documents, as Markdown pages in a folder
    #[command(hide = true)]
    Reference(reference::Reference) => reference::execute,
}
