//! The pipeline as a picture: Mermaid and Dot as text, SVG drawn by `layout`.

use std::fmt::Write;
use std::str::FromStr;

use anyhow::Result;

use crate::engine::Engine;
use crate::layout;
use crate::pipeline_error::PipelineError;
use crate::project::StageNode;

/// The form of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GraphFormat {
    #[default]
    Mermaid,
    Dot,
    Svg,
}

impl FromStr for GraphFormat {
    type Err = PipelineError;

    fn from_str(text: &str) -> Result<Self, PipelineError> {
        match text {
            "mermaid" => Ok(GraphFormat::Mermaid),
            "dot" => Ok(GraphFormat::Dot),
            "svg" => Ok(GraphFormat::Svg),
            other => Err(PipelineError::new(
                "--format",
                format!("expected `mermaid`, `dot` or `svg`, got `{other}`"),
            )
            .hint("leave it out for `mermaid`")),
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
            GraphFormat::Svg => layout::svg(stages, &edges, self.project.order()),
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

/// Names of stages hold letters, digits and `-_[]=,+./:`, those of kinds are words, so nothing in them needs escaping.
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
