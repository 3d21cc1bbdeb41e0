//! Curves of training: every recorded value over the steps, what is comparable in one drawing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use seedpipe_artifact::{METRICS, MetricsReader};
use seedpipe_base::text;

use crate::report::colours::Colours;
use crate::report::html::drawing::{Figure, PlotArea, legend, level, line, upright};
use crate::report::html::scale::PlotAxis;
use crate::report::html::{escaped, push};
use crate::report::material::{Catalogue, Source};
use crate::report::networks;
use crate::shared::selection::JUDGING;

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 256.0;
const FRAME: PlotArea = PlotArea {
    left: 48.0,
    top: 12.0,
    right: 366.0,
    bottom: 208.0,
};
/// Points of a line at most; of longer ones some are left out.
const POINTS: usize = 240;
/// What a loss over a queue does not tell.
const QUEUE: &str = "<p class=\"note\">A loss over a queue rises while the queue fills: it begins with random vectors, which are easily told from an image's own. It never reaches zero, since the teacher's own answer has an entropy, and MoCo's can rise for long, since the keys that it tells apart become more alike. Losses over queues of another length or temperature cannot be compared. Whether a network learns is told by the accuracy beside it.</p>\n";
/// What accuracies while training must not be used for.
const JUDGED: &str = "<p class=\"note\">The accuracies while training are of the images that judge: whoever chooses epochs or rates by them judges too well. A split <code>val</code> is there for that (<code>hash_split</code> of <code>ingest</code>).</p>\n";

/// A stage's values over steps.
struct Series {
    stage: String,
    /// What the stage's network looks like.
    colour: usize,
    points: Vec<(f64, f64)>,
}

/// Split, name, and values over steps.
type Recorded = (String, String, Vec<(f64, f64)>);

/// Lines that may share an upright axis: the values' name, and for losses what they are losses of.
type CurveKey = (bool, String, String);

/// All drawings: losses and accuracies in the open, the rest folded. Empty when nothing was
/// recorded over steps.
pub fn curves(material: &Catalogue, colours: &Colours) -> Result<String> {
    let mut groups: BTreeMap<CurveKey, Vec<Series>> = BTreeMap::new();
    let mut is_judged = false;
    for (source, parts) in material.readable(METRICS) {
        for (split, name, points) in series(source, parts)? {
            let of = match source.training() {
                _ if !name.ends_with("loss") => String::new(),
                Some(training) => training.loss.clone(),
                None => networks::learned(material, source),
            };
            let titled = match name.as_str() {
                "running_knn_top1" => "kNN top-1 while training".to_owned(),
                "running_top1" => "top-1 while training".to_owned(),
                _ => name.replace('_', " "),
            };
            let is_accuracy = name.contains("top1");
            is_judged |= name.starts_with("running_") && split == JUDGING;
            let points = match is_accuracy {
                true => points
                    .into_iter()
                    .map(|(step, share)| (step, share * 100.0))
                    .collect(),
                false => points,
            };
            let name = match (split.as_str(), is_accuracy) {
                ("train", false) => titled,
                ("train", true) => format!("{titled}, %"),
                (_, false) => format!("{titled} ({split})"),
                (_, true) => format!("{titled} ({split}), %"),
            };
            let is_minor = !(name.contains("loss") || is_accuracy) || name.contains("loss scale");
            groups
                .entry((is_minor, name, of))
                .or_default()
                .push(Series {
                    stage: source.stage.clone(),
                    colour: colours.number(&source.stage),
                    points,
                });
        }
    }
    let mut open = String::new();
    let mut folded = String::new();
    for (number, ((is_minor, name, of), series)) in groups.iter().enumerate() {
        let title = if of.is_empty() {
            name.clone()
        } else {
            format!("{name}: {of}")
        };
        let chart = chart(number, &title, series);
        if *is_minor {
            folded.push_str(&chart);
        } else {
            open.push_str(&chart);
        }
    }
    let mut html = String::new();
    if groups.keys().any(|(_, name, of)| {
        name.ends_with("loss") && (of.starts_with("SEED") || of.starts_with("MoCo"))
    }) {
        html.push_str(QUEUE);
    }
    if is_judged {
        html.push_str(JUDGED);
    }
    if !open.is_empty() {
        push(
            &mut html,
            format_args!("<div class=\"charts\">{open}</div>"),
        );
    }
    if !folded.is_empty() {
        push(
            &mut html,
            format_args!(
                "<details><summary>Learning rates and other values</summary><div class=\"charts\">{folded}</div></details>"
            ),
        );
    }
    Ok(html)
}

