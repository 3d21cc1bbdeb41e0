//! The pipeline as a picture: Mermaid and Dot as text, SVG as a small layered drawing, every stage
//! below what it needs, neighbours ordered by where their inputs stand.

use std::fmt::Write;

use anyhow::Result;
use seedpipe_base::layers;

use crate::pipeline::project::StageNode;
use crate::run::engine::Engine;

/// The form of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GraphFormat {
    #[default]
    Mermaid,
    Dot,
    Svg,
}

impl GraphFormat {
    pub const ALL: [GraphFormat; 3] = [GraphFormat::Mermaid, GraphFormat::Dot, GraphFormat::Svg];

    pub fn name(self) -> &'static str {
        match self {
            GraphFormat::Mermaid => "mermaid",
            GraphFormat::Dot => "dot",
            GraphFormat::Svg => "svg",
        }
    }
}

/// An arrow from an output to an input.
pub(crate) struct Edge {
    pub from: usize,
    pub to: usize,
    /// `output → slot`, or one word when both are called the same.
    pub label: String,
}

impl Engine {
    /// The pipeline's stages and what connects them.
    pub fn graph(&self, format: GraphFormat) -> Result<String> {
        let stages = self.project.stages();
        let edges = edges(stages);
        Ok(match format {
            GraphFormat::Mermaid => mermaid(stages, &edges),
            GraphFormat::Dot => dot(stages, &edges),
            GraphFormat::Svg => svg(stages, &edges, self.project.order()),
        })
    }
}

fn edges(stages: &[StageNode]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (to, stage) in stages.iter().enumerate() {
        for (slot, connections) in &stage.inputs {
            for connection in connections {
                let label = if connection.output == *slot {
                    slot.clone()
                } else {
                    format!("{} → {slot}", connection.output)
                };
                edges.push(Edge {
                    from: connection.index,
                    to,
                    label,
                });
            }
        }
    }
    edges
}

/// Names of stages hold letters, digits and `-_[]=,+./:`, those of kinds are words, so nothing in
/// them needs escaping.
fn mermaid(stages: &[StageNode], edges: &[Edge]) -> String {
    let mut text = "flowchart TD\n".to_owned();
    for (index, stage) in stages.iter().enumerate() {
        let _ = writeln!(
            text,
            "    s{index}[\"{}<br/><small>{}</small>\"]",
            stage.name, stage.kind
        );
    }
    for edge in edges {
        let _ = writeln!(
            text,
            "    s{} -->|\"{}\"| s{}",
            edge.from, edge.label, edge.to
        );
    }
    text
}

fn dot(stages: &[StageNode], edges: &[Edge]) -> String {
    let mut text = "digraph pipeline {\n    node [shape=box, style=rounded, fontname=\"sans-serif\"];\n    edge [fontname=\"sans-serif\", fontsize=10];\n".to_owned();
    for (index, stage) in stages.iter().enumerate() {
        let _ = writeln!(
            text,
            "    s{index} [label=\"{}\\n{}\"];",
            stage.name, stage.kind
        );
    }
    for edge in edges {
        let _ = writeln!(
            text,
            "    s{} -> s{} [label=\"{}\"];",
            edge.from, edge.to, edge.label
        );
    }
    text.push_str("}\n");
    text
}

const CHARACTER_WIDTH: f64 = 7.6;
const BOX_HEIGHT: f64 = 44.0;
const LAYER_GAP: f64 = 52.0;
const BOX_GAP: f64 = 28.0;
const MARGIN: f64 = 20.0;

/// A box in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct BoxPlace {
    x: f64,
    y: f64,
    width: f64,
}

impl BoxPlace {
    fn centre(&self) -> f64 {
        self.x + self.width / 2.0
    }
}

