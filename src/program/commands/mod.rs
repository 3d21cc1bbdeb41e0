//! One file a subcommand, in rooms by what people do; here what they share: the pipeline as the
//! command line names it.

pub(crate) mod arguments;
mod cache;
pub(crate) mod completing;
mod examples;
mod networks;
mod results;
mod running;
mod setup;
mod values;

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
    torch::sibling,
};

pub use setup::manual::complete;

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

    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Reads and checks the pipeline.
    ///
    /// - `overrides`: `stage.key=value`
    ///
    /// # Errors
    /// [`Refusal`](seedpipe_base::Refusal).
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
        let codec = ParquetCodec {
            alike: self.tools.map(|tools| tools.alike),
        };
        let engine = Engine::new(project, self.registry, Box::new(codec))?
            .with_versions(versions)
            .with_numerics(numerics::classes(self.tools.map(|tools| tools.numerics)));
        let engine = match self.verbosity {
            Verbosity::Quiet => engine,
            _ => engine.with_tell(Box::new(sibling::note)),
        };
        Ok(match remote {
            Some((remote, write_back)) => engine.with_remote(Box::new(remote), write_back),
            None => engine,
        })
    }
}

/// The commands: a line each, of the type that holds its arguments and the function that runs it.
macro_rules! commands {
    ($($(#[$about:meta])* $name:ident: $room:ident::$file:ident::$execute:ident,)+) => {
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($(#[$about])* $name($room::$file::$name),)+
        }

        /// Runs one command.
        ///
        /// # Errors
        /// Whatever the command could not do; a stage that failed is no error but exit code 1.
        pub fn execute(invocation: Invocation, command: Command) -> Result<ExitCode> {
            match command {
                $(Command::$name(arguments) => $room::$file::$execute(invocation, &arguments),)+
            }
        }
    };
}

commands! {
    /// Run the stages that are not cached
    Run: running::run::execute,
    /// Which stages are cached, and which will run
    Status: running::status::execute,
    /// Why a stage will run: what differs from its last run, and where that began
    Explain: running::explain::execute,
    /// Draw the pipeline
    Graph: running::graph::execute,
    /// What a stage made: columns, first rows, and where they come from
    Show: results::show::execute,
    /// The figures of every stage that is cached
    Metrics: results::metrics::execute,
    /// What decides every stage, as its recipe holds it
    Params: results::params::execute,
    /// Write a trained network as a file for other programs
    Export: networks::export::execute,
    /// The embeddings of image files by a trained network, as JSON lines, CSV or Parquet
    Embed: networks::look::embed,
    /// The classes of image files by a trained network, as JSON lines, CSV or Parquet
    Predict: networks::look::predict,
    /// What a trained network is worth on a new labelled folder
    Evaluate: networks::evaluate::execute,
    /// Images that a network finds nearly the same: pairs in two splits first
    Duplicates: networks::duplicates::execute,
    /// The networks that are known, and what a checkpoint holds
    #[command(subcommand)]
    Network: networks::network::execute,
    /// Hash every file of the cache again and compare; with `--rerun`, run stages again and compare
    Verify: cache::verify::execute,
    /// Copy cached results into the remote
    Push: cache::push::execute,
    /// Bring results from the remote into the cache
    Pull: cache::pull::execute,
    /// Delete what the pipeline no longer needs from the cache
    Gc: cache::gc::execute,
    /// Write a pipeline.yaml that suits a folder of images and this machine
    Init: setup::init::execute,
    /// What this machine has and lacks for the pipeline, with remedies
    Doctor: setup::doctor::execute,
    /// A contact sheet of images and their views, as PNG
    Preview: results::preview::execute,
    /// All results as one HTML page that needs nothing else: tables, curves, mistakes, maps, times
    Report: results::report::execute,
    /// JSON Schema of pipeline.yaml, by which editors complete and check
    Schema: setup::schema::execute,
    /// A script by which a shell completes commands and options
    Completions: setup::manual::completions,
    /// Manual pages: this program's on stdout, or one a command into a folder
    Man: setup::manual::man,
    /// A share of the work that a run has begun
    #[command(hide = true)]
    Worker: running::worker::execute,
    /// How fast this machine is, by what comes on stdin: for estimates of time
    #[command(hide = true)]
    Calibrate: setup::calibrate::execute,
    /// The reference part of the documents, as Markdown pages in a folder
    #[command(hide = true)]
    Reference: setup::reference::execute,
}
