//! Bytes under keys, read and written by blocking calls. An object is wholly there or not at all.

use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{
    Error, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion,
    WriteMultipart,
};
use tokio::runtime::{Builder, Runtime};

use crate::address::Address;
use crate::connect::{StoreRoot, connect};
use crate::error::RemoteError;
use crate::folder_file;
use crate::secrets::Secrets;

/// Larger objects are uploaded in parts.
const MULTIPART_FROM_BYTES: u64 = 16 << 20;
const PART_BYTES: usize = 8 << 20;
/// Parts of one object on their way at a time.
const PARTS_AT_ONCE: usize = 4;
const FILE_BUFFER_BYTES: usize = 256 << 10;
/// A store that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// For a part of 8 MiB on a slow line.
const PATIENCE_FOR_A_PART: Duration = Duration::from_secs(600);
/// Tries of a change that others made meanwhile.
const CHANGE_TRIES: u32 = 30;
/// Serialises changes of a remote in a folder, which has no conditional writes.
const FOLDER_LOCK: &str = "seedpipe.lock";

/// A remote that is connected. Calls block and may come from several threads.
pub struct Objects {
    runtime: Runtime,
    store: Arc<dyn ObjectStore>,
    prefix: String,
    folder: Option<PathBuf>,
    name: String,
    secrets: Secrets,
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
        let connection = connect(address, create).map_err(|error| failed(&error))?;
        Self::over(connection, name.clone(), secrets.clone()).map_err(|error| failed(&error))
    }

    fn over(connection: StoreRoot, name: String, secrets: Secrets) -> std::io::Result<Objects> {
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
        })
    }

    /// An object's length in bytes; `None` when it isn't there.
    ///
    /// # Errors
    /// As every request: the store can't be reached, or refuses.
    pub fn length(&self, key: &str) -> Result<Option<u64>, RemoteError> {
        let path = self.path(key);
        let head = self.wait(PATIENCE, self.store.head(&path));
        match head {
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
        let path = self.path(key);
        let read = self.wait(PATIENCE, async {
            let got = self.store.get(&path).await?;
            let version = UpdateVersion {
                e_tag: got.meta.e_tag.clone(),
                version: got.meta.version.clone(),
            };
            if got.meta.size > limit {
                return Ok(Err(got.meta.size));
            }
            let mut bytes = Vec::new();
            let mut stream = got.into_stream();
            while let Some(chunk) = stream.next().await {
                bytes.extend_from_slice(&chunk?);
                if bytes.len() as u64 > limit {
                    return Ok(Err(bytes.len() as u64));
                }
            }
            Ok(Ok((bytes, version)))
        });
        match read {
            Ok(Ok(read)) => Ok(Some(read)),
            Ok(Err(length)) => {
                let cause = format!("expected at most {limit} bytes, got {length}");
                Err(self.failed("reading", key, &cause))
            }
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
        let path = self.path(key);
        let got = match self.wait(PATIENCE, self.store.get(&path)) {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(self.failed("reading", key, &error)),
        };
        let mut stream = match got.payload {
            // The crate's stream of a file comes in pieces of 8 kB, each from another thread.
            GetResultPayload::File(file, _) => {
                return pass_on(file, sink)
                    .map(|()| true)
                    .map_err(|error| self.failed("reading", key, &error));
            }
            GetResultPayload::Stream(stream) => stream,
        };
        loop {
            let next = self.wait(PATIENCE, async { stream.next().await.transpose() });
            match next.map_err(|error| self.failed("reading", key, &error))? {
                Some(chunk) if !sink(&chunk) => return Ok(true),
                Some(_) => {}
                None => return Ok(true),
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
            .wait(PATIENCE, self.store.put_multipart(&path))
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
                    let _ = self.wait(PATIENCE, writer.abort());
                    return Err(failed(&error));
                }
            };
            let sent = self.wait(PATIENCE_FOR_A_PART, async {
                writer.wait_for_capacity(PARTS_AT_ONCE).await?;
                writer.put(part);
                Ok(())
            });
            if let Err(error) = sent {
                let _ = self.wait(PATIENCE, writer.abort());
                return Err(failed(&error));
            }
        }
        self.wait(PATIENCE_FOR_A_PART, writer.finish())
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
            .wait(PATIENCE, self.store.list_with_delimiter(Some(&path)))
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
        self.wait(PATIENCE_FOR_A_PART, put).map(|_| ())
    }

    fn folder_lock(&self, key: &str) -> Result<Option<File>, RemoteError> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let open = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(FOLDER_LOCK));
        let locked = open.and_then(|file| file.lock().map(|()| file));
        locked
            .map(Some)
            .map_err(|error| self.failed("locking the folder for", key, &error))
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
                        source: format!("no answer for {} s", patience.as_secs()).into(),
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

fn pass_on(mut file: File, sink: &mut dyn FnMut(&[u8]) -> bool) -> std::io::Result<()> {
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
    let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let jitter = moment.unwrap_or_default().subsec_nanos() ^ std::process::id();
    Duration::from_millis(u64::from(20 * (attempt + 1) + jitter % 50))
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
