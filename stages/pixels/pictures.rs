//! Pixels of an images artifact, by row: whole images, kept in memory when all of them are small,
//! or what some views look at.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use seedpipe_artifact::ImagesReader;
use seedpipe_imaging::{
    Decode, Decoded, Format, Limits, Pixels, RgbImage, View, decode, decode_for,
};

/// Decoded images are kept when all of an artifact's take no more bytes than this.
const KEPT_BYTES: u64 = 512 << 20;
/// What an image that is kept takes beside its pixels: its place, counters, fields and two
/// allocations' own.
const KEPT_BESIDE: u64 = 96;

/// `ingest` has enforced the user's own limit.
const LIMITS: Limits = Limits { pixels: u64::MAX };

pub struct Pictures {
    images: ImagesReader,
    kept: Option<Vec<OnceLock<Arc<RgbImage>>>>,
    quality: Decode,
}

/// An image's pixels as far as its views need them.
pub enum Picture<'decoded> {
    Whole(Arc<RgbImage>),
    Part(&'decoded Decoded),
}

impl Picture<'_> {
    pub fn pixels(&self) -> Pixels<'_> {
        match self {
            Picture::Whole(image) => Pixels::from(image.as_ref()),
            Picture::Part(decoded) => Pixels::from(*decoded),
        }
    }
}

impl Pictures {
    /// Images that are looked at again and again.
    pub fn open(parts: &[PathBuf], quality: Decode) -> Result<Pictures> {
        let images = ImagesReader::open(parts)?;
        let bytes: u64 = (0..images.rows())
            .map(|row| {
                let image = images.image(row);
                KEPT_BESIDE + 3 * u64::from(image.width) * u64::from(image.height)
            })
            .sum();
        let kept =
            (bytes <= KEPT_BYTES).then(|| (0..images.rows()).map(|_| OnceLock::new()).collect());
        Ok(Pictures {
            images,
            kept,
            quality,
        })
    }

    /// Images of which each is looked at once, for all of its views.
    pub fn open_once(parts: &[PathBuf], quality: Decode) -> Result<Pictures> {
        Ok(Pictures {
            images: ImagesReader::open(parts)?,
            kept: None,
            quality,
        })
    }

    pub fn images(&self) -> &ImagesReader {
        &self.images
    }

    /// What `views` look at of a row's image, EXIF-oriented RGB. What they show does not depend on
    /// what is kept.
    pub fn picture<'decoded>(
        &self,
        row: usize,
        views: &[View],
        decoded: &'decoded mut Decoded,
    ) -> Result<Picture<'decoded>> {
        let scaled = self.quality.step(views) > 1;
        let kept = self.kept.as_ref().map(|kept| &kept[row]);
        if let Some(image) = kept.and_then(OnceLock::get)
            && !scaled
        {
            return Ok(Picture::Whole(image.clone()));
        }
        let bytes = self.images.bytes(row)?;
        let describe = || format!("decoding {}", self.describe(row));
        match kept {
            Some(kept) if !(scaled && Format::of(&bytes) == Some(Format::Jpeg)) => {
                let image = Arc::new(decode(&bytes, &LIMITS).with_context(describe)?);
                let _ = kept.set(image.clone()); // another thread may have been first, with the same pixels
                Ok(Picture::Whole(image))
            }
            _ => {
                decode_for(&bytes, &LIMITS, views, self.quality, decoded).with_context(describe)?;
                Ok(Picture::Part(decoded))
            }
        }
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
