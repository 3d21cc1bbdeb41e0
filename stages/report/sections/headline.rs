//! The headline: what the student gained and what it keeps of its teacher, and the table of every
//! network that was measured.

use crate::report::colours::Colours;
use crate::report::gains::{Gain, Group, floor, gains, groups, missing_floor};
use crate::report::html::drawing::line;
use crate::report::html::{
    Cell, HtmlColumn, HtmlTable, change, escaped, percent, push, short, with_code,
};
use crate::report::material::{Catalogue, EarlierState};
use crate::report::networks::{self, Role};
use crate::shared::results::{Measure, ResultRow, Results};
use crate::shared::selection::{CHOOSING, JUDGING};
use seedpipe_base::text;

/// A network with its part.
pub struct Ranked<'a> {
    pub row: &'a ResultRow,
    pub role: Role,
    /// What it looks like, for [`line`].
    pub colour: usize,
}

/// The rows of the results with their parts, teachers first, then students.
pub fn ranked<'a>(
    material: &Catalogue,
    results: &'a Results,
    colours: &Colours,
) -> Vec<Ranked<'a>> {
    let mut rows: Vec<Ranked> = results
        .rows
        .iter()
        .map(|row| Ranked {
            row,
            role: material
                .source(&row.network)
                .map_or(Role::Baseline, |source| networks::role(material, source)),
            colour: colours.number(&row.network),
        })
        .collect();
    rows.sort_by_key(|ranked| match ranked.role {
        Role::Teacher => 0,
        Role::Student => 1,
        Role::Baseline => 2,
    });
    rows
}

/// The column that networks are compared by: the first of a main measure, else the first that most
/// networks have; those that choose come last.
pub fn main_column(results: &Results) -> Option<usize> {
    let measures = |column: usize| {
        let rows = results.rows.iter();
        rows.filter_map(move |row| row.values[column].as_ref())
    };
    let count = |column: usize| measures(column).count();
    let mut columns: Vec<usize> = (0..results.columns.len()).collect();
    columns.sort_by_key(|&column| results.chooses(column));
    let columns = columns.into_iter();
    columns
        .clone()
        .find(|&column| measures(column).any(|measure| measure.is_main))
        .filter(|&column| count(column) > 1)
        .or_else(|| {
            columns
                .rev()
                .max_by_key(|&column| (!results.chooses(column), count(column)))
        })
}

/// Cards with the figures that a reader wants first; empty when no student was measured.
pub fn cards(material: &Catalogue, results: &Results) -> String {
    let Some(column) = main_column(results) else {
        return String::new();
    };
    let groups = groups(material, results, column);
    let students = groups.iter().filter(|group| group.role == Role::Student);
    let students: Vec<&Group> = students.collect();
    let title = &results.columns[column];
    let about = match students.as_slice() {
        [] => return String::new(),
        [student] => format!("{title} of {}{}", student.name(), margin(student)),
        several => format!(
            "{title} of {} students; none is chosen by the images that judge",
            several.len()
        ),
    };
    let values = students.iter().map(|student| student.value());
    let mut cards = vec![card(&span(values.collect(), percent), &about)];
    let gains = gains(material, results, column);
    let mut sentences = Vec::new();
    if students.len() == 1 {
        cards.extend(
            gains
                .iter()
                .map(Gain::card)
                .map(|(figure, about)| card(&figure, &about)),
        );
    } else {
        sentences.extend(gains.iter().map(Gain::sentence));
    }
    sentences.extend(missing_floor(material, results, column));
    let of_teachers = students.iter().filter_map(|student| {
        let (name, value) = student.teachers(material, &groups)?;
        Some((student.value() / value, name, value))
    });
    let of_teachers: Vec<(f64, String, f64)> = of_teachers.collect();
    if let Some((_, name, value)) = of_teachers.first() {
        let shares = of_teachers.iter().map(|(share, ..)| *share).collect();
        let whole = |share: f64| format!("{:.0} %", share * 100.0);
        let about = match students.as_slice() {
            [student] => {
                let floor = floor(student, &groups).map_or_else(String::new, |floor| {
                    format!("; {} {}", floor.name(), whole(floor.value() / value))
                });
                format!("of what {name} reaches ({}){floor}", percent(*value))
            }
            _ => "of what their teachers reach".to_owned(),
        };
        cards.push(card(&span(shares, whole), &about));
    }
    if let ([student], Some((_, teacher, _))) = (students.as_slice(), of_teachers.first())
        && let Some(teacher) = groups.iter().find(|group| group.name() == *teacher)
        && let (Some(small), Some(large)) = (student.parameters(), teacher.parameters())
        && small > 0
        && small < large
    {
        let factor = large as f64 / small as f64;
        let digits = if factor < 9.95 { 1 } else { 0 };
        cards.push(card(
            &format!("{factor:.digits$} ×"),
            &format!(
                "smaller: {} parameters of {}",
                short(small as f64),
                short(large as f64)
            ),
        ));
    }
    let mut html = format!("<ul class=\"cards\">{}</ul>\n", cards.concat());
    for sentence in sentences {
        let sentence = with_code(&with_units(&sentence));
        push(
            &mut html,
            format_args!("<p class=\"note\">{sentence}</p>\n"),
        );
    }
    html
}

