//! `report`: one self-contained HTML file: results, training curves, and what ran with which
//! parameters; and what may be read of images, views, predictions and features beside the metrics.
//!
//! The page is built by `page` from a `Material`: each of the `sections` in a file of its own,
//! those on `embeddings` beside what reads them; `html` has what they are written with. The kind
//! fills it from its inputs and ancestors and leaves out seconds, dates and machines, so that equal
//! results give an equal file; `seedpipe report` fills it from the cache.
//!
//! Version log: 1 first, 2 the section on the data, and what the student gained stands first, 3 the
//! results over seeds, 4 the best is what the split to choose by says, and titles name splits.

mod colours;
mod embeddings;
#[cfg(test)]
mod example;
mod gains;
mod gallery;
mod html;
mod judged;
mod material;
mod networks;
mod page;
mod sections;

use seedpipe_base::Refusal;
use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use seedpipe_artifact::{
    EMBEDDINGS, FILES, FileRow, FilesWriter, IMAGES, METRICS, Metadata, PREDICTIONS, VIEWS,
};
use seedpipe_engine::{
    Arity, Input, InputKinds, InputSlot, OutputSlot, SEED, Stage, StageContext, Work,
};
use serde::{Deserialize, Serialize};

use crate::report::material::Catalogue;
use crate::report::sections::headline::main_column;
use crate::shared::invalid::invalid;
use crate::shared::results::{Results, Together, results, results_over};

pub use material::{EarlierState, FieldChange, Making, Material, Source};
pub use page::page;

/// Name of the page in the artifact.
pub const PAGE: &str = "report.html";

/// The title of the results over seeds.
const OVER_SEEDS: &str = "mean ± standard deviation over seeds";

/// Comparisons that a terminal is told at most.
const GAINS: usize = 12;

/// The cache's folder beside pipeline.yaml.
const CACHE: &str = ".seedpipe";

/// A page on the pipeline's results.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The page's heading.
    #[serde(default = "default_title")]
    pub title: String,
    /// Where `run` puts the page, relative to the pipeline's folder.
    #[serde(default = "default_path")]
    pub path: PathBuf,
}

/// The heading of a page that nobody named.
pub fn default_title() -> String {
    "seedpipe report".into()
}

fn default_path() -> PathBuf {
    PAGE.into()
}

impl Stage for Report {
    const KIND: &'static str = "report";
    const VERSION: u32 = 4;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("metrics", &[METRICS], Arity::Many),
        InputSlot::new("images", &[IMAGES], Arity::AnyNumber),
        InputSlot::new("views", &[VIEWS], Arity::AnyNumber),
        InputSlot::new("predictions", &[PREDICTIONS], Arity::AnyNumber),
        InputSlot::new("features", &[EMBEDDINGS], Arity::AnyNumber),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot::new("report", FILES)];
    const LINEAGE: bool = true;

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        let leaves = self.path.is_absolute()
            || self
                .path
                .components()
                .any(|part| part == std::path::Component::ParentDir);
        if leaves || self.path.as_os_str().is_empty() {
            return Err(invalid(
                "path",
                "a path below the pipeline's folder",
                self.path.display(),
                "e.g. report.html",
            ));
        }
        // The file is overwritten: it must not be the pipeline, its lock or a source.
        let extension = self.path.extension().unwrap_or_default();
        if !["html", "htm"]
            .iter()
            .any(|html| extension.eq_ignore_ascii_case(html))
        {
            return Err(invalid(
                "path",
                "a name that ends in .html or .htm",
                self.path.display(),
                "e.g. report.html",
            ));
        }
        if self.path.components().any(|part| part.as_os_str() == CACHE) {
            return Err(invalid(
                "path",
                "a path outside of the cache `.seedpipe`",
                self.path.display(),
                "e.g. report.html",
            ));
        }
        Ok(())
    }
}

impl Work for Report {
    fn run(&self, context: &StageContext) -> Result<()> {
        let page = page(&Material {
            title: self.title.clone(),
            ..Material::of(sources(context))
        })?;
        context.shards(1, |shard| {
            let mut files =
                FilesWriter::create(&shard.output("report", "part-00000"), &Metadata::new())?;
            files.write(&[FileRow {
                name: PAGE.into(),
                bytes: page.clone().into_bytes(),
            }])?;
            files.finish()?;
            Ok(())
        })
    }
}

/// The results of stages for a terminal: the table, the same over seeds where there are several,
/// and what students gained; empty when nothing was measured.
pub fn results_text(sources: Vec<Source>) -> String {
    let material = Material::of(sources);
    let catalogue = material.catalogue();
    let results = results(&catalogue.result_sources());
    let mut text = results.text();
    if let Some(over_seeds) = over_seeds(&catalogue) {
        text += &format!("\n{OVER_SEEDS}:\n{}\n", over_seeds.text());
    }
    text + &gained(&material, &results)
}

/// The same table, of networks that are told together.
pub fn results_over_text(sources: Vec<Source>, together: &Together) -> String {
    let material = Material::of(sources);
    results_over(&material.catalogue().result_sources(), together).text()
}

/// The results of networks that differ in their seeds alone, where there are any.
fn over_seeds(material: &Catalogue) -> Option<Results> {
    let together = Together {
        grouping: &material.grouping(),
        over: &[SEED.to_owned()],
        by: &[],
    };
    let results = results_over(&material.result_sources(), &together);
    results.has_several().then_some(results)
}

fn gained(material: &Material, results: &Results) -> String {
    let material = material.catalogue();
    let Some(main) = main_column(results) else {
        return String::new();
    };
    let gains = gains::gains(&material, results, main);
    let lines = gains.iter().take(GAINS).map(gains::Gain::sentence);
    let more = gains.len().checked_sub(GAINS).filter(|more| *more > 0);
    let more = more.map(|more| format!("and {more} more comparisons: the report has them"));
    let missing = gains::missing_floor(&material, results, main);
    let lines = lines.chain(more).chain(missing);
    lines.map(|line| line + "\n").collect()
}

/// The ancestors; what is connected may be read.
fn sources(context: &StageContext) -> Vec<Source> {
    let connected: Vec<&Input> = Report::INPUTS
        .iter()
        .flat_map(|slot| context.inputs(slot.name))
        .collect();
    let lineage = context.lineage().iter();
    lineage
        .map(|ancestor| {
            Source::of(ancestor, |_, output| {
                let input = connected
                    .iter()
                    .find(|input| input.content == output.content && input.kind == output.kind);
                input.map(|input| input.parts.clone())
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str) -> Option<String> {
        let report = Report {
            title: default_title(),
            path: path.into(),
        };
        let refused = report.validate(&InputKinds::default()).err()?;
        Some(format!("{refused:?}"))
    }

    #[test]
    fn a_page_overwrites_nothing_but_pages() {
        for path in ["report.html", "pages/Report.HTM"] {
            assert_eq!(refusal(path), None, "{path}");
        }
        for path in ["pipeline.yaml", "pipeline.lock", "digits.parquet", "report"] {
            assert!(refusal(path).unwrap().contains(".html"), "{path}");
        }
        for path in [".seedpipe/x.html", "./.seedpipe/artifacts/x.html"] {
            assert!(refusal(path).unwrap().contains("cache"), "{path}");
        }
        for path in ["/x.html", "../x.html", ""] {
            assert!(refusal(path).unwrap().contains("below"), "{path}");
        }
    }
}
