//! Drawings as SVG within the page: a frame with axes, named for those who can't see it. Colours
//! are the style sheet's.

use crate::report::html::scale::{PlotAxis, tick_text};
use crate::report::html::{escaped, push};

/// Colours of series in the style sheet, `--c0` …; further series begin anew.
pub const COLOURS: usize = 10;

/// A drawing with its name and what it shows.
pub struct Figure {
    /// Unique on the page.
    pub id: String,
    pub title: String,
    /// What a reader who can't see it should know.
    pub description: String,
    pub width: f64,
    pub height: f64,
    /// Attributes of the `svg` element, for the script; empty or beginning with a space.
    pub attributes: String,
    pub body: String,
    /// HTML below the drawing.
    pub below: String,
}

impl Figure {
    pub fn html(&self) -> String {
        let Figure {
            id,
            width,
            height,
            attributes,
            body,
            below,
            ..
        } = self;
        format!(
            "<figure class=\"chart\"><figcaption>{title}</figcaption><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\"{attributes}><title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>\n{body}</svg>{below}</figure>\n",
            title = escaped(&self.title),
            description = escaped(&self.description),
        )
    }
}

/// The rectangle within which values are drawn.
#[derive(Clone, Copy)]
pub struct PlotArea {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

/// Lines and labels of an upright axis: at most a few characters, to the left of the frame.
pub fn upright(body: &mut String, frame: PlotArea, axis: &PlotAxis, ticks: &[f64], percent: bool) {
    let shown: Vec<f64> = ticks
        .iter()
        .map(|tick| if percent { tick * 100.0 } else { *tick })
        .collect();
    for (tick, value) in ticks.iter().zip(&shown) {
        let y = axis.place(*tick);
        let unit = if percent { " %" } else { "" };
        push(
            body,
            format_args!(
                "<path class=\"grid\" d=\"M{} {y:.1}H{}\"/><text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}{unit}</text>",
                frame.left,
                frame.right,
                frame.left - 6.0,
                y + 4.0,
                tick_text(*value, &shown)
            ),
        );
    }
}

/// Labels of a level axis below the frame, and what it counts.
pub fn level(
    body: &mut String,
    frame: PlotArea,
    axis: &PlotAxis,
    ticks: &[f64],
    text: impl Fn(f64) -> String,
    name: &str,
) {
    let bottom = frame.bottom;
    push(
        body,
        format_args!(
            "<path class=\"axis\" d=\"M{} {bottom}H{}\"/>",
            frame.left, frame.right
        ),
    );
    for tick in ticks {
        let x = axis.place(*tick);
        push(
            body,
            format_args!(
                "<path class=\"axis\" d=\"M{x:.1} {bottom}v4\"/><text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 17.0,
                text(*tick)
            ),
        );
    }
    push(
        body,
        format_args!(
            "<text class=\"axis-name\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (frame.left + frame.right) / 2.0,
            bottom + 34.0,
            escaped(name)
        ),
    );
}

/// Style of a line by its number: colour and dashes, of which thirty go together.
pub fn line(number: usize) -> String {
    format!("c{} d{}", number % COLOURS, number % 3)
}

/// A list of lines: number and name.
pub fn legend<'a>(lines: impl IntoIterator<Item = (usize, &'a str)>) -> String {
    let items: Vec<String> = lines
        .into_iter()
        .map(|(number, name)| {
            format!(
                "<li><span class=\"line {}\"></span>{}</li>",
                line(number),
                escaped(name)
            )
        })
        .collect();
    format!("<ul class=\"legend\">{}</ul>", items.concat())
}
