//! What augmentation does: some images with the boxes of their views, and the views as training
//! sees them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use seedpipe_artifact::VIEWS;
use seedpipe_base::Operation;

use crate::pixels::contact_sheet::{COLORS, Looked, looked};
use crate::report::gallery::Gallery;
use crate::report::html::{escaped, push};
use crate::report::material::{Catalogue, Source};

/// Images that are shown, and stages.
const IMAGES: usize = 4;
const STAGES: usize = 2;

/// One sheet a stage of views; empty when none may be read.
pub fn sheets(material: &Catalogue, gallery: &mut Gallery) -> Result<String> {
    let mut html = String::new();
    for (source, images, parts) in shown(material) {
        let looked = rows(&source.stage, images, parts)?;
        push(
            &mut html,
            format_args!("<h3>{}</h3><ul class=\"views\">", escaped(&source.stage)),
        );
        for image in looked {
            push(&mut html, format_args!("{}", row(image, gallery)));
        }
        html.push_str("</ul>\n");
    }
    if !html.is_empty() {
        push(
            &mut html,
            format_args!(
                "<p class=\"note\">Each box on the original is what the view in the frame of its colour sees. Below a view: its crop in pixels (width × height + left + top), then {}.</p>\n",
                Operation::legend()
            ),
        );
    }
    Ok(html)
}

/// Stages of views, with the files of their images and of the views; those whose images can't be
/// read take no place.
fn shown<'a>(material: &Catalogue<'a>) -> Vec<(&'a Source, &'a [PathBuf], &'a [PathBuf])> {
    let readable = material.readable(VIEWS).filter_map(|(source, parts)| {
        let (_, images) = material.files(source, "images")?;
        Some((source, images, parts))
    });
    readable.take(STAGES).collect()
}

fn rows(stage: &str, images: &[PathBuf], views: &[PathBuf]) -> Result<Vec<Looked>> {
    looked(images, views, IMAGES).with_context(|| format!("stage `{stage}`"))
}

fn row(image: Looked, gallery: &mut Gallery) -> String {
    let (width, height) = (image.original.width, image.original.height);
    let about = image.about.join(", ");
    let mut boxes = String::new();
    for (of, [red, green, blue]) in image.boxes.iter().zip(COLORS) {
        push(
            &mut boxes,
            format_args!(
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" stroke=\"rgb({red} {green} {blue})\"/>",
                of.x, of.y, of.width, of.height
            ),
        );
    }
    let mut html = format!(
        "<li><figure><div class=\"boxed\">{}<svg viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\">{boxes}</svg></div><figcaption>{}</figcaption></figure>",
        gallery.drawn(image.original, &format!("original, {about}")),
        escaped(&about)
    );
    for ((picture, lines), [red, green, blue]) in image.views.into_iter().zip(COLORS) {
        let (name, numbers) = lines
            .split_first()
            .map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
        push(
            &mut html,
            format_args!(
                "<figure class=\"view\" style=\"--frame:rgb({red} {green} {blue})\">{}<figcaption>{}</figcaption></figure>",
                gallery.drawn(picture, name),
                // A line may break after a hyphen, not after a minus.
                escaped(&numbers.join(" ").replace('-', "−"))
            ),
        );
    }
    html.push_str("</li>\n");
    html
}

#[cfg(test)]
mod tests {
    use seedpipe_artifact::IMAGES;

    use super::*;
    use crate::report::example;

    #[test]
    fn views_whose_images_cannot_be_read_take_no_place() {
        let mut material = example::material();
        material.sources.clear();
        for number in 0..STAGES + 2 {
            let images = format!("images_{number}");
            let is_readable = number >= STAGES;
            let of_images = example::stored(&images, IMAGES, is_readable, &[]);
            let inputs = [("images", images.as_str(), "output")];
            let views = example::stored(&format!("views_{number}"), VIEWS, true, &inputs);
            material.sources.extend([of_images, views]);
        }
        let material = material.catalogue();
        let shown = shown(&material);
        let names: Vec<&str> = shown.iter().map(|(of, ..)| of.stage.as_str()).collect();
        assert_eq!(names, ["views_2", "views_3"]);
    }
}
