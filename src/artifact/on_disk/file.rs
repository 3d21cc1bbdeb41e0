//! A file read by position: shared between threads, and a claimed range beyond its end is an error
//! before anything is allocated.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::schema::failure::{self, Result};

/// Page headers are read ahead of their pages: this much at once holds nearly every one of them.
const READ_AHEAD: usize = 512;

#[derive(Clone, Debug)]
pub(crate) struct PositionedFile {
    file: Arc<File>,
    length: u64,
}

impl PositionedFile {
    pub fn open(path: &Path) -> Result<Self> {
        let cannot = |error| failure::io(path, "cannot open", error);
        // `fs_err` would name the path a second time.
        let file = fs_err::File::open(path).map_err(cannot)?.into_file();
        let metadata = file.metadata().map_err(cannot)?;
        if !metadata.is_file() {
            return Err(failure::unexpected(
                path,
                "cannot open",
                "a file",
                "a folder or a device",
            ));
        }
        Ok(Self {
            file: Arc::new(file),
            length: metadata.len(),
        })
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads exactly `length` bytes at `start` into `buffer`, replacing what it held.
    pub fn read_into(&self, start: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        if start
            .checked_add(length as u64)
            .is_none_or(|end| end > self.length)
        {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "{length} bytes at offset {start} of a file of {} bytes",
                    self.length
                ),
            ));
        }
        buffer.resize(length, 0);
        self.file.read_exact_at(buffer, start)
    }
}

impl Length for PositionedFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for PositionedFile {
    type T = BufReader<PositionedRead>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::with_capacity(
            READ_AHEAD,
            PositionedRead {
                file: self.file.clone(),
                position: start,
            },
        ))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut buffer = Vec::new();
        self.read_into(start, length, &mut buffer)
            .map_err(|error| ParquetError::EOF(error.to_string()))?;
        Ok(buffer.into())
    }
}

pub(crate) struct PositionedRead {
    file: Arc<File>,
    position: u64,
}

impl Read for PositionedRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
