//! Accuracies class by class, a column a network.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use seedpipe_artifact::{METRICS, MetricsReader};

use super::headline::{main_column, ranked};
use super::html::{Cell, Column, Table, percent};
use super::judged::Judged;
use super::material::Material;
use crate::results::{Measure, Results};

/// Networks in the table at most.
const NETWORKS: usize = 6;

/// The table; `None` when no class was judged by itself.
pub fn table(material: &Material, results: &Results, judged: &[Judged]) -> Result<Option<String>> {
    let main = main_column(results);
    let mut columns: Vec<(String, BTreeMap<String, f64>)> = Vec::new();
    for ranked in ranked(material, results) {
        let of_main = main.and_then(|column| ranked.row.values[column].as_ref());
        let Some(measure) = of_main.or_else(|| ranked.row.values.iter().flatten().next()) else {
            continue;
        };
        let title = main.filter(|_| of_main.is_some()).or_else(|| {
            let values = &ranked.row.values;
            values.iter().position(Option::is_some)
        });
        let title = title.map_or("", |column| results.columns[column].as_str());
        let values = of_classes(material, measure)?;
        if !values.is_empty() && columns.len() < NETWORKS {
            columns.push((format!("{}, {title}", ranked.row.network), values));
        }
    }
    let mut names: Vec<&String> = columns
        .iter()
        .flat_map(|(_, values)| values.keys())
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Ok(None);
    }
    // Numbers in their own order.
    names.sort_by_key(|name| (name.parse::<i64>().unwrap_or(i64::MAX), (*name).clone()));
    let counts = images_of_classes(judged);
    let mut headings = vec![Column::text("class")];
    if !counts.is_empty() {
        headings.push(Column::number("images"));
    }
    headings.extend(columns.iter().map(|(title, _)| Column::number(title)));
    let rows = names.iter().map(|name| {
        let mut row = vec![Cell::text(name)];
        if !counts.is_empty() {
            row.push(counts.get(*name).map_or_else(Cell::empty, |count| {
                Cell::number(*count as f64, &count.to_string())
            }));
        }
        row.extend(columns.iter().map(|(_, values)| {
            values.get(*name).map_or_else(Cell::empty, |value| {
                Cell::html(format!(
                    "<span class=\"bar\" style=\"--v:{value:.3}\">{}</span>",
                    percent(*value)
                ))
                .sorted_by(*value)
            })
        }));
        row
    });
    Ok(Some(
        Table {
            caption: "Share of each class's test images that was named rightly".to_owned(),
            columns: headings,
            rows: rows.collect(),
        }
        .html(),
    ))
}

/// Class → accuracy, of the stage that measured.
fn of_classes(material: &Material, measure: &Measure) -> Result<BTreeMap<String, f64>> {
    let source = material.source(&measure.stage);
    let output = source.and_then(|source| {
        let outputs = source.outputs.values();
        outputs.clone().find(|output| output.kind == METRICS)
    });
    let Some(parts) = output.and_then(|output| output.parts.as_deref()) else {
        return Ok(BTreeMap::new());
    };
    let (split, name) = measure.key.split_once('/').unwrap_or(("", &measure.key));
    let rows = MetricsReader::open(parts)
        .and_then(|reader| reader.read_all())
        .with_context(|| format!("stage `{}`", measure.stage))?;
    let of_class = rows
        .into_iter()
        .filter(|row| row.split == split)
        .filter_map(|row| {
            let class = row.name.strip_prefix(name)?.strip_prefix('/')?;
            Some((class.to_owned(), row.value))
        });
    Ok(of_class.collect())
}

fn images_of_classes(judged: &[Judged]) -> BTreeMap<String, u64> {
    let Some(judged) = judged.first() else {
        return BTreeMap::new();
    };
    let confusion = &judged.confusion;
    let counts = confusion.classes.iter().zip(&confusion.counts);
    counts
        .map(|(class, counts)| (class.name.clone(), counts.iter().sum()))
        .collect()
}
