//! When an artifact's files were last found whole:
//! `<cache>/v1/seals/<fingerprint>-<16 digits of content>.bin`, outside the artifact's own folder,
//! in the form of the stat cache.
//!
//! A file is hashed again unless its stat is the sealed one and was at rest when it was hashed:
//! right after a run made it, after it was changed, touched, copied or restored. What a disk
//! changes without changing a stat only `verify` finds; it then breaks the seal. A seal decides
//! nothing but whether to hash, so one that is lost or torn costs time alone.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use fs_err as fs;
use rayon::prelude::*;

use crate::base::digest::Digest;
use crate::base::durable;
use crate::cache::artifact::Artifact;
use crate::cache::manifest::PartRecord;
use crate::cache::source::now;
use crate::cache::stat_cache::{self, FileStat, Record, encode};

/// What this process found in files at rest. Another name changes the stat of a file that artifacts
/// share: all of them ask for it again, and it is hashed for the first.
static HASHED: LazyLock<Mutex<HashMap<FileStat, Digest>>> = LazyLock::new(Mutex::default);

fn hashed() -> MutexGuard<'static, HashMap<FileStat, Digest>> {
    HASHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The seals of a cache.
#[derive(Debug)]
pub(crate) struct Seals {
    folder: PathBuf,
}

/// A file of an artifact that must be hashed, and the stat that it had before.
struct Unsealed<'a> {
    file: String,
    path: PathBuf,
    part: &'a PartRecord,
    stat: FileStat,
}

