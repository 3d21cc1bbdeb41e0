//! The model card beside an exported network: how to load it, what it wants, where it comes from,
//! how good it is.
//!
//! It holds no dates and no seconds, so that equal networks give equal cards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use seedpipe_base::neutral::{self, markdown, markdown_code as code};
use seedpipe_engine::{Artifact, Engine, PipelineLock, StageNode};
use seedpipe_stages::deliverable::Deliverable;
use serde_json::Value;

use crate::delivery::python_lines::python_lines;
use crate::terminal::figures;

pub struct ModelCard<'card> {
    pub engine: &'card Engine,
    /// Whose network it is.
    pub stage: &'card StageNode,
    /// Whose classifier is on top.
    pub head: Option<&'card StageNode>,
    pub file: &'card Path,
    pub delivered: &'card Deliverable,
}

impl ModelCard<'_> {
    /// The Markdown.
    ///
    /// # Errors
    /// When the cache or pipeline.lock can't be read.
    pub fn text(&self) -> Result<String> {
        let mut text = String::new();
        self.facts(&mut text)?;
        self.use_it(&mut text)?;
        let related = self.related()?;
        self.lineage(&mut text, &related)?;
        metrics(&mut text, &related)?;
        Ok(text)
    }

    fn file_name(&self) -> String {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str());
        name.to_string_lossy().into_owned()
    }

    fn facts(&self, text: &mut String) -> Result<()> {
        let description = &self.delivered.description;
        let figure = |name: &str| figures::count(self.delivered.description.figures[name] as u64);
        writeln!(text, "# {}\n", markdown(&self.file_name()))?;
        writeln!(
            text,
            "{}, made by stage {} of {}.\n",
            code(&description.architecture),
            code(&self.stage.name),
            code(&self.pipeline_name())
        )?;
        writeln!(text, "| | |\n|---|---|")?;
        let mut rows = vec![
            (
                "format",
                format!(
                    "{}, {}",
                    self.delivered.description.manner.format.name(),
                    self.delivered.description.manner.precision.name()
                ),
            ),
            ("network", code(&description.network)),
            ("parameters", figure("parameters")),
            (
                "multiply-adds",
                format!("{} at {} pixels", figure("multiply_adds"), description.size),
            ),
            ("features", description.features.to_string()),
        ];
        if let Some(classes) = description.classes {
            let on_top = match self.head {
                Some(head) => format!(
                    "{classes}, by the linear classifier of stage {}",
                    code(&head.name)
                ),
                None => classes.to_string(),
            };
            rows.push(("classes", on_top));
        }
        if !description.class_names.is_empty() {
            let names = description.class_names.iter().enumerate();
            let names = names.map(
                |(output, name)| match description.class_labels.get(output) {
                    Some(label) => format!("{label} {}", markdown(name)),
                    None => markdown(name),
                },
            );
            let title = match description.class_labels.is_empty() {
                true => "names of the classes",
                false => "labels and names of the classes, by output",
            };
            rows.push((title, names.collect::<Vec<_>>().join(", ")));
        }
        for (name, value) in &self.delivered.description.figures {
            if !["parameters", "multiply_adds", "bytes"].contains(&name.as_str()) {
                rows.push((name, figures::value(*value)));
            }
        }
        rows.push(("file", figures::bytes(self.delivered.bytes.len() as u64)));
        rows.push((
            "BLAKE3",
            format!("`{}`", seedpipe_engine::Digest::of(&self.delivered.bytes)),
        ));
        for (name, value) in rows {
            writeln!(text, "| {} | {value} |", markdown(name))?;
        }
        Ok(())
    }

    fn use_it(&self, text: &mut String) -> Result<()> {
        let description = &self.delivered.description;
        let lines = python_lines(&self.file_name(), description);
        writeln!(text, "\n## Load it in Python\n\n```python\n{lines}\n```")?;
        let normalised = if self.delivered.description.manner.normalise {
            " The network subtracts `mean` and divides by `std` itself."
        } else {
            " Then subtract `mean` and divide by `std`, channel by channel."
        };
        let geometry = geometry(&serde_json::from_str(&description.preprocessing)?);
        writeln!(
            text,
            "\n## What it wants\n\n{geometry}; RGB, scaled to 0–1.{normalised}\n\n```json\n{}\n```",
            description.preprocessing
        )?;
        Ok(())
    }

    fn pipeline_name(&self) -> String {
        let name = self.engine.project().path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The stages that the network comes from and those that come from it, as far as they are
    /// cached, in the pipeline's order.
    fn related(&self) -> Result<Vec<Related<'_>>> {
        let project = self.engine.project();
        let mut above: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&StageNode> = [Some(self.stage), self.head]
            .into_iter()
            .flatten()
            .collect();
        while let Some(stage) = open.pop() {
            if above.insert(&stage.name) {
                for from in stage.inputs.values().flatten() {
                    open.push(project.stage(&from.stage)?);
                }
            }
        }
        let mut below: BTreeSet<&str> = BTreeSet::from([self.stage.name.as_str()]);
        // The plan has no circles, so that as many rounds as stages reach everything.
        for _ in project.stages() {
            for stage in project.stages() {
                let mut from = stage.inputs.values().flatten();
                if from.any(|from| below.contains(from.stage.as_str())) {
                    below.insert(&stage.name);
                }
            }
        }
        let mut related = Vec::new();
        for stage in project.stages() {
            let is_above = above.contains(stage.name.as_str());
            if (is_above || below.contains(stage.name.as_str()))
                && let Some(artifact) = self.engine.find(&stage.name)?
            {
                related.push(Related {
                    stage,
                    artifact,
                    is_above,
                });
            }
        }
        Ok(related)
    }

    fn lineage(&self, text: &mut String, related: &[Related]) -> Result<()> {
        writeln!(text, "\n## Where it comes from\n")?;
        writeln!(text, "| stage | kind | seed | content |\n|---|---|---|---|")?;
        let lineage: Vec<&Related> = related.iter().filter(|related| related.is_above).collect();
        for Related {
            stage, artifact, ..
        } in &lineage
        {
            let recipe = &artifact.manifest.recipe;
            writeln!(
                text,
                "| {} | {} version {} | {} | `{}` |",
                markdown(&stage.name),
                recipe.kind,
                recipe.version,
                stage.seed,
                artifact.content
            )?;
        }
        writeln!(text, "\n{}", self.lock(&lineage)?)?;
        let sources: BTreeMap<String, String> = lineage
            .iter()
            .flat_map(|related| &related.artifact.manifest.recipe.sources)
            .map(|(path, digest)| (path.clone(), digest.to_string()))
            .collect();
        if !sources.is_empty() {
            writeln!(
                text,
                "\nIts data and checkpoints, with their BLAKE3 digests:\n"
            )?;
        }
        for (path, digest) in sources {
            writeln!(text, "- {} `{digest}`", code(&path))?;
        }
        writeln!(text, "\n### Parameters\n\n```yaml")?;
        for Related { stage, .. } in &lineage {
            let params = stage.params.to_string();
            writeln!(text, "{}: {}", stage.name, neutral::json(&params))?;
        }
        writeln!(text, "```")?;
        Ok(())
    }

    /// Whether pipeline.lock says the same.
    fn lock(&self, lineage: &[&Related]) -> Result<String> {
        let path = self.engine.project().path().with_extension("lock");
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some(lock) = PipelineLock::read(&path)? else {
            return Ok(format!(
                "There is no `{name}`: the pipeline was run with changed params alone."
            ));
        };
        let differ: Vec<String> = lineage
            .iter()
            .filter(|related| {
                lock.stage(&related.stage.name)
                    .is_none_or(|locked| locked.content != related.artifact.content)
            })
            .map(|related| format!("`{}`", related.stage.name))
            .collect();
        Ok(if differ.is_empty() {
            format!("`{name}` holds the same digests.")
        } else {
            format!("`{name}` holds other digests of {}.", differ.join(", "))
        })
    }
}

