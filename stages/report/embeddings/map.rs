//! Maps of the embeddings: images as points of the plane, near where the network finds them alike;
//! their pictures come up when a point is looked at.
//!
//! A class is one path of dots, which is a hundredth of the elements that circles would be. The
//! script finds points and pictures by their order.

use std::collections::BTreeMap;

use anyhow::Result;
use seedpipe_artifact::ImagesReader;
use seedpipe_base::neutral;

use crate::report::embeddings::pca::principal;
use crate::report::embeddings::tsne::tsne;
use crate::report::embeddings::{Embedded, pair};
use crate::report::gallery::{Gallery, Size};
use crate::report::html::drawing::COLOURS;
use crate::report::html::tabs::{Tab, tabs};
use crate::report::html::{escaped, percent, push};
use crate::report::judged::{Judged, splits};

/// Points at most, evenly spread over the images.
const POINTS: usize = 2000;
/// The judged split is shown when it has this many images, else all images are.
const ENOUGH: usize = 100;
/// Side of a map and its margin.
const SIDE: f64 = 1000.0;
const MARGIN: f64 = 30.0;

/// An image in the maps.
struct Point {
    row: usize,
    id: u32,
    label: Option<i32>,
    /// Index into the classes that are shown; images without a label share the last.
    class: usize,
}

/// The maps of the student and the teacher; empty when no embeddings of images may be read.
pub fn maps(all: &[Embedded], judged: &[Judged], gallery: &mut Gallery) -> Result<String> {
    let pair = pair(all);
    let Some(stage) = pair.first().map(|embedded| embedded.images.clone()) else {
        return Ok(String::new());
    };
    let Some(images) = gallery.images(&stage) else {
        return Ok(String::new());
    };
    let split = splits(judged, &stage).judged;
    let (points, names, of_split) = points(images, gallery.classes(&stage), &split);
    if points.len() < 3 {
        return Ok(String::new());
    }
    let mut ids: Vec<u32> = points.iter().map(|point| point.id).collect();
    ids.sort_unstable();
    let mut panels: [Vec<String>; 2] = Default::default();
    for embedded in pair {
        let Some(values) = embedded.of(&ids)? else {
            continue;
        };
        let dimension = embedded.dimension();
        let principal = principal(&values, dimension);
        let near = tsne(&values, dimension, &principal.places);
        let by_id: BTreeMap<u32, usize> = ids.iter().copied().zip(0..).collect();
        let order: Vec<usize> = points.iter().map(|point| by_id[&point.id]).collect();
        let name = &embedded.network;
        let both = percent(principal.shares[0] + principal.shares[1]);
        panels[0].push(map(name, "t-SNE", "", &points, &names, &order, &near));
        panels[1].push(map(
            name,
            "PCA",
            &format!(", {both} of the variance"),
            &points,
            &names,
            &order,
            &principal.places,
        ));
    }
    if panels[0].is_empty() {
        return Ok(String::new());
    }
    let told = points_json(&points, &names, judged, &stage, gallery);
    let [near, along] = panels.map(|maps| format!("<div class=\"maps\">{}</div>", maps.concat()));
    let mut html = tabs(
        "Which map",
        vec![
            Tab {
                label: "t-SNE".into(),
                html: near,
            },
            Tab {
                label: "PCA".into(),
                html: along,
            },
        ],
    );
    html.push_str(&legend(&names, &points));
    push(
        &mut html,
        format_args!(
            "<p class=\"note\">{} images of {}, by the features' cosine. Look at a point for its picture, press a class to see it alone.</p>\n{told}",
            points.len(),
            escaped(&of_split)
        ),
    );
    Ok(html)
}

