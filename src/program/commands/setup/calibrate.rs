//! `calibrate`: measures what comes on stdin, a line of JSON each, and answers with a line each.
//! Hidden: `run` and `init` ask for it in a process of its own, whose threads and memory are gone
//! when it has answered.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::commands::Invocation;
use crate::{terminal::output, torch::sibling};

#[derive(Args, Debug)]
pub struct Calibrate {}

pub fn execute(invocation: Invocation, _: &Calibrate) -> Result<ExitCode> {
    let tools = sibling::tools(invocation.tools)?;
    for line in io::stdin().lines() {
        let calibration = serde_json::from_str(&line?)?;
        // What can't be measured stays unknown; the stage itself will say why.
        let cost = (tools.calibrate)(&calibration).ok();
        output::print_json_text(&serde_json::to_string(&cost)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
