//! The store: where artifacts lie, which of them count, and how one comes to be there.
//!
//! `<cache>/v1/artifacts/<fingerprint>/<first 16 digits of content>/` holds `manifest.json` and
//! `<slot>/<part>.parquet`. An entry counts only when its manifest parses and every file has its
//! length and, as far as `seal` doesn't know it at rest since it was hashed, its BLAKE3. Entries
//! are immutable; the only change is a manifest's sequence number when equal content is made again
//! after other content.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fs_err as fs;
use seedpipe_base::Refusal;

use crate::base::digest::Digest;
use crate::base::durable;
use crate::base::fault;
use crate::base::held;
use crate::base::untrusted;
use crate::cache::artifact::Artifact;
use crate::cache::manifest::Manifest;
use crate::cache::seal::Seals;
use crate::cache::walk;

pub(crate) const MANIFEST: &str = "manifest.json";

/// One content folder under a fingerprint.
#[derive(Debug)]
pub(crate) struct Entry {
    pub directory: PathBuf,
    /// The artifact, or why the entry doesn't count.
    pub state: Result<Artifact, String>,
}

/// What the store has for a fingerprint.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// The newest entry that counts.
    pub artifact: Option<Artifact>,
    /// Older entries that count: other content of the same recipe.
    pub others: Vec<Artifact>,
    /// Why entries don't count.
    pub faults: Vec<String>,
}

