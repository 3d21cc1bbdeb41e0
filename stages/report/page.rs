//! The page: one file that asks for nothing else. Sections in the order in which a reader asks;
//! those without data are left out, and the end says what would give them.

use anyhow::Result;
use seedpipe_artifact::{EMBEDDINGS, METRICS, PREDICTIONS};

use super::colours::Colours;
use super::gallery::Gallery;
use super::html::{escaped, push, with_code};
use super::material::{Catalogue, Material};
use super::sections::{
    classes, curves, data, headline, lineage, mistakes, recipe, size_plot, timeline, view_sheet,
};
use super::{embeddings, judged};
use crate::shared::results::results;

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");
/// Nothing is fetched, whatever the content says.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// What would give sections that lack more than a connection.
const EPOCHS: &str = "a training stage of two epochs or more";
const ENCODE: &str = "an `encode` stage without `views`, of the student and of the teacher";

/// A part of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    html: String,
}

/// The sections that there are, and what would give the others.
#[derive(Default)]
struct Sections {
    there: Vec<Section>,
    left_out: Vec<(&'static str, &'static str)>,
}

impl Sections {
    /// - `html`: empty when there is nothing to show
    /// - `remedy`: what would give it
    fn add(&mut self, id: &'static str, title: &'static str, html: String, remedy: &'static str) {
        if html.is_empty() {
            self.left_out.push((title, remedy));
        } else {
            self.there.push(Section { id, title, html });
        }
    }
}

/// The whole file.
///
/// # Errors
/// When an artifact can't be read.
pub fn page(material: &Material) -> Result<String> {
    let material = &material.catalogue();
    let mut gallery = Gallery::open(material)?;
    let sections = sections(material, &mut gallery)?;
    let title = escaped(&material.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"><meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"data:,\"><title>{title}</title>\n<style>\n{STYLE}</style></head><body>\n<header><h1>{title}</h1>{}</header>\n",
        lead(material)
    );
    page.push_str("<nav aria-label=\"Sections\"><ul>");
    for Section { id, .. } in &sections.there {
        let (first, rest) = id.split_at(1);
        let name = first.to_uppercase() + rest;
        push(
            &mut page,
            format_args!("<li><a href=\"#{id}\">{name}</a></li>"),
        );
    }
    page.push_str("</ul></nav>\n<main>\n");
    for Section { id, title, html } in &sections.there {
        push(
            &mut page,
            format_args!(
                "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{title}</h2>\n{html}</section>\n"
            ),
        );
    }
    page.push_str("</main>\n");
    page.push_str(&footer(&sections));
    // The pictures come last, so that the text is there before them.
    push(
        &mut page,
        format_args!(
            "<style>\n{}</style>\n<script>\n{SCRIPT}</script>\n</body></html>\n",
            gallery.style()?
        ),
    );
    Ok(page)
}

fn lead(material: &Catalogue) -> String {
    let stages = material.sources.len();
    let against = material
        .against
        .as_ref()
        .map_or_else(String::new, |against| {
            format!(", against <b>{}</b>", escaped(&against.name))
        });
    format!(
        "<p class=\"lead\">What a small network, the student, learned without labels from what a larger one, the teacher, sees in the images: {stages} stages{against}</p>"
    )
}

fn footer(sections: &Sections) -> String {
    let mut html = "<footer>".to_owned();
    if !sections.left_out.is_empty() {
        html.push_str("<h2>Not on this page</h2><ul class=\"left-out\">");
        for (title, remedy) in &sections.left_out {
            push(
                &mut html,
                format_args!("<li><b>{title}</b>: {}</li>", with_code(remedy)),
            );
        }
        html.push_str("</ul>");
    }
    html.push_str(
        "<p class=\"note\">Made by seedpipe. The page is one file and loads nothing.</p></footer>\n",
    );
    html
}

