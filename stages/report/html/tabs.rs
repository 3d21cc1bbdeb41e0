//! Panels of which one is shown; the script makes the buttons, and without it all are shown.

use crate::report::html::{escaped, push};

pub struct Tab {
    pub label: String,
    pub html: String,
}

/// The panels; one alone needs no button. Empty when there is none.
///
/// - `name`: of the choice, for those who can't see it
pub fn tabs(name: &str, tabs: Vec<Tab>) -> String {
    if tabs.is_empty() {
        return String::new();
    }
    let mut html = format!("<div class=\"tabs\" data-name=\"{}\">", escaped(name));
    for tab in &tabs {
        push(
            &mut html,
            format_args!(
                "<section class=\"panel\" data-label=\"{}\">{}</section>\n",
                escaped(&tab.label),
                tab.html
            ),
        );
    }
    html.push_str("</div>\n");
    html
}
