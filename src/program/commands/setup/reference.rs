//! `reference DIR`: the reference part of the book as Markdown pages. Hidden, since only this
//! repository needs it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use seedpipe_engine::durable;

use crate::commands::Invocation;
use crate::commands::arguments::Arguments;
use crate::reference;

#[derive(Args, Debug)]
pub struct Reference {
    /// Where the pages are written
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

pub fn execute(invocation: Invocation, arguments: &Reference) -> Result<ExitCode> {
    for (name, page) in reference::pages(&invocation.registry, Arguments::whole_command()) {
        let path = arguments.folder.join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(&arguments.folder))?;
        durable::write(&path, page.as_bytes())
            .with_context(|| format!("`{}` can't be written", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
