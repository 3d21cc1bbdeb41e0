//! `pipeline.lock` beside pipeline.yaml: what the stages gave at the last run, to be committed to
//! git. Stages in the order of the plan, facts sorted, one line each, so that a diff says what
//! moved. It is YAML.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use seedpipe_base::mismatch;
use serde::Deserialize;
use serde_json::Value;
use serde_yaml::Value as Yaml;

use crate::base::canonical::canonical_text;
use crate::base::digest::Digest;
use crate::base::durable;
use crate::base::untrusted;
use crate::base::yaml;
use crate::cache::artifact::Artifact;
use crate::pipeline::project::StageNode;

const FORMAT: u32 = 1;
const HEADER: &str =
    "# What the stages of this pipeline gave. Written by `seedpipe run`; commit it.\n";

/// What a run gave, by stage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PipelineLock {
    /// In the order of the plan.
    pub stages: Vec<(String, LockedStage)>,
}

/// What one stage gave.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LockedStage {
    pub kind: String,
    pub version: u32,
    pub seed: u64,
    pub fingerprint: Digest,
    pub content: Digest,
    /// The numerics class that gave the content; empty in a lock of an older seedpipe: unknown.
    #[serde(default)]
    pub numerics: String,
    /// `params.…`, `inputs.SLOT` (by stage name), `sources.PATH`, `rows.OUTPUT`, `metrics.NAME`.
    #[serde(flatten)]
    pub facts: BTreeMap<String, Value>,
}

impl LockedStage {
    /// What a stage of the plan gave.
    pub fn of(node: &StageNode, artifact: &Artifact) -> Self {
        let manifest = &artifact.manifest;
        let mut facts = node.fields();
        facts.retain(|key, _| key.starts_with("params.") || key.starts_with("inputs."));
        for (path, digest) in &manifest.recipe.sources {
            facts.insert(format!("sources.{path}"), digest.to_string().into());
        }
        for (output, record) in &manifest.outputs {
            facts.insert(format!("rows.{output}"), record.rows.into());
        }
        for (name, value) in headline(artifact) {
            facts.insert(format!("metrics.{name}"), value.into());
        }
        LockedStage {
            kind: node.kind.clone(),
            version: manifest.recipe.version,
            seed: node.seed,
            fingerprint: artifact.fingerprint,
            content: artifact.content,
            numerics: manifest.telemetry.numerics.clone(),
            facts,
        }
    }
}

/// The headline figures of an artifact: plain names for the output `metrics`, `output.name` for
/// others.
pub(crate) fn headline(artifact: &Artifact) -> BTreeMap<String, f64> {
    let outputs = artifact.manifest.outputs.iter();
    let figures = outputs.flat_map(|(output, record)| {
        let figures = record.headline.iter();
        figures.map(move |(name, value)| (figure_name(output, name), *value))
    });
    figures.collect()
}

/// What a lock calls a figure of an output.
pub(crate) fn figure_name(output: &str, name: &str) -> String {
    match output {
        "metrics" => name.to_owned(),
        _ => format!("{output}.{name}"),
    }
}

/// `pipeline.lock` for `pipeline.yaml`.
pub(crate) fn path_for(pipeline: &Path) -> PathBuf {
    pipeline.with_extension("lock")
}

