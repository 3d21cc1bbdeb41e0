//! Commands about networks: as files, on images, and which are known.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use seedpipe_stages::deliverable::{Format, Names, Precision};

use super::Overrides;
use super::values::{at_least_one, export_format, export_names, export_precision};

#[derive(Args, Debug)]
pub struct Export {
    /// A stage with a network, or of kind `export`
    #[arg(value_name = "STAGE")]
    pub stage: String,
    /// `safetensors`, `torchscript` or `onnx`
    #[arg(long, value_parser = export_format)]
    pub format: Option<Format>,
    /// `fp32`, `fp16` or, in ONNX, `int8` [default: fp32]
    #[arg(long, value_parser = export_precision)]
    pub precision: Option<Precision>,
    /// The network takes RGB of 0-1 and normalises it itself
    #[arg(long)]
    pub normalise: bool,
    /// Of safetensors: `torchvision` or `timm`, whose networks load it [default: torchvision]
    #[arg(long, value_parser = export_names)]
    pub names: Option<Names>,
    /// Of int8: images that it is calibrated on [default: 128]
    #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
    pub calibration_images: Option<usize>,
    /// With the linear classifier of this `probe` stage on top
    #[arg(long, value_name = "STAGE")]
    pub with_head: Option<String>,
    /// The file [default: the stage's name with the format's ending, here]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// What `embed` and `predict` share.
#[derive(Args, Debug)]
pub struct Looking {
    /// A stage with a network, or a checkpoint
    #[arg(value_name = "STAGE|FILE")]
    pub network: String,
    /// The checkpoint's network, a name or JSON, when the file doesn't say it
    #[arg(long = "network", value_name = "NETWORK")]
    pub architecture: Option<String>,
    /// A .parquet or .jsonl file [default: JSON lines on stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Embed {
    #[command(flatten)]
    pub looking: Looking,
    /// Image files, and folders with images below them
    #[arg(value_name = "IMAGE", required_unless_present = "among")]
    pub images: Vec<PathBuf>,
    /// Print the images nearest to this one instead of the embeddings
    #[arg(long, value_name = "IMAGE")]
    pub neighbours_of: Option<PathBuf>,
    /// Search embeddings that are stored already: a file by `embed -o`, or an `encode` stage
    #[arg(long, value_name = "FILE.parquet|STAGE", requires = "neighbours_of", conflicts_with_all = ["images", "output"])]
    pub among: Option<String>,
    /// How many of them
    #[arg(short = 'k', long, default_value_t = 10, value_name = "COUNT")]
    pub neighbours: usize,
}

#[derive(Args, Debug)]
pub struct Predict {
    #[command(flatten)]
    pub looking: Looking,
    /// Image files, and folders with images below them
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// With the linear classifier of this `probe` stage on top
    #[arg(long, value_name = "STAGE")]
    pub with_head: Option<String>,
    /// How many of the best classes
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub top: usize,
}

#[derive(Debug, Subcommand)]
pub enum Network {
    /// The networks that are known by name, with 1000 classes
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// What a checkpoint holds, and which network it may be
    Inspect {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
