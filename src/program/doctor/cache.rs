//! The cache's folder, the file system under it, unfinished work in it, and room for what the plan
//! will store.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Access, access, statvfs};
use seedpipe_engine::{Engine, StageState, Unfinished};

use super::Finding;
use crate::{project::storage, terminal::figures};

/// Less room than this is told, whatever the plan stores.
const LITTLE: u64 = 1_000_000_000;
/// File systems on other machines: locks and renames are as good as their server, and hashing waits
/// for the network.
const REMOTE_SYSTEMS: [&str; 10] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "ceph",
    "lustre",
    "glusterfs",
    "fuse.sshfs",
    "fuse.s3fs",
];
/// File systems in memory.
const VOLATILE_SYSTEMS: [&str; 2] = ["tmpfs", "ramfs"];

/// Whether the cache can be written, and what it lies on.
pub fn health(cache: &Path) -> Result<Finding> {
    let subject = "cache";
    let there = nearest(cache);
    let shown = figures::path(cache);
    if !there.is_dir() || access(&there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Ok(Finding::fault(
            subject,
            format!(
                "`{shown}`: expected a folder that can be written, got `{}`, which can't",
                there.display()
            ),
            "correct its permissions, or name another folder by `cache:` in pipeline.yaml or SEEDPIPE_CACHE",
        ));
    }
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let system = file_system(&mounts, &fs_err::canonicalize(&there)?);
    Ok(judge_system(&shown, system.as_deref()))
}

fn judge_system(shown: &str, system: Option<&str>) -> Finding {
    let subject = "cache";
    let system = system.unwrap_or("unknown");
    let told = format!("`{shown}` can be written, on {system}");
    if VOLATILE_SYSTEMS.contains(&system) {
        let remedy = "name a folder on a disk by `cache:` in pipeline.yaml or SEEDPIPE_CACHE";
        return Finding::warning(
            subject,
            format!("{told}, which is gone after a restart"),
            remedy,
        );
    }
    if REMOTE_SYSTEMS.contains(&system) {
        let remedy = "keep the cache on a disk of this machine, and share results by `remote:`";
        return Finding::warning(
            subject,
            format!("{told}, over the network: slow, and locks are its server's"),
            remedy,
        );
    }
    Finding::ok(subject, told)
}

/// The folder itself, or the nearest above it that is there.
fn nearest(folder: &Path) -> PathBuf {
    let above = folder.ancestors().find(|above| above.exists());
    match above {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The type of the file system that a path lies on: that of the longest mount point above it, the
/// last one of equal ones.
///
/// - `mounts`: /proc/self/mountinfo
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        let system = after.split(' ').next()?;
        let length = point.len();
        if path.starts_with(&point) && best.as_ref().is_none_or(|(longest, _)| length >= *longest) {
            best = Some((length, system.to_owned()));
        }
    }
    best.map(|(_, system)| system)
}

/// Work that interrupted runs left.
pub fn unfinished(engine: &Engine) -> Result<Finding> {
    Ok(judge_unfinished(&engine.unfinished()?))
}

fn judge_unfinished(drafts: &[Unfinished]) -> Finding {
    let subject = "drafts";
    let (wanted, others): (Vec<&Unfinished>, Vec<&Unfinished>) =
        drafts.iter().partition(|draft| draft.stage.is_some());
    let mut told: Vec<String> = wanted.iter().map(|draft| of_stage(draft)).collect();
    if others.is_empty() {
        let told = match told.is_empty() {
            true => "no unfinished work".to_owned(),
            false => told.join("; "),
        };
        return Finding::ok(subject, told);
    }
    let bytes = others.iter().map(|draft| draft.bytes).sum();
    told.push(format!(
        "{} that no stage of this plan needs ({})",
        figures::counted(others.len() as u64, "draft"),
        figures::bytes(bytes)
    ));
    Finding::warning(
        subject,
        told.join("; "),
        "`seedpipe gc` removes what nobody needs, an hour after it was left",
    )
}

/// `` unfinished work of `student` (1.2 MB): goes on from epoch 12 of 83, step 340 of 1,245 ``.
fn of_stage(draft: &Unfinished) -> String {
    let stage = draft.stage.as_deref().unwrap_or_default();
    let left = draft.left.as_ref().map_or_else(
        || "begins anew: nothing of it is finished".to_owned(),
        ToString::to_string,
    );
    let bytes = figures::bytes(draft.bytes);
    format!("unfinished work of `{stage}` ({bytes}): {left}")
}

