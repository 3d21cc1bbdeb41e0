//! `init`: looks at images and at the machine, and writes a pipeline.yaml that suits both. Never
//! overwrites one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use seedpipe_base::{Refusal, hinted, neutral};
use seedpipe_engine::{Engine, Project, Registry, durable};
use seedpipe_stages::inspection::Preprocessing;
use seedpipe_stages::{Survey, is_table, network_of, survey};
use serde_json::Value;

use crate::commands::Invocation;
use crate::commands::networks::network;
use crate::commands::values::template;
use crate::doctor::machine;
use crate::init::{Choice, Given, Machine, Published, Student, Template, choose, gitignore, text};
use crate::project::codec::ParquetCodec;
use crate::project::time::{Planned, Times};
use crate::reference::pipeline_schema::pipeline_schema;
use crate::terminal::yaml_flow::yaml_flow;
use crate::torch::processor::Processor;
use crate::{terminal::figures, terminal::output, torch::sibling};

#[derive(Args, Debug)]
pub struct Init {
    /// A folder of images, a Parquet file, or a folder of Parquet files [default: the only one
    /// here]
    #[arg(long, value_name = "IMAGES")]
    pub from: Option<PathBuf>,
    /// What its values are taken from [default: by the images' size]
    #[arg(long, value_parser = template())]
    pub template: Option<Template>,
    /// A pretrained network's checkpoint as the teacher [default: a teacher learns here, by MoCo
    /// v2]
    #[arg(long, value_name = "FILE")]
    pub teacher: Option<PathBuf>,
    /// The student: a network's name (or as under `network:`), or a checkpoint that it begins from
    /// [default: one that suits images and machine, from nothing]
    #[arg(long, value_name = "NETWORK|FILE")]
    pub student: Option<String>,
}

const FILE: &str = "pipeline.yaml";
const SCHEMA: &str = "pipeline.schema.json";
/// Broken files that are named.
const NAMED: usize = 3;

pub fn execute(invocation: Invocation, arguments: &Init) -> Result<ExitCode> {
    let path = place(invocation.pipeline.as_deref());
    if path.exists() {
        return Err(Refusal::new(format!(
            "`{}` is there already, and is not overwritten",
            figures::path(&path)
        ))
        .hint("move it away, or write another one with `--pipeline FILE`")
        .into());
    }
    let source = match &arguments.from {
        Some(source) if source.exists() => source.clone(),
        Some(source) => {
            return Err(Refusal::new(format!("no images at `{}`", source.display()))
                .hint("name a folder of images, a Parquet file, or a folder of Parquet files")
                .into());
        }
        None => only_source(Path::new("."))?,
    };
    let student = arguments.student.as_deref();
    let is_file = student.is_some_and(|student| Path::new(student).exists());
    if (arguments.teacher.is_some() || is_file) && invocation.tools.is_none() {
        match sibling::become_tensor_program(None)? {}
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let teacher = arguments.teacher.as_deref();
    let teacher = teacher.map(|file| published(&invocation, folder, file));
    let given = Given {
        teacher: teacher.transpose()?.map(|(teacher, _)| teacher),
        student: student
            .map(|student| wanted(&invocation, folder, student))
            .transpose()?,
    };
    let found = survey(&source)?;
    let choice = choose(arguments.template, &found, &this_machine())
        .with_context(|| format!("`{}`", source.display()))?;
    let written = text(
        &choice,
        &found,
        &seen_from(folder, &source)?,
        &given,
        SCHEMA,
        &page(&path),
        &title(&source),
    );
    // What is written must be read again without complaint.
    let project = Project::parse(&path, &written, &invocation.registry, &[])
        .context("BUG: `init` chose what can't be")?;
    let schema = serde_json::to_string_pretty(&pipeline_schema(&invocation.registry))?;
    let schema_path = folder.join(SCHEMA);
    durable::write(&schema_path, format!("{schema}\n").as_bytes())
        .with_context(|| format!("`{}` can't be written", schema_path.display()))?;
    durable::write(&path, written.as_bytes())
        .with_context(|| format!("`{}` can't be written", path.display()))?;
    gitignore::extend(folder, &page(&path))?;
    let named = match invocation.pipeline {
        Some(_) => format!(" --pipeline {}", path.display()),
        None => String::new(),
    };
    // A sheet in the source would be one of its images.
    let sheet = match fs_err::canonicalize(&source)
        .is_ok_and(|source| fs_err::canonicalize(".").is_ok_and(|here| here.starts_with(source)))
    {
        true => " -o ../views.png",
        false => "",
    };
    let next = format!(
        "for git: commit `{}` and `{SCHEMA}`, after a run the lock beside them; `.gitignore` names what is left out\nnext:\n  seedpipe{named} doctor\n  seedpipe{named} run views && seedpipe{named} preview views{sheet}\n  seedpipe{named} run\n",
        figures::path(&path)
    );
    let time = time(project, invocation.registry)?;
    output::print(&(told(&found, &choice, &given, &path) + &time + &next))?;
    Ok(ExitCode::SUCCESS)
}

/// Where the file goes: as named, `pipeline.yaml` in a folder that is named, or here.
fn place(named: Option<&Path>) -> PathBuf {
    match named {
        Some(named) if named.is_dir() => named.join(FILE),
        Some(named) => named.to_owned(),
        None => PathBuf::from(FILE),
    }
}

/// The only folder or Parquet file here that may hold images.
fn only_source(here: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(here)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_table = path.is_file() && is_table(&path);
        if !name.starts_with('.') && (path.is_dir() || is_table) {
            found.push(PathBuf::from(name));
        }
    }
    found.sort();
    match found.as_slice() {
        [only] => Ok(only.clone()),
        _ => {
            let names: Vec<String> = found
                .iter()
                .map(|path| format!("`{}`", path.display()))
                .collect();
            let names = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            Err(Refusal::new(format!(
                "expected one folder of images or one Parquet file here, got {names}"
            ))
            .hint("name the images: `seedpipe init --from IMAGES`")
            .into())
        }
    }
}

