//! The results table: networks down, measures across; those that differ only in some keys may be
//! one, with mean and deviation. The same for the terminal and the report.

use std::collections::BTreeMap;

use seedpipe_artifact::{Figure, summaries};
use seedpipe_base::text;
use seedpipe_engine::{Column, Grouping, Kind};
use serde_json::Value;

use crate::shared::selection::{CHOOSING, JUDGING};

/// A stage that is done, as far as the table cares.
pub struct ResultSource {
    pub stage: String,
    pub kind: Kind,
    pub params: Value,
    /// Names of the stages on each input slot.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// Last value of each metric, by `split/name`.
    pub headline: BTreeMap<String, f64>,
    /// Trainable parameters of the network that the stage made or used.
    pub parameters: Option<u64>,
}

pub struct Results {
    /// Measures of kinds that judge another stage's features, then of those that judge what they
    /// made, by the kind's name. What measures on another split than `test` says so, and what
    /// measures one network in the same way twice has a column of its own.
    pub columns: Vec<String>,
    /// Keys whose values the rows have.
    pub by: Vec<String>,
    pub rows: Vec<ResultRow>,
}

pub struct ResultRow {
    /// The stage that made the network, or what several are called together.
    pub network: String,
    /// By key; none where the network has it not.
    pub by: Vec<Option<String>>,
    pub parameters: Option<u64>,
    /// By column.
    pub values: Vec<Option<Measure>>,
}

/// Of several figures: how many, and their sample standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub count: usize,
    /// How many there would be if every stage were done.
    pub of: usize,
    pub deviation: Option<f64>,
}

/// A fraction, and the ends of its 95 % interval where they are known.
#[derive(Clone)]
pub struct Measure {
    /// The mean, of several.
    pub value: f64,
    pub interval: Option<[f64; 2]>,
    /// Of those that are told as one.
    pub spread: Option<Spread>,
    /// Who measured it, under which key of its headline.
    pub stage: String,
    pub key: String,
    /// Networks are compared by it before any other.
    pub is_main: bool,
}

impl Measure {
    fn split(&self) -> &str {
        self.key.split_once('/').map_or("", |(split, _)| split)
    }

    /// `75.00 % ± 0.8`: the margin is in points. Of several `75.00 % ± 1.21 (n=3)`, their mean and
    /// deviation, or `(n=2 of 3)`.
    pub fn text(&self) -> String {
        let value = format!("{:.2} %", self.value * 100.0);
        if let Some(Spread {
            count,
            of,
            deviation,
        }) = self.spread
        {
            let deviation = deviation.map_or_else(String::new, |deviation| {
                format!(" ± {:.2}", deviation * 100.0)
            });
            let of = if count == of {
                String::new()
            } else {
                format!(" of {of}")
            };
            return format!("{value}{deviation} (n={count}{of})");
        }
        match self.interval {
            Some([low, high]) => format!("{value} ± {:.1}", (high - low) / 2.0 * 100.0),
            None => value,
        }
    }
}

/// Every image, which is no split.
const ALL: &str = "all";

/// The title of a measure on a split.
fn on_split(title: &str, split: &str) -> String {
    format!("{title}, {split}")
}

/// The slot of what judges a network by its features.
const FEATURES: &str = "features";

/// Which stages are told as one.
pub struct Together<'a> {
    pub grouping: &'a Grouping<'a>,
    /// Stages that differ only in these keys.
    pub over: &'a [String],
    /// Keys that tell rows apart.
    pub by: &'a [String],
}

/// Every network in a row of its own.
pub fn results(sources: &[ResultSource]) -> Results {
    let grouping = Grouping::new(Vec::new());
    results_over(
        sources,
        &Together {
            grouping: &grouping,
            over: &[],
            by: &[],
        },
    )
}

