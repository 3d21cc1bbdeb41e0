//! `evaluate`: what a finished network is worth on a new labelled folder.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_base::Refusal;
use seedpipe_base::text::count;
use seedpipe_stages::evaluation::{Evaluated, EvaluatedClass, Labelled, some};
use serde_json::{Value, json};

use crate::commands::Invocation;
use crate::commands::networks::look::{NamedNetwork, NetworkChoice, end, engine_of, tell_left_out};
use crate::progress::console::Verbosity;
use crate::terminal::figures::{self, Side};
use crate::terminal::output;
use crate::terminal::tabular::{Form, Table};
use crate::torch::sibling;

#[derive(Args, Debug)]
pub struct Evaluate {
    #[command(flatten)]
    pub named: NamedNetwork,
    /// Labelled images as `ingest` takes them: a folder for each class, or Parquet; classes are
    /// joined by name
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// With the linear classifier of this `probe` stage on top
    #[arg(long, value_name = "STAGE")]
    pub with_head: Option<String>,
    /// Only this split of the folder [default: all]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Parquet: the column of labels [default: found by its name]
    #[arg(long, value_name = "NAME")]
    pub label_column: Option<String>,
    /// As JSON, with every class
    #[arg(long)]
    pub json: bool,
}

/// `evaluate`.
pub fn execute(invocation: Invocation, arguments: &Evaluate) -> Result<ExitCode> {
    if arguments.folder.symlink_metadata().is_err() {
        let got = "expected a folder of labelled images, or Parquet, got nothing";
        let place = format!("`{}`", arguments.folder.display());
        return Err(Refusal::new(got).place(place).hint("check the path").into());
    }
    let tools = sibling::tools(invocation.tools)?;
    let all = invocation.verbosity == Verbosity::Verbose;
    let head = arguments.with_head.as_deref();
    let engine = engine_of(invocation, &arguments.named, head)?;
    let predictor = NetworkChoice::find(engine.as_ref(), &arguments.named, head)?.open(&tools)?;
    let labelled = Labelled {
        path: &arguments.folder,
        label_column: arguments.label_column.as_deref(),
        split: arguments.split.as_deref(),
    };
    let evaluated = (tools.evaluate)(predictor.as_ref(), &labelled, &mut tell_left_out)?;
    for remark in &evaluated.remarks {
        output::error(&format!("warning: {remark}"));
    }
    match arguments.json {
        true => output::print_json(&in_json(&evaluated))?,
        false => output::print(&as_text(&evaluated, all))?,
    }
    Ok(end(evaluated.unread, evaluated.images + evaluated.unread))
}

/// Classes without images count in no score but macro F1's, where others were taken for them.
fn as_text(evaluated: &Evaluated, all: bool) -> String {
    let present = evaluated.classes.iter().filter(|class| class.images > 0);
    let mut text = format!(
        "{} of {}{}\n",
        figures::counted(evaluated.images as u64, "image"),
        match present.count() {
            1 => "1 class".to_owned(),
            classes => format!("{classes} classes"),
        },
        evaluated.imbalance.map_or_else(String::new, |times| {
            format!(", the largest {times:.1} times as large as the smallest")
        })
    );
    let mut rows = vec![
        ["name", "value", "95 % interval"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(evaluated.figures.iter().map(|figure| {
        let [low, high] = figure.interval.map(figures::value);
        vec![
            figure.name.to_owned(),
            figures::value(figure.value),
            format!("{low} to {high}"),
        ]
    }));
    let sides = vec![Side::Left, Side::Right, Side::Left];
    text += &Table { sides, rows }.text(Form::Aligned);
    if all {
        text += "\n";
        text += &of_classes(&evaluated.classes).text(Form::Aligned);
    }
    let absent: Vec<&EvaluatedClass> = evaluated
        .classes
        .iter()
        .filter(|class| class.images == 0)
        .collect();
    if !absent.is_empty() {
        let names = some(absent.iter().map(|class| class.name.as_str()));
        text += &format!("no image of: {names}; balanced accuracy is the mean over the others\n");
    }
    if !evaluated.unknown.is_empty() {
        let images: usize = evaluated.unknown.iter().map(|(_, images)| images).sum();
        let names = some(evaluated.unknown.iter().map(|(name, _)| name.as_str()));
        text += &format!(
            "left out: {} of classes that the network doesn't know: {names}\n",
            figures::counted(images as u64, "image")
        );
    }
    if evaluated.unlabelled > 0 {
        text += &format!(
            "left out: {} without a label\n",
            figures::counted(evaluated.unlabelled as u64, "image")
        );
    }
    text
}

fn of_classes(classes: &[EvaluatedClass]) -> Table {
    let heading = ["class", "images", "top1", "taken for it", "precision", "f1"];
    let share = |share: Option<f64>| share.map_or("-".to_owned(), figures::value);
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(classes.iter().map(|class| {
        vec![
            class.name.clone(),
            count(class.images),
            share(class.recall),
            count(class.predicted),
            share(class.precision),
            share(class.f1),
        ]
    }));
    let mut sides = vec![Side::Left];
    sides.resize(heading.len(), Side::Right);
    Table { sides, rows }
}

fn in_json(evaluated: &Evaluated) -> Value {
    let figures = evaluated.figures.iter().map(|figure| {
        let [low, high] = figure.interval;
        json!({"name": figure.name, "value": figure.value, "low": low, "high": high})
    });
    let classes = evaluated.classes.iter().map(|class| {
        json!({
            "class": class.label,
            "name": class.name,
            "images": class.images,
            "top1": class.recall,
            "predicted": class.predicted,
            "precision": class.precision,
            "f1": class.f1,
        })
    });
    let unknown = evaluated.unknown.iter();
    let unknown = unknown.map(|(name, images)| json!({"name": name, "images": images}));
    json!({
        "images": evaluated.images,
        "figures": figures.collect::<Vec<_>>(),
        "class_imbalance": evaluated.imbalance,
        "classes": classes.collect::<Vec<_>>(),
        "left_out": {
            "unknown_classes": unknown.collect::<Vec<_>>(),
            "unlabelled": evaluated.unlabelled,
            "unread": evaluated.unread,
        },
    })
}