/// One figure, or the lowest and the highest.
fn span(values: Vec<f64>, text: impl Fn(f64) -> String) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        1 => text(low),
        _ => format!("{} to {}", text(low), text(high)),
    }
}

fn margin(group: &Group) -> String {
    match (group.deviation(), group.members[0].measure.interval) {
        (Some(deviation), _) => {
            format!(", ± {:.1}, their standard deviation", deviation * 100.0)
        }
        (None, Some([low, high])) => format!(", ± {:.1}", (high - low) / 2.0 * 100.0),
        (None, None) => String::new(),
    }
}

fn card(figure: &str, text: &str) -> String {
    format!(
        "<li><strong>{}</strong> <span>{}</span></li>",
        escaped(&with_units(figure)),
        escaped(&with_units(text))
    )
}

/// A number stays on one line with its unit.
fn with_units(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let after_digit = kept.ends_with(|last: char| last.is_ascii_digit() || last == '±');
        let before_unit = letters
            .peek()
            .is_some_and(|next| "%×kMGT".contains(*next) || next.is_ascii_digit());
        let is_kept = letter == ' ' && after_digit && before_unit;
        kept.push(if is_kept { '\u{a0}' } else { letter });
    }
    kept
}

/// The table of networks; `None` when nothing was measured.
pub fn table(material: &Catalogue, results: &Results, ranked: &[Ranked]) -> Option<String> {
    if results.rows.is_empty() {
        return None;
    }
    let costs: Vec<Option<u64>> = ranked
        .iter()
        .map(|ranked| networks::multiply_adds(material, material.source(&ranked.row.network)?))
        .collect();
    let rates: Vec<Option<f64>> = ranked
        .iter()
        .map(|ranked| networks::images_per_second(material, &ranked.row.network))
        .collect();
    let has_costs = costs.iter().any(Option::is_some);
    let has_rates = rates.iter().any(Option::is_some);
    let mut columns = vec![HtmlColumn::text("network")];
    columns.extend(results.columns.iter().map(HtmlColumn::number));
    columns.push(HtmlColumn::number("parameters"));
    if has_costs {
        columns.push(HtmlColumn::number("multiply-adds"));
    }
    if has_rates {
        columns.push(HtmlColumn::number("images/s"));
    }
    let best: Vec<Vec<usize>> = (0..results.columns.len())
        .map(|column| best_of(ranked, results.chosen_by(column)))
        .collect();
    let mut rows = Vec::new();
    for (index, ranked) in ranked.iter().enumerate() {
        let mut row = vec![network_cell(material, ranked)];
        for (measure, best) in ranked.row.values.iter().zip(&best) {
            row.push(measure.as_ref().map_or_else(Cell::empty, |measure| {
                measure_cell(measure, best.contains(&index), material.against.as_ref())
            }));
        }
        row.push(number(ranked.row.parameters, text::count));
        if has_costs {
            row.push(number(costs[index], |count| short(count as f64)));
        }
        if has_rates {
            row.push(rates[index].map_or_else(Cell::empty, |rate| {
                Cell::number(rate, &text::count(rate.round() as u64))
            }));
        }
        rows.push(row);
    }
    let mut html = HtmlTable {
        caption: "Every network that was measured".to_owned(),
        columns,
        rows,
    }
    .html();
    html.push_str(&note(material, results, has_costs, has_rates));
    Some(html)
}

/// The results of networks that differ in their seeds alone, as a terminal has them.
pub fn over(results: &Results) -> String {
    let mut lines = results.cells().into_iter();
    let titles = lines.next().unwrap_or_default().into_iter().enumerate();
    let columns = titles.map(|(place, title)| match place {
        0 => HtmlColumn::text(title),
        _ => HtmlColumn::number(title),
    });
    let rows = lines.zip(&results.rows).map(|(line, row)| {
        let size = row.parameters.map(|count| count as f64);
        let measured = row
            .values
            .iter()
            .map(|measure| Some(measure.as_ref()?.value));
        let values = [None, size].into_iter().chain(measured);
        let cells = line.iter().zip(values);
        cells
            .map(|(cell, value)| match value {
                Some(value) => Cell::number(value, &with_units(cell)),
                None if cell.is_empty() => Cell::empty(),
                None => Cell::text(cell),
            })
            .collect()
    });
    let table = HtmlTable {
        caption: "Over seeds".to_owned(),
        columns: columns.collect(),
        rows: rows.collect(),
    };
    let note = "Mean ± sample standard deviation, in points, of the networks that differ in their seeds alone; n is how many.";
    format!("{}<p class=\"note\">{note}</p>\n", table.html())
}

