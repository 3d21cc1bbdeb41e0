//! What a kind of stage declares, what it does, and what the engine asks about artifacts.
//!
//! The declaration ([`Stage`]) is apart from the work ([`Work`]), so that a binary can plan,
//! explain and verify without linking what the work needs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use seedpipe_base::{Comparison, Refusal, Tolerance};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::digest::Digest;
use crate::kind::context::{Input, StageContext};
use crate::kind::purpose::{Column, Purpose};

/// How many outputs may be connected to an input slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Exactly one.
    One,
    /// None or one.
    Optional,
    /// One or more, in the order of pipeline.yaml; a stage with a `matrix` stands for each of its
    /// combinations as well.
    Many,
    /// None, or as many as [`Arity::Many`].
    AnyNumber,
    /// Those that pipeline.yaml lists, in its order; of a stage with a `matrix`, each combination
    /// makes a stage of its own.
    Listed,
    /// None, or those that pipeline.yaml lists, as [`Arity::Listed`].
    ListedOrNone,
}

impl Arity {
    pub(crate) fn is_list_in_order(self) -> bool {
        matches!(self, Arity::Listed | Arity::ListedOrNone)
    }

    pub(crate) fn may_be_none(self) -> bool {
        matches!(
            self,
            Arity::Optional | Arity::AnyNumber | Arity::ListedOrNone
        )
    }

    /// Whether a stage with a `matrix` stands for all of its combinations.
    pub(crate) fn gathers(self) -> bool {
        matches!(self, Arity::Many | Arity::AnyNumber)
    }
}

/// An output that is connected to an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub stage: String,
    pub output: String,
    /// The artifact kind.
    pub kind: String,
    pub(crate) index: usize,
}

/// A place where outputs of other stages are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputSlot {
    pub name: &'static str,
    /// Artifact kinds such as `views/v1`.
    pub accepts: &'static [&'static str],
    pub arity: Arity,
}

impl InputSlot {
    pub const fn new(
        name: &'static str,
        accepts: &'static [&'static str],
        arity: Arity,
    ) -> InputSlot {
        InputSlot {
            name,
            accepts,
            arity,
        }
    }
}

/// One of a stage's results, with a content digest of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputSlot {
    pub name: &'static str,
    /// The artifact kind, such as `views/v1`.
    pub kind: &'static str,
}

impl OutputSlot {
    pub const fn new(name: &'static str, kind: &'static str) -> OutputSlot {
        OutputSlot { name, kind }
    }
}

/// Declaration of a kind. The implementing struct is the `params:` block: give it
/// `deny_unknown_fields` and defaults.
pub trait Stage: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The name in `kind:`.
    const KIND: &'static str;
    /// One more whenever equal params and inputs would give other content.
    const VERSION: u32;
    const INPUTS: &'static [InputSlot];
    const OUTPUTS: &'static [OutputSlot];
    /// The work needs libtorch.
    const TENSORS: bool = false;
    /// The recipe also holds the fingerprints of all ancestors, and the work may look at them.
    const LINEAGE: bool = false;

    /// The param, as a dotted path, that says what networks compute in (`f32`, `bf16`, `f16`):
    /// where pipeline.yaml's stage leaves it out, the pipeline's own `precision` counts.
    const PRECISION: Option<&'static str> = None;

    /// Params, as dotted paths, that decide how the work is done and not what comes out of it, such
    /// as how often a checkpoint is written: they are left out of the recipe, and so of the
    /// fingerprint and of pipeline.lock.
    const HOW: &'static [&'static str] = &[];

    /// Names of metrics that stand for the result, as against those that only show how the work
    /// went: their values at the last step are in pipeline.lock, and are what another machine's are
    /// compared with. The ends of an interval, `NAME_low` and `NAME_high`, go with `NAME`.
    const HEADLINE: &'static [&'static str] = &[];

    /// Headline figures with a column in the table of results, in the order of its columns.
    const COLUMNS: &'static [Column] = &[];

    /// Outside files or folders, as written in the params, relative to pipeline.yaml's folder;
    /// their content is hashed into the recipe.
    fn sources(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether a file of that name, in a source that is a folder, is a part of it: others may come
    /// and go, as may hidden ones and what is no file (see [`walk`](crate::walk)). The work must
    /// read nothing else there.
    fn counts(_file: &Path) -> bool {
        true
    }

    /// Fills in defaults that depend on other params or on what is connected, so that the recipe
    /// names them.
    fn with_defaults(self, _inputs: &InputKinds) -> Self {
        self
    }

    /// Refuses impossible values before anything runs. Sees the params with all defaults.
    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        Ok(())
    }

    /// What the stage is for, as tables and pages of results tell it.
    fn purpose(&self) -> Purpose {
        Purpose::default()
    }
}

