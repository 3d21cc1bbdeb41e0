//! `verify --repair` removes what was found damaged, under the rules of `gc`: the gate is held, and
//! what a run that is alive uses stays. It is fetched again where the remote has it; else the next
//! run makes it again.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use fs_err as fs;
use seedpipe_base::hinted;
use serde::Serialize;

use crate::base::digest::Digest;
use crate::cache::processes::lease;
use crate::cache::processes::locks::Guard;
use crate::cache::remote::{SharedRemote, Trouble};
use crate::cache::store::remove_folder;
use crate::check::verify::{
    FileFault, NO_SUCH_FILE, VerifiedArtifact, VerifyReport, VerifyScope, name_of,
};
use crate::kind::observer::Observer;
use crate::run::engine::Engine;
use crate::share::offer;

/// What was done about a damaged artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// `student` or `encode`, as far as it is known.
    pub name: String,
    pub fingerprint: Digest,
    /// First 16 digits of the content digest.
    pub content: String,
    pub repair: Repair,
}

/// How an artifact was repaired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// The whole artifact was removed.
    Removed,
    /// It was removed, and fetched again from the remote.
    Fetched,
    /// Only files were removed that its manifest doesn't name: the artifact itself is good.
    RemovedFiles(Vec<String>),
    /// Nothing: a run that is alive uses it.
    InUse,
    /// Nothing: it was made again, or removed, meanwhile.
    Good,
}

impl fmt::Display for Repaired {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repaired {
            name,
            fingerprint,
            content,
            repair,
        } = self;
        write!(formatter, "{name} {}/{content}: ", fingerprint.short())?;
        match repair {
            Repair::Removed => write!(formatter, "removed; `seedpipe run` makes it again"),
            Repair::Fetched => write!(formatter, "removed, and fetched from the remote"),
            Repair::RemovedFiles(files) => write!(
                formatter,
                "removed {}, which its manifest doesn't name",
                files.join(", ")
            ),
            Repair::InUse => formatter.write_str(&hinted(
                "left, since a run that is alive uses it",
                "repair again when that run is over",
            )),
            Repair::Good => write!(formatter, "good by now"),
        }
    }
}

impl VerifyReport {
    /// Whether nothing damaged is left.
    pub fn is_repaired(&self) -> bool {
        let damaged = self
            .artifacts
            .iter()
            .filter(|artifact| !artifact.faults.is_empty())
            .count();
        let is_left = |repaired: &Repaired| repaired.repair == Repair::InUse;
        damaged == self.repaired.len()
            && !self.repaired.iter().any(is_left)
            && self.contradictions().is_empty()
    }
}

impl Engine {
    /// Verifies, then removes what is damaged and what no manifest names, and fetches what the
    /// remote has of it.
    ///
    /// # Errors
    /// As `verify`, and when the cache can't be written.
    pub fn repair(&self, scope: VerifyScope, observer: &dyn Observer) -> Result<VerifyReport> {
        let mut report = self.verify(scope, observer)?;
        if report.is_good() {
            return Ok(report);
        }
        let mut trash = Vec::new();
        // Runs look up artifacts behind the same gate: what they use is in their lease.
        let gate = Guard::exclusive(&lease::gate(&self.store))
            .map_err(|error| self.store.unwritable(&error))?;
        let in_use = lease::in_use(&self.store)?;
        let damaged = report
            .artifacts
            .iter()
            .filter(|artifact| !artifact.faults.is_empty());
        for artifact in damaged {
            let repair = if in_use.contains(&artifact.fingerprint) {
                Repair::InUse
            } else {
                self.remove_damage(artifact, &mut trash)?
            };
            report.repaired.push(Repaired {
                name: name_of(artifact),
                fingerprint: artifact.fingerprint,
                content: artifact.content.clone(),
                repair,
            });
        }
        drop(gate);
        for path in trash {
            remove_folder(&path)?;
        }
        self.fetch_removed(&mut report.repaired, observer)?;
        report.lock = self.locked_artifacts()?;
        Ok(report)
    }

    /// Fetches what was removed, by the remote's own manifests: the local ones may be what was
    /// damaged. A remote that fails or lies is told; then the next run makes the artifact again.
    fn fetch_removed(&self, repaired: &mut [Repaired], observer: &dyn Observer) -> Result<()> {
        let Some(shared) = &self.shared_remote else {
            return Ok(());
        };
        let removed = repaired
            .iter_mut()
            .filter(|repaired| repaired.repair == Repair::Removed);
        for repaired in removed {
            match self.fetch_by_name(shared, repaired, observer) {
                Ok(true) => repaired.repair = Repair::Fetched,
                Ok(false) => {}
                Err(Trouble::Here(error)) => return Err(error),
                Err(Trouble::Refused(message)) => {
                    let message = format!("{message}; it is refused");
                    observer.warning(Some(&repaired.name), &message);
                }
                Err(Trouble::Unreachable(error)) => {
                    observer.warning(None, &format!("{error:#}; nothing more is fetched"));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether the remote had the artifact.
    fn fetch_by_name(
        &self,
        shared: &SharedRemote,
        repaired: &Repaired,
        observer: &dyn Observer,
    ) -> Result<bool, Trouble> {
        let remote = shared.remote.as_ref();
        let fingerprint = repaired.fingerprint;
        let Some(index) = offer::index(remote, fingerprint)? else {
            return Ok(false);
        };
        let Some(content) = index.newest() else {
            return Ok(false);
        };
        let recipe = offer::manifest(remote, fingerprint, content)?.recipe;
        if self.registry.kind(&recipe.kind).is_none() {
            return Ok(false); // of another pipeline, by a program that knows more kinds
        }
        let fetched = self.fetch_locked(shared, &repaired.name, &recipe, observer)?;
        Ok(fetched.is_some())
    }

    /// Moves the damaged artifact, or the files that don't belong to it, to the trash. With the
    /// gate held.
    fn remove_damage(
        &self,
        artifact: &VerifiedArtifact,
        trash: &mut Vec<PathBuf>,
    ) -> Result<Repair> {
        if !artifact.directory.exists() {
            return Ok(Repair::Good);
        }
        // A run may have made it again since it was hashed.
        let faults = self.faults_of(artifact)?;
        let is_stray = |fault: &FileFault| fault.expected == NO_SUCH_FILE;
        if faults.is_empty() {
            return Ok(Repair::Good);
        }
        if faults.iter().all(is_stray) {
            let mut files = Vec::new();
            for fault in faults {
                trash.push(
                    self.store
                        .move_to_trash(&artifact.directory.join(&fault.file))?,
                );
                files.push(format!("`{}`", fault.file));
            }
            return Ok(Repair::RemovedFiles(files));
        }
        trash.push(self.store.move_to_trash(&artifact.directory)?);
        let parent = artifact.directory.parent();
        if let Some(parent) = parent
            && fs::read_dir(parent)?.next().is_none()
        {
            fs::remove_dir(parent)?;
        }
        Ok(Repair::Removed)
    }
}
