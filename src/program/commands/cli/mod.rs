//! The command line: what can be asked, and the help that says so.

mod beginning;
mod networks;
mod running;
mod seeing;
mod storing;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::terminal::output::LogFormat;

pub use beginning::{Completions, Doctor, Init, Man, Reference};
pub use networks::{Embed, Export, Looking, Network, Predict};
pub use running::{Explain, Run, Status, Verify};
pub use seeing::{Graph, Metrics, Params, Preview, Report, Show};
pub use storing::{Gc, Pull, Push};
use values::log_format;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 a stage failed or was stopped, something is not there yet, or a check found faults; 2 bad usage or a
bad pipeline.";

/// Heading of the options that every command has.
const EVERY: &str = "Options of every command";

/// Distils big image networks into small ones, as a pipeline of cached stages
#[derive(Debug, Parser)]
#[command(name = "seedpipe", bin_name = "seedpipe", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Arguments {
    /// The pipeline: a file, or a folder with a `pipeline.yaml` [default: `pipeline.yaml` here or in a folder above]
    #[arg(long, global = true, value_name = "PATH", help_heading = EVERY)]
    pub pipeline: Option<PathBuf>,
    /// No progress: only results, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = EVERY)]
    pub quiet: bool,
    /// More about every stage: why it runs, its fingerprint, rows and figures
    #[arg(short, long, global = true, help_heading = EVERY)]
    pub verbose: bool,
    /// How progress, warnings and errors are written to stderr: `text`, or `json`, an event a line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", value_parser = log_format, help_heading = EVERY)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the stages that are not cached
    Run(Run),
    /// Which stages are cached, and which will run
    Status(Status),
    /// Why a stage will run: what differs from its last run, and where that began
    Explain(Explain),
    /// Draw the pipeline
    Graph(Graph),
    /// What a stage made: columns, first rows, and where they come from
    Show(Show),
    /// The figures of every stage that is cached
    Metrics(Metrics),
    /// What decides every stage, as its recipe holds it
    Params(Params),
    /// Write a trained network as a file for other programs
    Export(Export),
    /// The embeddings of image files by a trained network, as JSON lines or Parquet
    Embed(Embed),
    /// The classes of image files by a trained network, as JSON lines or Parquet
    Predict(Predict),
    /// The networks that are known, and what a checkpoint holds
    #[command(subcommand)]
    Network(Network),
    /// Hash every file of the cache again and compare; with `--rerun`, run stages again and compare
    Verify(Verify),
    /// Copy cached results into the remote
    Push(Push),
    /// Bring results from the remote into the cache
    Pull(Pull),
    /// Delete what the pipeline no longer needs from the cache
    Gc(Gc),
    /// Write a pipeline.yaml that suits a folder of images and this machine
    Init(Init),
    /// What this machine has and lacks for the pipeline, with remedies
    Doctor(Doctor),
    /// A contact sheet of images and their views, as PNG
    Preview(Preview),
    /// All results as one HTML page that needs nothing else: tables, curves, mistakes, maps, times
    Report(Report),
    /// JSON Schema of pipeline.yaml, by which editors complete and check
    Schema,
    /// A script by which a shell completes commands and options
    Completions(Completions),
    /// Manual pages: this program's on stdout, or one a command into a folder
    Man(Man),
    /// The reference part of the documents, as Markdown pages in a folder
    #[command(hide = true)]
    Reference(Reference),
}

/// Overrides of pipeline.yaml.
#[derive(Args, Debug)]
pub struct Overrides {
    /// Another value for a param, as `student.training.epochs=5`, or the seed, as `seed=1` (repeatable)
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    pub set: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }
}