/// The rows with the largest figure of a column.
fn best_of(ranked: &[Ranked], column: Option<usize>) -> Vec<usize> {
    let value = |row: usize| Some(ranked[row].row.values[column?].as_ref()?.value);
    let measured = (0..ranked.len()).filter_map(|row| Some((row, value(row)?)));
    let measured: Vec<(usize, f64)> = measured.collect();
    let values = measured.iter().map(|(_, value)| *value);
    let largest = values.fold(f64::NEG_INFINITY, f64::max);
    let best = measured.iter().filter(|(_, value)| *value >= largest);
    best.map(|(row, _)| *row).collect()
}

fn network_cell(material: &Catalogue, ranked: &Ranked) -> Cell {
    let name = &ranked.row.network;
    let about = material.source(name).map_or_else(String::new, |source| {
        let learned = networks::learned(material, source);
        let architecture = networks::architecture_text(material, source);
        // A width stays on the line of its sign.
        let architecture = architecture.map_or_else(String::new, |text| {
            format!(", {}", text.replace("× ", "×\u{a0}"))
        });
        format!(
            "<small>{}{}</small>",
            escaped(&learned),
            escaped(&architecture)
        )
    });
    let role = ranked.role.name();
    let colour = line(ranked.colour);
    let chip = if ranked.role == Role::Baseline {
        String::new()
    } else {
        format!(" <span class=\"chip {role} {colour}\">{role}</span>")
    };
    // Where the name says the role, it is not said twice.
    let chip = if name.contains(role) {
        String::new()
    } else {
        chip
    };
    Cell::html(format!(
        "<span class=\"whole\"><span class=\"dot {role} {colour}\"></span><b>{}</b></span>{chip}{about}",
        escaped(name)
    ))
}

fn number(count: Option<u64>, text: impl Fn(u64) -> String) -> Cell {
    count.map_or_else(Cell::empty, |count| {
        Cell::number(count as f64, &text(count))
    })
}

fn measure_cell(measure: &Measure, is_best: bool, against: Option<&EarlierState>) -> Cell {
    let value = format!("{:.2} %", measure.value * 100.0);
    let mut html = if is_best {
        format!("<b>{value}</b>")
    } else {
        value
    };
    if let Some([low, high]) = measure.interval {
        push(
            &mut html,
            format_args!(
                "<small title=\"95 % interval: {:.2} to {:.2} %\">± {:.1}</small>",
                low * 100.0,
                high * 100.0,
                (high - low) / 2.0 * 100.0
            ),
        );
    }
    if let Some(against) = against {
        let old = against
            .figures
            .get(&measure.stage)
            .and_then(|figures| figures.get(&measure.key));
        html.push_str(&match old.map(|old| measure.value - old) {
            Some(change) if change.abs() < 5e-5 => String::new(),
            // In points, as the note says: the column is narrow.
            Some(difference) => {
                let change = change(difference, true).replace(" points", "");
                format!("<small>{change}</small>")
            }
            None => "<small>new</small>".to_owned(),
        });
    }
    Cell::html(html).sorted_by(measure.value)
}