impl Seals {
    pub fn new(folder: PathBuf) -> Seals {
        Seals { folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every seal with the artifact that it is for, as `<fingerprint>/<16 digits of content>`.
    pub fn all(&self) -> io::Result<Vec<(PathBuf, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut seals = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let artifact = name
                .and_then(|name| name.strip_suffix(".bin")?.split_once('-'))
                .map(|(fingerprint, content)| Path::new(fingerprint).join(content));
            seals.extend(artifact.map(|artifact| (path, artifact)));
        }
        seals.sort();
        Ok(seals)
    }

    /// Whether every file is as the manifest says. Files that the seal doesn't know at rest are
    /// hashed and sealed.
    ///
    /// # Errors
    /// The first file that isn't, with what was expected and what was found.
    pub fn check(&self, artifact: &Artifact) -> Result<(), String> {
        let known = self.read(&artifact.fingerprint, &artifact.content.prefix(16));
        let mut records = BTreeMap::new();
        let mut unsealed = Vec::new();
        for (slot, part) in artifact.files() {
            let file = format!("{slot}/{}", part.name);
            let path = artifact.directory.join(slot).join(&part.name);
            let metadata = fs::metadata(&path)
                .map_err(|error| format!("`{file}`: expected {} bytes, got {error}", part.bytes))?;
            let stat = FileStat::of(&metadata);
            match known.get(file.as_bytes()) {
                Some(record)
                    if record.trusted && record.stat == stat && record.digest == part.blake3 =>
                {
                    records.insert(file.into_bytes(), record.clone());
                }
                _ => unsealed.push(Unsealed {
                    file,
                    path,
                    part,
                    stat,
                }),
            }
        }
        if unsealed.is_empty() {
            return Ok(());
        }
        let hashed: Vec<Record> = unsealed
            .par_iter()
            .map(hash)
            .collect::<Result<_, String>>()?;
        records.extend(
            hashed
                .into_iter()
                .map(|record| (record.path.clone(), record)),
        );
        if records != known {
            self.write(artifact, &records.into_values().collect::<Vec<_>>());
        }
        Ok(())
    }

    /// Forgets that the artifact's files were whole: they are hashed before they are used again.
    pub fn remove(&self, fingerprint: &Digest, content: &str) -> io::Result<()> {
        hashed().clear();
        match fs::remove_file(self.path(fingerprint, content)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn path(&self, fingerprint: &Digest, content: &str) -> PathBuf {
        self.folder.join(format!("{fingerprint}-{content}.bin"))
    }

    fn read(&self, fingerprint: &Digest, content: &str) -> BTreeMap<Vec<u8>, Record> {
        // One that can't be read is none.
        let records = stat_cache::read(&self.path(fingerprint, content));
        records
            .into_iter()
            .map(|record| (record.path.clone(), record))
            .collect()
    }

    /// Not fsynced, since a checksum guards it: a fully cached run of many stages must not wait for
    /// the disk.
    fn write(&self, artifact: &Artifact, records: &[Record]) {
        let path = self.path(&artifact.fingerprint, &artifact.content.prefix(16));
        // Who only looks at a cache may not be allowed to write: the files are hashed again next
        // time.
        let _ = fs::create_dir_all(&self.folder)
            .and_then(|()| durable::write_lightly(&path, &encode(records)));
    }
}

fn hash(unsealed: &Unsealed) -> Result<Record, String> {
    let Unsealed {
        file,
        path,
        part,
        stat,
    } = unsealed;
    let start = now();
    let wrong = |got: String| format!("`{file}`: expected BLAKE3 {}, got {got}", part.blake3);
    let known = hashed().get(stat).copied();
    let digest = match known {
        Some(digest) => digest,
        None => Digest::of_file(path).map_err(|error| wrong(error.to_string()))?,
    };
    if digest != part.blake3 {
        return Err(wrong(format!("BLAKE3 {digest}")));
    }
    let after = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if FileStat::of(&after) != *stat {
        return Err(wrong("a file that changes while it is read".to_owned()));
    }
    let trusted = stat.is_settled(start);
    if trusted {
        hashed().insert(*stat, digest);
    }
    Ok(Record {
        path: file.clone().into_bytes(),
        stat: *stat,
        digest,
        trusted,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::cache::manifest::tests::example;

    /// An artifact with one file that holds `abc`, last changed an hour ago as far as its
    /// modification time says.
    fn artifact(folder: &Path) -> Artifact {
        let manifest = example();
        let directory = folder.join("artifact");
        fs::create_dir_all(directory.join("views")).unwrap();
        let artifact = Artifact {
            fingerprint: manifest.fingerprint,
            content: manifest.content,
            directory,
            manifest,
        };
        fs::write(part(&artifact), "abc").unwrap();
        artifact
    }

    fn part(artifact: &Artifact) -> PathBuf {
        artifact.parts("views").remove(0)
    }

    /// Says in the seal that the file is at rest with the stat that it has now.
    fn vouch(seals: &Seals, artifact: &Artifact) {
        let record = Record {
            path: b"views/v0.parquet".to_vec(),
            stat: FileStat::of(&fs::metadata(part(artifact)).unwrap()),
            digest: Digest::of(b"abc"),
            trusted: true,
        };
        seals.write(artifact, &[record]);
    }

    #[test]
    fn a_flipped_bit_is_found_when_the_stat_changed_and_believed_when_it_did_not() {
        let folder = tempfile::tempdir().unwrap();
        let seals = Seals::new(folder.path().join("seals"));
        let artifact = artifact(folder.path());
        seals.check(&artifact).unwrap();
        vouch(&seals, &artifact);
        fs::write(part(&artifact), "abX").unwrap();
        let fault = seals.check(&artifact).unwrap_err();
        assert_eq!(
            fault,
            format!(
                "`views/v0.parquet`: expected BLAKE3 {}, got BLAKE3 {}",
                Digest::of(b"abc"),
                Digest::of(b"abX")
            )
        );
        vouch(&seals, &artifact);
        seals.check(&artifact).unwrap();
        seals
            .remove(&artifact.fingerprint, &artifact.content.prefix(16))
            .unwrap();
        seals.check(&artifact).unwrap_err();
    }

    #[test]
    fn a_young_file_is_sealed_without_trust_and_hashed_again() {
        let folder = tempfile::tempdir().unwrap();
        let seals = Seals::new(folder.path().join("seals"));
        let artifact = artifact(folder.path());
        let content = artifact.content.prefix(16);
        seals.check(&artifact).unwrap();
        let sealed = seals.read(&artifact.fingerprint, &content);
        assert!(sealed.values().all(|record| !record.trusted));
        // A clock that was set back: the file is of the future, and never at rest.
        let file = fs::File::options()
            .write(true)
            .open(part(&artifact))
            .unwrap();
        let future = SystemTime::now() + Duration::from_secs(86_400);
        file.file().set_modified(future).unwrap();
        seals.check(&artifact).unwrap();
        let sealed = seals.read(&artifact.fingerprint, &content);
        assert!(sealed.values().all(|record| !record.trusted));
        assert_eq!(seals.all().unwrap().len(), 1);
    }

    #[test]
    fn a_seal_that_vouches_for_other_bytes_than_the_manifest_names_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let seals = Seals::new(folder.path().join("seals"));
        let artifact = artifact(folder.path());
        fs::write(part(&artifact), "abX").unwrap();
        let record = Record {
            path: b"views/v0.parquet".to_vec(),
            stat: FileStat::of(&fs::metadata(part(&artifact)).unwrap()),
            digest: Digest::of(b"abX"),
            trusted: true,
        };
        seals.write(&artifact, &[record]);
        seals.check(&artifact).unwrap_err();
    }

    #[test]
    fn where_no_seal_can_be_written_the_files_are_hashed_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let seals = Seals::new(folder.path().join("file"));
        fs::write(seals.folder(), "").unwrap();
        let artifact = artifact(folder.path());
        seals.check(&artifact).unwrap();
        fs::write(part(&artifact), "abX").unwrap();
        seals.check(&artifact).unwrap_err();
    }
}
