//! A stage's unfinished work: `<cache>/v1/drafts/<fingerprint>-<digest of the numerics class>/`,
//! kept when interrupted and gone on with later, in the class that it was begun in: what two classes
//! made together would be the result of neither.
//!
//! `content/` becomes the artifact; `shard-00000.json` records a finished shard with length and
//! BLAKE3 of each of its files, written after they are fsynced; `checkpoints/` belongs to the
//! stage. A file that no record names doesn't exist. A draft is opened and published under its
//! fingerprint's lock. Meanwhile any number of workers may [`join`](Draft::join) it without one: each
//! writes into a folder of its own ([`attempt`]) and hands finished shards over.

pub(crate) mod attempt;
pub(crate) mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::durable;
use crate::base::fault;
use crate::base::untrusted;
use crate::cache::draft::attempt::Attempt;
use crate::cache::draft::records::{ShardFile, ShardRecord, ShardRecords, record_path, shards_in};
use crate::cache::left::{REACHED, Reached};
use crate::cache::manifest::PartRecord;
use crate::cache::recipe::Recipe;
use crate::cache::store::Store;

const ABOUT: &str = "draft.json";
const CONTENT: &str = "content";
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// What a draft is for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub stage: String,
    /// Made by `--force`: work that was not forced must not pass for it.
    pub forced: bool,
    pub recipe: Recipe,
    /// The numerics class that it is made in; empty: unknown.
    #[serde(default)]
    pub numerics: String,
}

impl About {
    pub fn read(directory: &Path) -> Option<About> {
        let text = untrusted::read_text(&directory.join(ABOUT), untrusted::MAXIMAL_RECORD);
        untrusted::from_json(&text.ok()?).ok()
    }
}

/// The unfinished work of one stage.
#[derive(Debug)]
pub(crate) struct Draft {
    directory: PathBuf,
    records: BTreeMap<usize, ShardRecord>,
    /// What the stage tells for the manifest.
    pub telemetry: BTreeMap<String, f64>,
    /// The class of unfinished work that this one doesn't go on with.
    pub left_by: Option<String>,
    numerics: String,
    /// Of one of several workers.
    attempt: Option<Attempt>,
}

/// What a worker tells when its share is done.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    telemetry: BTreeMap<String, f64>,
    /// Slot → the rows that the output must have.
    demanded: Vec<(String, u64)>,
}

impl Draft {
    /// Goes on with what an interrupted run of the same numerics class left, or begins anew.
    /// `forced`: only what a forced run left is taken.
    ///
    /// - `slots`: names of the outputs
    pub fn open(
        store: &Store,
        recipe: &Recipe,
        stage: &str,
        forced: bool,
        numerics: &str,
        slots: &[&str],
    ) -> Result<Draft> {
        let fingerprint = recipe.fingerprint();
        let directory = store.draft(fingerprint, numerics);
        let may_go_on = |about: About| (about.forced || !forced) && about.numerics == numerics;
        if directory.exists() && !About::read(&directory).is_some_and(may_go_on) {
            store.discard(&directory)?;
        }
        let mut left_by = None;
        if !directory.exists() {
            let others = store.drafts_of(fingerprint)?.into_iter();
            let abouts = others.filter_map(|other| About::read(&other));
            left_by = abouts.map(|about| about.numerics).next();
        }
        for slot in slots {
            fault::at("draft.create", &directory)?;
            fs::create_dir_all(directory.join(CONTENT).join(slot))?;
        }
        fs::create_dir_all(directory.join(CHECKPOINTS))?;
        let about = About {
            stage: stage.to_owned(),
            forced,
            recipe: recipe.clone(),
            numerics: numerics.to_owned(),
        };
        let about =
            serde_json::to_string_pretty(&about).expect("BUG: a draft's description is JSON");
        durable::write_if_changed(&directory.join(ABOUT), about.as_bytes())?;
        let mut draft = Draft {
            directory,
            records: BTreeMap::new(),
            telemetry: BTreeMap::new(),
            left_by,
            numerics: numerics.to_owned(),
            attempt: None,
        };
        draft.read_records()?;
        remove_temporaries(&draft.checkpoints())?;
        draft.remove_unrecorded(slots)?;
        attempt::clear(&draft.directory)?;
        for told in draft.told()? {
            fs::remove_file(told)?;
        }
        Ok(draft)
    }

    /// Works on a draft that somebody else has opened, beside others. Removes nothing.
    pub fn join(directory: &Path, numerics: &str, slots: &[&str]) -> Result<Draft> {
        let mut draft = Draft {
            directory: directory.to_owned(),
            records: BTreeMap::new(),
            telemetry: BTreeMap::new(),
            left_by: None,
            numerics: numerics.to_owned(),
            attempt: Some(Attempt::begin(directory, slots)?),
        };
        draft.catch_up()?;
        Ok(draft)
    }