fn note(material: &Catalogue, results: &Results, has_costs: bool, has_rates: bool) -> String {
    let mut notes = vec![
        "Top-1: the share of the judged images whose class is named first. By kNN: as the most alike of the training images vote; linear: by a linear classifier on the frozen features; fine-tuned: by the whole network, trained on with labels.".to_owned(),
        format!("Figures are of the split `{JUDGING}` unless their title names another."),
        "± is half of the 95 % interval over the judged images (bootstrap); it says nothing of another seed.".to_owned(),
        match (0..results.columns.len()).any(|column| results.chooses(column)) {
            true => format!(
                "Bold: the best by the split `{CHOOSING}`, which is there to choose by, also where other images judge it."
            ),
            false => format!(
                "None is bold, since no figure is of a split `{CHOOSING}` to choose by: what is chosen by the images that judge is judged too well."
            ),
        },
    ];
    if results
        .columns
        .iter()
        .any(|title| title.contains("macro F1"))
    {
        notes.push("Balanced accuracy and macro F1, in which every class counts the same, are here because classes are imbalanced: the largest has at least twice the judged images of the smallest, and more than chance gives.".to_owned());
    }
    if has_costs {
        notes.push("Multiply-adds are of one image at the size it was measured at, without head and classifier.".to_owned());
    }
    if has_rates {
        notes.push("Images/s are of the encoding that the figures come from.".to_owned());
    }
    if let Some(against) = &material.against {
        notes.push(format!("Changes are in points against {}.", against.name));
    }
    format!("<p class=\"note\">{}</p>\n", with_code(&notes.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;
    use crate::report::material::{Material, Source};
    use crate::shared::results::results;

    fn cards_of(material: &Material) -> String {
        let material = material.catalogue();
        let results = results(&material.result_sources());
        cards(&material, &results)
    }

    #[test]
    fn only_what_learned_alone_is_called_without_the_teacher() {
        // Each is measured a little better than the one before.
        let material_with = |rivals: Vec<Source>| {
            let mut material = example::material();
            for (rival, value) in rivals.into_iter().zip([0.5, 0.55, 0.6]) {
                let [features, probe] =
                    ["features", "probe"].map(|what| format!("{}_{what}", rival.stage));
                let figures = [("test/linear_top1", value)];
                let encode = Source {
                    parameters: rival.parameters,
                    ..example::encode(&features, &rival.stage, 0)
                };
                let probe = example::probe(&probe, &features, &figures);
                material.sources.extend([rival, encode, probe]);
            }
            material
        };
        let alone = example::finetune("alone", 0.0, &[]);
        let taught = example::finetune("taught", 0.5, &[]);
        let from_teacher = example::finetune("late", 0.0, &[("weights", "teacher", "weights")]);
        let cards = cards_of(&material_with(vec![alone, taught, from_teacher]));
        let cards = cards.replace('\u{a0}', " ");
        assert!(
            cards.contains("student, linear top-1: +25.0 points against alone, as large and without the teacher</p>"),
            "{cards}"
        );
        assert!(!cards.contains("against taught") && !cards.contains("against late"));
        let unknown = Source {
            parameters: None,
            ..example::finetune("unknown", 0.0, &[])
        };
        let mut material = material_with(vec![unknown]);
        assert!(!cards_of(&material).contains("without the teacher"));
        // Two sizes that nobody knows are not equal.
        for source in &mut material.sources {
            source.parameters = None;
        }
        assert!(!cards_of(&material).contains("without the teacher"));
    }

    #[test]
    fn the_first_figures_compare_the_student() {
        let material = example::material();
        let cards = cards_of(&material);
        for part in [
            "<strong>75.0 %</strong> <span>linear top-1 of student, ± 2.0</span>",
            "<strong>94 %</strong> <span>of what teacher reaches (80.0 %); untrained 50 %</span>",
            "<strong>14 ×</strong> <span>smaller: 19 k parameters of 269 k</span>",
            "<strong>+35.0 points</strong> <span>against untrained, the same network before training</span>",
        ] {
            assert!(cards.replace('\u{a0}', " ").contains(part), "{cards}");
        }
    }

    #[test]
    fn changes_stand_below_the_figures_that_changed() {
        let mut material = example::material();
        material.against = Some(example::against());
        let material = material.catalogue();
        let results = results(&material.result_sources());
        let ranked = ranked(&material, &results, &Colours::of(&material, &results));
        let table = table(&material, &results, &ranked).unwrap();
        assert!(table.contains("▲ +5.00<"), "{table}");
        assert!(table.contains("<small>new</small>"), "{table}");
    }

    #[test]
    fn the_best_is_what_the_images_to_choose_by_say_and_without_them_there_is_none() {
        let told = |material: &Material| {
            let material = material.catalogue();
            let results = results(&material.result_sources());
            let ranked = ranked(&material, &results, &Colours::of(&material, &results));
            let main = main_column(&results).unwrap();
            let table = table(&material, &results, &ranked).unwrap();
            (results.columns[main].clone(), table)
        };
        let (main, table) = told(&example::material());
        assert_eq!(main, "linear top-1");
        assert!(
            table.contains("None is bold") && !table.contains("<b>80.00 %</b>"),
            "{table}"
        );
        // By `val` the student is better than its teacher.
        let mut material = example::material();
        for (stage, value) in [("teacher", 0.78), ("student", 0.79)] {
            let figures = [("val/linear_top1", value)];
            let name = format!("{stage}_by_val");
            let probe = example::probe(&name, &format!("{stage}_features"), &figures);
            material.sources.insert(0, probe);
        }
        let (main, table) = told(&material);
        assert_eq!(main, "linear top-1");
        for bold in ["<b>75.00 %</b>", "<b>79.00 %</b>"] {
            assert!(table.contains(bold), "{bold} {table}");
        }
        assert_eq!(table.matches(" %</b>").count(), 2, "{table}");
        assert!(table.contains("linear top\u{2011}1, val"), "{table}");
    }
}
