//! Toy kinds. What would be faults of the world lies in files beside pipeline.yaml: `noise`
//! (content that varies), `fail` (`STAGE SHARD`), `rows` (`trim` writes too `few` or `many`), `slow`
//! (milliseconds a shard); `log` has a line for each shard.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use fs_err as fs;
use schemars::JsonSchema;
use seedpipe_base::Refusal;
use seedpipe_engine::*;
use serde::{Deserialize, Serialize};

const TEXT: &str = "text/v1";
const METRICS: &str = "metrics/v1";

const fn slot(name: &'static str, arity: Arity) -> InputSlot {
    InputSlot {
        name,
        accepts: &[TEXT],
        arity,
    }
}

/// Reads an outside file or folder.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Read {
    path: PathBuf,
}

impl Stage for Read {
    const KIND: &'static str = "read";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot {
        name: "text",
        kind: TEXT,
    }];

    fn sources(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}

impl Work for Read {
    fn run(&self, context: &StageContext) -> Result<()> {
        context.shards(1, |shard| {
            step(context, shard)?;
            let text = fs::read_to_string(context.resolve(&self.path))?;
            if let Ok(edit) = fs::read_to_string(context.resolve(Path::new("edit-while-reading"))) {
                fs::write(context.resolve(&self.path), edit)?;
            }
            Ok(fs::write(shard.output("text", "p0"), text)?)
        })
    }
}

/// Removes white space at the ends: different texts may give equal content.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trim {}

impl Stage for Trim {
    const KIND: &'static str = "trim";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[slot("text", Arity::One)];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot {
        name: "text",
        kind: TEXT,
    }];
}

impl Work for Trim {
    fn run(&self, context: &StageContext) -> Result<()> {
        context.shards(1, |shard| {
            step(context, shard)?;
            let mut text = read(context.input("text"))?.trim().to_owned();
            match fs::read_to_string(context.resolve(Path::new("rows"))).as_deref() {
                Ok("few") => text.truncate(1),
                Ok("many") => text.push('!'),
                _ => {}
            }
            Ok(fs::write(shard.output("text", "p0"), text)?)
        })
    }

    fn rows(&self, context: &StageContext) -> Result<Demanded> {
        let rows = read(context.input("text"))?.trim().len() as u64;
        Ok(vec![("text", rows)])
    }
}

/// Repeats the text in three shards.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    #[serde(default = "two")]
    times: u32,
    #[serde(default)]
    letter: Letter,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Letter {
    upper: bool,
    form: Form,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    #[default]
    Plain,
    Reversed,
}

fn two() -> u32 {
    2
}

impl Stage for Repeat {
    const KIND: &'static str = "repeat";
    const VERSION: u32 = 4;
    const INPUTS: &'static [InputSlot] = &[slot("text", Arity::One), slot("more", Arity::Optional)];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot {
        name: "text",
        kind: TEXT,
    }];

    fn validate(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        if self.times == 0 {
            return Err(Refusal::expected("1 or more", "0")
                .key("times")
                .hint("leave it out for 2"));
        }
        if inputs.connected("more") && inputs.kinds("more") != [TEXT] {
            return Err(Refusal::expected("text", "none")
                .key("times")
                .hint("connect text"));
        }
        Ok(())
    }
}

impl Work for Repeat {
    fn run(&self, context: &StageContext) -> Result<()> {
        let mut text = read(context.input("text"))?;
        if let Some(more) = context.optional_input("more") {
            text.push_str(&read(more)?);
        }
        if self.letter.upper {
            text = text.to_uppercase();
        }
        if matches!(self.letter.form, Form::Reversed) {
            text = text.chars().rev().collect();
        }
        text.push_str(&fs::read_to_string(context.resolve(Path::new("noise"))).unwrap_or_default());
        context.progress().begin("repeating", "shards", 3, 0);
        context.telemetry("letters", text.len() as f64);
        context.shards(3, |shard| {
            step(context, shard)?;
            let index = shard.index();
            fs::write(context.checkpoints().join("last"), index.to_string())?;
            fs::write(
                shard.output("text", &format!("p{index}")),
                text.repeat(self.times as usize),
            )?;
            context.progress().advance(1);
            Ok(())
        })?;
        context.progress().finish();
        Ok(())
    }
}

