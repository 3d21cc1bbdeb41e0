//! What every column means, for people: the words stand here, names and types come from the schemas themselves.

use std::path::Path;

use seedpipe_base::{Filter, Operation};

use crate::schema::embeddings_header::{EmbeddingsHeader, Of, Precision};
use crate::schema::metadata::Metadata;
use crate::schema::{
    EMBEDDINGS, FILES, IMAGES, METRICS, PREDICTIONS, REJECTED, VIEWS, WEIGHTS, schema, type_name,
};

/// Each artifact kind and what it holds, with the keys of its declared metadata.
pub const ARTIFACT_DESCRIPTIONS: &[(&str, &str)] = &[
    (
        IMAGES,
        "Images as they were found, one a row. An image is known by its digest and its occurrence; ids are for joins within one artifact.",
    ),
    (REJECTED, "Images that could not be taken in, one a row."),
    (
        VIEWS,
        "Augmented looks at images as explicit numbers, one a row: all images of view 0, then of view 1 and so on. Metadata: `size`, `recipe`.",
    ),
    (
        EMBEDDINGS,
        "One vector of length D a row, of a view or of an image. Metadata: `of` (`views` or `images`: the id column is `view_id` or `image_id`), \
         `precision` (`f16` or `f32`), `dimension`, `normalised`, `network` (the content digest of the weights), `views` (that of the views), \
         `output` (`logits` where they are).",
    ),
    (
        WEIGHTS,
        "A network's state dict, one tensor a row. Metadata: `architecture` and `preprocessing` as JSON, so that the artifact is enough to look at images.",
    ),
    (
        PREDICTIONS,
        "What a classifier says of each image, one image a row.",
    ),
    (
        METRICS,
        "Figures over the steps of a training, or one at step 0.",
    ),
    (
        FILES,
        "Whole files, such as the report's page or an exported network.",
    ),
];

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedColumn {
    pub name: String,
    /// As content digests write it: `u32`, `fixed[32]`, `f16[D]`, `?` where it may be null.
    pub type_name: String,
    pub meaning: &'static str,
}

const MEANINGS: &[(&str, &str, &str)] = &[
    (IMAGES, "image_id", "Counts from 0."),
    (IMAGES, "digest", "BLAKE3 of `bytes`."),
    (
        IMAGES,
        "occurrence",
        "How many earlier rows have this digest.",
    ),
    (IMAGES, "bytes", "The file, encoded as it was found."),
    (IMAGES, "width", "Pixels, after EXIF orientation."),
    (IMAGES, "height", "Pixels, after EXIF orientation."),
    (IMAGES, "label", "The class by number, where it is known."),
    (IMAGES, "label_name", "The class by name, where it has one."),
    (IMAGES, "split", "`train`, `val`, `test` or another name."),
    (IMAGES, "source", "Path within the source, or file and row."),
    (
        REJECTED,
        "source",
        "Path within the source, or file and row.",
    ),
    (REJECTED, "reason", "Why it was refused."),
    (VIEWS, "view_id", "Its place in the order of rows."),
    (VIEWS, "image_id", "The image that is looked at."),
    (VIEWS, "view", "Which view of the image, from 0."),
    (
        VIEWS,
        "scale",
        "`global`, or `small` for the small crops of a multi-crop recipe.",
    ),
    (
        VIEWS,
        "crop_x",
        "Left edge of the crop in the oriented image, pixels.",
    ),
    (VIEWS, "crop_y", "Upper edge of the crop, pixels."),
    (VIEWS, "crop_width", "Pixels."),
    (VIEWS, "crop_height", "Pixels."),
    (
        VIEWS,
        "resize_width",
        "What the crop is resized to, pixels.",
    ),
    (
        VIEWS,
        "resize_height",
        "What the crop is resized to, pixels.",
    ),
    (
        VIEWS,
        "window_x",
        "Left edge of the view within the resized crop, pixels.",
    ),
    (
        VIEWS,
        "window_y",
        "Upper edge of the view within the resized crop, pixels.",
    ),
    (VIEWS, "size", "Side of the view, pixels."),
    (VIEWS, "filter", Filter::MEANING),
    (VIEWS, "operations", Operation::NAMES_MEANING),
    (VIEWS, "amounts", Operation::AMOUNTS_MEANING),
    (
        EMBEDDINGS,
        "view_id",
        "The row of the views; `image_id` (u32) in embeddings of images.",
    ),
    (
        EMBEDDINGS,
        "embedding",
        "The vector; `f32[D]` where `store: f32` asked for it.",
    ),
    (
        WEIGHTS,
        "name",
        "Key in the state dict: `layer1.0.conv1.weight`.",
    ),
    (
        WEIGHTS,
        "dtype",
        "Type of the elements: `f32`, `i64` and so on.",
    ),
    (WEIGHTS, "shape", "Empty for a scalar."),
    (WEIGHTS, "data", "Little-endian, row-major."),
    (PREDICTIONS, "image_id", "The image."),
    (PREDICTIONS, "label", "Its true class, where it is known."),
    (
        PREDICTIONS,
        "classes",
        "The most probable classes, best first.",
    ),
    (
        PREDICTIONS,
        "probabilities",
        "Theirs, in the same order, 0 to 1.",
    ),
    (
        METRICS,
        "step",
        "Updates of the weights before it was measured; 0 for a single measurement.",
    ),
    (METRICS, "split", "`train`, `val`, `test` or another name."),
    (METRICS, "name", "`loss`, `knn_top1` and so on."),
    (METRICS, "value", "Accuracies are fractions."),
    (FILES, "name", "A plain file name."),
    (FILES, "bytes", "The file."),
];

