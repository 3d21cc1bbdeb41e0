//! `metrics --over` and `--by`: the figures of stages that differ only in some keys as one, with
//! mean and deviation, or a row for each value of a key.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use seedpipe_artifact::{Figure, METRICS, Summary, interval_of, summaries};
use seedpipe_base::Refusal;
use seedpipe_engine::{Engine, Grouping, StageStatus};
use seedpipe_stages::results::Together;
use serde::Serialize;
use serde_json::Value;

use crate::commands::results::metrics::{MetricLine, Metrics};
use crate::project::report;
use crate::terminal::figures::{self, Side};
use crate::terminal::output;
use crate::terminal::tabular::{Form, Table};

/// The figures of stages that are told as one.
#[derive(Serialize)]
struct GroupedLine {
    stage: String,
    split: String,
    name: String,
    /// Whether it is an end of another one's interval.
    #[serde(skip)]
    is_end: bool,
    /// Key → value; nothing where the stages have it not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by: BTreeMap<String, Value>,
    #[serde(flatten)]
    told: Told,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    One {
        value: f64,
    },
    Several {
        n: u32,
        /// How many there would be if every stage were done.
        of: usize,
        mean: f64,
        deviation: Option<f64>,
        /// Those without the figure.
        missing: Vec<String>,
    },
}

/// - `figures`: of the stages that are wanted and cached
pub fn print(
    engine: &Engine,
    figures: &[MetricLine],
    statuses: &[StageStatus],
    arguments: &Metrics,
    is_wanted: impl Fn(&str) -> bool,
    all: bool,
) -> Result<()> {
    let Metrics { over, by, .. } = arguments;
    let grouping = Grouping::of(engine.project());
    check(&grouping, over, by)?;
    let together = Together {
        grouping: &grouping,
        over,
        by,
    };
    let lines = lines(&together, figures, &is_wanted);
    let is_judge = |kind: &str| {
        let kind = engine.registry().kind(kind);
        kind.is_some_and(|kind| kind.outputs().iter().any(|output| output.kind == METRICS))
    };
    let undone = statuses.iter().filter(|status| {
        status.artifact.is_none() && is_wanted(&status.stage) && is_judge(&status.kind)
    });
    let undone: Vec<String> = undone.map(|status| format!("`{}`", status.stage)).collect();
    let note = format!(
        "not cached: {}; `seedpipe run` makes them",
        undone.join(", ")
    );
    let form = arguments.form.form();
    match form {
        None => output::print_json(&lines)?,
        Some(Form::Aligned) => {
            if arguments.stages.is_empty() {
                let results = report::results_over(engine, &together)?;
                let gap = if results.is_empty() { "" } else { "\n" };
                output::print(&(results + gap))?;
            }
            output::print(&as_text(&lines, &together, all))?;
        }
        Some(form) => {
            output::print(&table(&lines.iter().collect::<Vec<_>>(), &together, form).text(form))?
        }
    }
    match form {
        _ if undone.is_empty() => {}
        Some(Form::Aligned) => output::print(&note)?,
        _ => output::error(&format!("warning: {note}")),
    }
    Ok(())
}

fn check(grouping: &Grouping, over: &[String], by: &[String]) -> Result<(), Refusal> {
    for (option, keys) in [("--over", over), ("--by", by)] {
        for (place, key) in keys.iter().enumerate() {
            let refused = |refusal: Refusal| refusal.place(option);
            grouping.check(key).map_err(refused)?;
            if keys[..place].contains(key) || (option == "--by" && over.contains(key)) {
                let refusal = Refusal::new(format!("expected each key once, got `{key}` twice"));
                return Err(refused(
                    refusal.hint("leave it out of one of `--over` and `--by`"),
                ));
            }
        }
    }
    Ok(())
}

