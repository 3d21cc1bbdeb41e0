//! Bytes under keys, read and written by blocking calls. An object is wholly there or not at all.

use std::fs::{File, TryLockError};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{
    Error, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    UpdateVersion, WriteMultipart,
};
use tokio::runtime::{Builder, Runtime};

use crate::address::Address;
use crate::connect::{StoreRoot, connect};
use crate::error::RemoteError;
use crate::folder_file;
use crate::patience::Patience;
use crate::secrets::Secrets;

/// Larger objects are uploaded in parts.
const MULTIPART_FROM_BYTES: u64 = 16 << 20;
const PART_BYTES: usize = 8 << 20;
/// Parts of one object on their way at a time.
const PARTS_AT_ONCE: usize = 4;
const FILE_BUFFER_BYTES: usize = 256 << 10;
/// Tries of a change that others made meanwhile.
const CHANGE_TRIES: u32 = 30;
/// Serialises changes of a remote in a folder, which has no conditional writes.
const FOLDER_LOCK: &str = "seedpipe.lock";
/// Between two tries for it.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A remote that is connected. Calls block and may come from several threads.
pub struct Objects {
    runtime: Runtime,
    store: Arc<dyn ObjectStore>,
    prefix: String,
    folder: Option<PathBuf>,
    name: String,
    secrets: Secrets,
    patience: Patience,
}

impl Objects {
    /// Starts the runtime; connects with the first request.
    ///
    /// - `create`: whether a folder that isn't there is made, if the one above it is
    ///
    /// # Errors
    /// When the environment's options can't be used, or the folder isn't there.
    pub fn open(address: &Address, create: bool) -> Result<Objects, RemoteError> {
        let (name, secrets) = (address.to_string(), Secrets::of_environment());
        let failed =
            |cause: &dyn std::fmt::Display| RemoteError::new(&name, "connecting", cause, &secrets);
        let patience = Patience::of_environment().map_err(|error| failed(&error))?;
        let connection = connect(address, create).map_err(|error| failed(&error))?;
        Self::over(connection, name.clone(), secrets.clone(), patience)
            .map_err(|error| failed(&error))
    }

    fn over(
        connection: StoreRoot,
        name: String,
        secrets: Secrets,
        patience: Patience,
    ) -> std::io::Result<Objects> {
        let StoreRoot {
            store,
            prefix,
            folder,
        } = connection;
        Ok(Objects {
            runtime: Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("seedpipe-remote")
                .enable_all()
                .build()?,
            store,
            prefix,
            folder,
            name,
            secrets,
            patience,
        })
    }

    /// An object's length in bytes; `None` when it isn't there.
    ///
    /// # Errors
    /// As every request: the store can't be reached, or refuses.
    pub fn length(&self, key: &str) -> Result<Option<u64>, RemoteError> {
        let path = self.path(key);
        self.check_file(key)?;
        match self.wait(self.patience.0, self.store.head(&path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("reading", key, &error)),
        }
    }

    /// A small object; `None` when it isn't there.
    ///
    /// # Errors
    /// Also when it has more than `limit` bytes: then nothing is read.
    pub fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, RemoteError> {
        Ok(self.read_version(key, limit)?.map(|(bytes, _)| bytes))
    }

    fn read_version(
        &self,
        key: &str,
        limit: u64,
    ) -> Result<Option<(Vec<u8>, UpdateVersion)>, RemoteError> {
        let Some(got) = self.get(key)? else {
            return Ok(None);
        };
        let version = UpdateVersion {
            e_tag: got.meta.e_tag.clone(),
            version: got.meta.version.clone(),
        };
        let (mut bytes, mut length) = (Vec::new(), got.meta.size);
        if length <= limit {
            length = 0;
            self.pass_on(key, got.payload, &mut |piece| {
                length += piece.len() as u64;
                let fits = length <= limit;
                if fits {
                    bytes.extend_from_slice(piece);
                }
                fits
            })?;
        }
        if length > limit {
            let cause = format!("expected at most {limit} bytes, got {length}");
            return Err(self.failed("reading", key, &cause));
        }
        Ok(Some((bytes, version)))
    }

    /// The beginning of an answer; `None` when the object isn't there.
    fn get(&self, key: &str) -> Result<Option<GetResult>, RemoteError> {
        let path = self.path(key);
        self.check_file(key)?;
        match self.wait(self.patience.0, self.store.get(&path)) {
            Ok(got) => Ok(Some(got)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("reading", key, &error)),
        }
    }

