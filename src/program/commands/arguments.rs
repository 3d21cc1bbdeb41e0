//! What every command line has, and flags that several commands share.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser};

use crate::commands;
use crate::commands::completing::with_completions;
use crate::commands::examples::with_examples;
use crate::commands::values::log_format;
use crate::terminal::output::LogFormat;
use crate::terminal::tabular::Form;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 a stage failed or was stopped, something is not there yet, or a check found faults; 2 bad usage or a
bad pipeline.";

/// Heading of the options that every command has.
const EVERY: &str = "Options of every command";

/// Distils big image networks into small ones, as a pipeline of cached stages
#[derive(Debug, Parser)]
#[command(name = "seedpipe", bin_name = "seedpipe", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Arguments {
    /// The pipeline: a file, or a folder with a `pipeline.yaml` [default: `pipeline.yaml` here or
    /// in a folder above]
    #[arg(long, global = true, value_name = "PATH", help_heading = EVERY)]
    pub pipeline: Option<PathBuf>,
    /// No progress: only results, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = EVERY)]
    pub quiet: bool,
    /// More about every stage: why it runs, its fingerprint, rows and figures
    #[arg(short, long, global = true, help_heading = EVERY)]
    pub verbose: bool,
    /// How progress, warnings and errors are written to stderr; `json` is an event a line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", value_parser = log_format(), help_heading = EVERY)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: commands::Command,
}

impl Arguments {
    /// The command line with all that helps to write it: examples, and values for shells.
    pub fn whole_command() -> Command {
        with_completions(with_examples(Self::command()))
    }

    /// # Errors
    /// What is wrong with the command line, or the help that it asked for.
    pub fn of_this_process() -> Result<Self, clap::Error> {
        Self::from_arg_matches(&Self::whole_command().try_get_matches()?)
    }
}

/// Overrides of pipeline.yaml.
#[derive(Args, Debug)]
pub struct Overrides {
    /// Another value for a param, as `student.training.epochs=5`, or the seed, as `seed=1`
    /// (repeatable)
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    pub set: Vec<String>,
}

/// The form of a table.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub struct TableForm {
    /// As JSON: a list with an object a row
    #[arg(long)]
    pub json: bool,
    /// As CSV
    #[arg(long)]
    pub csv: bool,
    /// As a Markdown table
    #[arg(long)]
    pub markdown: bool,
}

impl TableForm {
    /// `None` for JSON.
    pub fn form(&self) -> Option<Form> {
        match (self.json, self.csv, self.markdown) {
            (true, ..) => None,
            (_, true, _) => Some(Form::Csv),
            (.., true) => Some(Form::Markdown),
            _ => Some(Form::Aligned),
        }
    }
}

/// Where results are shared.
#[derive(Args, Debug)]
pub struct RemoteAddress {
    /// Instead of the pipeline's `remote:`: s3://, gs://, az://, a folder, or, to pull, https://
    #[arg(long, value_name = "URL")]
    pub remote: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::whole_command().debug_assert();
    }
}
