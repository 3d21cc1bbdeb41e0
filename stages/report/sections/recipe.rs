//! What ran with which parameters, and on what.

use std::collections::BTreeMap;

use seedpipe_artifact::{interval_of, is_fraction};
use seedpipe_base::text;

use crate::report::html::{Cell, HtmlColumn, HtmlTable, escaped, push};
use crate::report::material::{Catalogue, Source};
use crate::report::sections::lineage::anchor;

/// A folded block a stage: its inputs, its params, its recipe as it is hashed.
pub fn recipes(material: &Catalogue) -> String {
    let mut html = String::new();
    for source in &material.sources {
        push(
            &mut html,
            format_args!(
                "<details class=\"stage\" id=\"stage-{}\"><summary><b>{}</b> <span class=\"chip\">{}</span> <small>{}</small></summary>{}<details><summary>Recipe, fingerprint {}…</summary><pre tabindex=\"0\">{}\nfingerprint {}</pre></details></details>\n",
                anchor(&source.stage),
                escaped(&source.stage),
                escaped(source.kind.name()),
                rows(source),
                facts(source),
                source.fingerprint.get(..12).unwrap_or(&source.fingerprint),
                escaped(&source.recipe),
                escaped(&source.fingerprint),
            ),
        );
    }
    html
}

fn rows(source: &Source) -> String {
    let rows: Vec<String> = source
        .outputs
        .iter()
        .map(|(slot, output)| format!("{} {}", text::count(output.rows), escaped(slot)))
        .collect();
    rows.join(", ")
}

/// Inputs and params as a list of names and values.
fn facts(source: &Source) -> String {
    let mut html = "<dl class=\"facts\">".to_owned();
    let mut fact = |name: &str, value: &str| {
        push(
            &mut html,
            format_args!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value)),
        );
    };
    fact("version", &source.version.to_string());
    fact("seed", &source.seed.to_string());
    for (slot, from) in &source.inputs {
        let names: Vec<String> = from
            .iter()
            .map(|from| format!("{}.{}", from.stage, from.output))
            .collect();
        fact(&format!("input {slot}"), &names.join(", "));
    }
    let mut leaves = Vec::new();
    flatten(String::new(), &source.params, &mut leaves);
    for (name, value) in leaves {
        fact(&name, &value);
    }
    html.push_str("</dl>");
    html
}

/// Params as `training.epochs` and their value, in YAML's flow style where it is a list.
fn flatten(name: String, value: &serde_json::Value, leaves: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(format!("{name}{dot}{key}"), value, leaves);
            }
        }
        serde_json::Value::Null => {}
        serde_json::Value::Object(_) => {}
        serde_json::Value::String(text) => leaves.push((name, text.clone())),
        other => leaves.push((name, other.to_string())),
    }
}

/// The machine and the programs; `None` on a page without telemetry.
pub fn environment(material: &Catalogue) -> Option<String> {
    let mut facts: Vec<(String, String)> = material.environment.clone();
    // What the stages say of themselves, the stages of equal answers together.
    let mut answers: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for source in &material.sources {
        let Some(making) = &source.making else {
            continue;
        };
        let mut answer = |name: &str, value: &str| {
            if !value.is_empty() {
                let key = (name.to_owned(), value.to_owned());
                answers.entry(key).or_default().push(&source.stage);
            }
        };
        answer("device", &making.device);
        answer("numerics class", &making.numerics);
        for (program, version) in &making.versions {
            answer(&format!("{program} that ran it"), version);
        }
    }
    for ((name, value), stages) in answers {
        let all = material.sources.len();
        let told = match stages.len() {
            count if count == all => format!("{value} (all stages)"),
            1 => format!("{value} ({})", stages[0]),
            count => format!("{value} ({count} of {all} stages)"),
        };
        facts.push((name, told));
    }
    if facts.is_empty() {
        return None;
    }
    let mut html = "<dl class=\"facts\">".to_owned();
    for (name, value) in facts {
        push(
            &mut html,
            format_args!("<dt>{}</dt><dd>{}</dd>", escaped(&name), escaped(&value)),
        );
    }
    html.push_str("</dl>\n");
    Some(html)
}

