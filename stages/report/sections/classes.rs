//! Accuracies class by class, a column a network.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use seedpipe_artifact::{METRICS, MetricsReader};

use crate::report::html::{Cell, HtmlColumn, HtmlTable, percent};
use crate::report::judged::Judged;
use crate::report::material::Catalogue;
use crate::report::sections::headline::{Ranked, main_column};
use crate::shared::results::{Measure, Results};

/// Networks in the table at most.
const NETWORKS: usize = 6;

/// The table; `None` when no class was judged by itself.
pub fn table(
    material: &Catalogue,
    results: &Results,
    ranked: &[Ranked],
    judged: &[Judged],
) -> Result<Option<String>> {
    let main = main_column(results);
    let mut columns: Vec<(String, BTreeMap<String, f64>)> = Vec::new();
    let mut measured_by: BTreeSet<&str> = BTreeSet::new();
    for ranked in ranked {
        let values = &ranked.row.values;
        let column = main.filter(|&column| values[column].is_some());
        let column = column.or_else(|| values.iter().position(Option::is_some));
        let Some((column, measure)) =
            column.and_then(|column| Some((column, values[column].as_ref()?)))
        else {
            continue;
        };
        if columns.len() == NETWORKS {
            break;
        }
        let values = of_classes(material, measure)?;
        if !values.is_empty() {
            let title = &results.columns[column];
            columns.push((format!("{}, {title}", ranked.row.network), values));
            measured_by.insert(&measure.stage);
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
    let of_column = judged
        .iter()
        .find(|judged| measured_by.contains(judged.stage.as_str()));
    let counts = of_column.map_or_else(BTreeMap::new, images_of_classes);
    let mut headings = vec![HtmlColumn::text("class")];
    if !counts.is_empty() {
        headings.push(HtmlColumn::number("images"));
    }
    headings.extend(columns.iter().map(|(title, _)| HtmlColumn::number(title)));
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
        HtmlTable {
            caption: "Share of each class's judged images that was named rightly".to_owned(),
            columns: headings,
            rows: rows.collect(),
        }
        .html(),
    ))
}

/// Class → accuracy, of the stage that measured.
fn of_classes(material: &Catalogue, measure: &Measure) -> Result<BTreeMap<String, f64>> {
    let Some(source) = material.source(&measure.stage) else {
        return Ok(BTreeMap::new());
    };
    let mut outputs = source.outputs.values();
    let output = outputs.find(|output| output.kind == METRICS);
    let Some(parts) = output.and_then(|output| output.parts.as_deref()) else {
        return Ok(BTreeMap::new());
    };
    let (split, name) = measure.key.split_once('/').unwrap_or(("", &measure.key));
    let rows = MetricsReader::open(parts)
        .and_then(|reader| reader.read_all())
        .with_context(|| format!("stage `{}`", measure.stage))?;
    let of_class = rows.into_iter().filter_map(|row| {
        let class = row.name.strip_prefix(name)?.strip_prefix('/')?;
        (row.split == split).then(|| (class.to_owned(), row.value))
    });
    Ok(of_class.collect())
}

/// Name → judged images of that class.
fn images_of_classes(judged: &Judged) -> BTreeMap<String, u64> {
    let images = judged.tally.images().into_iter();
    images
        .map(|(label, count)| (judged.name(label), count))
        .collect()
}
