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

use crate::delivery::python_lines::python_lines;
use crate::delivery::python_prepare::Prepare;
use crate::terminal::figures;

/// Whose network it is.
#[derive(Clone, Copy)]
pub enum Origin<'card> {
    Stage(&'card StageNode),
    /// A checkpoint.
    File(&'card Path),
}

pub struct ModelCard<'card> {
    /// Where a stage is named.
    pub engine: Option<&'card Engine>,
    pub origin: Origin<'card>,
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

    fn facts(&self, text: &mut String) -> Result<()> {
        let description = &self.delivered.description;
        let figure = |name: &str| figures::count(self.delivered.description.figures[name] as u64);
        writeln!(text, "# {}\n", markdown(&name_of(self.file)))?;
        let origin = match self.origin {
            Origin::Stage(stage) => format!(
                "made by stage {} of {}",
                code(&stage.name),
                code(&self.pipeline_name())
            ),
            Origin::File(path) => format!("read from {}", code(&name_of(path))),
        };
        writeln!(text, "{}, {origin}.\n", code(&description.architecture))?;
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
        let preprocessing = serde_json::from_str(&description.preprocessing)?;
        let lines = python_lines(&name_of(self.file), description, &preprocessing);
        let command = match description.classes {
            Some(_) => "predict",
            None => "embed",
        };
        writeln!(
            text,
            "\n## Use it in Python\n\nWhat `seedpipe {command}` says of the images that are named behind it:\n\n```python\n{lines}\n```\n\n{NOT_COVERED}"
        )?;
        let normalised = if description.manner.normalise {
            " The network subtracts `mean` and divides by `std` itself."
        } else {
            " Then subtract `mean` and divide by `std`, channel by channel."
        };
        writeln!(
            text,
            "\n## What it wants\n\n{}; RGB, scaled to 0–1.{normalised}\n\n```json\n{}\n```",
            Prepare::of(&preprocessing).words(),
            description.preprocessing
        )?;
        Ok(())
    }

    fn pipeline_name(&self) -> String {
        let path = self.engine.map(|engine| engine.project().path());
        path.map(name_of).unwrap_or_default()
    }

    /// The stages that the network comes from and those that come from it, as far as they are
    /// cached, in the pipeline's order.
    fn related(&self) -> Result<Vec<Related<'_>>> {
        let Some(engine) = self.engine else {
            return Ok(Vec::new());
        };
        let project = engine.project();
        let stage = match self.origin {
            Origin::Stage(stage) => Some(stage),
            Origin::File(_) => None,
        };
        let mut above: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&StageNode> = [stage, self.head].into_iter().flatten().collect();
        while let Some(stage) = open.pop() {
            if above.insert(&stage.name) {
                for from in stage.inputs.values().flatten() {
                    open.push(project.stage(&from.stage)?);
                }
            }
        }
        let mut below: BTreeSet<&str> = stage.iter().map(|stage| stage.name.as_str()).collect();
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
                && let Some(artifact) = engine.find(&stage.name)?
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
        let lineage: Vec<&Related> = related.iter().filter(|related| related.is_above).collect();
        if let Origin::File(path) = self.origin {
            let digest = seedpipe_engine::Digest::of(&fs_err::read(path)?);
            writeln!(
                text,
                "The checkpoint {}, BLAKE3 `{digest}`.",
                code(&name_of(path))
            )?;
        }
        if lineage.is_empty() {
            return Ok(());
        }
        if let Origin::File(_) = self.origin {
            writeln!(text, "\nThe classifier on top:\n")?;
        }
        writeln!(text, "| stage | kind | seed | content |\n|---|---|---|---|")?;
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
        if let Some(engine) = self.engine {
            writeln!(text, "\n{}", lock(engine, &lineage)?)?;
        }
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
}

/// A file's own name.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Whether pipeline.lock says the same.
fn lock(engine: &Engine, lineage: &[&Related]) -> Result<String> {
    let path = engine.project().path().with_extension("lock");
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

/// Where Pillow reads files otherwise than `predict`.
const NOT_COVERED: &str = "Images are turned as their EXIF says; alpha is dropped, and of an animation the first frame is taken. Where Pillow reads other pixels than `seedpipe`, the results are near and not equal: lossy WebP (up to 3 of 255), and colours of 16 bits (up to 1).";

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
