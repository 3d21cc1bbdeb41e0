//! What a running stage sees: inputs, output paths, keyed random numbers, shards, progress. It sees
//! no other stage, no cache and no clock.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow, ensure};
use fs_err as fs;
use rand_chacha::ChaCha8Rng;
use seedpipe_base::message_of;
use serde_json::Value;

use crate::base::cancel;
use crate::base::digest::Digest;
use crate::base::durable;
use crate::base::fault;
use crate::base::random::keyed_rng;
use crate::cache::draft::Draft;
use crate::cache::left::Reached;
use crate::cache::manifest::{OutputRecord, Telemetry, is_plain_name};
use crate::cache::recipe::Recipe;
use crate::kind::earlier::{Search, StoredFile};
use crate::kind::observer::{Event, Observer, Progress};
use crate::kind::registry::{Kind, WorkFunction};
use crate::kind::sample::Sample;
use crate::kind::share::Share;
use crate::kind::stage::{Connection, Demanded, OutputSlot};

/// A connected output of another stage.
#[derive(Debug, Clone)]
pub struct Input {
    /// For messages and tables; a result must not depend on it unless the kind has `LINEAGE`.
    pub stage: String,
    pub output: String,
    /// The artifact kind.
    pub kind: String,
    pub content: Digest,
    /// Sorted by name, which is the logical order of rows.
    pub parts: Vec<PathBuf>,
    /// Of the stage that made it.
    pub recipe: Recipe,
}

/// A stage that an input comes from, directly or not.
#[derive(Debug, Clone)]
pub struct Ancestor {
    pub stage: String,
    pub kind: Kind,
    pub fingerprint: Digest,
    pub recipe: Recipe,
    /// Slot → what is connected, as the plan says: contents alone don't tell equal stages apart.
    /// Which of several stages of equal content it is, is no part of any recipe: a cached result is
    /// not made anew when that alone changes.
    pub inputs: BTreeMap<String, Vec<Connection>>,
    pub outputs: BTreeMap<String, OutputRecord>,
    pub telemetry: Telemetry,
    /// RFC 3339, UTC.
    pub created: String,
}

/// What a running stage sees.
pub struct StageContext<'a> {
    pub(crate) stage: &'a str,
    pub(crate) kind: &'a Kind,
    pub(crate) seed: u64,
    pub(crate) device: &'a str,
    pub(crate) folder: &'a Path,
    pub(crate) inputs: BTreeMap<String, Vec<Input>>,
    pub(crate) lineage: Vec<Ancestor>,
    pub(crate) checkpoints: PathBuf,
    pub(crate) content: PathBuf,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) sample: Option<Sample>,
    pub(crate) nudged: bool,
    /// None: everything is to be computed.
    pub(crate) search: Option<Search<'a>>,
    /// Which of the shards are this process's.
    pub(crate) share: Share,
    pub(crate) state: Mutex<State>,
}

/// What changes while a stage runs.
#[derive(Debug)]
pub(crate) struct State {
    pub draft: Draft,
    pub sharded: bool,
    pub sampled: SampledRows,
}

/// Slot → the rows of the whole output that a sampled rerun made, ascending.
pub(crate) type SampledRows = BTreeMap<String, Vec<Range<u64>>>;

