//! Accuracy against size, as in figure 1 of the SEED paper, with the pipeline's own networks.

use crate::report::html::drawing::{Figure, PlotArea, level, line, upright};
use crate::report::html::scale::PlotAxis;
use crate::report::html::{escaped, percent, push, short};
use crate::report::networks::Role;
use crate::report::sections::headline::Ranked;
use crate::shared::results::Results;

const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 290.0;
const FRAME: PlotArea = PlotArea {
    left: 48.0,
    top: 14.0,
    right: 366.0,
    bottom: 242.0,
};
/// Width of a letter and height of a line of the labels, in the drawing's units.
const LETTER: f64 = 6.3;
const LINE: f64 = 13.0;
/// Plots on the page at most.
const PLOTS: usize = 3;

/// A network in the plot.
struct PlottedNetwork<'a> {
    name: &'a str,
    role: Role,
    colour: usize,
    size: f64,
    value: f64,
    interval: Option<[f64; 2]>,
}

/// A box that is taken.
#[derive(Clone, Copy)]
struct Taken {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Taken {
    fn meets(&self, other: &Taken) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// One plot for each measure that at least two networks of known size have, those that judge first;
/// empty when there is none.
pub fn plots(results: &Results, ranked: &[Ranked]) -> String {
    let mut plots = String::new();
    let mut count = 0;
    let mut columns: Vec<(usize, &String)> = results.columns.iter().enumerate().collect();
    columns.sort_by_key(|(column, _)| results.chooses(*column));
    for (column, title) in columns {
        let points: Vec<PlottedNetwork> = ranked
            .iter()
            .filter_map(|network| point(network, column))
            .collect();
        if points.len() > 1 && count < PLOTS {
            plots.push_str(&plot(count, title, &points));
            count += 1;
        }
    }
    if plots.is_empty() {
        return plots;
    }
    let legend = [Role::Teacher, Role::Student, Role::Baseline]
        .map(|role| format!("<li><span class=\"dot {0}\"></span>{0}</li>", role.name()));
    format!(
        "<div class=\"charts\">{plots}</div><ul class=\"legend\">{}</ul>\n",
        legend.concat()
    )
}

fn point<'a>(network: &Ranked<'a>, column: usize) -> Option<PlottedNetwork<'a>> {
    let measure = network.row.values[column].as_ref()?;
    Some(PlottedNetwork {
        name: &network.row.network,
        role: network.role,
        colour: network.colour,
        size: network.row.parameters.filter(|size| *size > 0)? as f64,
        value: measure.value,
        interval: measure.interval,
    })
}

fn plot(number: usize, title: &str, points: &[PlottedNetwork]) -> String {
    let ends = |point: &PlottedNetwork| point.interval.unwrap_or([point.value; 2]);
    let low = points.iter().map(|p| ends(p)[0]).fold(1.0, f64::min);
    let high = points.iter().map(|p| ends(p)[1]).fold(0.0, f64::max);
    let room = ((high - low) * 0.08).max(0.01);
    let smallest = points.iter().map(|p| p.size).fold(f64::INFINITY, f64::min);
    let largest = points.iter().map(|p| p.size).fold(0.0, f64::max);
    let x = PlotAxis::logarithmic(smallest / 1.8, largest * 1.8, FRAME.left, FRAME.right);
    let (low, high) = ((low - room).max(0.0), (high + room).min(1.0));
    let y = PlotAxis::linear(low, high.max(low + 0.02), FRAME.bottom, FRAME.top);
    let mut body = String::new();
    upright(&mut body, FRAME, &y, &y.ticks(5), true);
    level(&mut body, FRAME, &x, &x.ticks(4), short, "parameters");
    let mut taken: Vec<Taken> = points
        .iter()
        .map(|point| around(x.place(point.size), y.place(point.value), 6.0))
        .collect();
    let mut described = Vec::new();
    for point in points {
        let (at_x, at_y) = (x.place(point.size), y.place(point.value));
        if let Some([low, high]) = point.interval {
            push(
                &mut body,
                format_args!(
                    "<path class=\"whisker {}\" d=\"M{at_x:.1} {:.1}V{:.1}\"/>",
                    line(point.colour),
                    y.place(low),
                    y.place(high)
                ),
            );
        }
        push(&mut body, format_args!("{}", mark(point, at_x, at_y)));
        if let Some((left, base)) = label_place(point.name, at_x, at_y, &mut taken) {
            push(
                &mut body,
                format_args!(
                    "<text class=\"label\" x=\"{left:.1}\" y=\"{base:.1}\">{}</text>",
                    escaped(point.name)
                ),
            );
        }
        described.push(format!(
            "{} ({}): {} with {} parameters",
            point.name,
            point.role.name(),
            percent(point.value),
            short(point.size)
        ));
    }
    Figure {
        id: format!("size-{number}"),
        title: title.to_owned(),
        description: described.join("; "),
        width: WIDTH,
        height: HEIGHT,
        attributes: String::new(),
        body,
        below: String::new(),
    }
    .html()
}

