//! A project in a temporary folder, and an observer that remembers.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Result;
use fs_err as fs;
use seedpipe_engine::*;

use crate::toy::{ToyCodec, registry};

/// read → trim → repeat → count.
pub const CHAIN: &str = "\
stages:
  raw: {kind: read, params: {path: input.txt}}
  clean: {kind: trim, inputs: {text: raw}}
  long: {kind: repeat, inputs: {text: clean}, params: {times: 3}}
  sum: {kind: count, inputs: {texts: [clean, long]}}
";

/// A project in a temporary folder.
pub struct World {
    pub folder: tempfile::TempDir,
}

impl World {
    /// With `pipeline` as pipeline.yaml and `hello` as input.txt.
    pub fn new(pipeline: &str) -> Self {
        let world = World {
            folder: tempfile::tempdir().unwrap(),
        };
        world.write("pipeline.yaml", pipeline);
        world.write("input.txt", "hello");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub fn open(&self, overrides: &[&str]) -> Result<Engine> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let project = Project::open(&self.path("pipeline.yaml"), &registry(), &overrides)?;
        Engine::new(project, registry(), Box::new(ToyCodec))
    }

    pub fn engine(&self) -> Engine {
        self.open(&[]).unwrap()
    }

    /// Runs everything; panics when a stage fails.
    pub fn run(&self) -> RunReport {
        let report = self.run_with(&RunOptions::default(), &Silent);
        assert!(report.failed().is_none(), "{:?}", report.failed());
        report
    }

    pub fn run_with(&self, options: &RunOptions, observer: &dyn Observer) -> RunReport {
        self.engine().run(options, observer).unwrap()
    }

    /// Shards that ran since the last call, as `STAGE SHARD`.
    pub fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        text.lines().map(str::to_owned).collect()
    }

    pub fn artifact(&self, stage: &str) -> Artifact {
        self.engine()
            .find(stage)
            .unwrap()
            .expect("the stage is cached")
    }

    pub fn states(&self) -> Vec<String> {
        let status = self.engine().status().unwrap();
        status
            .iter()
            .map(|stage| format!("{}: {}", stage.stage, stage.state))
            .collect()
    }
}

/// `stage outcome` of every stage.
pub fn outcomes(report: &RunReport) -> Vec<String> {
    report
        .stages
        .iter()
        .map(|stage| format!("{} {}", stage.stage, stage.outcome))
        .collect()
}

pub fn targets(names: &[&str]) -> RunOptions {
    RunOptions {
        targets: names.iter().map(|name| (*name).to_owned()).collect(),
        ..RunOptions::default()
    }
}

/// Remembers events, one line each.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<String>>);

impl Recorder {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Recorder {
    fn event(&self, event: &Event) {
        let line = match *event {
            Event::StageStarted { stage, kind, .. } => format!("{stage}: started {kind}"),
            Event::StageFinished(report) => format!("{}: {}", report.stage, report.outcome),
            Event::StageWaiting { stage, holder } => format!("{stage}: waiting for {holder}"),
            Event::StageResumed {
                stage,
                finished_shards,
                shards,
            } => format!("{stage}: resumed {finished_shards} of {shards}"),
            Event::WorkAdvanced { stage, count } => format!("{stage}: advanced {count}"),
            Event::Warning { stage, message } => {
                format!("{}: warning: {message}", stage.unwrap_or("-"))
            }
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}
