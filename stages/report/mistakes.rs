//! Mistakes with their images: the confusion matrix, what is taken for what, and the surest wrong answers.

use std::collections::BTreeMap;

use super::gallery::{Gallery, Size};
use super::html::{escaped, percent, push};
use super::judged::{Judged, Miss};
use super::tabs::{Tab, tabs};

/// Classes of a matrix that is written out; larger ones are drawn.
const WRITTEN: usize = 26;
/// Images behind a cell of the matrix, kinds of mistakes that are listed, images of each, and single mistakes.
const BEHIND: usize = 6;
const KINDS: usize = 8;
const OF_KIND: usize = 5;
const WORST: usize = 24;
/// Cells of all matrices that have images behind them.
const CELLS: usize = 120;

/// (true, predicted) → the mistakes, the surest first.
type ByKind<'a> = BTreeMap<(i32, i32), Vec<&'a Miss>>;

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
    let mut left = CELLS;
    let panels: Vec<Tab> = judged
        .iter()
        .map(|judged| {
            let misses = judged.misses(gallery);
            let kinds = by_kind(&misses);
            let matrix = if judged.confusion.classes.len() <= WRITTEN {
                written(judged, &kinds, gallery, &mut left)
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
fn written(judged: &Judged, kinds: &ByKind, gallery: &mut Gallery, left: &mut usize) -> String {
    let confusion = &judged.confusion;
    let caption = format!(
        "{}: images by true class (down) and predicted class (across)",
        judged.stage
    );
    let caption = escaped(&caption);
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table class=\"matrix\"><caption>{caption}</caption><thead><tr><td></td>"
    );
    for class in &confusion.classes {
        let name = escaped(&class.name);
        push(
            &mut html,
            format_args!("<th scope=\"col\"><span>{name}</span></th>"),
        );
    }
    html.push_str("</tr></thead><tbody>\n");
    for (class, counts) in confusion.classes.iter().zip(&confusion.counts) {
        let all: u64 = counts.iter().sum();
        push(
            &mut html,
            format_args!("<tr><th scope=\"row\">{}</th>", escaped(&class.name)),
        );
        for (other, &count) in confusion.classes.iter().zip(counts) {
            let share = if all == 0 {
                0.0
            } else {
                count as f64 / all as f64
            };
            let is_right = class.label == other.label;
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
                .get(&(class.label, other.label))
                .filter(|misses| !misses.is_empty() && *left > 0);
            let inner = match behind {
                Some(misses) => {
                    *left -= 1;
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
                        escaped(&class.name),
                        escaped(&other.name)
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
    html.push_str("</tbody></table></div><div class=\"behind\" aria-live=\"polite\"><p class=\"note\">Press a mistake to see its images.</p></div>");
    html
}

/// As a drawing, for classes too many to be written out.
fn drawn(judged: &Judged) -> String {
    let confusion = &judged.confusion;
    let count = confusion.classes.len();
    let mut body = String::new();
    for (down, counts) in confusion.counts.iter().enumerate() {
        let all: u64 = counts.iter().sum::<u64>().max(1);
        for (across, &images) in counts.iter().enumerate().filter(|(_, images)| **images > 0) {
            let share = images as f64 / all as f64;
            let (class, strength) = if across == down {
                ("hit", 0.25 + 0.75 * share)
            } else {
                ("miss", 0.35 + 0.65 * (2.0 * share).min(1.0))
            };
            push(
                &mut body,
                format_args!(
                    "<rect class=\"{class}\" x=\"{across}\" y=\"{down}\" opacity=\"{strength:.2}\"><title>{} → {}: {images}</title></rect>",
                    escaped(&confusion.classes[down].name),
                    escaped(&confusion.classes[across].name)
                ),
            );
        }
    }
    let right: u64 = (0..count).map(|class| confusion.counts[class][class]).sum();
    let all: u64 = confusion.counts.iter().flatten().sum();
    let name = escaped(&judged.stage);
    format!(
        "<figure class=\"chart heat\"><figcaption>{name}: {count} classes, true ones down, predicted ones across</figcaption><svg viewBox=\"0 0 {count} {count}\" role=\"img\" aria-label=\"{name}: {right} of {all} images on the diagonal\"><rect class=\"ground\"/>{body}</svg></figure><p class=\"note\">A cell's strength is its share of the true class; look at it for the names.</p>",
    )
}

/// What is taken for what most often, with images.
fn frequent(judged: &Judged, kinds: &ByKind, gallery: &mut Gallery) -> String {
    let confusion = &judged.confusion;
    let label = |name: &str| {
        let class = confusion.classes.iter().find(|class| class.name == name);
        class.map(|class| class.label)
    };
    let mistakes = confusion.mistakes();
    if mistakes.is_empty() {
        return "<p>No image was taken for another class.</p>".to_owned();
    }
    let mut html = "<h3>Most frequent mistakes</h3><ul class=\"kinds\">".to_owned();
    for mistake in mistakes.iter().take(KINDS) {
        let pictures: String = label(mistake.of)
            .zip(label(mistake.taken_for))
            .and_then(|key| kinds.get(&key))
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
