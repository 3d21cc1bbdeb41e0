//! Commands that show what stages made.

use std::path::PathBuf;

use clap::Args;
use seedpipe_engine::GraphFormat;

use super::Overrides;
use super::values::graph_format;
use crate::terminal::tabular::Form;

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

#[derive(Args, Debug)]
pub struct Metrics {
    /// These stages [default: all]
    #[arg(value_name = "STAGE")]
    pub stages: Vec<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// Old, new and change against a pipeline.lock, or against the one at a git revision
    #[arg(long, value_name = "LOCK|REV")]
    pub diff: Option<String>,
    /// What a stage's predictions took each class for: counts, true classes down, predicted ones across
    #[arg(long, value_name = "STAGE", conflicts_with_all = ["diff", "stages"])]
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
