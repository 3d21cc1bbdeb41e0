//! Removes what nobody refers to: neither the current plan, nor pipeline.lock, nor the last runs of
//! any pipeline that uses the cache, nor a run that is alive; and what dead runs left.
//!
//! Kept besides: everything younger than the grace period, and the draft of a stage of the current
//! plan that is not in the cache yet, because a run goes on with it. What is referred to is
//! `gc_roots`'s. Of the rest all go, those of some age, or the oldest until a budget is met.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use anyhow::Result;
use fs_err as fs;
use seedpipe_base::{hinted, text};
use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::{durable, fault, held};
use crate::cache::processes::locks::{self, Guard};
use crate::cache::processes::{history, lease};
use crate::cache::scratch;
use crate::cache::store::{
    Entry, MANIFEST, entries_in, fingerprint_of_draft, folders_in, remove_folder,
};
use crate::check::gc_roots::Roots;
use crate::check::shared_file::{Met, SharedFile, measured};
use crate::check::verify::files_below;
use crate::run::engine::Engine;

/// How to collect.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// Only tell.
    pub dry_run: bool,
    /// What is younger than this stays.
    pub grace: Duration,
    /// Locks or git revisions (as `lock_at` takes them) that keep what they name, in place of this
    /// pipeline's last runs.
    pub keep: Vec<String>,
    /// Artifacts that nobody refers to go when they were made longer ago than this.
    pub older_than: Option<Duration>,
    /// Artifacts that nobody refers to go, oldest first, until all artifacts together have at most
    /// this many bytes.
    pub max_bytes: Option<u64>,
}

impl Default for GcOptions {
    fn default() -> Self {
        GcOptions {
            dry_run: false,
            grace: Duration::from_secs(3_600),
            keep: Vec::new(),
            older_than: None,
            max_bytes: None,
        }
    }
}

impl Engine {
    /// Removes what nobody refers to. A run beside it loses nothing that it uses.
    pub fn gc(&self, options: &GcOptions) -> Result<GcReport> {
        let mut report = GcReport {
            items: Vec::new(),
            bytes: 0,
            kept_artifacts: 0,
            kept_bytes: 0,
            over_budget_bytes: None,
            dry_run: options.dry_run,
            stays: BTreeSet::new(),
        };
        if !self.store.artifacts().exists() {
            return Ok(report);
        }
        // Hashes sources and asks git, so it is done before anybody has to wait.
        let mut roots = self.planned()?;
        self.add_named(&options.keep, &mut roots)?;
        // Runs look up artifacts under the same gate: what they find after this is in their lease.
        let gate = Guard::exclusive(&lease::gate(&self.store))?;
        roots.in_use = lease::in_use(&self.store)?;
        self.add_recorded(!options.keep.is_empty(), &mut roots)?;
        let mut trash = Vec::new();
        self.collect_artifacts(options, &roots, &mut report)?;
        self.collect_locks(&mut report)?;
        self.collect_history(&mut report)?;
        self.collect_strays(options, &roots, &mut report)?;
        self.collect_drafts(options, &roots, &mut report)?;
        let mut gone = Met::default();
        for item in &mut report.items {
            item.bytes += gone.last(&item.shared);
        }
        if !options.dry_run {
            for item in &report.items {
                self.set_aside(item, &mut trash)?;
            }
        }
        drop(gate);
        if !trash.is_empty() {
            // What is removed below was renamed before, also on disk: after a power cut nothing is
            // found half removed under its own name.
            fault::at("trash.fsync-folder", &self.store.trash())?;
            durable::sync_folder(&self.store.trash())?;
        }
        for folder in trash {
            remove_folder(&folder)?;
        }
        report.bytes = report.items.iter().map(|item| item.bytes).sum();
        Ok(report)
    }