    /// Passes an object's bytes on as they come, until its end or until `sink` answers `false`.
    /// `false` when it isn't there.
    ///
    /// # Errors
    /// When the connection breaks before the object's end, after some retries.
    pub fn fetch(
        &self,
        key: &str,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<bool, RemoteError> {
        match self.get(key)? {
            Some(got) => self.pass_on(key, got.payload, sink).map(|()| true),
            None => Ok(false),
        }
    }

    fn pass_on(
        &self,
        key: &str,
        payload: GetResultPayload,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), RemoteError> {
        let failed = |error: &dyn std::fmt::Display| self.failed("reading", key, error);
        let mut stream = match payload {
            // The crate's stream of a file comes in pieces of 8 kB, each from another thread.
            GetResultPayload::File(file, _) => {
                return pass_file_on(file, sink).map_err(|error| failed(&error));
            }
            GetResultPayload::Stream(stream) => stream,
        };
        let mut flow = self.patience.flow();
        loop {
            let asked = Instant::now();
            let next = self.wait(self.patience.0, async { stream.next().await.transpose() });
            match next.map_err(|error| failed(&error))? {
                Some(chunk) if sink(&chunk) => flow
                    .count(chunk.len(), asked.elapsed())
                    .map_err(|error| failed(&error))?,
                _ => return Ok(()),
            }
        }
    }

    /// Writes an object of `length` bytes. When `source` fails or is shorter, nothing is there
    /// afterwards.
    ///
    /// # Errors
    /// Also when `source` can't be read.
    pub fn write(&self, key: &str, length: u64, source: &mut dyn Read) -> Result<(), RemoteError> {
        if let Some(folder) = &self.folder {
            return self.write_file(folder, key, source);
        }
        if length > MULTIPART_FROM_BYTES {
            return self.write_in_parts(key, source);
        }
        let mut bytes = Vec::with_capacity(length as usize);
        source
            .read_to_end(&mut bytes)
            .map_err(|error| self.failed("writing", key, &error))?;
        self.put(key, bytes, PutMode::Overwrite)
            .map_err(|error| self.failed("writing", key, &error))
    }

    fn write_file(
        &self,
        folder: &std::path::Path,
        key: &str,
        source: &mut dyn Read,
    ) -> Result<(), RemoteError> {
        folder_file::write(&folder.join(key), source)
            .map_err(|error| self.failed("writing", key, &error))
    }

    fn write_in_parts(&self, key: &str, source: &mut dyn Read) -> Result<(), RemoteError> {
        let path = self.path(key);
        let failed = |error: &dyn std::fmt::Display| self.failed("writing", key, error);
        let upload = self
            .wait(self.patience.0, self.store.put_multipart(&path))
            .map_err(|error| failed(&error))?;
        let mut writer = {
            let _context = self.runtime.enter();
            WriteMultipart::new_with_chunk_size(upload, PART_BYTES)
        };
        loop {
            let part = match read_part(source) {
                Ok(part) if part.is_empty() => break,
                Ok(part) => part,
                Err(error) => {
                    // What the store keeps of it is no object; the first error is the one to
                    // report.
                    let _ = self.wait(self.patience.0, writer.abort());
                    return Err(failed(&error));
                }
            };
            let sent = self.wait(self.patience.for_a_part(), async {
                writer.wait_for_capacity(PARTS_AT_ONCE).await?;
                writer.put(part);
                Ok(())
            });
            if let Err(error) = sent {
                let _ = self.wait(self.patience.0, writer.abort());
                return Err(failed(&error));
            }
        }
        self.wait(self.patience.for_a_part(), writer.finish())
            .map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Reads a small object, changes it and writes it; again when somebody else changed it
    /// meanwhile. `change` gets `None` when the object isn't there, and gives `None` when nothing
    /// is to be written.
    ///
    /// Stores without conditional writes get plain ones.
    ///
    /// # Errors
    /// Also when others change it all the time.
    pub fn change(
        &self,
        key: &str,
        limit: u64,
        change: &mut dyn FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>,
    ) -> Result<(), RemoteError> {
        let _lock = self.folder_lock(key)?;
        let mut conditional = true;
        for attempt in 0..CHANGE_TRIES {
            let (old, version) = self.read_version(key, limit)?.unzip();
            let mode = match version {
                _ if !conditional => PutMode::Overwrite,
                None => PutMode::Create,
                Some(version) => PutMode::Update(version),
            };
            let Some(new) = change(old) else {
                return Ok(());
            };
            if let Some(folder) = &self.folder {
                return self.write_file(folder, key, &mut new.as_slice());
            }
            match self.put(key, new, mode) {
                Ok(()) => return Ok(()),
                Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) if conditional => {
                    conditional = false
                }
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                    std::thread::sleep(pause(attempt));
                }
                Err(error) => return Err(self.failed("writing", key, &error)),
            }
        }
        Err(self.failed("writing", key, &"others change it all the time"))
    }

