//! `doctor`: what this machine has and lacks, for the pipeline if there is one. Exit code 1 with a
//! fault.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use seedpipe_engine::{Aside, Engine, Project, Remote};

use crate::commands::Invocation;
use crate::commands::running::status;
use crate::doctor::emulation::Emulation;
use crate::doctor::{Finding, Severity, cache, machine};
use crate::terminal::figures::{self, Side};
use crate::{project::pipeline_file, project::remote_connection, terminal::output};

#[derive(Args, Debug)]
pub struct Doctor {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// A key that no remote has: asking for it shows whether the remote answers.
const NO_KEY: &str = "seedpipe/v1/doctor";

pub fn execute(invocation: Invocation, arguments: &Doctor) -> Result<ExitCode> {
    let (named, tensors) = (invocation.pipeline.is_some(), invocation.tensors);
    let aside = Aside::begin("looking around", "", 0);
    let mut findings = vec![machine::tensors()];
    match pipeline_file::find(invocation.pipeline.as_deref()) {
        // A pipeline that was named and isn't there is bad usage, as with every command.
        Err(error) if named => return Err(error),
        Err(_) => findings.extend(without_pipeline()),
        Ok(_) => match invocation.engine(&[]) {
            Ok(engine) => {
                if findings[0].severity == Severity::Ok {
                    status::know_classes(&engine, tensors, &engine.status().unwrap_or_default());
                }
                findings.extend(with_pipeline(&engine));
            }
            Err(error) => {
                findings.extend(without_pipeline());
                findings.retain(|finding| finding.subject != PIPELINE);
                findings.push(Finding::of_error(PIPELINE, &error));
            }
        },
    }
    drop(aside);
    if arguments.json {
        output::print_json(&findings)?;
    } else {
        output::print(&as_text(&findings))?;
    }
    let worst = findings.iter().map(|finding| finding.severity).max();
    Ok(match worst {
        Some(Severity::Fault) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

const PIPELINE: &str = "pipeline";

fn without_pipeline() -> Vec<Finding> {
    let mut findings = vec![machine::gpu("auto")];
    findings.extend(machine::processor(None));
    findings.push(machine::or_fault("disk", cache::free_room(Path::new("."))));
    findings.push(Finding::warning(
        PIPELINE,
        "no pipeline.yaml here or in a folder above",
        "`seedpipe init --from IMAGES` writes one",
    ));
    findings
}

fn with_pipeline(engine: &Engine) -> Vec<Finding> {
    let project = engine.project();
    let params = project.stages().iter().map(|stage| &stage.params);
    let mut findings = vec![machine::gpu(project.device())];
    findings.extend(machine::processor(machine::most_threads(params)));
    findings.push(plan(engine));
    findings.extend(emulation(engine));
    findings.push(machine::or_fault("disk", cache::room(engine)));
    findings.push(machine::or_fault("cache", cache::health(project.cache())));
    findings.push(machine::or_fault("drafts", cache::unfinished(engine)));
    findings.push(machine::or_fault("remote", remote(project)));
    findings
}

/// Whether everything that the plan names is there.
fn plan(engine: &Engine) -> Finding {
    let name = figures::path(engine.project().path());
    match engine.status() {
        Ok(stages) => match status::source_faults(&stages).next() {
            Some(fault) => Finding::fault(
                PIPELINE,
                format!("{name}: {fault}"),
                "correct the path in pipeline.yaml; it is relative to that file",
            ),
            None => Finding::ok(
                PIPELINE,
                format!("{name}: {} stages, a sound plan", stages.len()),
            ),
        },
        Err(error) => Finding::of_error(PIPELINE, &error),
    }
}

/// What the processor would emulate; a plan that can't be made is told already.
fn emulation(engine: &Engine) -> Option<Finding> {
    let plan = engine.status().ok()?;
    let (message, remedy) = Emulation::ahead(engine.project(), &plan, None)?.parts();
    Some(Finding::warning("precision", message, remedy))
}

fn remote(project: &Project) -> Result<Finding> {
    let subject = "remote";
    let Some((connection, writes)) = remote_connection::choose(project, None, false)? else {
        return Ok(Finding::ok(subject, "none is set"));
    };
    let name = connection.name();
    if let Err(error) = connection.length(NO_KEY) {
        let finding = Finding::of_error(subject, &error);
        return Ok(match finding.remedy {
            Some(_) => finding,
            None => Finding::fault(
                subject,
                finding.message,
                format!(
                    "check the address `{name}` and its credentials in the environment; `run --no-remote` does without it"
                ),
            ),
        });
    }
    let may = match (writes, connection.is_writable()) {
        (true, _) => "a run writes to it",
        (false, true) => "a run only reads; `seedpipe push` writes",
        (false, false) => "read-only",
    };
    Ok(Finding::ok(subject, format!("`{name}` answers; {may}")))
}

/// A line a finding, each remedy below its own.
fn as_text(findings: &[Finding]) -> String {
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            vec![
                finding.severity.name().to_owned(),
                finding.subject.to_owned(),
                finding.message.replace('\n', " "),
            ]
        })
        .collect();
    let table = figures::table(&[Side::Left; 3], &rows);
    let mut text = String::new();
    for (line, finding) in table.lines().zip(findings) {
        text.push_str(line);
        text.push('\n');
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("hint: {remedy}\n"));
        }
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let (faults, warnings) = (count(Severity::Fault), count(Severity::Warning));
    text + &match (faults, warnings) {
        (0, 0) => "all is well\n".to_owned(),
        _ => format!(
            "{}, {}\n",
            figures::counted(faults as u64, "fault"),
            figures::counted(warnings as u64, "warning")
        ),
    }
}