    fn collect_artifacts(
        &self,
        options: &GcOptions,
        roots: &Roots,
        report: &mut GcReport,
    ) -> Result<()> {
        let mut candidates = Vec::new();
        let (mut may_go, mut kept) = (Vec::new(), Met::default());
        for fingerprint in self.store.fingerprints()? {
            // Nothing is hashed here: everybody waits at the gate.
            let entries = self.store.entries(fingerprint)?;
            let newest = entries
                .iter()
                .filter_map(|entry| entry.state.as_ref().ok())
                .max_by_key(|artifact| (artifact.manifest.sequence, artifact.content))
                .map(|artifact| artifact.content);
            for Entry { directory, state } in entries {
                let named = roots.contents.get(&fingerprint);
                let manifest = directory.join(MANIFEST);
                let stays = roots.in_use.contains(&fingerprint)
                    || is_young(&manifest, options.grace)
                    || match (&state, named) {
                        (Ok(artifact), Some(contents)) => {
                            Some(artifact.content) == newest || contents.contains(&artifact.content)
                        }
                        _ => false,
                    };
                let kind = match &state {
                    Ok(artifact) => artifact.manifest.recipe.kind.clone(),
                    Err(_) => "damaged".to_owned(),
                };
                let name = format!("{kind} {}", fingerprint.short());
                let Some(item) = item(GcWhat::Artifact, directory, name)? else {
                    continue;
                };
                if stays {
                    report.stays.insert(fingerprint);
                    report.kept_artifacts += 1;
                    report.kept_bytes += item.bytes + kept.first(&item.shared);
                } else if state.is_err() {
                    report.items.push(item); // of no use to anybody
                } else {
                    let made = fs::metadata(&manifest)?.modified()?;
                    may_go.push((item.path.clone(), fingerprint));
                    candidates.push(Unreferenced { item, made });
                }
            }
        }
        choose(candidates, options, SystemTime::now(), kept, report);
        let goes: BTreeSet<&PathBuf> = report.items.iter().map(|item| &item.path).collect();
        let kept = may_go.iter().filter(|(path, _)| !goes.contains(path));
        let kept: Vec<Digest> = kept.map(|(_, fingerprint)| *fingerprint).collect();
        report.stays.extend(kept);
        Ok(())
    }

    /// Drafts of nobody: a run that works at one has its fingerprint in its lease. One that was
    /// just left, say by a run with `--set`, may be gone on with yet.
    fn collect_drafts(
        &self,
        options: &GcOptions,
        roots: &Roots,
        report: &mut GcReport,
    ) -> Result<()> {
        for directory in folders_in(&self.store.drafts())? {
            let name = name_of(&directory);
            let fingerprint = fingerprint_of_draft(&directory);
            let stays = fingerprint.is_some_and(|fingerprint| {
                roots.in_use.contains(&fingerprint) || roots.unfinished.contains(&fingerprint)
            });
            let is_young = || -> Result<bool> {
                let mut files = files_below(&directory)?;
                files.push(directory.clone());
                Ok(files.iter().any(|path| is_young(path, options.grace)))
            };
            if stays || is_young()? {
                report.stays.extend(fingerprint);
            } else {
                let short: String = name.chars().take(12).collect();
                report.items.extend(item(GcWhat::Draft, directory, short)?);
            }
        }
        Ok(())
    }

    fn collect_locks(&self, report: &mut GcReport) -> Result<()> {
        let mut free = lease::dead(&self.store)?;
        for entry in fs::read_dir(self.store.locks())? {
            let path = entry?.path();
            if is_lock(&path) && locks::is_free(&path)? {
                free.push(path);
            }
        }
        for path in free {
            let name = name_of(&path);
            report.items.extend(item(GcWhat::Lock, path, name)?);
        }
        Ok(())
    }

    fn collect_history(&self, report: &mut GcReport) -> Result<()> {
        for pipeline in history::pipelines(&self.store)? {
            if !pipeline.path.as_ref().is_some_and(|path| path.exists()) {
                let name = pipeline
                    .path
                    .unwrap_or(pipeline.folder.clone())
                    .display()
                    .to_string();
                report
                    .items
                    .extend(item(GcWhat::History, pipeline.folder, name)?);
            }
        }
        Ok(())
    }