/// The form tells the role: a diamond teaches, a disc learned of it, a ring did not. The colour is
/// the network's own.
fn mark(point: &PlottedNetwork, x: f64, y: f64) -> String {
    let title = format!(
        "<title>{}: {}</title>",
        escaped(point.name),
        percent(point.value)
    );
    let class = format!("mark {} {}", point.role.name(), line(point.colour));
    match point.role {
        Role::Teacher => format!(
            "<path class=\"{class}\" d=\"M{x:.1} {:.1}l7 7l-7 7l-7 -7z\">{title}</path>",
            y - 7.0
        ),
        Role::Student => {
            format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\">{title}</circle>"
            )
        }
        Role::Baseline => {
            format!(
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\">{title}</circle>"
            )
        }
    }
}

fn around(x: f64, y: f64, radius: f64) -> Taken {
    Taken {
        left: x - radius,
        top: y - radius,
        right: x + radius,
        bottom: y + radius,
    }
}

/// The start of a name's line where it meets nothing; `None` when there is no room beside the mark.
fn label_place(name: &str, x: f64, y: f64, taken: &mut Vec<Taken>) -> Option<(f64, f64)> {
    let width = name.chars().count() as f64 * LETTER;
    let candidates = [
        (x + 10.0, y + 4.0),
        (x - 10.0 - width, y + 4.0),
        (x + 9.0, y - 7.0),
        (x + 9.0, y + 15.0),
        (x - 9.0 - width, y - 7.0),
        (x - 9.0 - width, y + 15.0),
        (x - width / 2.0, y - 11.0),
        (x - width / 2.0, y + 20.0),
    ];
    let (left, base, place) = candidates.into_iter().find_map(|(left, base)| {
        let place = Taken {
            left,
            top: base - LINE + 3.0,
            right: left + width,
            bottom: base + 3.0,
        };
        let is_free = place.left > FRAME.left
            && place.right < WIDTH
            && place.top > 0.0
            && place.bottom < FRAME.bottom
            && !taken.iter().any(|other| other.meets(&place));
        is_free.then_some((left, base, place))
    })?;
    taken.push(place);
    Some((left, base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::colours::Colours;
    use crate::report::example;
    use crate::report::sections::headline::ranked;
    use crate::shared::results::results;

    #[test]
    fn names_never_lie_on_each_other() {
        let mut taken = Vec::new();
        let places: Vec<(f64, f64)> = (0..6)
            .filter_map(|index| label_place("student", 200.0, 100.0 + index as f64, &mut taken))
            .collect();
        assert!(places.len() > 3, "{places:?}");
        for (index, place) in taken.iter().enumerate() {
            assert!(taken[..index].iter().all(|other| !other.meets(place)));
        }
    }

    #[test]
    fn every_measured_network_is_in_the_plot() {
        let material = example::material();
        let material = material.catalogue();
        let results = results(&material.result_sources());
        let colours = Colours::of(&material, &results);
        let plots = plots(&results, &ranked(&material, &results, &colours));
        assert_eq!(plots.matches("<figure").count(), 1, "{plots}");
        assert!(
            plots.contains("student (student): 75.0 % with 19 k parameters"),
            "{plots}"
        );
        for role in ["teacher", "student", "baseline"] {
            assert_eq!(plots.matches(&format!("class=\"mark {role} c")).count(), 1);
        }
    }
}
