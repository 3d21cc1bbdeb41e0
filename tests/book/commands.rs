//! Every command of the book, run page by page in a folder of its own, in the order of the page.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;

use crate::book::page::Page;
use crate::book::session::Session;
use crate::book::starts::Starts;
use crate::book::{cells, pages, shown};
use crate::sandbox::Sandbox;

/// Pages at once.
const WORKERS: usize = 2;

/// What became of a block's commands.
struct Told {
    commands: Vec<String>,
    /// None where they ran.
    reason: Option<String>,
    seconds: f64,
}

/// Prints the list, and keeps it in target/tmp/book-commands.md.
#[test]
fn every_command_of_the_book_does_what_its_page_says() {
    let pages = pages();
    let starts = Starts::default();
    let next = AtomicUsize::new(0);
    let told: Mutex<BTreeMap<String, Vec<Told>>> = Mutex::default();
    let faults: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (of_page, fault) = run_page(page, &starts);
                    told.lock().unwrap().insert(page.path.clone(), of_page);
                    faults.lock().unwrap().extend(fault);
                }
            });
        }
    });
    let list = as_text(&told.into_inner().unwrap());
    println!("{list}");
    fs_err::write(
        format!("{}/book-commands.md", env!("CARGO_TARGET_TMPDIR")),
        &list,
    )
    .unwrap();
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

/// Stops at the page's first fault, since what follows builds on it.
fn run_page(page: &Page, starts: &Starts) -> (Vec<Told>, Option<String>) {
    let mut told = Vec::new();
    if page.blocks.iter().all(|block| !block.is_shell()) {
        return (told, None);
    }
    let is_run = page.no_run.is_none()
        && page
            .blocks
            .iter()
            .any(|block| block.is_shell() && block.no_run.is_none());
    let sandbox = match is_run {
        true => starts.folder(page.starts.as_deref()),
        false => Ok(Sandbox::empty()),
    };
    let sandbox = match sandbox {
        Ok(sandbox) => sandbox,
        Err(error) => return (told, Some(format!("{}: {error}", page.path))),
    };
    let session = Session::new(sandbox.path(""));
    for block in &page.blocks {
        if let (Some(file), None) = (&block.file, page.reason(block)) {
            sandbox.write(file, format!("{}\n", block.lines.join("\n")));
            continue;
        }
        if !block.is_shell() {
            continue;
        }
        let reason = page.reason(block);
        let began = Instant::now();
        if reason.is_none() {
            for step in block.steps() {
                let ran = session.run(&step.command, step.exit);
                let checked = ran.and_then(|output| {
                    shown::check(&step.shown, &output).map_err(|error| format!("{error}\n{output}"))
                });
                if let Err(error) = checked {
                    let fault =
                        format!("{}:{}: `{}`: {error}", page.path, block.line, step.command);
                    return (told, Some(fault));
                }
            }
        }
        told.push(Told {
            commands: block.commands(),
            reason,
            seconds: began.elapsed().as_secs_f64(),
        });
    }
    (told, cells::run(page, &sandbox, &session).err())
}

fn as_text(told: &BTreeMap<String, Vec<Told>>) -> String {
    let mut text = String::new();
    let all: Vec<&Told> = told.values().flatten().collect();
    let count = |ran: bool| -> usize {
        let blocks = all.iter().filter(|told| told.reason.is_none() == ran);
        blocks.map(|told| told.commands.len()).sum()
    };
    let write = |text: &mut String, line: String| writeln!(text, "{line}").unwrap();
    write(
        &mut text,
        format!(
            "{} commands of the book were run, {} were not",
            count(true),
            count(false)
        ),
    );
    for (page, blocks) in told.iter().filter(|(_, blocks)| !blocks.is_empty()) {
        let seconds = blocks.iter().map(|told| told.seconds).sum();
        write(
            &mut text,
            format!("\n{page}, {:.1?}", Duration::from_secs_f64(seconds)),
        );
        for block in blocks {
            for command in &block.commands {
                write(
                    &mut text,
                    match &block.reason {
                        None => format!("  ran      {command}"),
                        Some(reason) => format!("  not run  {command}    ({reason})"),
                    },
                );
            }
        }
    }
    text
}

/// Of commands in running text, the program knows the words and the options: `--help` stops it
/// before it does anything.
#[test]
fn commands_in_running_text_are_known_to_the_program() {
    let spans = Regex::new(r"`(seedpipe [^`]+)`").unwrap();
    let sandbox = Sandbox::empty();
    let mut checked = 0;
    // What is generated names values that look like commands.
    let written = |page: &Page| !page.path.starts_with("docs/reference/");
    for page in pages().into_iter().filter(written) {
        let text = prose(&page.path);
        for found in spans.captures_iter(&text) {
            for command in found[1].split("&&").map(str::trim) {
                let words = command.split_whitespace().skip(1);
                // What may be left out, `[SECONDS]`, is.
                let words = words.filter(|word| !word.starts_with('['));
                let words: Vec<String> = words
                    .take_while(|word| ![">", "|", "…"].contains(word))
                    .map(|word| word.trim_matches(['\'', '"']).to_owned())
                    .collect();
                let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
                arguments.push("--help");
                let finished = sandbox.run(&arguments);
                assert_eq!(
                    finished.code,
                    Some(0),
                    "{}: `{command}`: {}",
                    page.path,
                    finished.stderr
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

/// A page without its blocks of code, with line breaks as spaces.
fn prose(path: &str) -> String {
    let text = fs_err::read_to_string(format!("{}/{path}", crate::sandbox::REPOSITORY)).unwrap();
    let fences = Regex::new(r"(?ms)^```.*?^```$").unwrap();
    fences.replace_all(&text, "").replace('\n', " ")
}