/// Counts letters: metrics, and the text that was counted as a second output.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {}

impl Stage for Count {
    const KIND: &'static str = "count";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[slot("texts", Arity::Many)];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot {
            name: "metrics",
            kind: METRICS,
        },
        OutputSlot {
            name: "text",
            kind: TEXT,
        },
        OutputSlot {
            name: "copy",
            kind: TEXT,
        },
    ];
}

impl Work for Count {
    fn run(&self, context: &StageContext) -> Result<()> {
        context.shards(1, |shard| {
            step(context, shard)?;
            let texts = context
                .inputs("texts")
                .iter()
                .map(read)
                .collect::<Result<Vec<_>>>()?
                .concat();
            fs::write(
                shard.output("metrics", "p0"),
                format!("letters {}", texts.len()),
            )?;
            fs::write(shard.output("text", "p0"), &texts)?;
            Ok(fs::write(shard.output("copy", "p0"), &texts)?)
        })
    }
}

/// Shows where its input comes from.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Origin {}

impl Stage for Origin {
    const KIND: &'static str = "origin";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[InputSlot {
        name: "of",
        accepts: &[TEXT, METRICS],
        arity: Arity::Many,
    }];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot {
        name: "files",
        kind: "files/v1",
    }];
    const LINEAGE: bool = true;
}

impl Work for Origin {
    fn run(&self, context: &StageContext) -> Result<()> {
        let lines = context.lineage().iter().map(|ancestor| {
            format!(
                "{} {} {}\n",
                ancestor.stage, ancestor.recipe.kind, ancestor.recipe.params
            )
        });
        let text: String = lines.collect();
        context.shards(1, |shard| {
            step(context, shard)?;
            Ok(fs::write(shard.output("files", "p0"), &text)?)
        })
    }
}

/// A kind that this binary can plan and not run.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Train {
    #[serde(default)]
    seed: u64,
}

impl Stage for Train {
    const KIND: &'static str = "train";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[slot("text", Arity::One)];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot {
        name: "weights",
        kind: "weights/v1",
    }];
    const TENSORS: bool = true;
}

/// The world's faults of one shard, and its line in the log.
fn step(context: &StageContext, shard: &Shard) -> Result<()> {
    let line = format!("{} {}\n", context.stage(), shard.index());
    let beside =
        |name: &str| fs::read_to_string(context.resolve(Path::new(name))).unwrap_or_default();
    if let Ok(milliseconds) = beside("slow").parse() {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
    if beside("fail") == line {
        bail!("the world has a fault");
    }
    let mut log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(context.resolve(Path::new("log")))?;
    Ok(log.write_all(line.as_bytes())?)
}

fn read(input: &Input) -> Result<String> {
    Ok(input
        .parts
        .iter()
        .map(fs::read_to_string)
        .collect::<std::io::Result<Vec<_>>>()?
        .concat())
}

/// Content is the parts' bytes; rows are bytes.
pub struct ToyCodec;

impl Codec for ToyCodec {
    fn digest(&self, _kind: &str, parts: &[PathBuf]) -> Result<Content> {
        let bytes = parts
            .iter()
            .map(fs::read)
            .collect::<std::io::Result<Vec<_>>>()?
            .concat();
        Ok(Content {
            digest: Digest::of(&bytes),
            rows: bytes.len() as u64,
        })
    }

    fn headline(
        &self,
        kind: &str,
        parts: &[PathBuf],
        _names: &[&str],
    ) -> Result<BTreeMap<String, f64>> {
        let mut figures = BTreeMap::new();
        if kind == METRICS {
            for part in parts {
                let text = fs::read_to_string(part)?;
                let (name, value) = text.split_once(' ').expect("a toy metric is `name value`");
                figures.insert(name.to_owned(), value.parse()?);
            }
        }
        Ok(figures)
    }
}

pub fn registry() -> Registry {
    Registry::new()
        .with::<Read>()
        .with::<Trim>()
        .with::<Repeat>()
        .with::<Count>()
        .with::<Origin>()
        .declaring::<Train>()
}