    /// Temporary files, what is left in the trash, folders of fingerprints that are empty, names
    /// that are none, and seals of artifacts that are gone or go.
    fn collect_strays(
        &self,
        options: &GcOptions,
        roots: &Roots,
        report: &mut GcReport,
    ) -> Result<()> {
        // Nobody misses what is in the trash, whoever is about to remove it.
        let mut strays: Vec<PathBuf> = entries_in(&self.store.trash())?;
        strays.extend(scratch::abandoned(&self.store)?);
        for folder in folders_in(&self.store.artifacts())? {
            let fingerprint = name_of(&folder).parse::<Digest>().ok();
            if fingerprint.is_some_and(|fingerprint| roots.in_use.contains(&fingerprint)) {
                continue; // a run may be about to publish into it
            }
            let is_empty = fs::read_dir(&folder)?.next().is_none();
            if (is_empty || fingerprint.is_none()) && !is_young(&folder, options.grace) {
                strays.push(folder);
            }
        }
        let folders = [
            self.store.artifacts(),
            self.store.locks(),
            self.store.history(),
            self.store.stat_cache(),
            self.store.seals().folder().to_owned(),
        ];
        let is_temporary = |path: &PathBuf| {
            durable::is_temporary(path)
                && held::is_free(path).unwrap_or(false)
                && !is_young(path, options.grace)
        };
        for folder in folders.iter().filter(|folder| folder.exists()) {
            strays.extend(files_below(folder)?.into_iter().filter(is_temporary));
        }
        // Of pipeline.lock, and of what marks the cache: .gitignore, CACHEDIR.TAG.
        let (project, cache) = (self.project.folder(), self.project.cache());
        for folder in [project, cache, self.store.root()] {
            strays.extend(entries_in(folder)?.into_iter().filter(is_temporary));
        }
        for (seal, artifact) in self.store.seals().all()? {
            if !self.store.artifacts().join(artifact).exists() {
                strays.push(seal);
            }
        }
        for path in strays {
            let name = name_of(&path);
            report.items.extend(item(GcWhat::Stray, path, name)?);
        }
        Ok(())
    }

    /// An artifact's seal goes with it.
    fn forget_seal(&self, directory: &Path) -> Result<()> {
        let name = |path: Option<&Path>| Some(path?.file_name()?.to_string_lossy().into_owned());
        let fingerprint = name(directory.parent()).and_then(|name| name.parse().ok());
        if let (Some(fingerprint), Some(content)) = (fingerprint, name(Some(directory))) {
            self.store.seals().remove(&fingerprint, &content)?;
        }
        Ok(())
    }