/// Every value with more than one step.
fn series(source: &Source, parts: &[PathBuf]) -> Result<Vec<Recorded>> {
    let rows = MetricsReader::open(parts)
        .and_then(|reader| reader.read_all())
        .with_context(|| format!("stage `{}`", source.stage))?;
    let mut found: BTreeMap<(String, String), Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| row.value.is_finite()) {
        found
            .entry((row.split, row.name))
            .or_default()
            .push((row.step as f64, row.value));
    }
    let longer = found.into_iter().filter(|(_, points)| points.len() > 1);
    Ok(longer
        .map(|((split, name), points)| (split, name, thinned(points)))
        .collect())
}

/// At most [`POINTS`], the first and the last among them.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let last = points.len() - 1;
    if last < POINTS {
        return points;
    }
    (0..POINTS)
        .map(|index| points[index * last / (POINTS - 1)])
        .collect()
}

fn chart(number: usize, title: &str, series: &[Series]) -> String {
    let points = || series.iter().flat_map(|series| &series.points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let (low, high) = points().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), point| {
        (low.min(point.1), high.max(point.1))
    });
    let room = (high - low) * 0.04;
    let x = PlotAxis::linear(0.0, last, FRAME.left, FRAME.right);
    let y = PlotAxis::linear(low - room, high + room, FRAME.bottom, FRAME.top);
    let mut body = String::new();
    upright(&mut body, FRAME, &y, &y.ticks(4), false);
    level(
        &mut body,
        FRAME,
        &x,
        &x.ticks(4),
        |step| text::count(step as u64),
        "step",
    );
    let mut described = Vec::new();
    for series in series {
        let places: Vec<String> = series
            .points
            .iter()
            .map(|point| format!("{:.1},{:.1}", x.place(point.0), y.place(point.1)))
            .collect();
        push(
            &mut body,
            format_args!(
                "<polyline class=\"curve {}\" data-name=\"{}\" points=\"{}\"/>",
                line(series.colour),
                escaped(&series.stage),
                places.join(" ")
            ),
        );
        if let (Some(first), Some(last)) = (series.points.first(), series.points.last()) {
            described.push(format!(
                "{}: from {:.3} to {:.3} at step {}",
                series.stage, first.1, last.1, last.0
            ));
        }
    }
    // What the script needs to tell values from places: the axes' ends, which differ where a line's
    // don't.
    let span = |axis: &PlotAxis| {
        let [low, high] = axis.ends();
        format!(
            "{low} {high} {:.2} {:.2}",
            axis.place(low),
            axis.place(high)
        )
    };
    let attributes = format!(" data-x=\"{}\" data-y=\"{}\"", span(&x), span(&y));
    Figure {
        id: format!("curve-{number}"),
        title: title.to_owned(),
        description: described.join("; "),
        width: WIDTH,
        height: HEIGHT,
        attributes,
        body,
        below: legend(
            series
                .iter()
                .map(|series| (series.colour, series.stage.as_str())),
        ),
    }
    .html()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_keep_their_ends() {
        let long: Vec<(f64, f64)> = (0..10_000).map(|step| (step as f64, 1.0)).collect();
        let short = thinned(long.clone());
        assert_eq!(short.len(), POINTS);
        assert_eq!((short[0], short[POINTS - 1]), (long[0], long[9_999]));
        assert_eq!(thinned(long[..5].to_vec()).len(), 5);
    }

    #[test]
    fn a_line_that_is_level_has_an_axis_with_two_ends() {
        let series = [Series {
            stage: "level".into(),
            colour: 0,
            points: vec![(0.0, 5.0), (20.0, 5.0)],
        }];
        let chart = chart(0, "loss", &series);
        assert!(
            chart.contains("data-x=\"0 20 48.00 366.00\" data-y=\"4.5 5.5 208.00 12.00\""),
            "{chart}"
        );
    }

    #[test]
    fn a_drawing_says_where_its_lines_begin_and_end() {
        let series = [Series {
            stage: "a<b".into(),
            colour: 12,
            points: vec![(10.0, 2.0), (20.0, 1.0)],
        }];
        let chart = chart(0, "loss: SEED", &series);
        assert!(
            chart.contains("a&lt;b: from 2.000 to 1.000 at step 20"),
            "{chart}"
        );
        assert_eq!(
            chart.matches("c2 d0").count(),
            2,
            "line and legend: {chart}"
        );
        assert!(chart.contains("aria-labelledby=\"curve-0-t curve-0-d\""));
    }
}
