//! Commands for the first hour: a first pipeline, the machine, completions, documents.

use std::path::PathBuf;

use clap::Args;

use super::values::template;
use crate::init::Template;

#[derive(Args, Debug)]
pub struct Init {
    /// A folder of images, a Parquet file, or a folder of Parquet files [default: the only one here]
    #[arg(long, value_name = "IMAGES")]
    pub from: Option<PathBuf>,
    /// `digits`, `cifar10`, `photos` or `paper` [default: by the images' size]
    #[arg(long, value_parser = template)]
    pub template: Option<Template>,
    /// A pretrained network's checkpoint as the teacher [default: a teacher learns here, by MoCo v2]
    #[arg(long, value_name = "FILE")]
    pub teacher: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Doctor {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub struct Man {
    /// Where the pages are written: `seedpipe.1`, `seedpipe-run.1` …
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Reference {
    /// Where the pages are written
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
