//! Brings one artifact from the remote into the store.
//!
//! Files come into the fingerprint's draft folder, `fetched-<content>/<slot>/<part>`, each hashed
//! on the way in; what an interrupted fetch left whole is kept, and what the cache has already is
//! shared. Published only when every file has
//! its digest and all of them together the content that the manifest claims. Call it under the
//! fingerprint's lock.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use fs_err as fs;

use crate::base::cancel;
use crate::base::digest::Digest;
use crate::base::durable;
use crate::cache::artifact::Artifact;
use crate::cache::left::FETCHED;
use crate::cache::manifest::{Manifest, OutputRecord, PartRecord};
use crate::cache::recipe::Recipe;
use crate::cache::remote::{CONTENT_DIGITS, Remote, SharedRemote, Trouble, blob_key, manifest_key};
use crate::kind::observer::{Observer, Progress};
use crate::kind::registry::Kind;
use crate::run::engine::Engine;
use crate::share::offer::{in_parallel, offered, refused};

/// A file that is to be fetched.
struct WantedFile<'a> {
    path: PathBuf,
    part: &'a PartRecord,
}

/// What was fetched.
pub(crate) struct Fetched {
    pub artifact: Artifact,
    /// Bytes that came over the line: not those that an interrupted fetch had left.
    pub bytes: u64,
}

impl Engine {
    /// The artifact of a recipe, now in the store; `None` when the remote has none.
    pub(crate) fn fetch(
        &self,
        shared: &SharedRemote,
        stage: &str,
        recipe: &Recipe,
        observer: &dyn Observer,
    ) -> Result<Option<Fetched>, Trouble> {
        let remote = shared.remote.as_ref();
        let kind = self.registry.known(&recipe.kind);
        let Some(manifest) = offered(remote, recipe, kind)? else {
            return Ok(None);
        };
        let draft = self.store.draft(manifest.fingerprint, "");
        let folder = draft.join(format!(
            "{FETCHED}{}",
            manifest.content.prefix(CONTENT_DIGITS)
        ));
        let wanted = prepare(&folder, &manifest)?;
        self.share_stored(&wanted)?;
        let bytes = download(remote, &wanted, Progress::new(stage, observer))?;
        for slot in manifest.outputs.keys() {
            durable::sync_folder(&folder.join(slot))?;
        }
        if let Err(trouble) = self.check_content(remote, &folder, &manifest) {
            self.store.discard(&folder)?;
            return Err(trouble);
        }
        let artifact = self.store.publish(&folder, manifest)?;
        // Also what an interrupted run had computed of it: nobody needs that now.
        for draft in self.store.drafts_of(artifact.fingerprint)? {
            self.store.discard(&draft)?;
        }
        shared.note_fetched(artifact.fingerprint);
        Ok(Some(Fetched { artifact, bytes }))
    }

    /// Files that an artifact of the cache has need not come over the line, nor be kept twice.
    fn share_stored(&self, wanted: &[WantedFile]) -> io::Result<()> {
        let missing = wanted.iter().filter(|wanted| !wanted.path.exists());
        let missing: BTreeMap<Digest, &Path> = missing
            .map(|wanted| (wanted.part.blake3, wanted.path.as_path()))
            .collect();
        for fingerprint in self.store.fingerprints()? {
            let entries = self.store.entries(fingerprint)?.into_iter();
            for artifact in entries.filter_map(|entry| entry.state.ok()) {
                for (slot, part) in artifact.files() {
                    if let Some(path) = missing.get(&part.blake3) {
                        durable::second_name(&artifact.directory.join(slot).join(&part.name), path);
                    }
                }
            }
        }
        Ok(())
    }

    /// The files hold what the manifest says of them: whoever wrote the manifest could claim any
    /// content for them.
    fn check_content(
        &self,
        remote: &dyn Remote,
        folder: &Path,
        manifest: &Manifest,
    ) -> Result<(), Trouble> {
        let key = manifest_key(
            manifest.fingerprint,
            &manifest.content.prefix(CONTENT_DIGITS),
        );
        let names = self
            .registry
            .kind(&manifest.recipe.kind)
            .map_or(&[][..], Kind::headline);
        for (slot, output) in &manifest.outputs {
            let paths: Vec<PathBuf> = output
                .parts
                .iter()
                .map(|part| folder.join(slot).join(&part.name))
                .collect();
            let unread = |error: anyhow::Error| {
                refused(
                    remote,
                    &key,
                    format!("files of `{slot}` that hold {}", output.kind),
                    format!("{error:#}"),
                )
            };
            let contradiction = self.contradiction(output, &paths, names);
            if let Some((expected, found)) = contradiction.map_err(unread)? {
                let expected = format!("files of `{slot}` with {expected}");
                return Err(refused(remote, &key, expected, found));
            }
        }
        Ok(())
    }

