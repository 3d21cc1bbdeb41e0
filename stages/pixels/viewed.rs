//! A views artifact joined with the images that it looks at.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use seedpipe_artifact::{EmbeddingsReader, ImagesReader, Of, ViewsReader};
use seedpipe_base::Refusal;
use seedpipe_engine::{Input, StageContext};
use seedpipe_imaging::View;

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
            .ok_or_else(|| {
                Refusal::failure("the views artifact doesn't say its `size`")
                    .hint("rerun its stage with `--force`")
            })?;
        let rows = reader
            .image_ids()?
            .into_iter()
            .map(|image_id| {
                let row = images.row_of(image_id).map(|row| row as u32);
                row.ok_or_else(|| {
                    Refusal::failure(format!(
                        "the views look at image {image_id}, which the images artifact doesn't hold"
                    ))
                    .hint("connect the `images` that the views were made from")
                })
            })
            .collect::<Result<_, _>>()?;
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
            .into_iter()
            .map(|row| row.view)
            .collect())
    }

    /// The n-th view of all images, cycled when there are fewer views.
    pub fn view_of_epoch(&self, n: u64) -> Result<ViewList> {
        let mut views = ViewList::default();
        let view = (n % self.views() as u64) as usize;
        for rows in self.reader.blocks(view) {
            for row in &rows? {
                views.push(&row.view);
            }
        }
        Ok(views)
    }

    /// A stage's embeddings of these very views: a row each, one view of all images after the
    /// other.
    ///
    /// - `slot`: which the embeddings are connected to, for the messages; `views`: these views
    pub fn embeddings(
        &self,
        context: &StageContext,
        (slot, input): (&str, &Input),
        views: &str,
        hint: &str,
    ) -> Result<EmbeddingsReader> {
        let views = context.input(views);
        let reader = EmbeddingsReader::open(&input.parts)?;
        let header = reader.header();
        let made_of = header.extra.get("views").map(String::as_str);
        if header.of != Of::Views || made_of != Some(views.content.to_string().as_str()) {
            let made_of = match header.of {
                Of::Views => "other views",
                Of::Images => "plain images",
            };
            bail!(
                Refusal::failure(format!(
                    "input `{slot}`: expected embeddings of the views of stage `{}`, got `{}`'s, which were made of {made_of}",
                    views.stage, input.stage
                ))
                .stage(context.stage())
                .hint(hint)
            );
        }
        let rows = self.len() * self.views();
        ensure!(
            reader.rows() == rows,
            "BUG: {} embeddings of {rows} views",
            reader.rows()
        );
        Ok(reader)
    }
}
