//! What augmentation does: some images with the boxes of their views, and the views as training sees them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use seedpipe_artifact::VIEWS;

use super::gallery::Gallery;
use super::html::{escaped, push};
use super::material::Material;
use crate::contact_sheet::{COLORS, Looked, looked};

/// Images that are shown, and stages.
const IMAGES: usize = 4;
const STAGES: usize = 2;

/// One sheet a stage of views; empty when none may be read.
pub fn sheets(material: &Material, gallery: &mut Gallery) -> Result<String> {
    let mut html = String::new();
    for (source, parts) in material.readable(VIEWS).take(STAGES) {
        let Some((_, images)) = material.files(source, "images") else {
            continue;
        };
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
        html.push_str("<p class=\"note\">Each box on the original is what the view in the frame of its colour sees. Below a view: its crop in pixels (width × height + left + top), then brightness b, contrast c, saturation s, hue h, blur, gray, flip.</p>\n");
    }
    Ok(html)
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
                escaped(&numbers.join(" "))
            ),
        );
    }
    html.push_str("</li>\n");
    html
}