/// The report of a pipeline: two of them in a folder have two.
fn page(path: &Path) -> String {
    match path.file_stem() {
        Some(stem) if path.file_name() != Some(FILE.as_ref()) => {
            format!("{}-report.html", stem.to_string_lossy())
        }
        _ => "report.html".to_owned(),
    }
}

/// The report's heading: what the images' folder or file is called.
fn title(source: &Path) -> String {
    let whole = fs_err::canonicalize(source).unwrap_or_else(|_| source.to_owned());
    let name = whole.file_stem().unwrap_or(whole.as_os_str());
    neutral::line(&name.to_string_lossy()).into_owned()
}

/// A path as pipeline.yaml's folder sees it: as named where that is the current folder, else
/// absolute.
fn seen_from(folder: &Path, path: &Path) -> Result<String> {
    let seen = if folder.as_os_str().is_empty() {
        path.to_owned()
    } else {
        fs_err::canonicalize(path)?
    };
    let seen = seen.into_os_string().into_string();
    seen.map_err(|path| {
        Refusal::failure(format!("`{}`: expected a path in UTF-8", path.display()))
            .hint("rename it")
            .into()
    })
}

fn this_machine() -> Machine {
    let processor = Processor::of_this_machine();
    Machine {
        threads: processor.threads,
        has_bf16: processor.computes_in("bf16"),
        has_gpu: machine::has_gpu(),
    }
}

/// What a checkpoint is, by looking into it, and its network without ends.
fn published(invocation: &Invocation, folder: &Path, file: &Path) -> Result<(Published, String)> {
    if !file.exists() {
        let name = file.to_string_lossy();
        let hint = match network_of("--teacher", &name) {
            Ok(_) => format!("`{name}` is a network's name; a teacher needs a file of its weights"),
            Err(_) => "name a checkpoint: .safetensors, or what `torch.save` wrote".to_owned(),
        };
        return Err(Refusal::new(format!("no file `{}`", figures::path(file)))
            .hint(hint)
            .into());
    }
    let tools = invocation.tools.as_ref().context("BUG: no libtorch here")?;
    let guess = (tools.guess)(file)?;
    // By way of text, in which an f32 is as short as it was written.
    let written = |value: &Preprocessing| -> Result<Value> {
        Ok(serde_json::from_str(&serde_json::to_string(value)?)?)
    };
    let own = guess.network.default_preprocessing();
    let preprocessing = match own == guess.preprocessing {
        true => None,
        false => Some(yaml_flow(&written(&guess.preprocessing)?)),
    };
    let published = Published {
        checkpoint: seen_from(folder, file)?,
        network: network::network(&guess.network)?,
        preprocessing,
    };
    Ok((published, network::network(&guess.network.backbone())?))
}

