//! `worker`: does a share of the work that a run has begun, and says how far it is, a line of JSON at
//! a time. Hidden: runs start it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::{Digest, Share, Teller};

use crate::commands::Invocation;
use crate::progress::interrupt;
use crate::torch::numerics;
use crate::{terminal::output, torch::sibling};

#[derive(Args, Debug)]
pub struct Worker {
    /// Whose work it is
    #[arg(value_name = "FINGERPRINT")]
    pub fingerprint: Digest,
    /// The part of its shards, counted from 0
    #[arg(long, value_name = "I/N")]
    pub share: Share,
    /// The run's cache
    #[arg(long, value_name = "PATH")]
    pub cache: PathBuf,
}

pub fn execute(invocation: Invocation, arguments: &Worker) -> Result<ExitCode> {
    let tools = sibling::tools(invocation.tools)?;
    interrupt::listen(output::error)?;
    let classes = numerics::classes(Some(tools.numerics));
    let worker = seedpipe_engine::Worker::new(&arguments.cache, invocation.registry, classes);
    let teller = Teller::new(io::stdout());
    let worked = worker.work(arguments.fingerprint, arguments.share, &teller);
    teller.end(&worked);
    Ok(match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}