/// The images that are shown, class by class; the classes' names; what they are of.
///
/// - `classes`: label → name
fn points(
    images: &ImagesReader,
    classes: &BTreeMap<i32, String>,
    split: &str,
) -> (Vec<Point>, Vec<String>, String) {
    let of_split = images.rows_in(split);
    let (rows, told) = if of_split.len() >= ENOUGH {
        (of_split, format!("the split {split}"))
    } else {
        ((0..images.rows()).collect(), "all splits".to_owned())
    };
    let count = rows.len().min(POINTS);
    let chosen = (0..count).map(|index| rows[index * rows.len() / count]);
    let mut names: Vec<String> = classes.values().cloned().collect();
    let places: BTreeMap<i32, usize> = classes.keys().copied().zip(0..).collect();
    let unknown = names.len();
    let mut points: Vec<Point> = chosen
        .map(|row| {
            let image = images.image(row);
            let class = image.label.and_then(|label| places.get(&label).copied());
            Point {
                row,
                id: image.image_id,
                label: image.label,
                class: class.unwrap_or(unknown),
            }
        })
        .collect();
    points.sort_by_key(|point| (point.class, point.row));
    if points.last().is_some_and(|point| point.class == unknown) {
        names.push("without a label".to_owned());
    }
    (points, names, told)
}

fn map(
    network: &str,
    method: &str,
    about: &str,
    points: &[Point],
    names: &[String],
    order: &[usize],
    places: &[[f64; 2]],
) -> String {
    let ends = |axis: usize| {
        places
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
                (low.min(place[axis]), high.max(place[axis]))
            })
    };
    let (x, y) = (ends(0), ends(1));
    // One scale for both directions, the cloud in the middle.
    let span = (x.1 - x.0).max(y.1 - y.0).max(1e-12);
    let scale = (SIDE - 2.0 * MARGIN) / span;
    let place = |place: [f64; 2]| {
        [
            SIDE / 2.0 + (place[0] - (x.0 + x.1) / 2.0) * scale,
            SIDE / 2.0 - (place[1] - (y.0 + y.1) / 2.0) * scale,
        ]
    };
    let mut body = String::new();
    let radius = if points.len() > 600 { 15 } else { 20 };
    for (class, name) in names.iter().enumerate() {
        let mut dots = String::new();
        for (index, _) in points
            .iter()
            .enumerate()
            .filter(|(_, point)| point.class == class)
        {
            let [x, y] = place(places[order[index]]);
            push(&mut dots, format_args!("M{x:.0} {y:.0}h0"));
        }
        if !dots.is_empty() {
            push(
                &mut body,
                format_args!(
                    "<path class=\"dots {}\" data-class=\"{class}\" d=\"{dots}\"><title>{}</title></path>",
                    colour(class, names.len()),
                    escaped(name)
                ),
            );
        }
    }
    let network = escaped(network);
    format!(
        "<figure class=\"chart map\"><figcaption>{network} <small>{method}{about}</small></figcaption><svg viewBox=\"0 0 {SIDE} {SIDE}\" role=\"img\" aria-label=\"{method} of {} embeddings by {network}, coloured by class\" style=\"--dot:{radius}\">{body}</svg></figure>",
        points.len()
    )
}

/// A class of the style sheet; when there are more classes than colours, hues evenly around the
/// circle, classes that follow each other far apart.
fn colour(class: usize, classes: usize) -> String {
    if classes <= COLOURS {
        return format!("c{class}");
    }
    // The golden section of the circle, or what is near and meets every hue.
    let least = (classes as f64 * 0.382).round() as usize;
    let step = (least..).find(|step| are_coprime(*step, classes));
    let place = class * step.expect("BUG: no step meets every hue") % classes;
    format!("hue\" style=\"--h:{}", place * 360 / classes)
}

fn are_coprime(one: usize, other: usize) -> bool {
    match other {
        0 => one == 1,
        _ => are_coprime(other, one % other),
    }
}