/// Networks that differ only in the keys in one row, what judges them in the same way in one cell.
pub fn results_over(sources: &[ResultSource], together: &Together) -> Results {
    let by_stage: BTreeMap<&str, &ResultSource> = sources
        .iter()
        .map(|source| (source.stage.as_str(), source))
        .collect();
    let Together { grouping, over, by } = *together;
    let groups = grouping.groups(over);
    let is_merged = !over.is_empty();
    // The stage that stands for a group, and how many are in it; none of one that is counted
    // elsewhere.
    let merged = |stage: &str| -> Option<(String, usize)> {
        match grouping.place(stage).filter(|_| is_merged) {
            None => Some((stage.to_owned(), 1)),
            Some(place) => {
                let members = &groups.members[groups.of(place)?];
                Some((grouping.stage(members[0]).to_owned(), members.len()))
            }
        }
    };
    let mut table = Table::default();
    for (column, source) in measured(sources) {
        let Column {
            name,
            title,
            is_main,
        } = *column;
        let mut headline = source.headline.iter();
        let Some((key, value)) = headline.find(|(key, _)| key.rsplit('/').next() == Some(name))
        else {
            continue;
        };
        let column = match source.params["label_fraction"].as_f64() {
            Some(fraction) if fraction < 1.0 => {
                format!("{title}, {} % of labels", trimmed(fraction * 100.0))
            }
            _ => match source.headline.get(&format!("{key}_by_chance")) {
                Some(chance) => format!("{title}, {} % by chance", trimmed(chance * 100.0)),
                None => title.to_owned(),
            },
        };
        let split = key.split_once('/').map_or(JUDGING, |(split, _)| split);
        let column = match [JUDGING, ALL].contains(&split) {
            true => column,
            false => on_split(&column, split),
        };
        let (network, parameters) = network_of(source, &by_stage);
        let (Some((network, _)), Some((judge, of))) = (merged(network), merged(&source.stage))
        else {
            continue;
        };
        let end = |end: &str| source.headline.get(&format!("{key}_{end}"));
        let interval = end("low").zip(end("high")).map(|(low, high)| [*low, *high]);
        let measure = Measure {
            value: *value,
            interval: interval.filter(|_| !is_merged),
            spread: is_merged.then_some(Spread {
                count: 1,
                of,
                deviation: None,
            }),
            stage: judge,
            key: key.clone(),
            is_main,
        };
        table.set(&network, parameters, column, measure);
    }
    let mut results = table.finish();
    results.rows.sort_by_key(|row| {
        sources
            .iter()
            .position(|source| source.stage == row.network)
    });
    results.by = by.to_vec();
    let told: Vec<&String> = over.iter().chain(by).collect();
    for row in results.rows.iter_mut().filter(|_| !told.is_empty()) {
        let Some(place) = grouping.place(&row.network) else {
            continue;
        };
        row.by = by.iter().map(|key| grouping.value(place, key)).collect();
        let members = match groups.of(place).filter(|_| is_merged) {
            Some(group) => &groups.members[group][..],
            None => &[place],
        };
        row.network = grouping.name(members, &told);
    }
    results
}

/// The columns of every stage's kind, in the order of [`Results::columns`].
fn measured(sources: &[ResultSource]) -> Vec<(&Column, &ResultSource)> {
    let columns = sources.iter().flat_map(|source| {
        let columns = source.kind.columns().iter().enumerate();
        columns.map(move |(place, column)| (place, column, source))
    });
    let mut columns: Vec<_> = columns.collect();
    columns.sort_by_key(|(place, _, source)| {
        let is_own = !source.inputs.contains_key(FEATURES);
        (is_own, source.kind.name(), *place)
    });
    let columns = columns.into_iter();
    columns
        .map(|(_, column, source)| (column, source))
        .collect()
}

/// The stage that made the network which a stage measured, and the network's size.
fn network_of<'a>(
    source: &'a ResultSource,
    by_stage: &BTreeMap<&str, &'a ResultSource>,
) -> (&'a str, Option<u64>) {
    let Some(features) = source
        .inputs
        .get(FEATURES)
        .and_then(|stages| stages.first())
    else {
        return (&source.stage, source.parameters);
    };
    match by_stage.get(features.as_str()) {
        Some(encode) => {
            let network = encode
                .inputs
                .get("weights")
                .and_then(|stages| stages.first())
                .unwrap_or(&encode.stage);
            (network, encode.parameters)
        }
        None => (features, None),
    }
}

/// `seed=1` of `probe[seed=1,width=2]`, when the other is `probe[seed=0,width=2]`; `None` when they
/// are not of one matrix.
fn other_axes(stage: &str, other: &str) -> Option<String> {
    let (base, axes) = stage.strip_suffix(']')?.split_once('[')?;
    let (other_base, other_axes) = other.strip_suffix(']')?.split_once('[')?;
    let others: Vec<&str> = other_axes.split(',').collect();
    let differing: Vec<&str> = axes
        .split(',')
        .filter(|axis| !others.contains(axis))
        .collect();
    (base == other_base && !differing.is_empty()).then(|| differing.join(","))
}

