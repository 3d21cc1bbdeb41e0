//! What a page is made of: the stages that are done, as far as a page cares, and what is only known
//! where they ran.
//!
//! Filled by the kind `report` from its inputs and ancestors, and by `seedpipe report` from the
//! cache.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;

use seedpipe_engine::{Ancestor, GroupedStage, Grouping, Kind, OutputRecord, Purpose, Training};
use serde_json::Value;

use crate::shared::results::ResultSource;

/// Telemetry of a stage that made or used a network.
const PARAMETERS: &str = "parameters";

/// All that a page shows.
pub struct Material {
    /// The page's heading.
    pub title: String,
    /// In the order of the plan.
    pub sources: Vec<Source>,
    /// The program and the machine, as name and value; empty on pages that equal results must make
    /// equal.
    pub environment: Vec<(String, String)>,
    /// An earlier state to compare with.
    pub against: Option<EarlierState>,
}

/// A stage that is done.
pub struct Source {
    pub stage: String,
    pub kind: Kind,
    /// What its kind says of its params.
    pub purpose: Purpose,
    pub version: u32,
    pub seed: u64,
    /// Defaults filled in.
    pub params: Value,
    /// The recipe as text, and its digest.
    pub recipe: String,
    pub fingerprint: String,
    /// By slot.
    pub inputs: BTreeMap<String, Vec<From>>,
    /// By slot.
    pub outputs: BTreeMap<String, SourceOutput>,
    /// Trainable parameters of the network that the stage made or used.
    pub parameters: Option<u64>,
    /// How it was made; `None` on pages that equal results must make equal.
    pub making: Option<Making>,
}

/// A stage's output that another one takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    pub stage: String,
    pub output: String,
}

pub struct SourceOutput {
    /// The artifact kind.
    pub kind: String,
    pub rows: u64,
    /// Last value of each metric, by `split/name`.
    pub headline: BTreeMap<String, f64>,
    /// Its files; `None` where the page may not read them.
    pub parts: Option<Vec<PathBuf>>,
}

/// Telemetry of the run that made an artifact.
pub struct Making {
    pub seconds: f64,
    /// RFC 3339, UTC.
    pub created: String,
    pub device: String,
    pub numerics: String,
    pub versions: BTreeMap<String, String>,
    pub values: BTreeMap<String, f64>,
}

/// An earlier state of the pipeline.
pub struct EarlierState {
    /// What the user called it.
    pub name: String,
    /// Stage → figure → value.
    pub figures: BTreeMap<String, BTreeMap<String, f64>>,
    /// Every field of a stage that differs.
    pub changes: Vec<FieldChange>,
}

/// A field of a stage's plan before and now; empty where it isn't.
pub struct FieldChange {
    pub stage: String,
    pub field: String,
    pub old: String,
    pub new: String,
}

/// A material whose stages are found by their names.
pub struct Catalogue<'a> {
    material: &'a Material,
    by_name: BTreeMap<&'a str, &'a Source>,
}

impl Material {
    /// Of these stages, and nothing else.
    pub fn of(sources: Vec<Source>) -> Material {
        Material {
            title: String::new(),
            sources,
            environment: Vec::new(),
            against: None,
        }
    }

    pub fn catalogue(&self) -> Catalogue<'_> {
        let sources = self.sources.iter();
        let named = sources.map(|source| (source.stage.as_str(), source));
        Catalogue {
            material: self,
            by_name: named.collect(),
        }
    }
}

impl Deref for Catalogue<'_> {
    type Target = Material;

    fn deref(&self) -> &Material {
        self.material
    }
}