    /// Names of the objects right under a folder of keys, sorted. HTTP servers can't list.
    ///
    /// # Errors
    /// As every request.
    pub fn names(&self, folder: &str) -> Result<Vec<String>, RemoteError> {
        let path = self.path(folder);
        let listed = self
            .wait(self.patience.0, self.store.list_with_delimiter(Some(&path)))
            .map_err(|error| self.failed("listing", folder, &error))?;
        let names = listed
            .objects
            .iter()
            .filter_map(|meta| meta.location.filename());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    fn put(&self, key: &str, bytes: Vec<u8>, mode: PutMode) -> Result<(), Error> {
        let path = self.path(key);
        let payload = PutPayload::from(Bytes::from(bytes));
        let put = self.store.put_opts(&path, payload, mode.into());
        self.wait(self.patience.for_a_part(), put).map(|_| ())
    }

    fn folder_lock(&self, key: &str) -> Result<Option<File>, RemoteError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let failed =
            |error: &dyn std::fmt::Display| self.failed("locking the folder for", key, error);
        self.check_file(FOLDER_LOCK)?;
        let open = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(FOLDER_LOCK));
        let file = open.map_err(|error| failed(&error))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < self.patience.0 => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let waited = begun.elapsed().as_secs_f64();
                    let cause =
                        format!("another process has held `{FOLDER_LOCK}` for {waited:.0} s");
                    return Err(failed(&cause));
                }
            }
        }
    }

    /// In a folder: what lies under a key is a file, if it is there. Of a named pipe nobody may ever
    /// write the other end.
    fn check_file(&self, key: &str) -> Result<(), RemoteError> {
        let found = self
            .folder
            .as_ref()
            .map(|folder| folder.join(key).metadata());
        match found {
            Some(Ok(metadata)) if !metadata.is_file() => {
                Err(self.failed("reading", key, &"expected a file, got something else"))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, key: &str) -> Path {
        match self.prefix.as_str() {
            "" => Path::from(key),
            prefix => Path::from(format!("{prefix}/{key}")),
        }
    }

    /// Runs a request to its end; one that takes longer than `patience` is given up.
    fn wait<T>(
        &self,
        patience: Duration,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(async {
            tokio::time::timeout(patience, request)
                .await
                .unwrap_or_else(|_| {
                    Err(Error::Generic {
                        store: "remote",
                        source: Patience::silence(patience).into(),
                    })
                })
        })
    }

    fn failed(&self, action: &str, key: &str, cause: &dyn std::fmt::Display) -> RemoteError {
        RemoteError::new(
            &self.name,
            format!("{action} `{key}`"),
            cause,
            &self.secrets,
        )
    }
}

fn pass_file_on(mut file: File, sink: &mut dyn FnMut(&[u8]) -> bool) -> std::io::Result<()> {
    let mut buffer = vec![0; FILE_BUFFER_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 || !sink(&buffer[..count]) {
            return Ok(());
        }
    }
}

/// The next part, shorter only at the end.
fn read_part(source: &mut dyn Read) -> std::io::Result<Bytes> {
    let mut part = Vec::with_capacity(PART_BYTES);
    source.take(PART_BYTES as u64).read_to_end(&mut part)?;
    Ok(part.into())
}

/// Longer with every try, and another for every process, so that two don't meet again and again.
fn pause(attempt: u32) -> Duration {
    // Keyed by random numbers of the operating system.
    let jitter = RandomState::new().build_hasher().finish() % 50;
    Duration::from_millis(u64::from(20 * (attempt + 1)) + jitter)
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
