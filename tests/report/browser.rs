//! The page in headless Chromium: no complaint on the console, nothing fetched, tables that sort,
//! names for who can't see, contrast.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{RAN, reported};
use crate::requirements::missing;

/// What is looked at in the browser; it leaves its answer in `<pre id="checks">`.
const CHECKS: &str = include_str!("checks.js");

fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = ["chromium", "chromium-browser", "google-chrome"];
    let folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let found = folders
        .iter()
        .flat_map(|folder| known.map(|name| folder.join(name)))
        .find(|path| path.is_file());
    named.or(found)
}

/// The answer of the checks on a page, and what the console said.
fn checked(
    chromium: &Path,
    name: &str,
    page: &str,
    width: u32,
    dark: bool,
) -> (Value, Vec<String>) {
    let with_checks = page.replace("</body>", &format!("<script>\n{CHECKS}\n</script></body>"));
    RAN.write(name, with_checks);
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .args([
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-extensions",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},900"))
        .arg(format!(
            "--blink-settings=preferredColorScheme={}",
            u8::from(!dark)
        ))
        .args([
            "--enable-logging=stderr",
            "--virtual-time-budget=8000",
            "--dump-dom",
        ])
        .arg(format!("file://{}", RAN.path(name).display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer = dom
        .split_once("<pre id=\"checks\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .map(|(answer, _)| {
            let text = answer
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&amp;", "&");
            serde_json::from_str(&text).unwrap()
        });
    let console = errors
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .map(str::to_owned)
        .collect();
    let answer = answer.unwrap_or_else(|| panic!("no answer from the browser: {errors}"));
    (answer, console)
}

#[test]
fn a_browser_finds_nothing_to_complain_of() {
    let Some(chromium) = chromium() else {
        missing(
            "Chromium, in PATH or named by CHROMIUM",
            "apt-get install chromium",
        );
        return;
    };
    let page = reported(&RAN, "seen.html", &[]);
    for (width, dark) in [(1280, false), (1280, true), (500, true)] {
        let name = format!("seen-{width}-{dark}.html");
        let (answer, console) = checked(&chromium, &name, &page, width, dark);
        let place = format!("{width} pixels, dark: {dark}: {answer:#}");
        assert_eq!(console, Vec::<String>::new(), "{place}");
        assert_eq!(answer["dark"], dark, "{place}");
        for empty in [
            "fetched",
            "contrast",
            "nameless",
            "unscoped",
            "repeated_ids",
            "outside",
            "overlapping",
            "misplaced",
        ] {
            assert_eq!(answer[empty], serde_json::json!([]), "{empty} at {place}");
        }
        assert!(answer["texts"].as_u64().unwrap() > 500, "{place}");
        assert_eq!(answer["overflow"], 0, "{place}");
        assert_eq!(answer["sorted"], true, "{place}");
        assert_eq!(answer["reversed"], true, "{place}");
        assert_eq!(answer["tab"], true, "{place}");
        assert_eq!(answer["tip"], true, "{place}");
        assert_eq!(answer["behind"], true, "{place}");
        assert!(answer["charts"].as_u64().unwrap() >= 9, "{place}");
        assert!(answer["pictures"].as_u64().unwrap() > 50, "{place}");
    }
}
