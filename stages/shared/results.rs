//! The results table: networks down, measures across. The same for the terminal and the report.

use std::collections::BTreeMap;

use seedpipe_base::text;
use seedpipe_engine::{Column, Kind};
use serde_json::Value;

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
    /// made, by the kind's name. What measures one network in the same way twice, on another split
    /// or with another seed, has a column of its own.
    pub columns: Vec<String>,
    pub rows: Vec<ResultRow>,
}

pub struct ResultRow {
    /// The stage that made the network.
    pub network: String,
    pub parameters: Option<u64>,
    /// By column.
    pub values: Vec<Option<Measure>>,
}

/// A fraction, and the ends of its 95 % interval where they are known.
#[derive(Clone)]
pub struct Measure {
    pub value: f64,
    pub interval: Option<[f64; 2]>,
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

    /// `75.00 % ± 0.8`: the margin is in points.
    pub fn text(&self) -> String {
        match self.interval {
            Some([low, high]) => {
                format!(
                    "{:.2} % ± {:.1}",
                    self.value * 100.0,
                    (high - low) / 2.0 * 100.0
                )
            }
            None => format!("{:.2} %", self.value * 100.0),
        }
    }
}

/// The slot of what judges a network by its features.
const FEATURES: &str = "features";

pub fn results(sources: &[ResultSource]) -> Results {
    let by_stage: BTreeMap<&str, &ResultSource> = sources
        .iter()
        .map(|source| (source.stage.as_str(), source))
        .collect();
    let mut results = Results {
        columns: Vec::new(),
        rows: Vec::new(),
    };
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
        let (network, parameters) = network_of(source, &by_stage);
        let end = |end: &str| source.headline.get(&format!("{key}_{end}"));
        let measure = Measure {
            value: *value,
            interval: end("low").zip(end("high")).map(|(low, high)| [*low, *high]),
            stage: source.stage.clone(),
            key: key.clone(),
            is_main,
        };
        results.set(network, parameters, column, measure);
    }
    results.rows.sort_by_key(|row| {
        sources
            .iter()
            .position(|source| source.stage == row.network)
    });
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

impl Results {
    fn set(&mut self, network: &str, parameters: Option<u64>, column: String, measure: Measure) {
        let row = match self.rows.iter().position(|row| row.network == network) {
            Some(row) => row,
            None => {
                self.rows.push(ResultRow {
                    network: network.to_owned(),
                    parameters,
                    values: vec![None; self.columns.len()],
                });
                self.rows.len() - 1
            }
        };
        let column = self.free_column(row, column, &measure);
        self.rows[row].values[column] = Some(measure);
    }

    /// The column of this title, or of the title with what tells the measure from the one that is
    /// there already: its split, else its axes of a matrix, else its stage.
    fn free_column(&mut self, row: usize, title: String, measure: &Measure) -> usize {
        let column = self.column(&title);
        let Some(taken) = &self.rows[row].values[column] else {
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
            if self.rows[row].values[column].is_none() {
                return column;
            }
        }
        unreachable!("BUG: numbers end")
    }

    fn column(&mut self, title: &str) -> usize {
        let known = self.columns.iter().position(|known| known == title);
        known.unwrap_or_else(|| {
            self.columns.push(title.to_owned());
            self.rows.iter_mut().for_each(|row| row.values.push(None));
            self.columns.len() - 1
        })
    }