/// Free room on the cache's file system against what the plan will store.
pub fn room(engine: &Engine) -> Result<Finding> {
    let stages = engine.status()?;
    let planned = storage::planned(engine, &stages)?;
    let waiting: Vec<&str> = stages
        .iter()
        .zip(&planned)
        .filter(|(stage, storage)| {
            stage.state != StageState::Cached
                && storage
                    .as_ref()
                    .is_some_and(|storage| storage.bytes().is_none())
        })
        .map(|(stage, _)| stage.stage.as_str())
        .collect();
    let needed = planned
        .iter()
        .flatten()
        .filter_map(|storage| storage.bytes())
        .sum();
    let free = free(engine.project().cache())?;
    Ok(judge_room(free, needed, &waiting))
}

/// Without a plan.
pub fn free_room(folder: &Path) -> Result<Finding> {
    Ok(judge_room(free(folder)?, 0, &[]))
}

fn free(folder: &Path) -> Result<u64> {
    let there = nearest(folder);
    let about = statvfs(&there)
        .with_context(|| format!("`{}`: its file system can't be asked", there.display()))?;
    Ok(about.f_bavail * about.f_frsize)
}

/// - `needed`: bytes of targets that will be stored, as far as they are known
/// - `waiting`: stages whose bytes are not known yet
fn judge_room(free: u64, needed: u64, waiting: &[&str]) -> Finding {
    let subject = "disk";
    let mut told = format!("{} free", figures::bytes(free));
    if needed > 0 {
        told = format!(
            "{told}, and the plan's targets will take {}",
            figures::bytes(needed)
        );
    }
    if !waiting.is_empty() {
        let names: Vec<String> = waiting.iter().map(|name| format!("`{name}`")).collect();
        told = format!(
            "{told}; what {} will store is not known yet",
            names.join(", ")
        );
    }
    let remedy = "free space (`seedpipe gc`), name another folder by `cache:`, or store fewer views (`views_per_image`)";
    if free < needed {
        return Finding::fault(subject, told, remedy);
    }
    if free < LITTLE || free - needed < needed / 2 {
        return Finding::warning(subject, told, remedy);
    }
    Finding::ok(subject, told)
}

#[cfg(test)]
mod tests {
    use seedpipe_engine::{Left, Next, Reached};

    use super::*;
    use crate::doctor::Severity;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /data rw - nfs4 server:/data rw
24 22 0:22 / /data/my\\040disk rw - xfs /dev/sdb rw
25 22 0:23 / /tmp rw - tmpfs tmpfs rw
";

    #[test]
    fn a_file_system_is_that_of_the_longest_mount_point() {
        for (path, system) in [
            ("/home/me", "ext4"),
            ("/data/cache", "nfs4"),
            ("/data/my disk/x", "xfs"),
            ("/database", "ext4"),
            ("/tmp/x", "tmpfs"),
        ] {
            assert_eq!(
                file_system(MOUNTS, Path::new(path)).as_deref(),
                Some(system)
            );
        }
        assert_eq!(file_system("", Path::new("/")), None);
        assert_eq!(judge_system("c", Some("nfs4")).severity, Severity::Warning);
        assert_eq!(judge_system("c", Some("tmpfs")).severity, Severity::Warning);
        assert_eq!(judge_system("c", Some("ext4")).severity, Severity::Ok);
    }

    #[test]
    fn room_is_held_against_what_will_be_stored() {
        let billion = 1_000_000_000;
        for (free, needed, severity) in [
            (100 * billion, 0, Severity::Ok),
            (billion / 2, 0, Severity::Warning),
            (100 * billion, 66 * billion, Severity::Ok),
            (90 * billion, 66 * billion, Severity::Warning),
            (60 * billion, 66 * billion, Severity::Fault),
        ] {
            assert_eq!(
                judge_room(free, needed, &[]).severity,
                severity,
                "{free} {needed}"
            );
        }
    }

    #[test]
    fn drafts_that_no_stage_needs_are_told_with_the_remedy() {
        let draft = |stage: Option<&str>| Unfinished {
            fingerprint: "ab".repeat(32).parse().unwrap(),
            stage: stage.map(str::to_owned),
            bytes: 2_000,
            left: Some(Left {
                numerics: "x86_64".to_owned(),
                reached: vec![Reached::new("shard", 3, 1_008)],
                next: Next::GoesOn,
            }),
        };
        assert_eq!(judge_unfinished(&[]).message, "no unfinished work");
        let wanted = judge_unfinished(&[draft(Some("student"))]);
        assert_eq!(wanted.severity, Severity::Ok);
        assert_eq!(
            wanted.message,
            "unfinished work of `student` (2.0 kB): goes on from 3 of 1,008 shards"
        );
        let other = judge_unfinished(&[draft(Some("student")), draft(None)]);
        assert_eq!(other.severity, Severity::Warning);
        assert!(
            other
                .remedy
                .is_some_and(|remedy| remedy.contains("seedpipe gc"))
        );
    }
}
