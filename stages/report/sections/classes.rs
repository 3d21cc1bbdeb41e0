//! Accuracies class by class, a column a network.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use seedpipe_artifact::{METRICS, MetricsReader};

use crate::report::gallery::Gallery;
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
    gallery: &Gallery,
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
        let values = of_classes(material, gallery, measure)?;
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
fn of_classes(
    material: &Catalogue,
    gallery: &Gallery,
    measure: &Measure,
) -> Result<BTreeMap<String, f64>> {
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
    let of_class: Vec<(String, f64)> = rows
        .into_iter()
        .filter(|row| row.split == split)
        .filter_map(|row| {
            let class = row.name.strip_prefix(name)?.strip_prefix('/')?;
            Some((class.to_owned(), row.value))
        })
        .collect();
    let known = material
        .files(source, "images")
        .map(|(images, _)| judged_names(gallery, &images.stage, split));
    Ok(named(of_class, &known.unwrap_or_default()))
}

/// Name as the images have it, and name that no other class has, of the classes with an image in a
/// split; in the order of their labels.
fn judged_names(gallery: &Gallery, stage: &str, split: &str) -> Vec<(String, String)> {
    let Some(images) = gallery.images(stage) else {
        return Vec::new();
    };
    let rows = images.rows_in(split).into_iter();
    let labels: BTreeSet<i32> = rows.filter_map(|row| images.image(row).label).collect();
    let told = gallery.classes(stage);
    let names = labels.iter().filter_map(|label| {
        let name = images.classes().get(label)?;
        Some((name.clone(), told[label].clone()))
    });
    names.collect()
}

/// Values by names that differ. They stand in the order of the labels, as the classes that were
/// judged do; where those are not known, a name's further occurrences are counted.
///
/// - `known`: name and name that no other class has
fn named(values: Vec<(String, f64)>, known: &[(String, String)]) -> BTreeMap<String, f64> {
    let names = values.iter().map(|(name, _)| name);
    if names.eq(known.iter().map(|(name, _)| name)) {
        let told = known.iter().map(|(_, told)| told.clone());
        return told
            .zip(values.into_iter().map(|(_, value)| value))
            .collect();
    }
    let mut found = BTreeMap::new();
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for (name, value) in values {
        let time = times.entry(name.clone()).or_default();
        *time += 1;
        let name = match *time {
            1 => name,
            time => format!("{name}, number {time}"),
        };
        found.insert(name, value);
    }
    found
}

/// Name → judged images of that class.
fn images_of_classes(judged: &Judged) -> BTreeMap<String, u64> {
    let images = judged.tally.images().into_iter();
    images
        .map(|(label, count)| (judged.name(label), count))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_one_name_keep_their_own_accuracies() {
        let values = || {
            let values = [("crane", 0.5), ("cat", 0.75), ("crane", 0.25)];
            values.map(|(name, value)| (name.to_owned(), value)).into()
        };
        let known = [
            ("crane", "crane (1)"),
            ("cat", "cat"),
            ("crane", "crane (3)"),
        ];
        let known = known.map(|(name, told)| (name.to_owned(), told.to_owned()));
        let expected = |names: [&str; 3]| {
            let values = names.into_iter().zip([0.5, 0.25, 0.75]);
            BTreeMap::from_iter(values.map(|(name, value)| (name.to_owned(), value)))
        };
        assert_eq!(
            named(values(), &known),
            expected(["crane (1)", "crane (3)", "cat"])
        );
        assert_eq!(
            named(values(), &known[..2]),
            expected(["crane", "crane, number 2", "cat"])
        );
    }
}