    /// The table's cells as text, the heading first.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let mut heading = vec!["network".to_owned(), "parameters".to_owned()];
        heading.extend(self.columns.iter().cloned());
        let mut cells = vec![heading];
        for row in &self.rows {
            let mut line = vec![
                row.network.clone(),
                row.parameters.map_or_else(String::new, text::count),
            ];
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
mod tests {
    use super::*;

    fn source(
        stage: &str,
        kind: &str,
        inputs: &[(&str, &str)],
        headline: &[(&str, f64)],
        parameters: Option<u64>,
    ) -> ResultSource {
        ResultSource {
            stage: stage.into(),
            kind: crate::light_registry().known(kind).clone(),
            params: serde_json::json!({}),
            inputs: inputs
                .iter()
                .map(|(slot, stage)| ((*slot).to_owned(), vec![(*stage).to_owned()]))
                .collect(),
            headline: headline
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
            parameters,
        }
    }

    #[test]
    fn a_measure_stands_in_the_row_of_the_network_that_was_measured() {
        let sources = [
            source("student", "distill", &[], &[], None),
            source(
                "student_features",
                "encode",
                &[("weights", "student")],
                &[],
                Some(1234),
            ),
            source(
                "student_knn",
                "knn",
                &[("features", "student_features")],
                &[
                    ("test/knn_top1", 0.5),
                    ("test/knn_top1_high", 0.51),
                    ("test/knn_top1_low", 0.492),
                ],
                None,
            ),
            source(
                "student_probe",
                "probe",
                &[("features", "student_features")],
                &[("test/linear_top1", 0.75), ("test/linear_top5", 1.0)],
                None,
            ),
            source(
                "student_logits",
                "probe",
                &[("features", "student_features")],
                &[("test/top1", 0.625)],
                None,
            ),
            source(
                "tuned",
                "finetune",
                &[],
                &[("test/top1", 0.875)],
                Some(1244),
            ),
        ];
        let expected = "\
network  parameters      kNN top-1  linear top-1  own classifier top-1  fine-tuned top-1
-------  ----------  -------------  ------------  --------------------  ----------------
student       1,234  50.00 % ± 0.9       75.00 %               62.50 %
tuned         1,244                                                              87.50 %
";
        assert_eq!(results(&sources).text(), expected);
    }

    #[test]
    fn a_share_stands_beside_what_chance_gives() {
        let agreement = |stage: &str, features: &str, value: f64| {
            let figures = [
                ("test/neighbours_in_common", value),
                ("test/neighbours_in_common_by_chance", 0.125),
                ("test/rank_correlation", value / 2.0),
            ];
            source(
                stage,
                "agreement",
                &[("features", features)],
                &figures,
                None,
            )
        };
        let sources = [
            source("student", "encode", &[], &[], Some(9)),
            source("untrained", "encode", &[], &[], Some(9)),
            agreement("one", "student", 0.5),
            agreement("other", "untrained", 0.25),
        ];
        let expected = "\
network    parameters  teacher's neighbours, 12.5 % by chance  rank correlation
---------  ----------  --------------------------------------  ----------------
student             9                                 50.00 %           25.00 %
untrained           9                                 25.00 %           12.50 %
";
        assert_eq!(results(&sources).text(), expected);
    }

    #[test]
    fn every_column_is_of_a_headline_figure() {
        let registry = crate::light_registry();
        for kind in registry.kinds() {
            for Column { name, .. } in kind.columns() {
                assert!(kind.headline().contains(name), "{}: {name}", kind.name());
            }
        }
    }

    #[test]
    fn a_network_that_is_measured_twice_has_two_figures() {
        let probe = |stage: &str, split: &str, value: f64| {
            source(
                stage,
                "probe",
                &[("features", "features")],
                &[(format!("{split}/linear_top1").as_str(), value)],
                None,
            )
        };
        let sources = [
            source("student", "distill", &[], &[], None),
            source("features", "encode", &[("weights", "student")], &[], None),
            probe("probe[l2=1,seed=0]", "test", 0.75),
            probe("probe[l2=1,seed=1]", "test", 0.5),
            probe("on_val", "val", 0.625),
            probe("again", "test", 0.25),
        ];
        let results = results(&sources);
        assert_eq!(
            results.columns,
            [
                "linear top-1",
                "linear top-1, seed=1",
                "linear top-1, val",
                "linear top-1, again"
            ]
        );
        let values: Vec<f64> = results.rows[0]
            .values
            .iter()
            .map(|measure| measure.as_ref().unwrap().value)
            .collect();
        assert_eq!(
            (results.rows.len(), values),
            (1, vec![0.75, 0.5, 0.625, 0.25])
        );
    }
}
