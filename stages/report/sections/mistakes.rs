//! Mistakes with their images: the confusion matrix, what is taken for what, and the surest wrong
//! answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::report::gallery::{Gallery, Size};
use crate::report::html::tabs::{Tab, tabs};
use crate::report::html::{escaped, percent, push};
use crate::report::judged::{Judged, Miss};
use seedpipe_base::text;

/// Classes of a matrix that is written out; larger ones are drawn.
const WRITTEN: usize = 26;
/// Images behind a cell of the matrix, kinds of mistakes that are listed, images of each, and
/// single mistakes.
const BEHIND: usize = 6;
const KINDS: usize = 8;
const OF_KIND: usize = 5;
const WORST: usize = 24;
/// Cells that have images behind them, of all matrices that are written out: the most frequent
/// mistakes of each.
const CELLS: usize = 120;
/// Cells of a drawing: the fullest.
const DRAWN: usize = 3000;

/// (true, predicted) → the mistakes, the surest first.
type ByKind<'a> = BTreeMap<(i32, i32), Vec<&'a Miss>>;

/// The kinds that have images behind them: the most frequent.
fn opened(kinds: &ByKind, count: usize) -> BTreeSet<(i32, i32)> {
    let mut sorted: Vec<(usize, (i32, i32))> = kinds
        .iter()
        .map(|(labels, misses)| (misses.len(), *labels))
        .collect();
    sorted.sort_by_key(|(misses, labels)| (Reverse(*misses), *labels));
    let opened = sorted.into_iter().take(count);
    opened.map(|(_, labels)| labels).collect()
}

fn by_kind(misses: &[Miss]) -> ByKind<'_> {
    let mut found: ByKind = BTreeMap::new();
    for miss in misses {
        let key = (miss.label, miss.taken_for);
        found.entry(key).or_default().push(miss);
    }
    found
}

/// The matrices, one a tab, each with its most frequent mistakes; empty when nothing was judged.
pub fn confusion(judged: &[Judged], gallery: &mut Gallery) -> String {
    let is_written = |judged: &Judged| judged.tally.names.len() <= WRITTEN;
    let written_out = judged.iter().filter(|judged| is_written(judged)).count();
    let panels: Vec<Tab> = judged
        .iter()
        .map(|judged| {
            let misses = judged.misses(gallery);
            let kinds = by_kind(&misses);
            let matrix = if is_written(judged) {
                written(judged, &kinds, gallery, CELLS / written_out)
            } else {
                drawn(judged)
            };
            Tab {
                label: judged.stage.clone(),
                html: format!(
                    "<div class=\"beside\"><div>{matrix}</div><div>{}</div></div>",
                    frequent(judged, &kinds, gallery)
                ),
            }
        })
        .collect();
    tabs("Whose predictions", panels)
}

