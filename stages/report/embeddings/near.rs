//! What the networks find alike: the training images nearest to some judged images, the student's
//! beside the teacher's.

use anyhow::Result;
use rayon::prelude::*;
use seedpipe_artifact::ImagesReader;

use crate::report::embeddings::{Embedded, pair, unit};
use crate::report::gallery::{Gallery, Size};
use crate::report::html::{escaped, push};
use crate::report::judged::{Judged, Splits, splits};

/// Judged images, and neighbours of each.
const QUERIES: usize = 8;
const NEIGHBOURS: usize = 6;

/// Row in the images, and the cosine.
type Near = (usize, f32);

/// One panel a judged image; empty when no embeddings may be read, or there are no two splits.
pub fn panels(all: &[Embedded], judged: &[Judged], gallery: &mut Gallery) -> Result<String> {
    let pair = pair(all);
    let Some(stage) = pair.first().map(|embedded| embedded.images.clone()) else {
        return Ok(String::new());
    };
    let Some(images) = gallery.images(&stage) else {
        return Ok(String::new());
    };
    let splits = splits(judged, &stage);
    let queries = queries(images, &splits);
    let found: Vec<Option<Vec<Vec<Near>>>> = pair
        .par_iter()
        .map(|embedded| nearest(embedded, images, &queries, &splits.learned_on))
        .collect::<Result<_>>()?;
    let mut panels = String::new();
    for (index, &query) in queries.iter().enumerate() {
        let name = name(gallery, &stage, query);
        let mut columns = String::new();
        for (embedded, found) in pair.iter().zip(&found) {
            let Some(found) = found else { continue };
            let cells: String = found[index]
                .iter()
                .map(|near| neighbour(gallery, &stage, query, *near))
                .collect();
            push(
                &mut columns,
                format_args!(
                    "<div><h4>{}</h4><ul class=\"near\">{cells}</ul></div>",
                    escaped(&embedded.network)
                ),
            );
        }
        if !columns.is_empty() {
            let picture = gallery.picture(Size::Large, &stage, query, &name);
            push(
                &mut panels,
                format_args!(
                    "<li><figure class=\"query\">{picture}<figcaption>{}</figcaption></figure>{columns}</li>\n",
                    escaped(&name)
                ),
            );
        }
    }
    if panels.is_empty() {
        return Ok(panels);
    }
    let Splits { judged, learned_on } = &splits;
    Ok(format!(
        "<ul class=\"queries\">{panels}</ul><p class=\"note\">Left an image of the split {}, right the images of the split {} with the greatest cosine to it. ✓ is of the same class, ✗ of another.</p>\n",
        escaped(judged),
        escaped(learned_on)
    ))
}

/// Judged images of evenly chosen classes; without classes evenly chosen ones. None where they
/// would find themselves.
fn queries(images: &ImagesReader, splits: &Splits) -> Vec<usize> {
    if splits.judged == splits.learned_on {
        return Vec::new();
    }
    let test = images.rows_in(&splits.judged);
    let labels: Vec<i32> = images.classes().keys().copied().collect();
    let mut chosen: Vec<usize> = Vec::new();
    let count = labels.len().min(QUERIES);
    for index in 0..count {
        let label = labels[index * labels.len() / count];
        // Not the first of each: files of a folder often begin alike.
        let of_class: Vec<usize> = test
            .iter()
            .copied()
            .filter(|row| images.image(*row).label == Some(label))
            .collect();
        chosen.extend(of_class.get(of_class.len() / 2));
    }
    if chosen.is_empty() {
        let count = test.len().min(QUERIES);
        chosen = (0..count)
            .map(|index| test[index * test.len() / count])
            .collect();
    }
    chosen
}

/// Of each query, in the split `among`; `None` when one of them has no embedding, and when that
/// split has none.
fn nearest(
    embedded: &Embedded,
    images: &ImagesReader,
    queries: &[usize],
    among: &str,
) -> Result<Option<Vec<Vec<Near>>>> {
    if queries.is_empty() {
        return Ok(None);
    }
    let mut sorted = queries.to_vec();
    sorted.sort_unstable();
    let ids: Vec<u32> = sorted
        .iter()
        .map(|row| images.image(*row).image_id)
        .collect();
    let Some(vectors) = embedded.of(&ids)? else {
        return Ok(None);
    };
    let dimension = embedded.dimension();
    let mut best: Vec<Vec<Near>> = vec![Vec::new(); sorted.len()];
    embedded.each(|id, embedding| {
        let Some(row) = images
            .row_of(id)
            .filter(|row| images.image(*row).split == among)
        else {
            return;
        };
        let embedding = unit(embedding);
        for (query, best) in vectors.chunks_exact(dimension).zip(&mut best) {
            let similarity: f32 = query.iter().zip(&embedding).map(|(a, b)| a * b).sum();
            let place = best.partition_point(|(_, better)| *better >= similarity);
            if place < NEIGHBOURS {
                best.insert(place, (row, similarity));
                best.truncate(NEIGHBOURS);
            }
        }
    })?;
    if best.iter().any(Vec::is_empty) {
        return Ok(None);
    }
    let place = |row: &usize| {
        sorted
            .binary_search(row)
            .expect("BUG: a query that was sorted away")
    };
    Ok(Some(
        queries.iter().map(|row| best[place(row)].clone()).collect(),
    ))
}

/// The class of an image, else its number.
fn name(gallery: &Gallery, stage: &str, row: usize) -> String {
    let Some(images) = gallery.images(stage) else {
        return String::new();
    };
    let image = images.image(row);
    let classes = gallery.classes(stage);
    let class = image.label.and_then(|label| classes.get(&label));
    class
        .cloned()
        .unwrap_or_else(|| format!("image {}", image.image_id))
}

fn neighbour(gallery: &mut Gallery, stage: &str, query: usize, (row, similarity): Near) -> String {
    let name = name(gallery, stage, row);
    let labels = gallery
        .images(stage)
        .map(|images| (images.image(query).label, images.image(row).label));
    let (class, mark) = match labels {
        Some((Some(one), Some(other))) if one == other => ("right", "✓ "),
        Some((Some(_), Some(_))) => ("wrong", "✗ "),
        _ => ("", ""),
    };
    let picture = gallery.picture(Size::Large, stage, row, &name);
    format!(
        "<li class=\"{class}\" title=\"{}\">{picture}<small>{mark}{similarity:.2}</small></li>",
        escaped(&name)
    )
}
