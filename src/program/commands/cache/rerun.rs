//! `verify --rerun`: makes stages again and compares; exit code 1 when anything differs by more than
//! it may. What is within a tolerance only is counted apart, and with `--exact` differs.

use std::process::ExitCode;

use anyhow::{Context, Result};
use seedpipe_engine::{RerunOptions, RerunOutput, RerunReport, RerunStage, Verdict};

use crate::commands::Invocation;
use crate::commands::cache::verify::Verify;
use crate::progress::console::Console;
use crate::terminal::figures::{self, Side};
use crate::{Tensors, progress::interrupt, project::junit, terminal::output, torch::sibling};

pub fn execute(invocation: Invocation, arguments: &Verify) -> Result<ExitCode> {
    let (tensors, verbosity) = (invocation.tensors, invocation.verbosity);
    let engine = invocation.engine(&[])?;
    let options = RerunOptions {
        targets: arguments.stages.clone(),
        sample: arguments.sample,
        device: arguments.device.clone(),
        exact: arguments.exact,
    };
    if tensors == Tensors::InSibling && engine.rerun_needs_tensors(&options)? {
        match sibling::become_tensor_program(None)? {}
    }
    let names = engine
        .project()
        .stages()
        .iter()
        .map(|stage| stage.name.as_str());
    let console = Console::new(verbosity, names);
    interrupt::listen(console.printer())?;
    let report = engine.rerun(&options, &console)?;
    if let Some(path) = &arguments.junit {
        fs_err::write(path, junit::document(&report, lines))
            .context("the JUnit file can't be written")?;
    }
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&as_text(&report))?;
    }
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A line a stage, what is to be said of those that are not equal, and the counts.
fn as_text(report: &RerunReport) -> String {
    let mut rows = vec![
        ["stage", "kind", "verdict", "rows", "of", "time"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for stage in &report.stages {
        rows.push(vec![
            stage.stage.clone(),
            stage.kind.clone(),
            stage.verdict.as_str().to_owned(),
            figures::count(stage.rows),
            figures::count(stage.rows_stored),
            figures::duration(stage.seconds),
        ]);
    }
    let sides = [
        Side::Left,
        Side::Left,
        Side::Left,
        Side::Right,
        Side::Right,
        Side::Right,
    ];
    let mut text = figures::table(&sides, &rows);
    for stage in &report.stages {
        if stage.verdict == Verdict::Equal {
            continue;
        }
        for line in lines(stage) {
            text.push_str(&format!("{}: {line}\n", stage.stage));
        }
    }
    let count = |verdict| report.counts.get(&verdict).copied().unwrap_or(0);
    let (equal, within) = (count(Verdict::Equal), count(Verdict::Within));
    let mut stored = format!("{equal} of {} stages as stored", report.stages.len());
    if report.stages.iter().any(|stage| stage.is_sampled()) {
        stored += " where made again";
    }
    if within > 0 {
        stored += &format!(", {within} within the tolerance between numerics classes alone");
    }
    let verdict = match (report.is_good(), within) {
        (true, 0) => "all came again",
        (true, _) => "not all came again to the bit",
        (false, _) => "not all came again",
    };
    let time = figures::duration(report.seconds);
    text.push_str(&format!("{stored}, in {time}: {verdict}\n"));
    text
}

/// What is to be told of a stage, the most important first.
fn lines(stage: &RerunStage) -> Vec<String> {
    if let Some(fault) = &stage.fault {
        return vec![fault.clone()];
    }
    let outputs = stage.outputs.iter();
    let mut lines: Vec<String> = outputs
        .clone()
        .filter(|(_, output)| output.verdict != Verdict::Equal)
        .map(|(name, output)| difference(name, output))
        .collect();
    let known = |class: &str| match class {
        "" => "an unknown class".to_owned(),
        class => format!("`{class}`"),
    };
    if stage.numerics != stage.numerics_now {
        lines.push(format!(
            "stored in the numerics class {}, made again in {}",
            known(&stage.numerics),
            known(&stage.numerics_now)
        ));
    }
    if lines.is_empty() {
        let class = known(&stage.numerics_now);
        lines.push(format!(
            "{} rows equal to the bit in {class}",
            figures::count(stage.rows)
        ));
    }
    lines
}

/// One output's difference in a line.
fn difference(name: &str, output: &RerunOutput) -> String {
    let comparison = &output.comparison;
    if let Some(structure) = &comparison.structure {
        return format!("`{name}` ({}): {structure}", output.kind);
    }
    let mut text = format!(
        "`{name}` ({}): {} of {} rows differ",
        output.kind,
        figures::count(comparison.differing),
        figures::count(comparison.rows)
    );
    if let Some(worst) = &comparison.worst {
        text.push_str(&format!(
            "; worst row {}, `{}`: {}",
            worst.row, worst.column, worst.detail
        ));
    }
    if let Some(cosine) = comparison.min_cosine {
        text.push_str(&format!("; smallest cosine {cosine:.6}"));
    }
    if let Some(alike) = comparison.seen_alike {
        text.push_str(&format!("; sees sampled images alike by {alike:.4}"));
    }
    if let Some(alike) = comparison.rounding_alike {
        text.push_str(&format!(", where one rounding leads to {alike:.4}"));
    }
    if !comparison.metadata.is_empty() {
        text.push_str(&format!(
            "; metadata differ: {}",
            comparison.metadata.join(", ")
        ));
    }
    text.push_str(match output.verdict {
        Verdict::Within => "; within the tolerance between numerics classes",
        _ if output.tolerance.is_some() => "; beyond the tolerance between numerics classes",
        _ => "",
    });
    text
}