/// Figures and fields that differ from an earlier state; `None` when there is none to compare with.
pub fn changes(material: &Catalogue) -> Option<String> {
    let against = material.against.as_ref()?;
    let mut rows = Vec::new();
    let mut unchanged = 0;
    for source in &material.sources {
        let new = source.headline();
        let old = against
            .figures
            .get(&source.stage)
            .cloned()
            .unwrap_or_default();
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort();
        names.dedup();
        for name in names.into_iter().filter(|name| interval_of(name).is_none()) {
            let (old, new) = (old.get(name).copied(), new.get(name).copied());
            if old == new {
                unchanged += 1;
            } else {
                rows.push(figure_row(&source.stage, name, old, new));
            }
        }
    }
    let gone = against
        .figures
        .iter()
        .filter(|(stage, _)| material.source(stage).is_none());
    for (stage, figures) in gone {
        for (name, value) in figures
            .iter()
            .filter(|(name, _)| interval_of(name).is_none())
        {
            rows.push(figure_row(stage, name, Some(*value), None));
        }
    }
    let mut html = if rows.is_empty() {
        format!(
            "<p>No figure differs from {}.</p>\n",
            escaped(&against.name)
        )
    } else {
        HtmlTable {
            caption: format!("Figures that differ from {}", against.name),
            columns: vec![
                HtmlColumn::text("stage"),
                HtmlColumn::text("figure"),
                HtmlColumn::number("old"),
                HtmlColumn::number("new"),
                HtmlColumn::number("change"),
            ],
            rows,
        }
        .html()
    };
    if unchanged > 0 {
        push(
            &mut html,
            format_args!("<p class=\"note\">{unchanged} other figures are the same.</p>\n"),
        );
    }
    html.push_str(&fields(material)?);
    Some(html)
}

fn figure_row(stage: &str, name: &str, old: Option<f64>, new: Option<f64>) -> Vec<Cell> {
    let is_fraction = is_fraction(name);
    let value = |value: Option<f64>| {
        value.map_or_else(Cell::empty, |value| {
            let text = match is_fraction {
                true => format!("{:.2} %", value * 100.0),
                false => format!("{value:.4}"),
            };
            Cell::number(value, &text)
        })
    };
    let change = old.zip(new).map(|(old, new)| new - old);
    vec![
        Cell::text(stage),
        Cell::text(name),
        value(old),
        value(new),
        change.map_or_else(Cell::empty, |change| {
            Cell::html(crate::report::html::change(change, is_fraction)).sorted_by(change)
        }),
    ]
}

fn fields(material: &Catalogue) -> Option<String> {
    let against = material.against.as_ref()?;
    if against.changes.is_empty() {
        return Some("<p>No setting differs.</p>\n".to_owned());
    }
    let cell = |text: &str| {
        if text.is_empty() {
            Cell::empty()
        } else {
            Cell::html(format!("<code>{}</code>", escaped(text)))
        }
    };
    let rows = against.changes.iter().map(|change| {
        vec![
            Cell::text(&change.stage),
            Cell::text(&change.field),
            cell(&change.old),
            cell(&change.new),
        ]
    });
    Some(
        HtmlTable {
            caption: format!("Settings that differ from {}", against.name),
            columns: ["stage", "setting", "old", "new"]
                .map(HtmlColumn::text)
                .into(),
            rows: rows.collect(),
        }
        .html(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn what_differs_is_told_and_what_does_not_is_counted() {
        let mut material = example::material();
        assert!(changes(&material.catalogue()).is_none());
        material.against = Some(example::against());
        let html = changes(&material.catalogue()).unwrap();
        for part in [
            "<th scope=\"row\">student_probe</th><td>test/linear_top1</td><td class=\"n\" data-v=\"0.7\">70.00 %</td><td class=\"n\" data-v=\"0.75\">75.00 %</td>",
            "▲ +5.00 points",
            "<th scope=\"row\">gone</th>",
            "1 other figures are the same",
            "<td>params.queue</td><td><code>64</code></td><td><code>2048</code></td>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("linear_top1_low"), "{html}");
    }
}
