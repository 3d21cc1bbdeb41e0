//! HTML as text: what is escaped, tables that a script sorts, and numbers as people read them.
//! Beside it charts as SVG ([`drawing`], with axes by [`scale`]), panels of which one is shown
//! ([`tabs`]), and the page's style sheet and script.

pub mod drawing;
pub mod scale;
pub mod tabs;

use std::fmt::Write;

pub use seedpipe_base::neutral::html as escaped;

/// Text whose words between backticks are code.
pub fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(index, part)| {
        if index % 2 == 1 {
            format!("<code>{}</code>", escaped(part))
        } else {
            escaped(part)
        }
    });
    parts.collect()
}

/// Appends formatted text.
pub fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments)
        .expect("BUG: writing to a string failed");
}

/// A column's heading.
pub struct HtmlColumn {
    title: String,
    numeric: bool,
}

impl HtmlColumn {
    pub fn text(title: impl Into<String>) -> HtmlColumn {
        HtmlColumn {
            title: title.into(),
            numeric: false,
        }
    }

    pub fn number(title: impl Into<String>) -> HtmlColumn {
        HtmlColumn {
            title: title.into(),
            numeric: true,
        }
    }
}

/// A cell: HTML, and what it is sorted by.
#[derive(Clone, Default)]
pub struct Cell {
    html: String,
    value: Option<f64>,
}

impl Cell {
    pub fn text(text: &str) -> Cell {
        Cell::html(escaped(text))
    }

    pub fn html(html: impl Into<String>) -> Cell {
        Cell {
            html: html.into(),
            value: None,
        }
    }

    pub fn number(value: f64, text: &str) -> Cell {
        Cell::html(escaped(text)).sorted_by(value)
    }

    pub fn empty() -> Cell {
        Cell::html("<span class=\"none\" aria-label=\"none\">–</span>")
    }

    pub fn sorted_by(mut self, value: f64) -> Cell {
        self.value = Some(value);
        self
    }
}

/// A table whose first column heads its rows.
pub struct HtmlTable {
    pub caption: String,
    pub columns: Vec<HtmlColumn>,
    pub rows: Vec<Vec<Cell>>,
}

impl HtmlTable {
    pub fn html(&self) -> String {
        let caption = escaped(&self.caption);
        let mut html = format!(
            "<div class=\"caption\" aria-hidden=\"true\">{caption}</div><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table class=\"sortable\"><caption>{caption}</caption><thead><tr>"
        );
        for column in &self.columns {
            let class = if column.numeric { " class=\"n\"" } else { "" };
            push(
                &mut html,
                format_args!("<th scope=\"col\"{class}>{}</th>", heading(&column.title)),
            );
        }
        html.push_str("</tr></thead><tbody>\n");
        for row in &self.rows {
            html.push_str("<tr>");
            for (index, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
                let tag = if index == 0 { "th scope=\"row\"" } else { "td" };
                let class = if column.numeric { " class=\"n\"" } else { "" };
                let value = cell
                    .value
                    .map_or_else(String::new, |value| format!(" data-v=\"{value}\""));
                let end = if index == 0 { "th" } else { "td" };
                push(
                    &mut html,
                    format_args!("<{tag}{class}{value}>{}</{end}>", cell.html),
                );
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</tbody></table></div>\n");
        html
    }
}

/// A heading may break between words, not within `top-1`.
fn heading(title: &str) -> String {
    escaped(title).replace("top-", "top\u{2011}")
}

/// `93.5 %`; a fraction's last digit is a thousandth.
pub fn percent(fraction: f64) -> String {
    format!("{:.1} %", fraction * 100.0)
}

/// `18.9 k`, `4.1 M`, `2.3 G`.
pub fn short(number: f64) -> String {
    let mut size = number;
    let mut unit = "";
    for larger in [" k", " M", " G", " T"] {
        if size < 999.5 {
            break;
        }
        size /= 1000.0;
        unit = larger;
    }
    if unit.is_empty() {
        format!("{size:.0}")
    } else if size < 9.95 {
        format!("{size:.1}{unit}")
    } else {
        format!("{size:.0}{unit}")
    }
}

/// `0.42 s`, `32 s`, `2 min 05 s`, `1 h 02 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    if seconds < 9.995 {
        format!("{seconds:.2} s")
    } else if whole < 60 {
        format!("{whole} s")
    } else if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// A change of a figure as a chip: points of what is a fraction, else the difference; what is less
/// than can be told is `±0`.
pub fn change(difference: f64, is_fraction: bool) -> String {
    let (size, text) = if is_fraction {
        let points = difference * 100.0;
        (points.abs() >= 0.005, format!("{:.2}", points.abs()))
    } else {
        (difference.abs() >= 5e-5, format!("{:.4}", difference.abs()))
    };
    let (class, sign, word) = match (size, difference > 0.0) {
        (false, _) => ("same", "±", "unchanged"),
        (true, true) => ("up", "▲ +", "up"),
        (true, false) => ("down", "▼ −", "down"),
    };
    // More of an accuracy is better; of a loss it may mean nothing.
    let class = if is_fraction { class } else { "same" };
    let text = if size { text } else { "0".to_owned() };
    let unit = if is_fraction && size { " points" } else { "" };
    format!("<span class=\"change {class}\" title=\"{word}\">{sign}{text}{unit}</span>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped_and_sort_by_their_number() {
        let table = HtmlTable {
            caption: "a < b".into(),
            columns: vec![HtmlColumn::text("name"), HtmlColumn::number("value")],
            rows: vec![vec![Cell::text("<script>\"&"), Cell::number(0.5, "50.0 %")]],
        };
        let html = table.html();
        assert!(html.contains("<caption>a &lt; b</caption>"), "{html}");
        assert!(
            html.contains("<th scope=\"row\">&lt;script&gt;&quot;&amp;</th><td class=\"n\" data-v=\"0.5\">50.0 %</td>"),
            "{html}"
        );
    }

    #[test]
    fn numbers_are_short() {
        let texts = [7.0, 999.0, 18_888.0, 269_072.0, 4_100_000.0, 2.3e9].map(short);
        assert_eq!(texts, ["7", "999", "19 k", "269 k", "4.1 M", "2.3 G"]);
        assert_eq!(percent(0.935), "93.5 %");
        let texts = [0.03, 12.4, 125.0, 3725.0].map(duration);
        assert_eq!(texts, ["0.03 s", "12 s", "2 min 05 s", "1 h 02 min"]);
    }

    #[test]
    fn changes_say_their_direction_without_colour() {
        assert!(change(0.0125, true).contains(">▲ +1.25 points<"));
        assert!(change(-0.25, false).contains("change same\" title=\"down\">▼ −0.2500<"));
        assert!(change(0.00001, true).contains(">±0<"));
    }
}
