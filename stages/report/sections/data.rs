//! What the networks learned from and are judged on: images by split and class, and what is there
//! more than once.

use std::collections::BTreeMap;

use anyhow::Result;
use seedpipe_artifact::{IMAGES, ImagesReader};
use seedpipe_base::text;

use crate::report::gallery::Gallery;
use crate::report::html::{escaped, push};
use crate::report::material::Catalogue;
use crate::shared::copies::{Seen, remarks};

/// A paragraph for each stage whose images may be read.
///
/// # Errors
/// When the images can't be read.
pub fn data(material: &Catalogue, gallery: &Gallery) -> Result<String> {
    let mut html = String::new();
    for (source, _) in material.readable(IMAGES) {
        let Some(images) = gallery.images(&source.stage) else {
            continue;
        };
        push(
            &mut html,
            format_args!(
                "<p><b>{}</b>: {}</p>\n",
                escaped(&source.stage),
                counted(images)
            ),
        );
        let copies = copies(images)?;
        if !copies.is_empty() {
            let items = copies
                .iter()
                .map(|copy| format!("<li>{}</li>", escaped(copy)));
            push(
                &mut html,
                format_args!("<ul>{}</ul>\n", items.collect::<String>()),
            );
        }
    }
    Ok(html)
}

fn counted(images: &ImagesReader) -> String {
    let mut splits: BTreeMap<&str, u64> = BTreeMap::new();
    for row in 0..images.rows() {
        *splits.entry(images.image(row).split).or_default() += 1;
    }
    let splits = splits
        .iter()
        .map(|(split, count)| format!("{} {}", text::count(*count), escaped(split)));
    let classes = match images.classes().len() {
        0 => "without classes".to_owned(),
        1 => "of 1 class".to_owned(),
        classes => format!("of {} classes", text::count(classes as u64)),
    };
    format!(
        "{} images {classes}: {}",
        text::count(images.rows() as u64),
        splits.collect::<Vec<_>>().join(", ")
    )
}

fn copies(images: &ImagesReader) -> Result<Vec<String>> {
    let class = |row: usize| {
        let label = images.image(row).label?;
        Some((label, images.classes().get(&label).map(String::as_str)))
    };
    remarks(
        images.rows(),
        |row| {
            let image = images.image(row);
            Seen {
                digest: image.digest,
                occurrence: image.occurrence,
                class: class(row),
                split: image.split,
            }
        },
        |row| Ok(images.source(row)?),
    )
}