/// How an image becomes a square, given the preprocessing as JSON.
fn geometry(preprocessing: &Value) -> String {
    let filter = preprocessing["filter"].as_str().unwrap_or("bilinear");
    let how = match filter.strip_prefix("pillow_") {
        Some(name) => format!(
            "as a PIL image by `Image.resize` with `Image.Resampling.{}`",
            name.to_uppercase()
        ),
        None => "antialiased by `filter`".to_owned(),
    };
    if preprocessing["crop"] == "before_resize" {
        return format!(
            "Crop the central square of `crop_ratio` of the shorter side, then resize it to `size`, {how}"
        );
    }
    format!(
        "Resize the shorter side to `size / crop_ratio`, {how}; crop the central square of `size`"
    )
}

struct Related<'project> {
    stage: &'project StageNode,
    artifact: Artifact,
    /// The network comes from it, or is it.
    is_above: bool,
}

fn metrics(text: &mut String, related: &[Related]) -> Result<()> {
    let mut rows = String::new();
    for Related {
        stage, artifact, ..
    } in related
    {
        for record in artifact.manifest.outputs.values() {
            for (name, value) in &record.headline {
                writeln!(
                    rows,
                    "| {} | {} | {} |",
                    markdown(&stage.name),
                    markdown(name),
                    figures::value(*value)
                )?;
            }
        }
    }
    if !rows.is_empty() {
        write!(
            text,
            "\n## Metrics\n\n| stage | metric | value |\n|---|---|---|\n{rows}"
        )?;
    }
    Ok(())
}