/// Where everything under a cache folder lies.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// Touches nothing.
    pub fn new(cache: &Path) -> Self {
        Store {
            root: cache.join("v1"),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    pub(crate) fn drafts(&self) -> PathBuf {
        self.root.join("drafts")
    }

    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    pub(crate) fn stat_cache(&self) -> PathBuf {
        self.root.join("stat")
    }

    pub fn history(&self) -> PathBuf {
        self.root.join("history")
    }

    pub(crate) fn seals(&self) -> Seals {
        Seals::new(self.root.join("seals"))
    }

    pub(crate) fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// Where reruns work.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// Where a fingerprint's unfinished work of a numerics class lies: work of another class has
    /// another place. Without a class (it is unknown, or the work is a fetch, which has none) the
    /// fingerprint is the name.
    pub fn draft(&self, fingerprint: Digest, numerics: &str) -> PathBuf {
        let name = match numerics {
            "" => fingerprint.to_string(),
            class => format!("{fingerprint}-{}", Digest::of(class.as_bytes()).prefix(8)),
        };
        self.drafts().join(name)
    }

    /// All unfinished work of a fingerprint, whatever the class.
    pub(crate) fn drafts_of(&self, fingerprint: Digest) -> io::Result<Vec<PathBuf>> {
        let mut drafts = folders_in(&self.drafts())?;
        drafts.retain(|folder| fingerprint_of_draft(folder) == Some(fingerprint));
        Ok(drafts)
    }

    /// Makes the cache's folders; the error says that the cache cannot be written and what to do.
    pub fn prepare(&self) -> Result<()> {
        let made = (|| {
            for folder in [
                self.artifacts(),
                self.drafts(),
                self.locks(),
                self.history(),
            ] {
                fault::at("cache.create", &folder)?;
                fs::create_dir_all(folder)?;
            }
            let ignore = durable::folder_of(&self.root).join(".gitignore");
            let tag = self.root.join(walk::TAG);
            for (file, text) in [(ignore, "*\n"), (tag, walk::TAGGED)] {
                if !file.exists() {
                    durable::write(&file, text.as_bytes())?;
                }
            }
            Ok(())
        })();
        made.map_err(|error: io::Error| self.unwritable(&error.into()))
    }

    /// The message that the cache cannot be written, and what to do.
    pub(crate) fn unwritable(&self, error: &anyhow::Error) -> anyhow::Error {
        let cache = durable::folder_of(&self.root).display();
        Refusal::failure(format!(
            "cache `{cache}`: expected a folder that can be written, got: {error:#}"
        ))
        .hint("free space or correct its permissions, or name another folder by `cache:` in pipeline.yaml or SEEDPIPE_CACHE; status, explain, show, metrics and verify work without writing")
        .into()
    }

    /// The newest artifact that counts, and what else lies under the fingerprint.
    pub fn find(&self, fingerprint: Digest) -> io::Result<Lookup> {
        let mut found = Lookup::default();
        for Entry { directory, state } in self.entries(fingerprint)? {
            let name = |fault: String| named(&directory, &fault);
            let state = state.and_then(|artifact| {
                self.seals().check(&artifact).map_err(name)?;
                Ok(artifact)
            });
            match state {
                Ok(artifact) => found.others.push(artifact),
                Err(fault) => found.faults.push(fault),
            }
        }
        found
            .others
            .sort_by_key(|artifact| (artifact.manifest.sequence, artifact.content));
        found.artifact = found.others.pop();
        Ok(found)
    }

    /// All content folders under a fingerprint, in order of name. Lengths are looked at, bytes are
    /// not.
    pub(crate) fn entries(&self, fingerprint: Digest) -> io::Result<Vec<Entry>> {
        let folder = self.artifacts().join(fingerprint.to_string());
        let mut entries = Vec::new();
        for directory in folders_in(&folder)? {
            let state = read_entry(&directory, fingerprint);
            entries.push(Entry { directory, state });
        }
        Ok(entries)
    }

    /// Fingerprints that have a folder, sorted.
    pub(crate) fn fingerprints(&self) -> io::Result<Vec<Digest>> {
        let folders = folders_in(&self.artifacts())?;
        let names = folders
            .iter()
            .filter_map(|folder| folder.file_name()?.to_str()?.parse().ok());
        Ok(names.collect())
    }

    /// Moves a finished folder to its place. Equal content that is there already and whole is kept
    /// instead; equal content that is damaged is replaced.
    pub(crate) fn publish(&self, finished: &Path, mut manifest: Manifest) -> Result<Artifact> {
        let fingerprint = manifest.fingerprint;
        let found = self.find(fingerprint)?;
        let newest = found
            .artifact
            .iter()
            .chain(&found.others)
            .map(|other| other.manifest.sequence)
            .max();
        let same = found
            .artifact
            .iter()
            .chain(&found.others)
            .find(|other| other.content == manifest.content);
        let folder = self.artifacts().join(fingerprint.to_string());
        let directory = folder.join(manifest.content.prefix(16));
        if let Some(same) = same.filter(|same| same.is_intact()) {
            let mut artifact = same.clone();
            if Some(artifact.manifest.sequence) != newest {
                artifact.manifest.sequence = newest.map_or(0, |newest| newest.saturating_add(1));
                durable::write(
                    &directory.join(MANIFEST),
                    artifact.manifest.encode().as_bytes(),
                )?;
            }
            return Ok(artifact);
        }
        manifest.sequence = newest.map_or(0, |newest| newest.saturating_add(1));
        durable::write(&finished.join(MANIFEST), manifest.encode().as_bytes())?;
        fault::at("publish.create", &folder)?;
        fs::create_dir_all(&folder)?;
        if directory.exists() {
            self.discard(&directory)?;
        }
        fault::at("publish.rename", &directory)?;
        fs::rename(finished, &directory).context("failed to publish an artifact")?;
        fault::at("publish.fsync-folder", &folder)?;
        durable::sync_folder(&folder)?;
        fault::at("publish.fsync-folder", &self.artifacts())?;
        durable::sync_folder(&self.artifacts())?;
        Ok(Artifact {
            fingerprint,
            content: manifest.content,
            directory,
            manifest,
        })
    }

    /// Removes a folder so that nobody sees half of it: renamed away first.
    pub(crate) fn discard(&self, folder: &Path) -> io::Result<()> {
        let trash = self.move_to_trash(folder)?;
        fault::at("trash.remove", &trash)?;
        remove_folder(&trash)
    }

    /// The folder's name in the trash.
    pub(crate) fn move_to_trash(&self, folder: &Path) -> io::Result<PathBuf> {
        fault::at("trash.create", &self.trash())?;
        fs::create_dir_all(self.trash())?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let (prefix, unique) = (durable::TEMPORARY_PREFIX, held::unique_name());
        let target = self.trash().join(format!("{prefix}{unique}-{name}"));
        fault::at("trash.rename", folder)?;
        fs::rename(folder, &target)?;
        Ok(target)
    }
}

fn named(directory: &Path, fault: &str) -> String {
    format!("`{}`: {fault}", directory.display())
}

fn read_entry(directory: &Path, fingerprint: Digest) -> Result<Artifact, String> {
    let name = |fault: String| named(directory, &fault);
    let text = untrusted::read_text(&directory.join(MANIFEST), untrusted::MAXIMAL_RECORD)
        .map_err(|error| name(error.to_string()))?;
    let manifest =
        Manifest::decode(&text).map_err(|error| name(format!("`{MANIFEST}`: {error}")))?;
    let folder_name = directory.file_name().unwrap_or_default();
    if manifest.fingerprint != fingerprint || folder_name != manifest.content.prefix(16).as_str() {
        return Err(name(format!(
            "`{MANIFEST}`: expected the folder's own artifact, got another one's"
        )));
    }
    let artifact = Artifact {
        fingerprint,
        content: manifest.content,
        directory: directory.to_owned(),
        manifest,
    };
    match artifact.first_fault() {
        None => Ok(artifact),
        Some(fault) => Err(name(fault)),
    }
}

/// Removes a folder or file of the trash; `gc` in another process may be at it too.
pub(crate) fn remove_folder(folder: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(folder) {
        Ok(metadata) if !metadata.is_dir() => fs::remove_file(folder),
        Ok(_) => fs::remove_dir_all(folder),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whose unfinished work a folder holds: see [`Store::draft`].
pub(crate) fn fingerprint_of_draft(folder: &Path) -> Option<Digest> {
    let name = folder.file_name()?.to_str()?;
    name.split('-').next()?.parse().ok()
}

/// Folders inside a folder, sorted; none when it doesn't exist.
pub(crate) fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    listed(folder, |entry| Ok(entry.file_type()?.is_dir()))
}

/// Files and folders inside a folder, sorted; none when it doesn't exist.
pub(crate) fn entries_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    listed(folder, |_| Ok(true))
}

fn listed(
    folder: &Path,
    is_wanted: impl Fn(&fs::DirEntry) -> io::Result<bool>,
) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_wanted(&entry)? {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::manifest::content_of;
    use crate::cache::manifest::tests::example;

    /// A finished folder whose output holds `text`, and its manifest.
    fn finished(folder: &Path, text: &str) -> (PathBuf, Manifest) {
        let directory = folder.join("finished");
        fs::create_dir_all(directory.join("views")).unwrap();
        fs::write(directory.join("views/v0.parquet"), text).unwrap();
        let mut manifest = example();
        let output = manifest.outputs.get_mut("views").unwrap();
        output.content = Digest::of(text.as_bytes());
        output.parts[0].bytes = text.len() as u64;
        output.parts[0].blake3 = Digest::of(text.as_bytes());
        manifest.content = content_of(&manifest.outputs);
        (directory, manifest)
    }

    fn publish(folder: &Path, store: &Store, text: &str) -> Artifact {
        let (directory, manifest) = finished(folder, text);
        store.publish(&directory, manifest).unwrap()
    }

    #[test]
    fn what_is_published_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let artifact = publish(folder.path(), &store, "abc");
        assert_eq!(
            store.find(artifact.fingerprint).unwrap().artifact,
            Some(artifact.clone())
        );
        assert_eq!(fs::read(&artifact.parts("views")[0]).unwrap(), b"abc");
        assert_eq!(store.fingerprints().unwrap(), [artifact.fingerprint]);
    }

    #[test]
    fn an_entry_whose_file_is_short_or_gone_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let artifact = publish(folder.path(), &store, "abc");
        let part = &artifact.parts("views")[0];
        fs::write(part, "ab").unwrap();
        let found = store.find(artifact.fingerprint).unwrap();
        assert_eq!(found.artifact, None);
        assert!(
            found.faults[0].contains("`views/v0.parquet`: expected 3 bytes, got 2 bytes"),
            "{:?}",
            found.faults
        );
        fs::remove_file(part).unwrap();
        let found = store.find(artifact.fingerprint).unwrap();
        assert!(
            found.faults[0].contains("got no such file"),
            "{:?}",
            found.faults
        );
    }

    #[test]
    fn other_content_is_kept_beside_and_the_newest_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let first = publish(folder.path(), &store, "abc");
        let second = publish(folder.path(), &store, "xyz");
        let found = store.find(first.fingerprint).unwrap();
        assert_eq!(
            found.artifact.map(|artifact| artifact.content),
            Some(second.content)
        );
        assert_eq!(found.others.len(), 1);
        publish(folder.path(), &store, "abc");
        let found = store.find(first.fingerprint).unwrap();
        assert_eq!(
            found.artifact.map(|artifact| artifact.content),
            Some(first.content)
        );
        assert_eq!(found.others.len(), 1);
    }

    #[test]
    fn publishing_equal_content_heals_a_damaged_entry() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        store.prepare().unwrap();
        let artifact = publish(folder.path(), &store, "abc");
        fs::write(&artifact.parts("views")[0], "abX").unwrap();
        publish(folder.path(), &store, "abc");
        assert_eq!(fs::read(&artifact.parts("views")[0]).unwrap(), b"abc");
        assert_eq!(fs::read_dir(store.trash()).unwrap().count(), 0);
    }

    #[test]
    fn a_cache_that_cannot_be_written_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let message = Store::new(&file).prepare().unwrap_err().to_string();
        assert!(message.starts_with(&format!(
            "cache `{}`: expected a folder that can be written",
            file.display()
        )));
        assert!(message.contains("\nhint: "));
    }
}