    /// Leaves a share of the work that [`Self::take_in`] then finds done.
    pub fn leave(self, share: usize, demanded: &[(&str, u64)]) -> Result<()> {
        let demanded = demanded.iter();
        let told = Told {
            telemetry: self.telemetry.clone(),
            demanded: demanded
                .map(|(slot, rows)| ((*slot).to_owned(), *rows))
                .collect(),
        };
        let text = serde_json::to_string(&told).expect("BUG: what a worker tells is JSON");
        Ok(durable::write_lightly(
            &attempt::told_path(&self.directory, share),
            text.as_bytes(),
        )?)
    }

    /// Takes in what workers have made, which is whole: every shard of one division. Returns the
    /// rows that they say the outputs must have.
    ///
    /// Call [`Self::catch_up`] first.
    pub fn take_in(&mut self) -> Result<Vec<(String, u64)>> {
        let total = self.records.values().map(|record| record.total).next();
        let missing = total.and_then(|total| {
            let has = |shard: usize| {
                let record = self.records.get(&shard);
                record.is_some_and(|record| record.total == total)
            };
            (0..total).find(|shard| !has(*shard))
        });
        match (total, missing) {
            (None, _) => bail!("expected finished shards of its workers, got none"),
            (Some(total), Some(shard)) => {
                bail!("expected {total} finished shards of its workers, got none of number {shard}")
            }
            _ => {}
        }
        for record in self.records.values() {
            self.telemetry.extend(record.telemetry.clone());
        }
        let mut demanded = Vec::new();
        for path in self.told()? {
            let text = untrusted::read_text(&path, untrusted::MAXIMAL_RECORD)?;
            let told: Told = untrusted::from_json(&text)?;
            self.telemetry.extend(told.telemetry);
            demanded = told.demanded;
        }
        Ok(demanded)
    }