/// The student that is asked for: a checkpoint, or a network.
fn wanted(invocation: &Invocation, folder: &Path, student: &str) -> Result<Student> {
    let file = Path::new(student);
    if file.exists() {
        let (begins_as, network) = published(invocation, folder, file)?;
        return Ok(Student {
            network,
            begins_as: Some(begins_as),
        });
    }
    let is_path = !student.trim_start().starts_with('{')
        && (student.contains('/') || file.extension().is_some());
    if is_path {
        return Err(Refusal::new(format!("no file `{student}`"))
            .hint("name a checkpoint, or a network (`seedpipe network list`)")
            .into());
    }
    let network = network_of("--student", student)?;
    Ok(Student {
        network: network::network(&network.backbone())?,
        begins_as: None,
    })
}

/// How long all of it will take here. The settings don't hang on it: they would on how busy the
/// machine is.
fn time(project: Project, registry: Registry) -> Result<String> {
    let engine = Engine::new(project, registry, Box::new(ParquetCodec { alike: None }))?;
    let planned: Vec<Planned> = engine
        .project()
        .stages()
        .iter()
        .map(|node| Planned {
            node,
            artifact: None,
            is_cached: false,
        })
        .collect();
    let times = Times::of(&engine, &planned, engine.project().device());
    Ok(times.map_or_else(String::new, |times| {
        format!(
            "takes {} on this machine: {}\n",
            times.in_all(),
            times.longest()
        )
    }))
}

/// What was found, and what was written.
fn told(found: &Survey, choice: &Choice, given: &Given, path: &Path) -> String {
    let counts = |all: &mut dyn Iterator<Item = (String, usize)>| {
        let words: Vec<String> = all
            .map(|(name, count)| format!("{} {name}", figures::count(count as u64)))
            .collect();
        words.join(", ")
    };
    let formats = counts(
        &mut found
            .formats
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count)),
    );
    let splits = counts(
        &mut found
            .splits
            .iter()
            .map(|(name, count)| (neutral::line(name).into_owned(), *count)),
    );
    let [smallest, median, largest] = found.shorter_side;
    let classes = match found.classes {
        0 => "no classes".to_owned(),
        1 => "1 class".to_owned(),
        count => format!("{count} classes"),
    };
    let mut text = format!(
        "found {} images: {formats}; {splits}; {classes}; shorter side {smallest} to {largest} pixels, median {median}\n",
        figures::count(found.images as u64)
    );
    for remark in &found.remarks {
        text.push_str(&format!("warning: {remark}\n"));
    }
    if !found.broken.is_empty() {
        text.push_str(&format!(
            "warning: {} can't be read and will be left out\n",
            found.broken.len()
        ));
        for (source, reason) in found.broken.iter().take(NAMED) {
            text.push_str(&format!("  {}: {reason}\n", neutral::line(source)));
        }
    }
    text.push_str(&format!(
        "wrote `{}` from the template `{}`: views of {} pixels, batch {}, {}; and `{SCHEMA}` for editors\n",
        figures::path(path),
        choice.template.name(),
        choice.size,
        choice.batch,
        choice.precision
    ));
    if choice.can_choose {
        let kept = match choice.splits_off_val {
            true => ", a tenth of the training images,",
            false => "",
        };
        text.push_str(&format!(
            "`val`{kept} is there to choose by; `{}` judges\n",
            choice.judged
        ));
    }
    let student = match &given.student {
        None => format!("{} epochs", choice.student_epochs),
        Some(student) => {
            let from = student.begins_as.iter();
            let from = from.map(|from| format!(" from `{}`", from.checkpoint));
            let from: String = from.collect();
            format!(
                "{}{from}, {} epochs",
                student.network, choice.student_epochs
            )
        }
    };
    text.push_str(&match &given.teacher {
        Some(teacher) => format!(
            "teacher: `{}` as {}; student: {student}\n",
            teacher.checkpoint, teacher.network
        ),
        None => hinted(
            format!(
                "teacher: learns from these images for {} epochs; student: {student}",
                choice.teacher_epochs
            ),
            "a network that learned from millions of images teaches better: `seedpipe init --teacher CHECKPOINT`\n",
        ),
    });
    text
}