/// The drawing as one SVG document; `order` has every stage after what it needs.
pub(crate) fn svg(stages: &[StageNode], edges: &[Edge], order: &[usize]) -> String {
    let widths: Vec<f64> = stages
        .iter()
        .map(|stage| stage.name.len().max(stage.kind.len() + 2) as f64 * CHARACTER_WIDTH + 24.0)
        .collect();
    let places = places(&widths, edges, order);
    let width = places
        .iter()
        .map(|place| place.x + place.width)
        .fold(0.0, f64::max)
        + MARGIN;
    let height = places
        .iter()
        .map(|place| place.y + BOX_HEIGHT)
        .fold(0.0, f64::max)
        + MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"13\">\n<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#667\"/></marker></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for edge in edges {
        let (from, to) = (places[edge.from], places[edge.to]);
        let (start, end) = (from.y + BOX_HEIGHT, to.y);
        let bend = (end - start) / 2.0;
        let _ = writeln!(
            text,
            "<path d=\"M{:.1} {start:.1} C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}\" fill=\"none\" stroke=\"#667\" marker-end=\"url(#arrow)\"><title>{}</title></path>",
            from.centre(),
            from.centre(),
            start + bend,
            to.centre(),
            end - bend,
            to.centre(),
            end - 1.0,
            edge.label
        );
    }
    for (stage, place) in stages.iter().zip(&places) {
        let _ = writeln!(
            text,
            "<g text-anchor=\"middle\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BOX_HEIGHT}\" rx=\"7\" fill=\"#eef2fb\" stroke=\"#667\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"#556\">{}</text></g>",
            place.x,
            place.y,
            place.width,
            place.centre(),
            place.y + 19.0,
            stage.name,
            place.centre(),
            place.y + 35.0,
            stage.kind
        );
    }
    text.push_str("</svg>\n");
    text
}

/// Where every box stands: layers by the longest way from a start, centred on one another.
fn places(widths: &[f64], edges: &[Edge], order: &[usize]) -> Vec<BoxPlace> {
    let ends: Vec<(usize, usize)> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let mut layers = layers(order, &ends);
    let row_width = |row: &[usize]| {
        row.iter().map(|&node| widths[node]).sum::<f64>() + BOX_GAP * (row.len() as f64 - 1.0)
    };
    let widest = layers.iter().map(|row| row_width(row)).fold(0.0, f64::max);
    let mut places = vec![
        BoxPlace {
            x: 0.0,
            y: 0.0,
            width: 0.0
        };
        widths.len()
    ];
    for (depth, row) in layers.iter_mut().enumerate() {
        // Everything above stands already; ties keep the order of the plan.
        let wish = |node: usize| {
            let above = edges.iter().filter(|edge| edge.to == node);
            let centres: Vec<f64> = above.map(|edge| places[edge.from].centre()).collect();
            if centres.is_empty() {
                0.0
            } else {
                centres.iter().sum::<f64>() / centres.len() as f64
            }
        };
        row.sort_by(|&left, &right| wish(left).total_cmp(&wish(right)));
        let mut x = MARGIN + (widest - row_width(row)) / 2.0;
        for &node in row.iter() {
            let y = MARGIN + depth as f64 * (BOX_HEIGHT + LAYER_GAP);
            places[node] = BoxPlace {
                x,
                y,
                width: widths[node],
            };
            x += widths[node] + BOX_GAP;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: usize, to: usize) -> Edge {
        Edge {
            from,
            to,
            label: String::new(),
        }
    }

    #[test]
    fn stages_stand_below_what_they_need_and_beside_each_other() {
        let edges = [edge(0, 1), edge(0, 2), edge(1, 3), edge(2, 3), edge(0, 3)];
        let places = places(&[50.0; 4], &edges, &[0, 1, 2, 3]);
        for edge in &edges {
            assert!(places[edge.from].y + BOX_HEIGHT < places[edge.to].y);
        }
        assert_eq!(places[1].y, places[2].y);
        assert!(places[1].x + places[1].width < places[2].x);
        assert_eq!(places[0].centre(), places[3].centre());
    }
}