/// As a table: what is right in one colour, what is wrong in another, the count in every cell.
///
/// - `most`: cells that have images behind them
fn written(judged: &Judged, kinds: &ByKind, gallery: &mut Gallery, most: usize) -> String {
    let tally = &judged.tally;
    let opened = opened(kinds, most);
    let images = tally.images();
    let caption = format!(
        "{}: images by true class (down) and predicted class (across)",
        judged.stage
    );
    let caption = escaped(&caption);
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table class=\"matrix\"><caption>{caption}</caption><thead><tr><td></td>"
    );
    for name in tally.names.values() {
        let name = escaped(name);
        push(
            &mut html,
            format_args!("<th scope=\"col\"><span>{name}</span></th>"),
        );
    }
    html.push_str("</tr></thead><tbody>\n");
    for (label, name) in &tally.names {
        let all = images.get(label).copied().unwrap_or(0);
        push(
            &mut html,
            format_args!("<tr><th scope=\"row\">{}</th>", escaped(name)),
        );
        for (other, other_name) in &tally.names {
            let count = tally.counts.get(&(*label, *other)).copied().unwrap_or(0);
            let share = count as f64 / all.max(1) as f64;
            let is_right = label == other;
            let class_name = match (count, is_right) {
                (0, _) => "zero",
                (_, true) => "hit",
                _ => "miss",
            };
            // A few mistakes in a hundred are to be seen.
            let strength = if is_right {
                share
            } else {
                (3.0 * share).min(1.0)
            };
            let behind = kinds
                .get(&(*label, *other))
                .filter(|_| opened.contains(&(*label, *other)));
            let inner = match behind {
                Some(misses) => {
                    let places: Vec<String> = misses
                        .iter()
                        .take(BEHIND)
                        .map(|miss| {
                            gallery
                                .place(Size::Large, &judged.images, miss.row)
                                .to_string()
                        })
                        .collect();
                    format!(
                        "<button type=\"button\" data-pics=\"{}\" title=\"{} taken for {}\">{count}</button>",
                        places.join(" "),
                        escaped(name),
                        escaped(other_name)
                    )
                }
                None => count.to_string(),
            };
            push(
                &mut html,
                format_args!("<td class=\"{class_name}\" style=\"--a:{strength:.2}\">{inner}</td>"),
            );
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>");
    if !opened.is_empty() {
        let which = if opened.len() == kinds.len() {
            "a mistake"
        } else {
            "an underlined mistake"
        };
        push(
            &mut html,
            format_args!(
                "<div class=\"behind\" aria-live=\"polite\"><p class=\"note\">Press {which} to see its images.</p></div>"
            ),
        );
    }
    html
}

/// As a drawing, for classes too many to be written out.
fn drawn(judged: &Judged) -> String {
    let tally = &judged.tally;
    let count = tally.names.len();
    let places: BTreeMap<i32, usize> = tally.names.keys().copied().zip(0..).collect();
    let images = tally.images();
    let mut cells: Vec<(&(i32, i32), &u64)> = tally.counts.iter().collect();
    cells.sort_by_key(|(labels, images)| (Reverse(**images), **labels));
    let all_cells = cells.len();
    cells.truncate(DRAWN);
    let mut body = String::new();
    for ((label, best), in_cell) in cells {
        let share = *in_cell as f64 / images[label] as f64;
        let (class, strength) = if label == best {
            ("hit", 0.25 + 0.75 * share)
        } else {
            ("miss", 0.35 + 0.65 * (2.0 * share).min(1.0))
        };
        push(
            &mut body,
            format_args!(
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" opacity=\"{strength:.2}\"><title>{} → {}: {in_cell}</title></rect>",
                places[best],
                places[label],
                escaped(&tally.names[label]),
                escaped(&tally.names[best])
            ),
        );
    }
    let right = tally
        .counts
        .iter()
        .filter(|((label, best), _)| label == best);
    let right: u64 = right.map(|(_, images)| images).sum();
    let all: u64 = tally.counts.values().sum();
    let name = escaped(&judged.stage);
    let left_out = if all_cells > DRAWN {
        format!(
            " Of {} cells that are not empty, the {} fullest are drawn.",
            text::count(all_cells as u64),
            text::count(DRAWN as u64)
        )
    } else {
        String::new()
    };
    format!(
        "<figure class=\"chart heat\"><figcaption>{name}: {count} classes, true ones down, predicted ones across</figcaption><svg viewBox=\"0 0 {count} {count}\" role=\"img\" aria-label=\"{name}: {right} of {all} images on the diagonal\"><rect class=\"ground\"/>{body}</svg></figure><p class=\"note\">A cell's strength is its share of the true class; look at it for the names.{left_out}</p>",
    )
}

/// What is taken for what most often, with images.
fn frequent(judged: &Judged, kinds: &ByKind, gallery: &mut Gallery) -> String {
    let mistakes = judged.tally.mistakes();
    if mistakes.is_empty() {
        return "<p>No image was taken for another class.</p>".to_owned();
    }
    let mut html = "<h3>Most frequent mistakes</h3><ul class=\"kinds\">".to_owned();
    for mistake in mistakes.iter().take(KINDS) {
        let pictures: String = kinds
            .get(&mistake.labels)
            .into_iter()
            .flatten()
            .take(OF_KIND)
            .map(|miss| {
                let name = format!("{} taken for {}", mistake.of, mistake.taken_for);
                gallery.picture(Size::Large, &judged.images, miss.row, &name)
            })
            .collect();
        push(
            &mut html,
            format_args!(
                "<li><p><b>{}</b> taken for <b>{}</b> <small>{} of its images, {}</small></p><div class=\"row\">{pictures}</div></li>",
                escaped(mistake.of),
                escaped(mistake.taken_for),
                mistake.count,
                percent(mistake.share)
            ),
        );
    }
    html.push_str("</ul>");
    html
}

/// The surest wrong answers of each stage, one a tab.
pub fn worst(judged: &[Judged], gallery: &mut Gallery) -> String {
    let mut panels = Vec::new();
    for judged in judged {
        let misses = judged.misses(gallery);
        let mut cards = String::new();
        for miss in misses.iter().take(WORST) {
            let (label, taken_for) = (judged.name(miss.label), judged.name(miss.taken_for));
            let name = format!("{label} taken for {taken_for}");
            push(
                &mut cards,
                format_args!(
                    "<li>{}<span><b>{}</b> → <b>{}</b><small>{} sure</small></span></li>",
                    gallery.picture(Size::Large, &judged.images, miss.row, &name),
                    escaped(&label),
                    escaped(&taken_for),
                    percent(f64::from(miss.probability))
                ),
            );
        }
        if !cards.is_empty() {
            panels.push(Tab {
                label: judged.stage.clone(),
                html: format!("<ul class=\"worst\">{cards}</ul>"),
            });
        }
    }
    tabs("Whose mistakes", panels)
}

#[cfg(test)]
mod tests {
    use seedpipe_artifact::PredictionRow;

    use super::*;
    use crate::report::example;
    use crate::shared::confusion::Tally;

    /// - `answers`: true class, predicted class, images
    fn judged(names: &[(i32, &str)], answers: &[(i32, i32, usize)]) -> Judged {
        let names = names
            .iter()
            .map(|(label, name)| (*label, (*name).to_owned()));
        let row = |label, best| PredictionRow {
            image_id: 0,
            label: Some(label),
            classes: vec![best],
            probabilities: vec![1.0],
        };
        let rows: Vec<PredictionRow> = answers
            .iter()
            .flat_map(|&(label, best, images)| (0..images).map(move |_| row(label, best)))
            .collect();
        Judged {
            stage: "probe".to_owned(),
            images: "images".to_owned(),
            split: "test".to_owned(),
            learned_on: "train".to_owned(),
            tally: Tally::of(&rows, &names.collect()),
            rows,
        }
    }

    fn gallery() -> Gallery {
        Gallery::open(&example::material().catalogue()).unwrap()
    }

    #[test]
    fn classes_of_one_name_are_not_taken_for_each_other() {
        let names = [(1, "crane"), (2, "crane"), (3, "cat")];
        let judged = judged(&names, &[(1, 1, 3), (2, 1, 2), (2, 2, 1), (3, 2, 1)]);
        let html = confusion(&[judged], &mut gallery());
        for part in [
            "<b>crane (2)</b> taken for <b>crane (1)</b> <small>2 of its images, 66.7 %",
            "<b>cat</b> taken for <b>crane (2)</b> <small>1 of its images",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn the_most_frequent_mistakes_have_images_behind_them() {
        let miss = |label, taken_for| Miss {
            row: 0,
            label,
            taken_for,
            probability: 1.0,
        };
        let misses = [(1, 2), (1, 3), (2, 1), (2, 1), (3, 1)].map(|(of, best)| miss(of, best));
        let kinds = by_kind(&misses);
        assert_eq!(opened(&kinds, 2), BTreeSet::from([(1, 2), (2, 1)]));
        assert_eq!(opened(&kinds, 9).len(), 4);
        // Images that can't be read are behind nothing, and nobody is told to press.
        let judged = judged(&[(1, "one"), (2, "two")], &[(1, 2, 1)]);
        let html = confusion(&[judged], &mut gallery());
        assert!(
            !html.contains("Press") && !html.contains("<button"),
            "{html}"
        );
    }

    #[test]
    fn a_large_matrix_is_drawn_in_part() {
        // 80 classes, each taken for each: 6400 cells.
        let answers: Vec<(i32, i32, usize)> = (0..6400)
            .map(|cell| {
                (
                    cell / 80,
                    cell % 80,
                    if cell / 80 == cell % 80 { 2 } else { 1 },
                )
            })
            .collect();
        let html = confusion(&[judged(&[], &answers)], &mut gallery());
        assert_eq!(html.matches("<rect class=\"hit\"").count(), 80);
        assert_eq!(html.matches("<title>").count(), DRAWN);
        assert!(html.contains("Of 6,400 cells that are not empty, the 3,000 fullest are drawn."));
    }

    #[test]
    fn names_of_classes_cannot_break_out() {
        let name = "</script><b>\"";
        let judged = judged(&[(1, name), (2, "two")], &[(1, 2, 2), (2, 1, 1)]);
        let html = confusion(&[judged], &mut gallery());
        assert!(
            !html.contains("</script>") && !html.contains("<b>\""),
            "{html}"
        );
        assert!(html.contains("&lt;/script&gt;&lt;b&gt;&quot;"), "{html}");
    }
}
