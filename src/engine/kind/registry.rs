//! The kinds that a binary knows, with their types erased, and the work that it can do for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;
use seedpipe_base::Refusal;
use serde_json::Value;

use crate::kind::context::StageContext;
use crate::kind::parameters;
use crate::kind::purpose::{Column, Purpose};
use crate::kind::stage::{Demanded, InputKinds, InputSlot, OutputSlot, Stage, Work};
use seedpipe_base::suggestion;

/// A kind's declaration without its type.
#[derive(Debug, Clone)]
pub struct Kind {
    name: &'static str,
    version: u32,
    inputs: &'static [InputSlot],
    outputs: &'static [OutputSlot],
    tensors: bool,
    lineage: bool,
    precision: Option<&'static str>,
    how: &'static [&'static str],
    headline: &'static [&'static str],
    columns: &'static [Column],
    purpose: fn(&Value) -> Purpose,
    check: fn(Value, &InputKinds) -> Result<CheckedParams, Refusal>,
    schema: fn() -> Value,
    counts: fn(&Path) -> bool,
}

/// Params that passed: with defaults filled in, and the sources that they name.
pub(crate) struct CheckedParams {
    pub params: Value,
    pub sources: Vec<PathBuf>,
}

fn check<S: Stage>(params: Value, inputs: &InputKinds) -> Result<CheckedParams, Refusal> {
    let stage = parameters::read::<S>(S::KIND, params)?.with_defaults(inputs);
    stage.validate(inputs)?;
    Ok(CheckedParams {
        params: parameters::write(&stage)?,
        sources: stage.sources(),
    })
}

fn purpose<S: Stage>(params: &Value) -> Purpose {
    serde_json::from_value::<S>(params.clone()).map_or(Purpose::Other, |stage| stage.purpose())
}

/// Draft 7: the newest that editors check YAML with in full.
fn schema<S: Stage>() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    generator.into_root_schema_for::<S>().to_value()
}

impl Kind {
    fn of<S: Stage>() -> Kind {
        Kind {
            name: S::KIND,
            version: S::VERSION,
            inputs: S::INPUTS,
            outputs: S::OUTPUTS,
            tensors: S::TENSORS,
            lineage: S::LINEAGE,
            precision: S::PRECISION,
            how: S::HOW,
            headline: S::HEADLINE,
            columns: S::COLUMNS,
            purpose: purpose::<S>,
            check: check::<S>,
            schema: schema::<S>,
            counts: S::counts,
        }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    pub fn inputs(&self) -> &'static [InputSlot] {
        self.inputs
    }

    pub fn outputs(&self) -> &'static [OutputSlot] {
        self.outputs
    }

    /// Whether the work needs libtorch.
    pub fn tensors(&self) -> bool {
        self.tensors
    }

    /// Whether the recipe holds the fingerprints of all ancestors.
    pub fn lineage(&self) -> bool {
        self.lineage
    }

    /// The param, as a dotted path, that says what networks compute in.
    pub fn precision(&self) -> Option<&'static str> {
        self.precision
    }

    /// Params, as dotted paths, that are no part of the recipe.
    pub fn how(&self) -> &'static [&'static str] {
        self.how
    }

    /// Names of metrics that are headline figures.
    pub fn headline(&self) -> &'static [&'static str] {
        self.headline
    }

    /// Headline figures with a column in the table of results.
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// What a stage of these params is for, defaults filled in.
    pub fn purpose(&self, params: &Value) -> Purpose {
        (self.purpose)(params)
    }

    /// JSON Schema of the params, draft 7.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// Whether a file of that name, in a source that is a folder, is a part of the source.
    pub(crate) fn counts(&self) -> fn(&Path) -> bool {
        self.counts
    }

    pub(crate) fn check(
        &self,
        params: Value,
        inputs: &InputKinds,
    ) -> Result<CheckedParams, Refusal> {
        (self.check)(params, inputs)
    }
}

/// Runs a stage whose params are given as JSON, defaults filled in; gives the rows that its outputs
/// must have.
pub(crate) type WorkFunction = fn(&Value, &StageContext) -> anyhow::Result<Demanded>;

fn run<S: Work>(params: &Value, context: &StageContext) -> anyhow::Result<Demanded> {
    let stage: S = serde_json::from_value(params.clone())
        .expect("BUG: params that were checked can be read again");
    stage.run(context)?;
    stage.rows(context)
}

/// The kinds that a binary knows and the work that it can do; a kind without work needs the other
/// binary.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Kind>,
    works: BTreeMap<&'static str, WorkFunction>,
}

impl Registry {
    /// No kind.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the kind `S` and its work.
    ///
    /// # Panics
    /// When there is a kind of that name already: a mistake in the list of kinds.
    #[must_use]
    pub fn with<S: Work>(self) -> Self {
        let mut registry = self.declaring::<S>();
        registry.works.insert(S::KIND, run::<S>);
        registry
    }

    /// With the kind `S` without its work, which another binary does.
    ///
    /// # Panics
    /// As [`Registry::with`].
    #[must_use]
    pub fn declaring<S: Stage>(mut self) -> Self {
        let before = self.kinds.insert(S::KIND, Kind::of::<S>());
        assert!(before.is_none(), "BUG: two kinds are called `{}`", S::KIND);
        self
    }

    /// All kinds, by name.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.values()
    }

    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.get(name)
    }

    pub(crate) fn work(&self, name: &str) -> Option<WorkFunction> {
        self.works.get(name).copied()
    }

    /// The kind of a stage that passed the checks.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn known(&self, name: &str) -> &Kind {
        self.kind(name)
            .unwrap_or_else(|| panic!("BUG: the kind `{name}` was checked and is gone"))
    }

    /// The kind, or the message that names the nearest one.
    pub(crate) fn expect_kind(
        &self,
        place: &str,
        stage: &str,
        name: &str,
    ) -> Result<&Kind, Refusal> {
        self.kind(name).ok_or_else(|| {
            let names: Vec<&str> = self.kinds.keys().copied().collect();
            Refusal::new(format!(
                "expected the name of a kind, got `{name}`, which is unknown"
            ))
            .place(place)
            .stage(stage)
            .key("kind")
            .hint(suggestion::hint_or_list(name, "kinds", &names))
        })
    }
}
