//! Commands about the cache and the remote.

use std::time::Duration;

use clap::Args;

use super::Overrides;
use crate::terminal::quantity;

/// Where results are shared.
#[derive(Args, Debug)]
pub struct RemoteAddress {
    /// Instead of the pipeline's `remote:`: s3://, gs://, az://, a folder, or, to pull, https://
    #[arg(long, value_name = "URL")]
    pub remote: Option<String>,
}

#[derive(Args, Debug)]
pub struct Push {
    /// These stages and what they need [default: all that are cached]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    /// Everything in the cache, whatever pipeline made it
    #[arg(long, conflicts_with = "stages")]
    pub all: bool,
    #[command(flatten)]
    pub address: RemoteAddress,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Pull {
    /// These stages and what they need [default: all]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    #[command(flatten)]
    pub address: RemoteAddress,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Gc {
    /// Keep what a pipeline.lock names, or the one at a git revision, in place of this pipeline's last runs (repeatable)
    #[arg(long, value_name = "LOCK|REV")]
    pub keep: Vec<String>,
    /// Of what nothing needs, delete artifacts made longer ago than this, such as `30d`
    #[arg(long, value_name = "AGE", value_parser = quantity::duration)]
    pub older_than: Option<Duration>,
    /// Of what nothing needs, delete the oldest artifacts until all together have at most this, such as `10GB`
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    pub max_bytes: Option<u64>,
    /// Keep everything that is younger than this
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = quantity::duration)]
    pub grace: Duration,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}
