//! `report`: one self-contained HTML file: results, training curves, and what ran with which parameters.
//!
//! It holds no seconds and no dates, so that equal results give an equal file.
//!
//! Version log: 1 first.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use schemars::JsonSchema;
use seedpipe_artifact::{FILES, FileRow, FilesWriter, METRICS, Metadata, MetricsReader};
use seedpipe_engine::{
    Ancestor, Arity, InputKinds, InputSlot, Invalid, OutputSlot, Stage, StageContext, Work,
};
use serde::{Deserialize, Serialize};

use crate::invalid::invalid;
use crate::results::{ResultSource, Results, results};

/// Name of the page in the artifact.
pub const PAGE: &str = "report.html";

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

fn default_title() -> String {
    "seedpipe report".into()
}

fn default_path() -> PathBuf {
    PAGE.into()
}

impl Stage for Report {
    const KIND: &'static str = "report";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[InputSlot::new("metrics", &[METRICS], Arity::Many)];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot::new("report", FILES)];
    const LINEAGE: bool = true;

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Invalid> {
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
        Ok(())
    }
}

impl Work for Report {
    fn run(&self, context: &StageContext) -> Result<()> {
        let mut curves: BTreeMap<String, Vec<Series>> = BTreeMap::new();
        for input in context.inputs("metrics") {
            let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            for row in MetricsReader::open(&input.parts)?.read_all()? {
                if row.split == "train" {
                    series
                        .entry(row.name)
                        .or_default()
                        .push((row.step as f64, row.value));
                }
            }
            for (name, points) in series {
                if points.len() > 1 {
                    curves
                        .entry(name)
                        .or_default()
                        .push((input.stage.clone(), points));
                }
            }
        }
        let sources = sources(context.lineage());
        let page = self.page(&results(&sources), &curves, context.lineage());
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

/// The ancestors as the results table takes them; inputs are found by their content.
fn sources(lineage: &[Ancestor]) -> Vec<ResultSource> {
    let makers: BTreeMap<_, &str> = lineage
        .iter()
        .flat_map(|ancestor| {
            ancestor
                .outputs
                .values()
                .map(|output| (output.content.to_string(), ancestor.stage.as_str()))
        })
        .collect();
    lineage
        .iter()
        .map(|ancestor| ResultSource {
            stage: ancestor.stage.clone(),
            kind: ancestor.recipe.kind.clone(),
            params: ancestor.recipe.params.clone(),
            inputs: ancestor
                .recipe
                .inputs
                .iter()
                .map(|(slot, contents)| {
                    let stages = contents
                        .iter()
                        .filter_map(|content| makers.get(&content.to_string()))
                        .map(|stage| (*stage).to_owned());
                    (slot.clone(), stages.collect())
                })
                .collect(),
            headline: ancestor
                .outputs
                .values()
                .flat_map(|output| output.headline.clone())
                .collect(),
            parameters: ancestor
                .telemetry
                .values
                .get("parameters")
                .map(|count| *count as u64),
        })
        .collect()
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; max-width: 46rem; } .axis { stroke: currentColor; opacity: .4; } text { fill: currentColor; font-size: 12px; }
details { border-bottom: 1px solid var(--line); padding: .3rem 0; } pre { background: var(--soft); padding: .6rem; overflow-x: auto; font-size: .85rem; }
";

const COLOURS: &[&str] = &[
    "#2f7ed8", "#d9822b", "#2ca05a", "#c23b4b", "#8a5cc2", "#8c6d46",
];

/// A stage and its values over steps.
type Series = (String, Vec<(f64, f64)>);

impl Report {
    fn page(
        &self,
        results: &Results,
        curves: &BTreeMap<String, Vec<Series>>,
        lineage: &[Ancestor],
    ) -> String {
        let title = escaped(&self.title);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<h2>Results</h2>\n<div class=\"scroll\"><table>\n"
        );
        for (number, line) in results.cells().iter().enumerate() {
            let tag = if number == 0 { "th" } else { "td" };
            let cells: String = line
                .iter()
                .map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)))
                .collect();
            push(&mut page, format_args!("<tr>{cells}</tr>\n"));
        }
        page.push_str("</table></div>\n");
        if !curves.is_empty() {
            page.push_str("<h2>Training</h2>\n");
        }
        for (name, series) in curves {
            push(
                &mut page,
                format_args!(
                    "<h3>{}</h3>\n{}\n",
                    escaped(&name.replace('_', " ")),
                    chart(name, series)
                ),
            );
        }
        page.push_str("<h2>What ran</h2>\n");
        for ancestor in lineage {
            let rows: Vec<String> = ancestor
                .outputs
                .iter()
                .map(|(slot, output)| format!("{slot}: {} rows", output.rows))
                .collect();
            push(
                &mut page,
                format_args!(
                    "<details><summary><b>{}</b> ({} v{}), {}</summary><pre>fingerprint {}\n{}</pre></details>\n",
                    escaped(&ancestor.stage),
                    escaped(&ancestor.recipe.kind),
                    ancestor.recipe.version,
                    escaped(&rows.join(", ")),
                    ancestor.fingerprint,
                    escaped(&ancestor.recipe.canonical()),
                ),
            );
        }
        page.push_str("</body></html>\n");
        page
    }
}

/// Lines over training steps, as SVG.
fn chart(name: &str, series: &[Series]) -> String {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 260.0;
    const LEFT: f64 = 60.0;
    const BOTTOM: f64 = 40.0;
    let points = || series.iter().flat_map(|(_, points)| points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
        (low.min(point.1), high.max(point.1))
    });
    let span = if high > low { high - low } else { 1.0 };
    let x = |step: f64| LEFT + step / last * (WIDTH - LEFT - 10.0);
    let y = |value: f64| 10.0 + (1.0 - (value - low) / span) * (HEIGHT - BOTTOM - 10.0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{} over steps\">",
        HEIGHT + 20.0 * series.len() as f64,
        escaped(name)
    );
    let (floor, right) = (HEIGHT - BOTTOM, WIDTH - 10.0);
    push(
        &mut svg,
        format_args!("<path class=\"axis\" fill=\"none\" d=\"M{LEFT} 10V{floor}H{right}\"/>"),
    );
    for value in [low, low + span / 2.0, low + span] {
        push(
            &mut svg,
            format_args!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.4}</text>",
                LEFT - 6.0,
                y(value) + 4.0
            ),
        );
    }
    push(
        &mut svg,
        format_args!(
            "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">step {last}</text>",
            floor + 18.0
        ),
    );
    for (number, (stage, points)) in series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let line: Vec<String> = points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
            .collect();
        let legend = HEIGHT + 20.0 * number as f64;
        push(
            &mut svg,
            format_args!(
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
                line.join(" ")
            ),
        );
        push(
            &mut svg,
            format_args!(
                "<rect x=\"{LEFT}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{}</text>",
                legend - 4.0,
                LEFT + 20.0,
                legend + 2.0,
                escaped(stage)
            ),
        );
    }
    svg.push_str("</svg>");
    svg
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments)
        .expect("BUG: writing to a string failed");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