    /// What an output's record says and its files don't, and what they hold: only its content is in
    /// a digest.
    ///
    /// - `names`: of the kind's headline figures
    pub(crate) fn contradiction(
        &self,
        record: &OutputRecord,
        parts: &[PathBuf],
        names: &[&str],
    ) -> Result<Option<(String, String)>> {
        let found = self.codec.digest(&record.kind, parts)?;
        let figures = self.codec.headline(&record.kind, parts, names)?;
        let content = |content: Digest, rows| format!("content {}, {rows} rows", content.short());
        let text = |figures: &BTreeMap<String, f64>| {
            let figures = figures
                .iter()
                .map(|(name, figure)| format!("{name} {figure}"));
            format!("the figures [{}]", figures.collect::<Vec<_>>().join(", "))
        };
        Ok(
            if (found.digest, found.rows) != (record.content, record.rows) {
                let expected = content(record.content, record.rows);
                Some((expected, content(found.digest, found.rows)))
            } else if figures != record.headline {
                Some((text(&record.headline), text(&figures)))
            } else {
                None
            },
        )
    }
}

/// The files to fetch, in a folder that holds nothing else.
fn prepare<'a>(folder: &Path, manifest: &'a Manifest) -> io::Result<Vec<WantedFile<'a>>> {
    let mut wanted = Vec::new();
    for (slot, OutputRecord { parts, .. }) in &manifest.outputs {
        fs::create_dir_all(folder.join(slot))?;
        wanted.extend(parts.iter().map(|part| WantedFile {
            path: folder.join(slot).join(&part.name),
            part,
        }));
    }
    let known: BTreeSet<&Path> = wanted.iter().map(|wanted| wanted.path.as_path()).collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
            continue;
        }
        for entry in fs::read_dir(entry.path())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if !known.contains(entry.path().as_path()) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(wanted)
}

/// Fetches what isn't there yet; gives the bytes that came.
fn download(
    remote: &dyn Remote,
    wanted: &[WantedFile],
    progress: Progress,
) -> Result<u64, Trouble> {
    let total = wanted.iter().map(|wanted| wanted.part.bytes).sum();
    let is_there = |wanted: &&WantedFile| {
        let metadata = fs::symlink_metadata(&wanted.path);
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == wanted.part.bytes)
            && Digest::of_file(&wanted.path).is_ok_and(|digest| digest == wanted.part.blake3)
    };
    let (there, missing): (Vec<&WantedFile>, Vec<&WantedFile>) = wanted.iter().partition(is_there);
    let done = there.iter().map(|wanted| wanted.part.bytes).sum();
    progress.begin("fetching", "bytes", total, done);
    let fetched = in_parallel(&missing, |wanted| fetch_file(remote, wanted, progress));
    progress.finish();
    fetched.map(|()| total - done)
}

/// One file, hashed as it comes; what isn't what it should be is removed.
fn fetch_file(remote: &dyn Remote, wanted: &WantedFile, progress: Progress) -> Result<(), Trouble> {
    let WantedFile { path, part } = wanted;
    let key = blob_key(part.blake3);
    // A link that lies there from elsewhere is replaced, not followed.
    if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path)?;
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut length = 0_u64;
    let mut stopped: Option<Trouble> = None;
    let fetched = remote.fetch(&key, &mut |bytes| {
        length += bytes.len() as u64;
        let written = if length > part.bytes {
            Err(refused(
                remote,
                &key,
                format!("{} bytes", part.bytes),
                "more",
            ))
        } else if cancel::requested() {
            Err(Trouble::Here(cancel::Cancelled.into()))
        } else {
            hasher.update(bytes);
            file.write_all(bytes).map_err(Trouble::from)
        };
        progress.advance(bytes.len() as u64);
        match written {
            Ok(()) => true,
            Err(trouble) => {
                stopped = Some(trouble);
                false
            }
        }
    });
    let found = Digest(*hasher.finalize().as_bytes());
    let trouble = match (stopped, fetched) {
        (Some(trouble), _) => Some(trouble),
        (None, Err(error)) => Some(Trouble::Unreachable(error)),
        (None, Ok(false)) => Some(refused(
            remote,
            &key,
            format!("{} bytes", part.bytes),
            "no such object",
        )),
        (None, Ok(true)) if length != part.bytes => Some(refused(
            remote,
            &key,
            format!("{} bytes", part.bytes),
            format!("{length} bytes"),
        )),
        (None, Ok(true)) if found != part.blake3 => Some(refused(
            remote,
            &key,
            format!("BLAKE3 {}", part.blake3),
            format!("BLAKE3 {found}"),
        )),
        (None, Ok(true)) => None,
    };
    match trouble {
        None => Ok(file.sync_all()?),
        Some(trouble) => {
            drop(file);
            fs::remove_file(path).map_err(|error| anyhow!(error))?;
            Err(trouble)
        }
    }
}