/// In the order of the stages; what differs in the keys of `by` alone stands together.
fn lines(
    together: &Together,
    figures: &[MetricLine],
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<GroupedLine> {
    let Together { grouping, over, by } = *together;
    let groups = grouping.groups(over);
    let keys: Vec<&String> = over.iter().chain(by).collect();
    let beside = grouping.groups(&keys);
    let mut figures: Vec<(usize, &MetricLine)> = figures
        .iter()
        .filter_map(|figure| Some((grouping.place(&figure.stage)?, figure)))
        .collect();
    let have: BTreeSet<(usize, &str, &str)> = figures
        .iter()
        .map(|(place, figure)| (*place, figure.split.as_str(), figure.name.as_str()))
        .collect();
    let is_end = |place: usize, split: &str, name: &str| {
        interval_of(name).is_some_and(|name| have.contains(&(place, split, name)))
    };
    // An interval is over the images of one network.
    figures
        .retain(|(place, figure)| over.is_empty() || !is_end(*place, &figure.split, &figure.name));
    let counted: Vec<Figure> = figures
        .iter()
        .filter_map(|(place, figure)| {
            Some(Figure {
                group: groups.of(*place)? as u32,
                split: &figure.split,
                name: &figure.name,
                value: figure.value,
            })
        })
        .collect();
    let mut told: Vec<(usize, Summary)> = summaries(&counted)
        .into_iter()
        .map(|summary| {
            let first = groups.members[summary.group as usize][0];
            // What is counted under another name stands where that does.
            let outer = beside.of(first).unwrap_or(usize::MAX);
            (outer, summary)
        })
        .collect();
    told.sort_by(|(outer, one), (other_outer, other)| {
        let key =
            |outer: &usize, one: &Summary| (*outer, one.split.clone(), one.name.clone(), one.group);
        key(outer, one).cmp(&key(other_outer, other))
    });
    let line = |summary: Summary| {
        let members = groups.members[summary.group as usize].iter().copied();
        let members: Vec<usize> = members
            .filter(|&member| is_wanted(grouping.stage(member)))
            .collect();
        let value = |key: &String| {
            let found = grouping.value(*members.first()?, key)?;
            Some(serde_json::from_str(&found).unwrap_or(Value::String(found)))
        };
        let missing = members.iter().filter(|&&member| {
            !have.contains(&(member, summary.split.as_str(), summary.name.as_str()))
        });
        let is_end = members
            .iter()
            .any(|&member| is_end(member, &summary.split, &summary.name));
        GroupedLine {
            stage: grouping.name(&members, &keys),
            is_end,
            by: by
                .iter()
                .map(|key| (key.clone(), value(key).unwrap_or(Value::Null)))
                .collect(),
            told: match over.is_empty() {
                true => Told::One {
                    value: summary.mean,
                },
                false => Told::Several {
                    n: summary.count,
                    of: members.len(),
                    mean: summary.mean,
                    deviation: summary.deviation,
                    missing: missing
                        .map(|&member| grouping.stage(member).to_owned())
                        .collect(),
                },
            },
            split: summary.split,
            name: summary.name,
        }
    };
    told.into_iter().map(|(_, summary)| line(summary)).collect()
}

/// Figures of single classes (`knn_top1/3`) and ends of intervals only when `all` are wanted.
fn as_text(lines: &[GroupedLine], together: &Together, all: bool) -> String {
    let of_class = |line: &GroupedLine| line.name.contains('/');
    let shown = lines
        .iter()
        .filter(|line| all || !(line.is_end || of_class(line)));
    let mut text = table(&shown.collect::<Vec<_>>(), together, Form::Aligned).text(Form::Aligned);
    let hidden = lines.iter().filter(|line| !all && of_class(line)).count();
    if hidden > 0 {
        text.push_str(&format!(
            "and {hidden} of single classes: `--verbose` or `--json`\n"
        ));
    }
    text
}

fn table(lines: &[&GroupedLine], together: &Together, form: Form) -> Table {
    let people = form == Form::Aligned;
    let number = |value: f64| match people {
        true => figures::value(value),
        false => value.to_string(),
    };
    let nothing = if people { "-" } else { "" };
    let mut heading = vec!["stage", "split", "name"];
    heading.extend(together.by.iter().map(String::as_str));
    let left = heading.len();
    match together.over.is_empty() {
        true => heading.push("value"),
        false if people => heading.extend(["n", "mean", "deviation"]),
        false => heading.extend(["n", "of", "mean", "deviation"]),
    }
    let mut sides = vec![Side::Left; left];
    sides.resize(heading.len(), Side::Right);
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for line in lines {
        let mut row = vec![line.stage.clone(), line.split.clone(), line.name.clone()];
        row.extend(together.by.iter().map(|key| match &line.by[key] {
            Value::Null => nothing.to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }));
        match &line.told {
            Told::One { value } => row.push(number(*value)),
            Told::Several {
                n,
                of,
                mean,
                deviation,
                ..
            } => {
                match people {
                    true if (*n as usize) < *of => row.push(format!("{n} of {of}")),
                    true => row.push(n.to_string()),
                    false => row.extend([n.to_string(), of.to_string()]),
                }
                row.push(number(*mean));
                row.push(deviation.map_or(nothing.to_owned(), number));
            }
        }
        rows.push(row);
    }
    Table { sides, rows }
}