fn legend(names: &[String], points: &[Point]) -> String {
    let items: Vec<String> = names
        .iter()
        .enumerate()
        .filter(|(class, _)| points.iter().any(|point| point.class == *class))
        .map(|(class, name)| {
            format!(
                "<li><button type=\"button\" data-class=\"{class}\" aria-pressed=\"false\"><span class=\"dot {}\"></span>{}</button></li>",
                colour(class, names.len()),
                escaped(name)
            )
        })
        .collect();
    format!("<ul class=\"legend classes\">{}</ul>", items.concat())
}

/// What the script tells of a point: its picture's place, its class, and what it was taken for.
fn points_json(
    points: &[Point],
    names: &[String],
    judged: &[Judged],
    stage: &str,
    gallery: &mut Gallery,
) -> String {
    let by = judged.iter().find(|judged| judged.images == stage);
    let answers: BTreeMap<u32, i32> = by
        .into_iter()
        .flat_map(|judged| &judged.rows)
        .filter_map(|row| Some((row.image_id, *row.classes.first()?)))
        .collect();
    let mut classes: Vec<usize> = Vec::new();
    let mut pictures: Vec<usize> = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for point in points {
        classes.push(point.class);
        pictures.push(gallery.place(Size::Small, stage, point.row));
        // Only what is wrong is told.
        let answer = answers.get(&point.id);
        let wrong = answer.filter(|class| point.label != Some(**class)).zip(by);
        taken.push(wrong.map_or_else(String::new, |(class, judged)| judged.name(*class)));
    }
    let shown = |names: &[String]| -> Vec<String> {
        names
            .iter()
            .map(|name| neutral::line(name).into_owned())
            .collect()
    };
    let value = serde_json::json!({
        "names": shown(names),
        "classes": classes,
        "pictures": pictures,
        "taken": shown(&taken),
        "by": by.map(|judged| judged.stage.as_str()),
    });
    // In a script element only its own end would end it.
    format!(
        "<script type=\"application/json\" id=\"points\">{}</script>\n",
        value.to_string().replace('<', "\\u003c")
    )
}

#[cfg(test)]
mod tests {
    use seedpipe_artifact::PredictionRow;

    use super::*;
    use crate::report::example;
    use crate::shared::confusion::Tally;

    #[test]
    fn no_two_classes_have_one_colour() {
        for classes in [2, 10, 11, 12, 26, 100, 360] {
            let colours = (0..classes).map(|class| colour(class, classes));
            let colours: std::collections::BTreeSet<String> = colours.collect();
            assert_eq!(colours.len(), classes);
        }
        assert_eq!(colour(1, 12), "hue\" style=\"--h:150");
    }

    #[test]
    fn names_of_classes_cannot_break_out_and_one_name_is_not_one_class() {
        let name = "</script><b>\"";
        let classes = [(1, name), (2, name)].map(|(label, name)| (label, name.to_owned()));
        let row = PredictionRow {
            image_id: 5,
            label: Some(1),
            classes: vec![2],
            probabilities: vec![1.0],
        };
        let judged = Judged {
            stage: "probe".to_owned(),
            images: "images".to_owned(),
            split: "test".to_owned(),
            learned_on: "train".to_owned(),
            tally: Tally::of(std::slice::from_ref(&row), &classes.into()),
            rows: vec![row],
        };
        let names: Vec<String> = judged.tally.names.values().cloned().collect();
        let points = [Point {
            row: 0,
            id: 5,
            label: Some(1),
            class: 0,
        }];
        let mut gallery = Gallery::open(&example::material().catalogue()).unwrap();
        let json = points_json(&points, &names, &[judged], "images", &mut gallery);
        assert_eq!(json.matches("</script>").count(), 1, "{json}");
        let told = r#""taken":["\u003c/script>\u003cb>\" (2)"]"#;
        assert!(json.contains(told), "{json}");
        let drawn = map("net", "PCA", "", &points, &names, &[0], &[[0.0, 0.0]]);
        let legend = legend(&names, &points);
        for html in [drawn, legend] {
            assert!(
                !html.contains("</script>") && !html.contains("<b>"),
                "{html}"
            );
        }
    }
}
