//! The stages and what they took from each other, drawn from left to right: a stage stands right of
//! all that it needs.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::html::{escaped, push};
use crate::report::material::Catalogue;
use seedpipe_base::layers;

const LETTER: f64 = 7.0;
const HEIGHT: f64 = 40.0;
const ACROSS: f64 = 42.0;
const DOWN: f64 = 12.0;
const MARGIN: f64 = 8.0;
/// Times that the stages of each column are put in the order of their neighbours.
const SWEEPS: usize = 6;

/// An arrow between two stages, by number.
type DrawnEdge = (usize, usize);

/// A stage's box.
#[derive(Clone, Copy, Debug)]
struct StageBox {
    x: f64,
    y: f64,
    width: f64,
}

pub fn graph(material: &Catalogue) -> String {
    let sources = &material.sources;
    let number: BTreeMap<&str, usize> = sources
        .iter()
        .enumerate()
        .map(|(index, source)| (source.stage.as_str(), index))
        .collect();
    let mut edges: BTreeSet<DrawnEdge> = BTreeSet::new();
    for (to, source) in sources.iter().enumerate() {
        for from in source.inputs.values().flatten() {
            edges.extend(number.get(from.stage.as_str()).map(|from| (*from, to)));
        }
    }
    let edges: Vec<DrawnEdge> = edges.into_iter().collect();
    let widths: Vec<f64> = sources
        .iter()
        .map(|source| {
            source.stage.chars().count().max(source.kind.name().len()) as f64 * LETTER + 24.0
        })
        .collect();
    let places = places(&widths, &edges);
    let width = places
        .iter()
        .map(|place| place.x + place.width)
        .fold(0.0, f64::max)
        + MARGIN;
    let height = places
        .iter()
        .map(|place| place.y + HEIGHT)
        .fold(0.0, f64::max)
        + MARGIN;
    let mut body = String::new();
    for &(from, to) in &edges {
        let (start, end) = (places[from], places[to]);
        let (x0, y0) = (start.x + start.width, start.y + HEIGHT / 2.0);
        let (x1, y1) = (end.x - 5.0, end.y + HEIGHT / 2.0);
        // What reaches over columns is fainter than a step to the next.
        let long = if x1 - x0 > ACROSS * 1.5 { " long" } else { "" };
        let bend = ((x1 - x0) / 2.0).min(60.0);
        push(
            &mut body,
            format_args!(
                "<path class=\"edge{long}\" marker-end=\"url(#arrow)\" d=\"M{x0:.0} {y0:.0}C{:.0} {y0:.0} {:.0} {y1:.0} {x1:.0} {y1:.0}\"><title>{} → {}</title></path>",
                x0 + bend,
                x1 - bend,
                escaped(&sources[from].stage),
                escaped(&sources[to].stage)
            ),
        );
    }
    for (source, place) in sources.iter().zip(&places) {
        let centre = place.x + place.width / 2.0;
        push(
            &mut body,
            format_args!(
                "<a href=\"#stage-{id}\"><g class=\"node k-{kind}\"><rect x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{HEIGHT}\" rx=\"7\"/><text x=\"{centre:.0}\" y=\"{:.0}\">{name}</text><text class=\"kind\" x=\"{centre:.0}\" y=\"{:.0}\">{kind}</text></g></a>",
                place.x,
                place.y,
                place.width,
                place.y + 17.0,
                place.y + 32.0,
                id = anchor(&source.stage),
                kind = escaped(source.kind.name()),
                name = escaped(&source.stage),
            ),
        );
    }
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Lineage\"><svg class=\"lineage\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"lineage-t lineage-d\"><title id=\"lineage-t\">Lineage</title><desc id=\"lineage-d\">{} stages, each to the right of what it needs; the recipes below say the same.</desc><defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"4\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>{body}</svg></div>\n",
        sources.len()
    )
}

/// A stage's name as the end of an address.
pub fn anchor(stage: &str) -> String {
    stage
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect()
}

/// Columns by the longest way from a start; within a column by where the neighbours stand. Stages
/// come after what they need.
fn places(widths: &[f64], edges: &[DrawnEdge]) -> Vec<StageBox> {
    let order: Vec<usize> = (0..widths.len()).collect();
    let mut columns = layers(&order, edges);
    let count = columns.len();
    let tallest = columns.iter().map(Vec::len).max().unwrap_or(0) as f64;
    // Centres, from 0 to 1 of the height.
    let mut centre = vec![0.0; widths.len()];
    let settle = |columns: &[Vec<usize>], centre: &mut Vec<f64>| {
        for stages in columns {
            let first = (tallest - stages.len() as f64) / 2.0;
            for (index, &stage) in stages.iter().enumerate() {
                centre[stage] = first + index as f64;
            }
        }
    };
    settle(&columns, &mut centre);
    for sweep in 0..SWEEPS {
        let order: Vec<usize> = match sweep % 2 {
            0 => (0..count).collect(),
            _ => (0..count).rev().collect(),
        };
        for index in order {
            let wish = |stage: usize| {
                let near = edges.iter().filter_map(|&(from, to)| match sweep % 2 {
                    0 if to == stage => Some(centre[from]),
                    1 if from == stage => Some(centre[to]),
                    _ => None,
                });
                let near: Vec<f64> = near.collect();
                match near.is_empty() {
                    true => centre[stage],
                    false => near.iter().sum::<f64>() / near.len() as f64,
                }
            };
            let mut wishes: Vec<(f64, usize)> = columns[index]
                .iter()
                .map(|&stage| (wish(stage), stage))
                .collect();
            wishes.sort_by(|left, right| left.0.total_cmp(&right.0));
            columns[index] = wishes.into_iter().map(|(_, stage)| stage).collect();
            settle(&columns, &mut centre);
        }
    }
    let mut places = vec![
        StageBox {
            x: 0.0,
            y: 0.0,
            width: 0.0
        };
        widths.len()
    ];
    let mut x = MARGIN;
    for stages in &columns {
        let widest = stages
            .iter()
            .map(|&stage| widths[stage])
            .fold(0.0, f64::max);
        for &stage in stages {
            places[stage] = StageBox {
                x: x + (widest - widths[stage]) / 2.0,
                y: MARGIN + centre[stage] * (HEIGHT + DOWN),
                width: widths[stage],
            };
        }
        x += widest + ACROSS;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_stand_right_of_what_they_need_and_never_on_each_other() {
        let edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (0, 4)];
        let places = places(&[80.0; 5], &edges);
        for (from, to) in edges {
            assert!(places[from].x + places[from].width < places[to].x);
        }
        for (index, left) in places.iter().enumerate() {
            for right in &places[..index] {
                let apart = (left.x - right.x).abs() >= 80.0 || (left.y - right.y).abs() >= HEIGHT;
                assert!(apart, "{left:?} {right:?}");
            }
        }
        assert_eq!(anchor("student[width=2]"), "student-width-2-");
    }
}