/// The columns of an artifact kind; those of embeddings as of views in f16. Nothing for a kind that isn't known.
pub fn described_columns(kind: &str) -> Vec<DescribedColumn> {
    let Some(columns) = columns(kind) else {
        return Vec::new();
    };
    let described = columns.into_iter().map(|(name, type_name)| {
        let meaning = MEANINGS
            .iter()
            .find(|(of, column, _)| *of == kind && *column == name)
            .map_or("", |(_, _, meaning)| *meaning);
        DescribedColumn {
            name,
            type_name,
            meaning,
        }
    });
    described.collect()
}

/// Names and types.
fn columns(kind: &str) -> Option<Vec<(String, String)>> {
    let fields = if kind == EMBEDDINGS {
        let header = EmbeddingsHeader {
            of: Of::Views,
            precision: Precision::F16,
            dimension: 1,
            normalised: false,
            network: String::new(),
            extra: Metadata::new(),
        };
        header.schema()
    } else {
        schema(Path::new(""), kind, &Metadata::new()).ok()?
    };
    let named = fields.fields().iter().map(|field| {
        let type_name = type_name(field).replace("f16[1]", "f16[D]");
        (field.name().clone(), type_name)
    });
    Some(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::KINDS;

    #[test]
    fn every_kind_and_column_is_described_and_nothing_else() {
        let described: Vec<&str> = ARTIFACT_DESCRIPTIONS
            .iter()
            .map(|(kind, _)| *kind)
            .collect();
        assert_eq!(described, KINDS);
        let all: Vec<(&str, String)> = KINDS
            .iter()
            .flat_map(|kind| {
                let columns = described_columns(kind).into_iter();
                columns.map(move |column| (*kind, column.name))
            })
            .collect();
        let meant: Vec<(&str, String)> = MEANINGS
            .iter()
            .map(|(kind, column, _)| (*kind, (*column).to_owned()))
            .collect();
        assert_eq!(all, meant);
        assert!(described_columns("unknown/v1").is_empty());
    }

    #[test]
    fn types_are_told_as_in_content_digests() {
        let images = described_columns(IMAGES);
        assert_eq!(
            (images[1].type_name.as_str(), images[6].type_name.as_str()),
            ("fixed[32]", "i32?")
        );
        assert_eq!(described_columns(EMBEDDINGS)[1].type_name, "f16[D]");
    }
}