/// What a kind does.
pub trait Work: Stage {
    /// Reads the inputs, computes, and writes every output through `context.shards`.
    fn run(&self, context: &StageContext) -> anyhow::Result<()>;

    /// Rows that outputs must have because of the inputs, by their slots. Asked when the work is
    /// done: nothing is published where other counts were written.
    fn rows(&self, _context: &StageContext) -> anyhow::Result<Demanded> {
        Ok(Demanded::new())
    }
}

/// Slot → the rows that an output must have.
pub type Demanded = Vec<(&'static str, u64)>;

/// What is connected to each input slot, for `Stage::validate`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputKinds(BTreeMap<String, Vec<String>>);

impl InputKinds {
    /// From pairs of slot and the connected outputs' artifact kinds.
    pub fn new(slots: impl IntoIterator<Item = (String, Vec<String>)>) -> Self {
        InputKinds(slots.into_iter().collect())
    }

    pub fn connected(&self, slot: &str) -> bool {
        self.count(slot) > 0
    }

    pub fn count(&self, slot: &str) -> usize {
        self.kinds(slot).len()
    }

    /// Artifact kinds of the connected outputs, in order.
    pub fn kinds(&self, slot: &str) -> &[String] {
        self.0.get(slot).map_or(&[], Vec::as_slice)
    }
}

/// An output's logical content, as the codec sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    pub digest: Digest,
    pub rows: u64,
}

/// By what an output made again is near enough to the stored one.
#[derive(Debug, Clone, Copy)]
pub struct Judging<'a> {
    pub tolerance: Tolerance,
    /// Names of the metrics that decide, as the stage's kind declares them.
    pub headline: &'a [&'a str],
    /// What the stage was given, by slot.
    pub inputs: &'a BTreeMap<String, Vec<Input>>,
}

/// What the engine asks about artifacts; answered by the crate that knows their files.
pub trait Codec: Send + Sync {
    /// The logical content of an output: how its rows are spread over parts and encoded doesn't
    /// matter.
    fn digest(&self, kind: &str, parts: &[PathBuf]) -> anyhow::Result<Content>;

    /// Figures that belong into pipeline.lock, such as `test/knn_top1`; empty unless the artifact
    /// kind holds metrics.
    ///
    /// - `names`: of the metrics, as the stage's kind declares them
    fn headline(
        &self,
        kind: &str,
        parts: &[PathBuf],
        names: &[&str],
    ) -> anyhow::Result<BTreeMap<String, f64>>;

    /// How far an output made again is from the stored one.
    ///
    /// - `rows`: the rows of the stored output that the other holds, ascending; `None`: all
    ///
    /// Left as it is, it only tells whether whole outputs have equal digests.
    fn compare(
        &self,
        kind: &str,
        stored: &[PathBuf],
        rows: Option<&[Range<u64>]>,
        again: &[PathBuf],
        _judging: &Judging,
    ) -> anyhow::Result<Comparison> {
        anyhow::ensure!(
            rows.is_none(),
            "BUG: this codec can't compare some rows of an output"
        );
        let (left, right) = (self.digest(kind, stored)?, self.digest(kind, again)?);
        Ok(Comparison {
            equal: left == right,
            within: left == right,
            rows: left.rows,
            ..Comparison::default()
        })
    }

    /// Whether a headline figure of an output may be another one within the tolerance.
    fn may_be(&self, _name: &str, before: f64, now: f64, _tolerance: &Tolerance) -> bool {
        before.to_bits() == now.to_bits()
    }

    /// What may differ between numerics classes where pipeline.yaml doesn't say; exact unless the
    /// codec knows better.
    fn tolerance(&self, _kind: &str) -> Tolerance {
        Tolerance::default()
    }
}