impl<'a> Catalogue<'a> {
    pub fn source(&self, stage: &str) -> Option<&'a Source> {
        self.by_name.get(stage).copied()
    }

    /// The stages on a slot of another one, in order.
    pub fn inputs(&self, source: &Source, slot: &str) -> impl Iterator<Item = &'a Source> {
        let from = source.inputs.get(slot).into_iter().flatten();
        from.filter_map(|from| self.source(&from.stage))
    }

    /// The first of them.
    pub fn input(&self, source: &Source, slot: &str) -> Option<&'a Source> {
        self.source(&source.inputs.get(slot)?.first()?.stage)
    }

    /// The files on a slot of a stage, when the page may read them, and the stage that made them.
    pub fn files(&self, source: &Source, slot: &str) -> Option<(&'a Source, &'a [PathBuf])> {
        let from = source.inputs.get(slot)?.first()?;
        let maker = self.source(&from.stage)?;
        let parts = maker.outputs.get(&from.output)?.parts.as_deref()?;
        Some((maker, parts))
    }

    pub fn stages(&self) -> impl Iterator<Item = &'a Source> {
        self.material.sources.iter()
    }

    /// The stages of a kind of artifact that the page may read, with the files.
    pub fn readable(&self, kind: &str) -> impl Iterator<Item = (&'a Source, &'a [PathBuf])> {
        self.material.sources.iter().filter_map(move |source| {
            let output = source.outputs.values().find(|output| output.kind == kind)?;
            Some((source, output.parts.as_deref()?))
        })
    }

    /// Whether seconds and machines may be shown.
    pub fn has_telemetry(&self) -> bool {
        self.sources.iter().any(|source| source.making.is_some())
    }

    /// Which stages differ only in some keys.
    pub fn grouping(&self) -> Grouping<'a> {
        let stages = self.material.sources.iter().map(|source| GroupedStage {
            name: &source.stage,
            kind: source.kind.name(),
            seed: source.seed,
            params: &source.params,
            inputs: source
                .inputs
                .iter()
                .flat_map(|(slot, from)| {
                    let from = from.iter();
                    from.map(|from| [slot.as_str(), from.stage.as_str(), from.output.as_str()])
                })
                .collect(),
        });
        Grouping::new(stages.collect())
    }

    /// The sources as the results table takes them.
    pub fn result_sources(&self) -> Vec<ResultSource> {
        self.sources.iter().map(Source::result_source).collect()
    }
}

impl Making {
    pub fn of(stage: &Ancestor) -> Self {
        let telemetry = stage.telemetry.clone();
        Making {
            seconds: telemetry.seconds,
            created: stage.created.clone(),
            device: telemetry.device,
            numerics: telemetry.numerics,
            versions: telemetry.versions,
            values: telemetry.values,
        }
    }
}

impl Source {
    /// Without how it was made.
    ///
    /// - `parts`: the files of an output, by its slot, where the page may read them
    pub fn of(
        stage: &Ancestor,
        parts: impl Fn(&str, &OutputRecord) -> Option<Vec<PathBuf>>,
    ) -> Self {
        let recipe = &stage.recipe;
        let inputs = stage.inputs.iter().map(|(slot, connections)| {
            let from = connections.iter().map(|connection| From {
                stage: connection.stage.clone(),
                output: connection.output.clone(),
            });
            (slot.clone(), from.collect())
        });
        let outputs = stage.outputs.iter().map(|(slot, record)| {
            let output = SourceOutput {
                kind: record.kind.clone(),
                rows: record.rows,
                headline: record.headline.clone(),
                parts: parts(slot, record),
            };
            (slot.clone(), output)
        });
        let parameters = stage.telemetry.values.get(PARAMETERS);
        Source {
            stage: stage.stage.clone(),
            kind: stage.kind.clone(),
            purpose: stage.kind.purpose(&recipe.params),
            version: recipe.version,
            seed: recipe.seed,
            params: recipe.params.clone(),
            recipe: recipe.canonical(),
            fingerprint: stage.fingerprint.to_string(),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            parameters: parameters.map(|count| *count as u64),
            making: None,
        }
    }

    /// Every headline figure, by `split/name`.
    pub fn headline(&self) -> BTreeMap<String, f64> {
        let outputs = self.outputs.values();
        outputs.flat_map(|output| output.headline.clone()).collect()
    }

    /// How it trains a network, if it does.
    pub fn training(&self) -> Option<&Training> {
        match &self.purpose {
            Purpose::Training(training) => Some(training),
            _ => None,
        }
    }

    /// As the results table takes it.
    pub fn result_source(&self) -> ResultSource {
        let names = |from: &Vec<From>| from.iter().map(|from| from.stage.clone()).collect();
        ResultSource {
            stage: self.stage.clone(),
            kind: self.kind.clone(),
            params: self.params.clone(),
            inputs: self
                .inputs
                .iter()
                .map(|(slot, from)| (slot.clone(), names(from)))
                .collect(),
            headline: self.headline(),
            parameters: self.parameters,
        }
    }
}
