//! The command line: what can be asked, and the help that says so.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use seedpipe_engine::GraphFormat;
use seedpipe_stages::deliverable::{Format, Names, Precision};

use crate::first_pipeline::Template;
use crate::output::LogFormat;
use crate::quantity;
use crate::tabular::Form;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 a stage failed, or a check found faults; 2 bad usage or a bad pipeline.";

/// Distils big image networks into small ones, as a pipeline of cached stages
#[derive(Debug, Parser)]
#[command(name = "seedpipe", bin_name = "seedpipe", version, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Arguments {
    /// The pipeline: a file, or a folder with a `pipeline.yaml` [default: `pipeline.yaml` here or in a folder above]
    #[arg(long, global = true, value_name = "PATH")]
    pub pipeline: Option<PathBuf>,
    /// No progress: only results, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// More about every stage: why it runs, its fingerprint, rows and figures
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// How progress, warnings and errors are written to stderr: `text`, or `json`, an event a line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", value_parser = log_format)]
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
    /// What decides every stage, defaults filled in
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
    /// Another value for a param, as `student.epochs=5` (repeatable)
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    pub set: Vec<String>,
}

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
    /// Where the networks run: `auto`, `cpu` or `cuda:N` [default: the pipeline's, else `auto`]
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
pub struct Graph {
    /// `mermaid`, `dot` or `svg`
    #[arg(long, default_value = "mermaid", value_parser = graph_format)]
    pub format: GraphFormat,
}

#[derive(Args, Debug)]
pub struct Show {
    /// A stage, or one of its outputs
    #[arg(value_name = "STAGE[.OUTPUT]")]
    pub target: String,
    /// How many of the first rows
    #[arg(short = 'n', long, default_value_t = 10)]
    pub rows: usize,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// The form of a table.
#[derive(Args, Debug)]
#[group(multiple = false)]
pub struct TableForm {
    /// As JSON: a list with an object a row; accuracies are fractions
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

#[derive(Args, Debug)]
pub struct Metrics {
    #[command(flatten)]
    pub overrides: Overrides,
    /// Old, new and change against a pipeline.lock, or against the one at a git revision
    #[arg(long, value_name = "LOCK|REV")]
    pub diff: Option<String>,
    /// What a stage's predictions took each class for: counts, true classes down, predicted ones across
    #[arg(long, value_name = "STAGE", conflicts_with = "diff")]
    pub confusion: Option<String>,
    #[command(flatten)]
    pub form: TableForm,
}

#[derive(Args, Debug)]
pub struct Params {
    /// These stages [default: all]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Only the fields that differ from a pipeline.lock, or from the one at a git revision
    #[arg(long, value_name = "LOCK|REV")]
    pub diff: Option<String>,
    #[command(flatten)]
    pub form: TableForm,
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

/// Where results are shared.
#[derive(Args, Debug)]
pub struct RemoteAddress {
    /// Instead of the pipeline's `remote:`: s3://, gs://, az://, https:// or a folder
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
pub struct Preview {
    /// A stage of kind `augment` or `ingest` that is cached
    pub stage: String,
    /// How many images
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub images: u32,
    /// The file [default: the stage's name with `.png`, here]
    #[arg(short, long, value_name = "FILE.png")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: Overrides,
}

#[derive(Args, Debug)]
pub struct Report {
    /// Old, new and change against a pipeline.lock, or against the one at a git revision
    #[arg(long, value_name = "LOCK|REV")]
    pub against: Option<String>,
    /// The file [default: the pipeline's name with `-report.html`, here]
    #[arg(short, long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,
    /// The page's heading [default: that of the pipeline's `report` stage, else the pipeline's name]
    #[arg(long)]
    pub title: Option<String>,
    /// Also when stages are not cached: a page on what there is
    #[arg(long)]
    pub partial: bool,
    #[command(flatten)]
    pub overrides: Overrides,
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

fn template(text: &str) -> Result<Template, String> {
    let known = Template::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| "expected `digits`, `cifar10`, `photos` or `paper`".to_owned())
}

fn device(text: &str) -> Result<String, String> {
    let known = match text.strip_prefix("cuda:") {
        Some(number) => number.parse::<u32>().is_ok(),
        None => ["auto", "cpu", "cuda"].contains(&text),
    };
    if known {
        Ok(text.to_owned())
    } else {
        Err("expected `auto`, `cpu` or `cuda:N`".to_owned())
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    let known = LogFormat::ALL
        .into_iter()
        .find(|known| known.name() == text);
    known.ok_or_else(|| "expected `text` or `json`".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: Option<f64> = text.trim_end_matches('s').parse().ok();
    number
        .filter(|seconds| (0.05..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected seconds, 0.05 to 86400".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.trim_end_matches('%').parse().ok();
    number
        .filter(|percent| *percent > 0.0 && *percent <= 100.0)
        .ok_or_else(|| "expected more than 0 and at most 100".to_owned())
}

fn export_format(text: &str) -> Result<Format, String> {
    let known = Format::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| "expected `safetensors`, `torchscript` or `onnx`".to_owned())
}

fn export_precision(text: &str) -> Result<Precision, String> {
    let known = Precision::ALL
        .into_iter()
        .find(|known| known.name() == text);
    known.ok_or_else(|| "expected `fp32`, `fp16` or `int8`".to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number: Option<usize> = text.parse().ok();
    number
        .filter(|count| *count > 0)
        .ok_or_else(|| "expected a whole number above 0".to_owned())
}

fn export_names(text: &str) -> Result<Names, String> {
    let known = Names::ALL.into_iter().find(|known| known.name() == text);
    known.ok_or_else(|| "expected `torchvision` or `timm`".to_owned())
}

fn graph_format(text: &str) -> Result<GraphFormat, String> {
    text.parse()
        .map_err(|_| "expected `mermaid`, `dot` or `svg`".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn devices_are_checked() {
        for good in ["auto", "cpu", "cuda", "cuda:0", "cuda:12"] {
            assert_eq!(device(good).unwrap(), good);
        }
        for bad in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            device(bad).unwrap_err();
        }
    }
}