    /// By share.
    fn told(&self) -> Result<Vec<PathBuf>> {
        let mut told = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            told.extend(Some(entry?.path()).filter(|path| attempt::is_told(path)));
        }
        told.sort();
        Ok(told)
    }

    /// Takes the records as workers have left them; what is no record yet is somebody's who is about
    /// to write it. Their files are not hashed: what a worker has just recorded is believed.
    pub fn catch_up(&mut self) -> Result<()> {
        let ShardRecords { sound, .. } = shards_in(&self.directory)?;
        let records = sound.into_iter();
        self.records = records.map(|record| (record.shard, record)).collect();
        Ok(())
    }

    /// The class that its shards are of.
    pub fn numerics(&self) -> &str {
        &self.numerics
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where parts are written until their shard is finished.
    pub fn writing(&self) -> PathBuf {
        match &self.attempt {
            Some(attempt) => attempt.folder().to_owned(),
            None => self.content(),
        }
    }

    /// Whether the shard is finished by now, also by another worker.
    pub fn is_finished(&self, shard: usize) -> bool {
        self.records.contains_key(&shard)
            || (self.attempt.is_some() && record_path(&self.directory, shard).exists())
    }

    pub fn content(&self) -> PathBuf {
        self.directory.join(CONTENT)
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.directory.join(CHECKPOINTS)
    }

    /// Finished shards of a division into `total`, and what was told while they were made; records
    /// of another division are dropped with their files.
    pub fn finished(&mut self, total: usize) -> Result<BTreeSet<usize>> {
        let wrong = |record: &&ShardRecord| record.total != total || record.shard >= total;
        if self.attempt.is_some()
            && let Some(other) = self.records.values().find(wrong)
        {
            bail!(
                "expected a division into {total} shards, as this worker's, got one into {} by another",
                other.total
            );
        }
        let stale: Vec<usize> = self
            .records
            .values()
            .filter(wrong)
            .map(|record| record.shard)
            .collect();
        for shard in stale {
            self.drop_record(shard)?;
        }
        for record in self.records.values() {
            self.telemetry.extend(record.telemetry.clone());
        }
        Ok(self.records.keys().copied().collect())
    }

    /// Fsyncs and records the files of a shard: from here on it is finished.
    pub(crate) fn commit(
        &mut self,
        shard: usize,
        total: usize,
        files: &[(String, String)],
    ) -> Result<()> {
        let writing = self.writing();
        let taken = self.records.values().flat_map(|record| &record.files);
        let taken: BTreeSet<_> = taken
            .map(|file| (file.slot.as_str(), file.part.name.as_str()))
            .collect();
        let mut distinct = BTreeSet::new();
        for (slot, name) in files {
            if taken.contains(&(slot.as_str(), name.as_str())) || !distinct.insert((slot, name)) {
                bail!(
                    "shard {shard}: expected a part of its own, got `{slot}/{name}`, which was written before"
                );
            }
        }
        let files = files.par_iter().map(|(slot, name)| {
            let path = writing.join(slot).join(name);
            let file = fs::File::open(&path).with_context(|| {
                format!(
                    "shard {shard}: expected the stage to write `{slot}/{name}`, got no such file"
                )
            })?;
            fault::at("part.fsync", &path)?;
            file.sync_all()?;
            let part = PartRecord {
                name: name.clone(),
                bytes: file.metadata()?.len(),
                blake3: Digest::of_file(&path)?,
            };
            Ok(ShardFile {
                slot: slot.clone(),
                part,
            })
        });
        let files = files.collect::<Result<Vec<_>>>()?;
        let content = self.content();
        if let Some(attempt) = &self.attempt {
            let is_late = record_path(&self.directory, shard).exists();
            for ShardFile { slot, part } in &files {
                match is_late {
                    true => attempt.forget(slot, &part.name)?,
                    false => attempt.hand_over(slot, &part.name, &content)?,
                }
            }
            if is_late {
                return Ok(());
            }
        }
        for slot in files.iter().map(|file| &file.slot).collect::<BTreeSet<_>>() {
            fault::at("part.fsync-folder", &content.join(slot))?;
            durable::sync_folder(&content.join(slot))?;
        }
        let record = ShardRecord {
            shard,
            total,
            files,
            telemetry: self.telemetry.clone(),
        };
        let text = serde_json::to_string_pretty(&record).expect("BUG: a shard's record is JSON");
        durable::write(&record_path(&self.directory, shard), text.as_bytes())?;
        self.records.insert(shard, record);
        Ok(())
    }

    /// Keeps how far the work is that the newest checkpoint holds.
    pub fn keep_reached(&self, reached: &[Reached]) -> Result<()> {
        let text = serde_json::to_string(reached).expect("BUG: plain numbers are JSON");
        Ok(durable::write(
            &self.directory.join(REACHED),
            text.as_bytes(),
        )?)
    }

    /// The recorded files of an output, sorted by name.
    pub fn parts(&self, slot: &str) -> Vec<PartRecord> {
        let files = self.records.values().flat_map(|record| &record.files);
        let mut parts: Vec<PartRecord> = files
            .filter(|file| file.slot == slot)
            .map(|file| file.part.clone())
            .collect();
        parts.sort_by(|left, right| left.name.cmp(&right.name));
        parts
    }

    /// Whether there is anything worth keeping: a finished shard or a checkpoint.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        let checkpoints =
            fs::read_dir(self.checkpoints()).map(|mut entries| entries.next().is_some());
        !self.records.is_empty() || checkpoints.unwrap_or(false)
    }

    /// Removes the draft, with whatever is left in it.
    pub fn remove(self, store: &Store) -> Result<()> {
        Ok(store.discard(&self.directory)?)
    }

    /// Reads the records and hashes their files; a record that doesn't hold is dropped, so that its
    /// shard runs again.
    fn read_records(&mut self) -> Result<()> {
        let ShardRecords { sound, unsound } = shards_in(&self.directory)?;
        for path in unsound {
            fs::remove_file(&path)?;
        }
        let content = self.content();
        let holds = |record: &ShardRecord| {
            record.files.par_iter().all(|file| {
                let path = content.join(&file.slot).join(&file.part.name);
                let length = fs::symlink_metadata(&path).map(|metadata| metadata.len());
                length.is_ok_and(|length| length == file.part.bytes)
                    && untrusted::is_own_file(&path)
                    && Digest::of_file(&path).is_ok_and(|digest| digest == file.part.blake3)
            })
        };
        for record in sound {
            if holds(&record) {
                self.records.insert(record.shard, record);
            } else {
                fs::remove_file(record_path(&self.directory, record.shard))?;
            }
        }
        Ok(())
    }

    /// The record first: its files are then no longer part of anything.
    fn drop_record(&mut self, shard: usize) -> Result<()> {
        fs::remove_file(record_path(&self.directory, shard))?;
        if let Some(record) = self.records.remove(&shard) {
            for file in record.files {
                fs::remove_file(self.content().join(file.slot).join(file.part.name))?;
            }
        }
        Ok(())
    }

    fn remove_unrecorded(&self, slots: &[&str]) -> Result<()> {
        let files = self.records.values().flat_map(|record| &record.files);
        let recorded: BTreeSet<PathBuf> = files
            .map(|file| self.content().join(&file.slot).join(&file.part.name))
            .collect();
        for entry in fs::read_dir(self.content())? {
            let folder = entry?.path();
            let known = slots
                .iter()
                .any(|slot| folder.file_name() == Some(slot.as_ref()));
            if !known {
                if folder.is_dir() {
                    fs::remove_dir_all(folder)?
                } else {
                    fs::remove_file(folder)?
                }
                continue;
            }
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if !recorded.contains(&path) {
                    if path.is_dir() {
                        fs::remove_dir_all(path)?
                    } else {
                        fs::remove_file(path)?
                    }
                }
            }
        }
        Ok(())
    }
}

/// Removes what a crash left half-written in a folder. Only the holder of the draft's lock writes
/// there.
fn remove_temporaries(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if durable::is_temporary(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
