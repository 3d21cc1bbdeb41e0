//! A views artifact joined with the images that it looks at.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use seedpipe_artifact::{ImagesReader, OperationName, ViewFilter, ViewRow, ViewsReader};
use seedpipe_imaging::{CropBox, Filter, Operation, View};

use crate::pixels::view_list::ViewList;

/// Key of the views' side in pixels in the artifact's metadata.
pub const SIZE: &str = "size";

pub struct Viewed {
    reader: ViewsReader,
    /// Row in the images artifact, by position in a view.
    rows: Vec<u32>,
    size: u32,
}

impl Viewed {
    pub fn open(parts: &[PathBuf], images: &ImagesReader) -> Result<Viewed> {
        let reader = ViewsReader::open(parts)?;
        let size = reader
            .metadata()
            .get(SIZE)
            .and_then(|size| size.parse().ok())
            .context(
                "the views artifact doesn't say its `size`\nhint: rerun its stage with `--force`",
            )?;
        let rows = reader
            .image_ids()?
            .into_iter()
            .map(|image_id| {
                images.row_of(image_id).map(|row| row as u32).ok_or_else(|| {
                    anyhow!("the views look at image {image_id}, which the images artifact doesn't hold\nhint: connect the `images` that the views were made from")
                })
            })
            .collect::<Result<_>>()?;
        Ok(Viewed { reader, rows, size })
    }

    /// Images that are looked at.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Views of each image.
    pub fn views(&self) -> usize {
        self.reader.views()
    }

    /// Side of a view in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The row in the images artifact of a position.
    pub fn image(&self, position: usize) -> usize {
        self.rows[position] as usize
    }

    /// One view of some images: `[positions]`.
    pub fn read(&self, view: usize, positions: Range<usize>) -> Result<Vec<View>> {
        Ok(self
            .reader
            .read(view, positions)?
            .iter()
            .map(view_of)
            .collect())
    }

    /// The n-th view of all images, cycled when there are fewer views.
    pub fn view_of_epoch(&self, n: u64) -> Result<ViewList> {
        let mut views = ViewList::default();
        let view = (n % self.views() as u64) as usize;
        for rows in self.reader.blocks(view) {
            for row in &rows? {
                views.push(&view_of(row));
            }
        }
        Ok(views)
    }
}

fn view_of(row: &ViewRow) -> View {
    View {
        crop: CropBox {
            x: row.crop_x,
            y: row.crop_y,
            width: row.crop_width,
            height: row.crop_height,
        },
        resize: [row.resize_width, row.resize_height],
        window: [row.window_x, row.window_y],
        size: row.size,
        filter: match row.filter {
            ViewFilter::Bilinear => Filter::Bilinear,
            ViewFilter::Bicubic => Filter::Bicubic,
            ViewFilter::PillowBilinear => Filter::PillowBilinear,
            ViewFilter::PillowBicubic => Filter::PillowBicubic,
        },
        operations: row
            .operations
            .iter()
            .map(|&(name, amount)| match name {
                OperationName::Brightness => Operation::Brightness(amount),
                OperationName::Contrast => Operation::Contrast(amount),
                OperationName::Saturation => Operation::Saturation(amount),
                OperationName::Hue => Operation::Hue(amount),
                OperationName::Grayscale => Operation::Grayscale,
                OperationName::Blur => Operation::Blur(amount),
                OperationName::Flip => Operation::Flip,
            })
            .collect(),
    }
}

/// The row of a view as it is stored.
pub fn row_of(
    view: View,
    view_id: u64,
    image_id: u32,
    number: u16,
    scale: seedpipe_artifact::Scale,
) -> ViewRow {
    ViewRow {
        view_id,
        image_id,
        view: number,
        scale,
        crop_x: view.crop.x,
        crop_y: view.crop.y,
        crop_width: view.crop.width,
        crop_height: view.crop.height,
        resize_width: view.resize[0],
        resize_height: view.resize[1],
        window_x: view.window[0],
        window_y: view.window[1],
        size: view.size,
        filter: match view.filter {
            Filter::Bilinear => ViewFilter::Bilinear,
            Filter::Bicubic => ViewFilter::Bicubic,
            Filter::PillowBilinear => ViewFilter::PillowBilinear,
            Filter::PillowBicubic => ViewFilter::PillowBicubic,
        },
        operations: view
            .operations
            .iter()
            .map(|operation| {
                let name = match operation {
                    Operation::Brightness(_) => OperationName::Brightness,
                    Operation::Contrast(_) => OperationName::Contrast,
                    Operation::Saturation(_) => OperationName::Saturation,
                    Operation::Hue(_) => OperationName::Hue,
                    Operation::Grayscale => OperationName::Grayscale,
                    Operation::Blur(_) => OperationName::Blur,
                    Operation::Flip => OperationName::Flip,
                };
                (name, operation.amount())
            })
            .collect(),
    }
}