impl PipelineLock {
    /// Reads a lock; `None` when there is none.
    ///
    /// # Errors
    /// When the file can't be read, or is no lock; the message names it.
    pub fn read(path: &Path) -> Result<Option<PipelineLock>> {
        let text = match untrusted::read_text(path, yaml::LOCK.bytes as u64) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{}: expected a pipeline.lock", path.display()));
            }
        };
        Self::parse(&path.display().to_string(), &text).map(Some)
    }

    /// Reads the text of a lock, which may come from anywhere: its size, nesting and aliases are
    /// bounded.
    ///
    /// - `place`: where it comes from, for messages
    ///
    /// # Errors
    /// When it is no lock.
    pub fn parse(place: &str, text: &str) -> Result<PipelineLock> {
        parse(text).with_context(|| format!("{place}: expected a pipeline.lock, got another text"))
    }

    /// Writes the lock unless the file already says the same.
    pub fn write(&self, path: &Path) -> Result<()> {
        durable::write_if_changed(path, self.text().as_bytes())
            .with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(())
    }

    /// What the lock says of a stage.
    pub fn stage(&self, name: &str) -> Option<&LockedStage> {
        self.stages
            .iter()
            .find(|(stage, _)| stage == name)
            .map(|(_, locked)| locked)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = format!("{HEADER}format: {FORMAT}\nstages:\n");
        for (name, stage) in &self.stages {
            let fixed = [
                ("kind", Value::from(stage.kind.as_str())),
                ("version", stage.version.into()),
                ("seed", stage.seed.into()),
                ("fingerprint", stage.fingerprint.to_string().into()),
                ("content", stage.content.to_string().into()),
            ];
            let _ = writeln!(text, "  {}:", key_text(name));
            for (key, value) in fixed {
                let _ = writeln!(text, "    {key}: {}", one_line(&value));
            }
            if !stage.numerics.is_empty() {
                let numerics = one_line(&stage.numerics.as_str().into());
                let _ = writeln!(text, "    numerics: {numerics}");
            }
            for (key, value) in &stage.facts {
                let _ = writeln!(text, "    {}: {}", key_text(key), one_line(value));
            }
        }
        text
    }
}

fn parse(text: &str) -> Result<PipelineLock> {
    let document = yaml::document(text, yaml::LOCK).map_err(anyhow::Error::msg)?;
    let Yaml::Mapping(top) = document else {
        bail!(
            "expected `format` and `stages`, got {}",
            yaml::describe(&document)
        );
    };
    let known = |key: &Yaml| matches!(key.as_str(), Some("format" | "stages"));
    if let Some(unknown) = top.keys().find(|key| !known(key)) {
        bail!(
            "expected `format` and `stages`, got {}",
            yaml::describe(unknown)
        );
    }
    let format = top.get("format").unwrap_or(&Yaml::Null);
    if format.as_u64() != Some(FORMAT.into()) {
        bail!("expected format {FORMAT}, got {}", yaml::describe(format));
    }
    let stages = match top.get("stages") {
        Some(Yaml::Mapping(stages)) => stages,
        Some(Yaml::Null) => return Ok(PipelineLock::default()),
        other => bail!(
            "expected `stages` with an entry a stage, got {}",
            yaml::describe(other.unwrap_or(&Yaml::Null))
        ),
    };
    let stages = stages.iter().map(|(name, entry)| {
        let Some(name) = name.as_str() else {
            bail!("expected the name of a stage, got {}", yaml::describe(name));
        };
        let locked = yaml::to_json(entry)
            .map_err(anyhow::Error::msg)
            .and_then(|entry| {
                serde_json::from_value::<LockedStage>(entry)
                    .map_err(|error| anyhow::Error::msg(mismatch::in_words(&error.to_string())))
            })
            .with_context(|| format!("stage `{name}`"))?;
        Ok((name.to_owned(), locked))
    });
    Ok(PipelineLock {
        stages: stages.collect::<Result<_>>()?,
    })
}

/// JSON on one line is YAML as well.
fn one_line(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => value.to_string(),
        plain => canonical_text(plain).trim_end().to_owned(),
    }
}

/// A key without quotes where YAML reads it as the same text.
fn key_text(key: &str) -> String {
    let plain = |letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-' | '/' | '[' | ']')
    };
    let is_word =
        key.starts_with(|letter: char| letter.is_ascii_alphabetic()) && key.chars().all(plain);
    let reserved = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if is_word && !reserved.contains(&key.to_lowercase().as_str()) {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    }
}

#[cfg(test)]
mod tests {
    use fs_err as fs;
    use serde_json::json;

    use super::*;