impl StageContext<'_> {
    /// The stage's name, for messages.
    pub fn stage(&self) -> &str {
        self.stage
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// `auto`, `cpu` or `cuda:N`.
    pub fn device(&self) -> &str {
        self.device
    }

    /// What is connected to a slot of arity `One`.
    ///
    /// # Panics
    /// When the kind declares no such slot.
    pub fn input(&self, slot: &str) -> &Input {
        self.optional_input(slot).unwrap_or_else(|| {
            panic!(
                "BUG: the plan let stage `{}` run without input `{slot}`",
                self.stage
            )
        })
    }

    /// What is connected to a slot of arity `Optional`.
    ///
    /// # Panics
    /// When the kind declares no such slot.
    pub fn optional_input(&self, slot: &str) -> Option<&Input> {
        self.inputs(slot).first()
    }

    /// What is connected to a slot, in the order of pipeline.yaml.
    ///
    /// # Panics
    /// When the kind declares no such slot.
    pub fn inputs(&self, slot: &str) -> &[Input] {
        let declared = self.kind.inputs().iter().any(|known| known.name == slot);
        assert!(
            declared,
            "BUG: kind `{}` declares no input `{slot}`",
            self.kind.name()
        );
        self.inputs.get(slot).map_or(&[], Vec::as_slice)
    }

    /// A path of the params: relative ones start at pipeline.yaml's folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// A generator for one item of this stage: equal seed, kind, label and item give equal numbers
    /// everywhere.
    pub fn rng(&self, label: &str, item: &[u8]) -> ChaCha8Rng {
        keyed_rng(self.seed, self.kind.name(), label, item)
    }

    /// A folder that survives a crash of this stage and is removed when it is done.
    pub fn checkpoints(&self) -> &Path {
        &self.checkpoints
    }

    /// Says how far the work is that the checkpoint holds which was just written, by units from
    /// coarse to fine: for people who ask what an interrupted run left.
    ///
    /// # Errors
    /// When it can't be written down.
    pub fn reached(&self, reached: &[Reached]) -> Result<()> {
        self.state().draft.keep_reached(reached)
    }

    pub fn progress(&self) -> Progress<'_> {
        Progress::new(self.stage, self.observer)
    }

    /// `Err(Cancelled)` after Ctrl-C or SIGTERM: pass it on after saving what is worth saving.
    pub fn check_cancelled(&self) -> Result<()> {
        Ok(cancel::check()?)
    }

    /// A figure for the manifest, outside every digest: rates, seconds, counts.
    pub fn telemetry(&self, key: &str, value: f64) {
        self.state().draft.telemetry.insert(key.to_owned(), value);
    }

    /// Set in a rerun that is to do a part of the work only. A stage that can, does it, and says by
    /// [`StageContext::sampled`] which rows came of it; all others do everything.
    pub fn sample(&self) -> Option<&Sample> {
        self.sample.as_ref()
    }

    /// Set in a rerun that is to show how far roundings lead on this machine: a training moves its
    /// numbers by their last bits before it begins. Other stages do as ever.
    pub fn nudged(&self) -> bool {
        self.nudged
    }

    /// Which rows of the whole output the parts of this sampled rerun hold.
    ///
    /// - `rows`: ascending, not empty, without overlap
    pub fn sampled(&self, slot: &str, rows: Vec<Range<u64>>) {
        self.state().sampled.insert(slot.to_owned(), rows);
    }

    /// Every ancestor in the order of the plan; empty unless the kind has `LINEAGE`, because
    /// without it an ancestor's recipe is not part of this stage's.
    pub fn lineage(&self) -> &[Ancestor] {
        &self.lineage
    }

    /// Tells the user something that stops nothing.
    pub fn warn(&self, message: String) {
        self.observer.warning(Some(self.stage), &message);
    }

    /// Does the stage's work. A panic in it is a bug of ours or of a library; it fails the stage, not
    /// the bookkeeping of whoever runs it.
    pub(crate) fn perform(self, work: WorkFunction, params: &Value) -> (Result<Demanded>, State) {
        let worked = catch_unwind(AssertUnwindSafe(|| work(params, &self)))
            .unwrap_or_else(|panic| Err(anyhow!("BUG: {}", message_of(panic.as_ref()))));
        let state = self.state.into_inner();
        (worked, state.unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `work` for every shard of `0..total` that an earlier, interrupted run has not finished;
    /// after each, its files are fsynced, hashed and recorded. A stage calls this once.
    ///
    /// Fails when `work` does, when the run is cancelled, and when a shard left out a file that it
    /// asked for or wrote another shard's.
    pub fn shards(&self, total: usize, mut work: impl FnMut(&Shard) -> Result<()>) -> Result<()> {
        let finished = {
            let mut state = self.state();
            ensure!(
                !state.sharded,
                "BUG: stage `{}` divides its work into shards twice",
                self.stage
            );
            state.sharded = true;
            state.draft.finished(total)?
        };
        if !finished.is_empty() {
            self.observer.event(&Event::StageResumed {
                stage: self.stage,
                finished_shards: finished.len(),
                shards: total,
            });
        }
        for index in self.share.of(total) {
            // Another worker may have been here meanwhile.
            if self.state().draft.is_finished(index) {
                continue;
            }
            cancel::check()?;
            let shard = Shard {
                index,
                content: self.content.clone(),
                outputs: self.kind.outputs(),
                files: Mutex::new(Vec::new()),
            };
            fault::point("shard.begin")?;
            work(&shard).map_err(|error| in_shard(error, index, total))?;
            let files = shard
                .files
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner);
            self.state().draft.commit(index, total, &files)?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names the shard where there are several; being cancelled is no fault of a shard.
fn in_shard(error: anyhow::Error, index: usize, total: usize) -> anyhow::Error {
    if total == 1 || error.is::<cancel::Cancelled>() {
        error
    } else {
        error.context(format!("shard {index} of {total}"))
    }
}

/// The unit of work inside a stage.
#[derive(Debug)]
pub struct Shard {
    index: usize,
    content: PathBuf,
    outputs: &'static [OutputSlot],
    files: Mutex<Vec<(String, String)>>,
}

impl Shard {
    pub fn index(&self) -> usize {
        self.index
    }

    /// Where the stage is to write the part `part` of an output: `<slot>/<part>.parquet`. Asking is
    /// promising: the file must be there when the shard ends. Parts sort by name into the logical
    /// order of rows.
    ///
    /// # Panics
    /// When the kind declares no such output, or the part's name has other characters than letters,
    /// digits, `-` and `_`.
    pub fn output(&self, slot: &str, part: &str) -> PathBuf {
        let (path, file) = self.place(slot, part);
        self.promise(file);
        path
    }

    /// Makes the part another name of a file of the cache, whose bytes are then kept once. `false`
    /// where that cannot be: it has gone or is damaged, or the file system knows no second names.
    ///
    /// # Panics
    /// As [`Self::output`].
    pub fn share(&self, slot: &str, part: &str, stored: &StoredFile) -> bool {
        let (path, file) = self.place(slot, part);
        // What is hashed has this name: nobody can put another file there in between.
        let is_shared = durable::second_name(&stored.path, &path);
        let is_whole = || Digest::of_file(&path).is_ok_and(|digest| digest == stored.blake3);
        if is_shared && is_whole() {
            self.promise(file);
            return true;
        }
        if is_shared {
            // What stays is in no record, and goes with the draft.
            let _ = fs::remove_file(&path);
        }
        false
    }

    fn place(&self, slot: &str, part: &str) -> (PathBuf, (String, String)) {
        let declared = self.outputs.iter().any(|known| known.name == slot);
        assert!(declared, "BUG: the kind declares no output `{slot}`");
        assert!(
            is_plain_name(part) && !part.contains('.'),
            "BUG: `{part}` is no name for a part"
        );
        let name = format!("{part}.parquet");
        let path = self.content.join(slot).join(&name);
        (path, (slot.to_owned(), name))
    }

    fn promise(&self, file: (String, String)) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !files.contains(&file) {
            files.push(file);
        }
    }
}
