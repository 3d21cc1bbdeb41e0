//! Commands that run stages, or say what would run and whether it came out the same.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Overrides;
use super::values::{device, percent, seconds};

#[derive(Args, Debug)]
pub struct Run {
    /// These stages and what they need [default: all]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    /// Run the named stages (or all, when none is named) even if they are cached
    #[arg(long)]
    pub force: bool,
    /// Run the named stages alone, on cached inputs
    #[arg(long, requires = "stages")]
    pub only: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Where the networks run: `auto`, `cpu`, `cuda` or `cuda:N` [default: the pipeline's, else `auto`]
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub device: Option<String>,
    /// Run exactly what pipeline.lock records, or refuse; the lock is not written
    #[arg(long)]
    pub locked: bool,
    /// Neither fetch from the remote nor write to it
    #[arg(long)]
    pub no_remote: bool,
    /// Say what would run, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// One line of JSON a stage on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    pub overrides: Overrides,
    /// Also ask the remote which stages it has
    #[arg(long)]
    pub remote: bool,
    /// Follow a run of this pipeline until it ends, looking every SECONDS; where none runs, wait for one [default: 1]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds, conflicts_with = "remote")]
    pub watch: Option<Duration>,
    /// With `--watch`: only the run of this process, even if it has just started or has already ended
    #[arg(long, value_name = "PID", requires = "watch")]
    pub pid: Option<u32>,
    /// As JSON; with `--watch` a line for each change
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Explain {
    pub stage: String,
    /// Hold it against another lock file, or against pipeline.lock of a git revision, not the last run
    #[arg(long, value_name = "LOCK|REV")]
    pub against: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Verify {
    /// With `--rerun`: these stages alone [default: all]
    #[arg(value_name = "STAGE", requires = "rerun")]
    pub stages: Vec<String>,
    /// Only what this pipeline uses now, not the whole cache
    #[arg(long)]
    pub current: bool,
    /// Remove what is damaged, and files that no artifact names
    #[arg(long)]
    pub repair: bool,
    /// Run stages again beside the cache, and compare what comes out
    #[arg(long, conflicts_with = "current")]
    pub rerun: bool,
    /// Make only this part of the rows again, where a kind can: `encode`, `augment`
    #[arg(long, value_name = "PERCENT", requires = "rerun", value_parser = percent)]
    pub sample: Option<f64>,
    /// Also write the reruns' results as JUnit XML
    #[arg(long, value_name = "FILE", requires = "rerun")]
    pub junit: Option<PathBuf>,
    /// With `--rerun`: where the networks run
    #[arg(long, value_name = "DEVICE", requires = "rerun", value_parser = device)]
    pub device: Option<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