fn sections(material: &Catalogue, gallery: &mut Gallery) -> Result<Sections> {
    let results = results(&material.result_sources());
    let colours = Colours::of(material, &results);
    let ranked = headline::ranked(material, &results, &colours);
    let judged = judged::judged(material, gallery)?;
    let embedded = embeddings::embedded(material)?;
    let cached = material.has_telemetry();
    // What the kind `report` shows hangs on its inputs; the command reads the whole cache.
    let hint = |stage: &'static str, command: &'static str| if cached { command } else { stage };
    let mut sections = Sections::default();
    let mut html = headline::cards(material, &results);
    html.push_str(&headline::table(material, &results, &ranked).unwrap_or_default());
    let over_seeds = super::over_seeds(material);
    html.push_str(&over_seeds.map_or_else(String::new, |results| headline::over(&results)));
    sections.add(
        "results",
        "Results",
        html,
        "put `knn`, `probe` or `finetune` stages after the networks' features",
    );
    if material.against.is_some() {
        let html = recipe::changes(material).unwrap_or_default();
        sections.add("changes", "Changes", html, "");
    }
    let columns = &results.columns;
    let is_accuracy = columns.is_empty() || columns.iter().any(|title| title.contains("top-1"));
    sections.add(
        "size",
        if is_accuracy {
            "Accuracy against size"
        } else {
            "Figures against size"
        },
        size_plot::plots(&results, &ranked),
        "measure at least two networks of known size by the same kind of stage",
    );
    sections.add(
        "training",
        "Training",
        curves::curves(material, &colours)?,
        if trains(material) {
            EPOCHS
        } else {
            hint("connect the `metrics` of the training stages", EPOCHS)
        },
    );
    sections.add(
        "data",
        "Data",
        data::data(material, gallery)?,
        hint(
            "connect `images`, or run `seedpipe report`",
            "an `ingest` stage",
        ),
    );
    sections.add(
        "classes",
        "Class by class",
        classes::table(material, &results, &ranked, &judged)?.unwrap_or_default(),
        "labels for the test images, and a stage that judges by them",
    );
    // What is connected and yet gives nothing is not to be connected again.
    let is_read = |kind: &'static str| {
        let mut readable = material.readable(kind);
        readable.any(|(source, _)| material.files(source, "images").is_some())
    };
    let predictions = match (judged.is_empty(), is_read(PREDICTIONS)) {
        (false, _) => "there are none: every judged image was named rightly",
        (_, true) => "labels for the judged images",
        _ => hint(
            "connect `predictions` and `images`, or run `seedpipe report`",
            "labels for the test images, and a `probe`, `knn` or `finetune` stage",
        ),
    };
    sections.add(
        "confusion",
        "What is taken for what",
        mistakes::confusion(&judged, gallery),
        predictions,
    );
    sections.add(
        "mistakes",
        "The mistakes it was surest of",
        mistakes::worst(&judged, gallery),
        predictions,
    );
    let features = |of_little: &'static str| match (embedded.is_empty(), is_read(EMBEDDINGS)) {
        (false, _) => of_little,
        (_, true) => ENCODE,
        _ => hint(
            "connect `features` and `images`, or run `seedpipe report`",
            ENCODE,
        ),
    };
    sections.add(
        "map",
        "Map of the embeddings",
        embeddings::map::maps(&embedded, &judged, gallery)?,
        features("embeddings of at least three images"),
    );
    sections.add(
        "neighbours",
        "Nearest neighbours",
        embeddings::near::panels(&embedded, &judged, gallery)?,
        features(
            "embeddings of two splits: the one that is judged and the one that is learned from",
        ),
    );
    sections.add(
        "views",
        "Views",
        view_sheet::sheets(material, gallery)?,
        hint(
            "connect `views` and `images`, or run `seedpipe report`",
            "an `augment` stage",
        ),
    );
    let command =
        "`seedpipe report` writes it; this page holds nothing that differs between equal results";
    sections.add(
        "time",
        "Time",
        timeline::timeline(material).unwrap_or_default(),
        command,
    );
    sections.add("lineage", "Lineage", lineage::graph(material), "stages");
    sections.add("recipe", "Recipe", recipe::recipes(material), "stages");
    sections.add(
        "environment",
        "Environment",
        recipe::environment(material).unwrap_or_default(),
        command,
    );
    Ok(sections)
}

/// Whether the metrics of a stage that trains may be read.
fn trains(material: &Catalogue) -> bool {
    let mut readable = material.readable(METRICS);
    readable.any(|(source, _)| source.training().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn what_a_page_cannot_show_it_says() {
        let page = page(&example::material()).unwrap();
        assert!(page.starts_with("<!doctype html>\n<html lang=\"en\">"));
        for part in [
            "<section id=\"results\"",
            "<section id=\"size\"",
            "<section id=\"lineage\"",
            "<li><b>Map of the embeddings</b>: connect <code>features</code> and <code>images</code>",
            "<li><b>Time</b>: <code>seedpipe report</code> writes it",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<section id=\"map\""));
        assert!(!page.contains("<section id=\"changes\""));
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let mut material = example::material();
        material.title = "</title><script>alert(1)</script>".to_owned();
        material.sources[0].params = serde_json::json!({"source": "</pre><img src=x>"});
        let page = page(&material).unwrap();
        assert!(!page.contains("<script>alert"));
        assert!(!page.contains("<img src=x>"));
    }
}