    fn example() -> PipelineLock {
        let stage = |facts: Value| LockedStage {
            kind: "ingest".into(),
            version: 2,
            seed: u64::MAX,
            fingerprint: Digest::of(b"f"),
            content: Digest::of(b"c"),
            numerics: "x86_64".into(),
            facts: serde_json::from_value(facts).unwrap(),
        };
        let facts = json!({"params.size": 32, "params.area": 0.1, "params.k": [1, 2], "sources.data/ä: b.png": "x", "metrics.test.top1": 0.5});
        PipelineLock {
            stages: vec![
                ("zebra".into(), stage(facts)),
                ("no".into(), stage(json!({}))),
            ],
        }
    }

    #[test]
    fn a_lock_reads_back_in_its_order() {
        let lock = example();
        assert_eq!(parse(&lock.text()).unwrap(), lock);
    }

    #[test]
    fn names_with_combinations_read_back() {
        let (_, stage) = example().stages.remove(0);
        let name = "student[width=2,lr=0.3,crop=a/b:c]";
        let lock = PipelineLock {
            stages: vec![(name.into(), stage)],
        };
        assert_eq!(parse(&lock.text()).unwrap(), lock);
    }

    #[test]
    fn texts_that_are_no_lock_are_refused_with_what_was_expected() {
        let entry = |facts: &str| {
            let digest = Digest::of(b"x");
            format!(
                "format: 1\nstages:\n  a: {{kind: x, version: 1, seed: 0, fingerprint: {digest}, content: {digest}, {facts}}}\n"
            )
        };
        parse(&entry("rows.x: 1")).unwrap();
        let list = "1, ".repeat(20_000);
        let aliases = "*a, ".repeat(20_000);
        for (text, part) in [
            (String::new(), "expected `format` and `stages`, got nothing"),
            (
                "format: 2\nstages: {}\n".to_owned(),
                "expected format 1, got `2`",
            ),
            ("format: 1\n".to_owned(), "expected `stages`"),
            ("format: 1\nstages: []\n".to_owned(), "expected `stages`"),
            ("format: 1\nstages: {a: 1}\n".to_owned(), "stage `a`"),
            (
                "format: 1\nstages: {}\nmore: 1\n".to_owned(),
                "got the text `more`",
            ),
            (entry("x: .nan"), "expected a finite number"),
            (entry("x: 1, x: 2"), "once, got it twice"),
            (entry(&format!("x: {}", "[".repeat(600))), "brackets"),
            (
                entry(&format!("x: &a [{list}], y: [{aliases}]")),
                "grows too large",
            ),
            (
                entry("1: 2").replace(&Digest::of(b"x").to_string(), "xy"),
                "digest",
            ),
        ] {
            let error = PipelineLock::parse("some.lock", &text).unwrap_err();
            let message = format!("{error:#}");
            assert!(
                message.starts_with("some.lock: expected a pipeline.lock, got another text: ")
                    && message.contains(part),
                "{message} has no {part}"
            );
        }
    }

    #[test]
    fn every_fact_is_one_line() {
        let text = example().text();
        assert!(
            text.contains("\n  zebra:\n    kind: \"ingest\"\n    version: 2\n"),
            "{text}"
        );
        assert!(
            text.contains("\n    params.area: 0.1\n    params.k: [1,2]\n    params.size: 32\n"),
            "{text}"
        );
        assert!(text.contains("\n  \"no\":\n"), "{text}");
    }

    #[test]
    fn a_lock_without_numerics_classes_reads_and_writes_back() {
        let mut lock = example();
        for (_, stage) in &mut lock.stages {
            stage.numerics.clear();
        }
        let text = lock.text();
        assert!(!text.contains("numerics"), "{text}");
        assert_eq!(parse(&text).unwrap(), lock);
    }

    #[test]
    fn an_unchanged_lock_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipeline.lock");
        example().write(&path).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        example().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
        assert_eq!(PipelineLock::read(&path).unwrap(), Some(example()));
        assert_eq!(
            PipelineLock::read(&folder.path().join("none")).unwrap(),
            None
        );
    }
}
