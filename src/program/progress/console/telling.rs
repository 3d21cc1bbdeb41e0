//! The picture of a run for other processes, in a file beside the cache: written when it begins, when a stage starts, and each second while
//! one works. What can't be written is left out, since nothing depends on it.

use std::path::{Path, PathBuf};

use seedpipe_engine::live;

use super::picture::Picture;

/// Between two writings, in seconds.
const INTERVAL: f64 = 1.0;

pub struct Telling {
    cache: PathBuf,
    /// None before it begins, and where nothing can be written.
    file: Option<live::Telling>,
    last: f64,
}

impl Telling {
    pub fn new(cache: &Path) -> Self {
        Telling {
            cache: cache.to_owned(),
            file: None,
            last: f64::NEG_INFINITY,
        }
    }

    pub fn begin(&mut self, picture: &Picture) {
        self.file = live::Telling::begin(&self.cache).ok();
        self.write(picture);
    }

    pub fn tell(&self, picture: &Picture) {
        self.write(picture);
    }

    /// Once a second, when there is something to tell.
    pub fn tell_now_and_then(&mut self, picture: &Picture, now: f64) {
        if now - self.last >= INTERVAL {
            self.last = now;
            self.write(picture);
        }
    }

    /// The run is over.
    pub fn tell_last(&self, picture: &Picture) {
        self.write(picture);
    }

    fn write(&self, picture: &Picture) {
        if let (Some(file), Ok(bytes)) = (&self.file, serde_json::to_vec(picture)) {
            // The disk may be full; the run itself says so where it matters.
            let _ = file.tell(&bytes);
        }
    }
}
