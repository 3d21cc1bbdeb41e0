//! Decoded images of an images artifact, by row: kept in memory when they are small, decoded again each time when they are not.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use seedpipe_artifact::ImagesReader;
use seedpipe_imaging::{Limits, RgbImage, decode};

/// Decoded images are kept when all of an artifact's take no more bytes than this.
const KEPT_BYTES: u64 = 1 << 30;

/// `ingest` has enforced the user's own limit.
const LIMITS: Limits = Limits { pixels: u64::MAX };

pub struct Pictures {
    images: ImagesReader,
    kept: Option<Vec<OnceLock<Arc<RgbImage>>>>,
}

impl Pictures {
    pub fn open(parts: &[PathBuf]) -> Result<Pictures> {
        let images = ImagesReader::open(parts)?;
        let bytes: u64 = (0..images.rows())
            .map(|row| {
                let image = images.image(row);
                3 * u64::from(image.width) * u64::from(image.height)
            })
            .sum();
        let kept =
            (bytes <= KEPT_BYTES).then(|| (0..images.rows()).map(|_| OnceLock::new()).collect());
        Ok(Pictures { images, kept })
    }

    pub fn images(&self) -> &ImagesReader {
        &self.images
    }

    /// The image of a row, EXIF-oriented RGB.
    pub fn image(&self, row: usize) -> Result<Arc<RgbImage>> {
        if let Some(image) = self.kept.as_ref().and_then(|kept| kept[row].get()) {
            return Ok(image.clone());
        }
        let bytes = self.images.bytes(row)?;
        let image = Arc::new(
            decode(&bytes, &LIMITS).with_context(|| format!("decoding {}", self.describe(row)))?,
        );
        if let Some(kept) = &self.kept {
            let _ = kept[row].set(image.clone()); // another thread may have been first, with the same pixels
        }
        Ok(image)
    }

    /// For messages: where the image came from.
    pub fn describe(&self, row: usize) -> String {
        let image_id = self.images.image(row).image_id;
        match self.images.source(row) {
            Ok(source) => format!("image {image_id} (`{source}`)"),
            Err(_) => format!("image {image_id}"),
        }
    }
}
