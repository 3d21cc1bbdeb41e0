//! Where an image's bytes go: they are kept once in the cache, whatever stage asks for them. Files of
//! bytes that other artifacts have are shared by a second name; what none has is written to new ones.

use std::collections::HashSet;
use std::mem;

use anyhow::Result;
use seedpipe_artifact::{
    BytesWriter, Cells, IMAGES, ImageRow, ImagesWriter, Metadata, StoredBytes,
};
use seedpipe_engine::{Shard, StageContext, StoredFile};

use super::candidates::Candidates;

const SLOT: &str = "images";
/// A new file of bytes ends when it has this many.
const FILE_BYTES: usize = 64 << 20;
/// A file is shared where at least one byte in this many is wanted: whoever fetches the artifact
/// alone fetches all of it.
const MOST_UNWANTED: u64 = 64;

/// Writes the output `images`.
pub struct Storing<'a> {
    shard: &'a Shard,
    rows: ImagesWriter,
    stored: Cells,
    /// Of other artifacts, and whether each is shared: not known until the first of its images comes.
    files: Vec<(StoredFile, Option<bool>)>,
    shared: usize,
    new: Option<BytesWriter>,
    new_bytes: usize,
    new_files: usize,
    /// Digests of images that occur more than once, and those of them that were written.
    repeated: HashSet<[u8; 32]>,
    written: HashSet<[u8; 32]>,
}

impl<'a> Storing<'a> {
    pub fn begin(
        context: &StageContext,
        shard: &'a Shard,
        candidates: &Candidates,
    ) -> Result<Storing<'a>> {
        let all = || candidates.all.iter();
        let found = context.stored(IMAGES)?;
        let wanted: HashSet<[u8; 32]> = match found.is_empty() {
            true => HashSet::new(),
            false => all().map(|candidate| candidate.digest).collect(),
        };
        let (mut stored, mut files) = (Cells::default(), Vec::new());
        for file in found {
            // One that holds no bytes, has gone or is damaged gives none.
            let Ok([held, of_wanted]) = stored.add(&file.path, Some(&wanted)) else {
                continue;
            };
            let is_shared = (of_wanted * MOST_UNWANTED < held).then_some(false);
            files.push((file, is_shared));
        }
        Ok(Storing {
            shard,
            rows: ImagesWriter::create_apart(&shard.output(SLOT, "part-00000"), &Metadata::new())?,
            stored,
            files,
            shared: 0,
            new: None,
            new_bytes: 0,
            new_files: 0,
            repeated: all()
                .filter(|candidate| candidate.occurrence > 0)
                .map(|candidate| candidate.digest)
                .collect(),
            written: HashSet::new(),
        })
    }

    pub fn write(&mut self, mut row: ImageRow) -> Result<()> {
        let bytes = mem::take(&mut row.bytes);
        let digest = row.digest;
        self.rows.write(&[row])?;
        if self.written.contains(&digest) || self.share(&digest, &bytes) {
            return Ok(());
        }
        if self.repeated.contains(&digest) {
            self.written.insert(digest);
        }
        if self.new_bytes >= FILE_BYTES {
            self.end_file()?;
        }
        let new = match &mut self.new {
            Some(new) => new,
            None => {
                let name = format!("bytes-new-{:05}", self.new_files);
                let path = self.shard.output(SLOT, &name);
                self.new
                    .insert(BytesWriter::create(&path, &Metadata::new())?)
            }
        };
        self.new_bytes += bytes.len();
        Ok(new.write(&[StoredBytes { digest, bytes }])?)
    }

    /// Whether a file of another artifact has the bytes and is now shared.
    fn share(&mut self, digest: &[u8; 32], bytes: &[u8]) -> bool {
        let Some(number) = self.stored.file_of(digest) else {
            return false;
        };
        let (file, is_shared) = &mut self.files[number];
        // The remote that it came from may hold other bytes under the digest.
        let holds = || matches!(self.stored.read(digest), Ok(Some(found)) if found == bytes);
        if *is_shared == Some(false) || !holds() {
            return false;
        }
        *is_shared.get_or_insert_with(|| {
            let name = format!("bytes-shared-{:05}", self.shared);
            self.shared += 1;
            self.shard.share(SLOT, &name, file)
        })
    }

    fn end_file(&mut self) -> Result<()> {
        if let Some(new) = self.new.take() {
            new.finish()?;
            self.new_files += 1;
            self.new_bytes = 0;
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<()> {
        self.end_file()?;
        self.rows.finish()?;
        Ok(())
    }
}