fn trimmed(number: f64) -> String {
    format!("{number:.2}")
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

/// A table in the making: all figures of a cell.
#[derive(Default)]
struct Table {
    columns: Vec<String>,
    rows: Vec<(ResultRow, Vec<Vec<Measure>>)>,
}

impl Table {
    fn set(&mut self, network: &str, parameters: Option<u64>, column: String, measure: Measure) {
        let row = match self.rows.iter().position(|(row, _)| row.network == network) {
            Some(row) => row,
            None => {
                let row = ResultRow {
                    network: network.to_owned(),
                    by: Vec::new(),
                    parameters,
                    values: Vec::new(),
                };
                self.rows.push((row, vec![Vec::new(); self.columns.len()]));
                self.rows.len() - 1
            }
        };
        let size = &mut self.rows[row].0.parameters;
        *size = size.filter(|size| parameters.is_none_or(|other| other == *size));
        let column = self.free_column(row, column, &measure);
        self.rows[row].1[column].push(measure);
    }

    /// The column of this title, or of the title with what tells the measure from the one that is
    /// there already: its split, else its axes of a matrix, else its stage.
    fn free_column(&mut self, row: usize, title: String, measure: &Measure) -> usize {
        let column = self.column(&title);
        let Some(taken) = self.other(row, column, measure) else {
            return column;
        };
        let mut others = Vec::new();
        if measure.split() != taken.split() {
            others.push(measure.split().to_owned());
        }
        others.extend(other_axes(&measure.stage, &taken.stage));
        others.push(measure.stage.clone());
        // A split may be called what a stage is.
        let numbered = (2..).map(|number| format!("{}, {number}", measure.stage));
        for other in others.into_iter().chain(numbered) {
            let column = self.column(&format!("{title}, {other}"));
            if self.other(row, column, measure).is_none() {
                return column;
            }
        }
        unreachable!("BUG: numbers end")
    }

    /// What is in a cell and can't be told together with a measure.
    fn other(&self, row: usize, column: usize, measure: &Measure) -> Option<&Measure> {
        let taken = self.rows[row].1[column].first()?;
        let is_one =
            measure.spread.is_some() && taken.stage == measure.stage && taken.key == measure.key;
        (!is_one).then_some(taken)
    }

    fn column(&mut self, title: &str) -> usize {
        let known = self.columns.iter().position(|known| known == title);
        known.unwrap_or_else(|| {
            self.columns.push(title.to_owned());
            let cells = self.rows.iter_mut().map(|(_, cells)| cells);
            cells.for_each(|cells| cells.push(Vec::new()));
            self.columns.len() - 1
        })
    }

    fn finish(self) -> Results {
        let rows = self.rows.into_iter().map(|(mut row, cells)| {
            row.values = cells.into_iter().map(told_as_one).collect();
            row
        });
        Results {
            columns: self.columns,
            by: Vec::new(),
            rows: rows.collect(),
        }
    }
}

/// The figures of a cell.
fn told_as_one(measures: Vec<Measure>) -> Option<Measure> {
    let figures = measures.iter().map(|measure| Figure {
        group: 0,
        split: "",
        name: &measure.key,
        value: measure.value,
    });
    let summary = summaries(&figures.collect::<Vec<_>>()).pop()?;
    let mut measure = measures.into_iter().next()?;
    if let Some(spread) = &mut measure.spread {
        measure.value = summary.mean;
        spread.count = summary.count as usize;
        spread.deviation = summary.deviation;
    }
    Some(measure)
}

impl Results {
    /// Whether a column's figures are there to choose by.
    pub fn chooses(&self, column: usize) -> bool {
        let mut measures = self.rows.iter().flat_map(|row| &row.values[column]);
        measures.all(|measure| measure.split() == CHOOSING)
    }

    /// The column that chooses for another one: the same figure of other images, or itself. None
    /// where there are no images to choose by.
    pub fn chosen_by(&self, column: usize) -> Option<usize> {
        if self.chooses(column) {
            return Some(column);
        }
        let title = on_split(&self.columns[column], CHOOSING);
        self.columns.iter().position(|known| *known == title)
    }

    /// Whether any of it is of several stages.
    pub fn has_several(&self) -> bool {
        let values = self.rows.iter().flat_map(|row| row.values.iter().flatten());
        let mut spreads = values.filter_map(|measure| measure.spread);
        spreads.any(|spread| spread.of > 1)
    }

    /// The table's cells as text, the heading first.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let mut heading = vec!["network".to_owned()];
        heading.extend(self.by.iter().cloned());
        heading.push("parameters".to_owned());
        heading.extend(self.columns.iter().cloned());
        let mut cells = vec![heading];
        for row in &self.rows {
            let mut line = vec![row.network.clone()];
            line.extend(row.by.iter().map(|value| value.clone().unwrap_or_default()));
            line.push(row.parameters.map_or_else(String::new, text::count));
            line.extend(
                row.values
                    .iter()
                    .map(|measure| measure.as_ref().map_or_else(String::new, Measure::text)),
            );
            cells.push(line);
        }
        cells
    }

    /// The table for a terminal; empty when nothing was measured.
    pub fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let cells = self.cells();
        let widths: Vec<usize> = (0..cells[0].len())
            .map(|column| {
                cells
                    .iter()
                    .map(|line| line[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for (number, line) in cells.iter().enumerate() {
            let padded: Vec<String> = line
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    if column == 0 {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                })
                .collect();
            text.push_str(padded.join("  ").trim_end());
            text.push('\n');
            if number == 0 {
                text.push_str(
                    &widths
                        .iter()
                        .map(|width| "-".repeat(*width))
                        .collect::<Vec<_>>()
                        .join("  "),
                );
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
#[path = "results_tests.rs"]
mod tests;
