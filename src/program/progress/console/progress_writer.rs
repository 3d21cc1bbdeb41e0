//! How far a run is, for other processes, in a file beside the cache: written when it begins, when
//! a stage starts, and each second while one works. What can't be written is left out, since
//! nothing depends on it.

use std::path::{Path, PathBuf};

use seedpipe_engine::progress_file::ProgressFile;

use super::run_progress::RunProgress;

/// Between two writings, in seconds.
const INTERVAL: f64 = 1.0;

pub struct ProgressWriter {
    cache: PathBuf,
    /// None before it begins, and where nothing can be written.
    file: Option<ProgressFile>,
    last: f64,
}

impl ProgressWriter {
    pub fn new(cache: &Path) -> Self {
        ProgressWriter {
            cache: cache.to_owned(),
            file: None,
            last: f64::NEG_INFINITY,
        }
    }

    pub fn begin(&mut self, progress: &RunProgress) {
        self.file = ProgressFile::create(&self.cache).ok();
        self.write(progress);
    }

    /// Once a second.
    pub fn write_if_due(&mut self, progress: &RunProgress, now: f64) {
        if now - self.last >= INTERVAL {
            self.last = now;
            self.write(progress);
        }
    }

    pub fn write(&self, progress: &RunProgress) {
        if let (Some(file), Ok(bytes)) = (&self.file, serde_json::to_vec(progress)) {
            // The disk may be full; the run itself fails where it matters.
            let _ = file.write(&bytes);
        }
    }
}
