//! How long every stage took, one after the other, and how much of it was waiting for pixels.

use crate::report::html::{Cell, HtmlColumn, HtmlTable, duration, escaped, percent, push};
use crate::report::material::{Catalogue, Making};
use seedpipe_base::text;

/// Rates and shares in a stage's telemetry.
const WAITING: &str = "waiting_share";
const RATES: [&str; 2] = ["images_per_second", "views_per_second"];
/// Shares of the whole that a bar has at least.
const LEAST: f64 = 0.003;

/// `None` on a page without telemetry.
pub fn timeline(material: &Catalogue) -> Option<String> {
    let made: Vec<(&str, &str, &Making)> = material
        .sources
        .iter()
        .filter_map(|source| {
            let making = source.making.as_ref()?;
            Some((source.stage.as_str(), source.kind.name(), making))
        })
        .collect();
    let total: f64 = made.iter().map(|(_, _, making)| making.seconds).sum();
    if made.is_empty() || total <= 0.0 {
        return None;
    }
    let mut html = format!(
        "<p>{} stages, {} of work in all, each with the time of the run that made it.</p><ol class=\"timeline\">\n",
        made.len(),
        duration(total)
    );
    let mut before = 0.0;
    for (stage, kind, making) in &made {
        let share = making.seconds / total;
        let waiting = making
            .values
            .get(WAITING)
            .copied()
            .unwrap_or(0.0)
            .clamp(0.0, 1.0);
        let told = if making.values.contains_key(WAITING) {
            format!(", {} waiting", percent(waiting))
        } else {
            String::new()
        };
        push(
            &mut html,
            format_args!(
                "<li><span class=\"name\">{} <small>{}</small></span><span class=\"track\" aria-hidden=\"true\"><span class=\"work k-{}\" style=\"--from:{before:.4};--part:{:.4};--waiting:{waiting:.3}\"></span></span><span class=\"time\">{}{told}</span></li>\n",
                escaped(stage),
                escaped(kind),
                escaped(kind),
                share.max(LEAST),
                duration(making.seconds)
            ),
        );
        before += share;
    }
    html.push_str("</ol><p class=\"note\">The hatched part of a bar is the share in which the network waited for images.</p>\n");
    push(
        &mut html,
        format_args!(
            "<details><summary>As a table</summary>{}</details>\n",
            table(&made)
        ),
    );
    Some(html)
}

fn table(made: &[(&str, &str, &Making)]) -> String {
    let rows = made.iter().map(|(stage, kind, making)| {
        let rate = RATES.iter().find_map(|rate| making.values.get(*rate));
        vec![
            Cell::text(stage),
            Cell::text(kind),
            Cell::number(making.seconds, &duration(making.seconds)),
            making
                .values
                .get(WAITING)
                .map_or_else(Cell::empty, |share| Cell::number(*share, &percent(*share))),
            rate.map_or_else(Cell::empty, |rate| {
                Cell::number(*rate, &text::count(rate.round() as u64))
            }),
            Cell::text(&making.created),
        ]
    });
    HtmlTable {
        caption: "Time of every stage".to_owned(),
        columns: vec![
            HtmlColumn::text("stage"),
            HtmlColumn::text("kind"),
            HtmlColumn::number("time"),
            HtmlColumn::number("waiting"),
            HtmlColumn::number("images/s"),
            HtmlColumn::text("made"),
        ],
        rows: rows.collect(),
    }
    .html()
}