    /// Takes one thing away from where it is found; folders are only renamed, which is quick.
    fn set_aside(&self, item: &GcItem, trash: &mut Vec<PathBuf>) -> Result<()> {
        match fs::symlink_metadata(&item.path) {
            Ok(_) if item.path.starts_with(self.store.trash()) => {
                trash.push(item.path.clone());
            }
            Ok(metadata) if metadata.is_dir() => {
                trash.push(self.store.move_to_trash(&item.path)?);
                if item.what == GcWhat::Artifact {
                    self.forget_seal(&item.path)?;
                }
                let parent = item.path.parent().filter(|_| item.what == GcWhat::Artifact);
                if let Some(parent) = parent.filter(|parent| {
                    fs::read_dir(parent).is_ok_and(|mut left| left.next().is_none())
                }) {
                    fs::remove_dir(parent)?;
                }
            }
            // It may have been taken since it was looked at.
            Ok(_) if item.what == GcWhat::Lock || durable::is_temporary(&item.path) => {
                held::remove_free(&item.path)?;
            }
            Ok(_) => fs::remove_file(&item.path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn is_lock(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "lock")
}

/// Younger than the grace period; a time in the future, or none that can be read, is young.
fn is_young(path: &Path, grace: Duration) -> bool {
    match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(modified) => {
            SystemTime::now()
                .duration_since(modified)
                .is_ok_and(|age| age < grace)
                || modified > SystemTime::now()
        }
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// `None` when it went by itself meanwhile: runs beside `gc` clear up too.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn item(what: GcWhat, path: PathBuf, name: String) -> Result<Option<GcItem>> {
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (bytes, shared) = match metadata.is_dir() {
        true => measured(&path)?,
        false => (metadata.len(), Vec::new()),
    };
    Ok(Some(GcItem {
        what,
        path,
        name,
        bytes,
        shared,
    }))
}

/// An artifact that nobody refers to.
pub(crate) struct Unreferenced {
    pub item: GcItem,
    /// When it was published.
    pub made: SystemTime,
}

/// Adds those that go to the report's items, and counts those that stay. With neither an age nor a
/// budget all go; with an age those that are older, whatever the budget; with a budget the oldest
/// until it is met.
///
/// - `kept`: the files of those that stay in any case
pub(crate) fn choose(
    mut candidates: Vec<Unreferenced>,
    options: &GcOptions,
    now: SystemTime,
    mut kept: Met,
    report: &mut GcReport,
) {
    candidates
        .sort_by(|left, right| (left.made, &left.item.path).cmp(&(right.made, &right.item.path)));
    let everything = options.older_than.is_none() && options.max_bytes.is_none();
    let (mut all, mut gone) = (kept.clone(), Met::default());
    let mut total = report.kept_bytes;
    for Unreferenced { item, .. } in &candidates {
        total += item.bytes + all.first(&item.shared);
    }
    for Unreferenced { item, made } in candidates {
        let age = now.duration_since(made).unwrap_or_default();
        let is_old = options.older_than.is_some_and(|limit| age > limit);
        let is_too_much = options.max_bytes.is_some_and(|budget| total > budget);
        if everything || is_old || is_too_much {
            total -= item.bytes + gone.last(&item.shared);
            report.items.push(item);
        } else {
            report.kept_artifacts += 1;
            report.kept_bytes += item.bytes + kept.first(&item.shared);
        }
    }
    report.over_budget_bytes = options
        .max_bytes
        .and_then(|budget| report.kept_bytes.checked_sub(budget))
        .filter(|over| *over > 0);
}

/// What was, or would be, removed.
#[derive(Debug, Clone, Serialize)]
pub struct GcReport {
    pub items: Vec<GcItem>,
    pub bytes: u64,
    pub kept_artifacts: usize,
    pub kept_bytes: u64,
    /// By how much the kept artifacts exceed `max_bytes`: they are needed, in use or too young to
    /// go.
    pub over_budget_bytes: Option<u64>,
    pub dry_run: bool,
    /// Of the artifacts and drafts that stay.
    #[serde(skip)]
    pub stays: BTreeSet<Digest>,
}

impl GcReport {
    /// What else goes with them.
    pub fn add(&mut self, item: GcItem) {
        self.bytes += item.bytes;
        self.items.push(item);
    }
}

/// Something that goes.
#[derive(Debug, Clone, Serialize)]
pub struct GcItem {
    pub what: GcWhat,
    pub path: PathBuf,
    /// For people: `encode 0123456789ab`.
    pub name: String,
    pub bytes: u64,
    /// Files that go when no other name of theirs is left.
    #[serde(skip)]
    pub(crate) shared: Vec<SharedFile>,
}

impl GcItem {
    /// Of files that have one name.
    pub fn new(what: GcWhat, path: PathBuf, name: String, bytes: u64) -> GcItem {
        GcItem {
            what,
            path,
            name,
            bytes,
            shared: Vec::new(),
        }
    }
}

/// The sort of a thing that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GcWhat {
    Artifact,
    Draft,
    /// A lock or a lease that a dead process left.
    Lock,
    /// The last runs of a pipeline that is gone.
    History,
    /// A half-written file or folder that a dead process left.
    Stray,
    /// What a training told of itself, beside the store, whose artifact is gone.
    Curves,
}

impl fmt::Display for GcReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            let what = format!("{:?}", item.what).to_lowercase();
            writeln!(
                formatter,
                "{what:<9} {} ({})",
                item.name,
                text::bytes(item.bytes)
            )?;
        }
        write!(
            formatter,
            "{} {} {}, {}; {} {}, {}",
            if self.dry_run {
                "would remove"
            } else {
                "removed"
            },
            self.items.len(),
            if self.items.len() == 1 {
                "thing"
            } else {
                "things"
            },
            text::bytes(self.bytes),
            self.kept_artifacts,
            match self.kept_artifacts {
                1 => "artifact stays",
                _ => "artifacts stay",
            },
            text::bytes(self.kept_bytes)
        )?;
        if let Some(over) = self.over_budget_bytes {
            let warning = format!(
                "\nwarning: {} over the budget, and everything that stays is needed, in use or too young",
                text::bytes(over)
            );
            formatter.write_str(&hinted(warning, "name fewer locks, or a smaller `--grace`"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::gc::GcWhat;

    /// 10 bytes needed, and unneeded artifacts of 1, 2, 3 and 4 bytes that are 4, 3, 2 and 1 days
    /// old: which of them go.
    fn gone(days: Option<u64>, budget: Option<u64>) -> (Vec<u64>, GcReport) {
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let candidates = (1..=4_u64).rev().map(|bytes| Unreferenced {
            item: GcItem::new(
                GcWhat::Artifact,
                format!("{bytes}").into(),
                String::new(),
                bytes,
            ),
            made: now - day * (5 - bytes as u32),
        });
        let options = GcOptions {
            older_than: days.map(|days| day * days as u32 + day / 2),
            max_bytes: budget,
            ..GcOptions::default()
        };
        let mut report = GcReport {
            items: Vec::new(),
            bytes: 0,
            kept_artifacts: 1,
            kept_bytes: 10,
            over_budget_bytes: None,
            dry_run: true,
            stays: std::collections::BTreeSet::new(),
        };
        choose(
            candidates.collect(),
            &options,
            now,
            Met::default(),
            &mut report,
        );
        let sizes = report.items.iter().map(|item| item.bytes).collect();
        (sizes, report)
    }

    #[test]
    fn all_go_unless_an_age_or_a_budget_is_given() {
        assert_eq!(gone(None, None).0, [1, 2, 3, 4]);
        assert_eq!(gone(Some(2), None).0, [1, 2]);
        assert_eq!(gone(Some(9), None).0, [0; 0]);
    }

    #[test]
    fn the_oldest_go_until_the_budget_is_met() {
        assert_eq!(gone(None, Some(100)).0, [0; 0]);
        assert_eq!(gone(None, Some(20)).0, [0; 0]);
        assert_eq!(gone(None, Some(19)).0, [1]);
        assert_eq!(gone(None, Some(18)).0, [1, 2]);
        let (sizes, report) = gone(None, Some(14));
        assert_eq!(
            (sizes, report.kept_bytes, report.over_budget_bytes),
            (vec![1, 2, 3], 14, None)
        );
        assert_eq!(gone(Some(3), Some(14)).0, [1, 2, 3]);
        assert_eq!(gone(Some(2), Some(100)).0, [1, 2]);
    }

    #[test]
    fn what_is_needed_stays_over_any_budget_and_that_is_told() {
        let (sizes, report) = gone(None, Some(7));
        assert_eq!(
            (sizes, report.kept_bytes, report.over_budget_bytes),
            (vec![1, 2, 3, 4], 10, Some(3))
        );
        assert!(report.to_string().ends_with("1 artifact stays, 10 B\nwarning: 3 B over the budget, and everything that stays is needed, in use or too young\nhint: name fewer locks, or a smaller `--grace`"), "{report}");
    }
}
