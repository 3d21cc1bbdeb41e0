//! A temporary folder with a pipeline in it, and the binary run there.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The light binary; `seedpipe-torch` lies beside it.
pub const SEEDPIPE: &str = env!("CARGO_BIN_EXE_seedpipe");
pub const SEEDPIPE_TORCH: &str = env!("CARGO_BIN_EXE_seedpipe-torch");

/// The repository.
pub const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// The environment of a processor without AVX-512.
pub const AVX2: [(&str, &str); 4] = [
    ("SEEDPIPE_SIMD", "avx2"),
    ("ONEDNN_MAX_CPU_ISA", "AVX2"),
    ("ATEN_CPU_CAPABILITY", "avx2"),
    ("MKL_ENABLE_INSTRUCTIONS", "AVX2"),
];

/// Ingest of 60 training and 20 test digits and two views of each: no libtorch needed.
pub const LIGHT_PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 60, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
";

/// The whole road in seconds, on the same digits.
pub const WHOLE_PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 60, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  teacher:
    kind: pretrain
    inputs: {images: images, views: views}
    params:
      network: {name: cifar_resnet8, width: 0.5}
      queue: 64
      training: {epochs: 1, batch: 16}
  targets: {kind: encode, inputs: {images: images, views: views, weights: teacher}, params: {batch: 32}}
  student:
    kind: distill
    inputs: {images: images, views: views, targets: targets}
    params:
      network: {name: cifar_resnet8, width: 0.25}
      queue: 64
      training: {epochs: 2, batch: 16}
  features: {kind: encode, inputs: {images: images, weights: student}, params: {batch: 32}}
  neighbours: {kind: knn, inputs: {images: images, features: features}, params: {k: [5]}}
  probe: {kind: probe, inputs: {images: images, features: features}}
  report: {kind: report, inputs: {metrics: [student.metrics, neighbours.metrics, probe.metrics]}}
";

/// A folder that is removed in the end.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// With this `pipeline.yaml`, and `digits.parquet` where it is named.
    pub fn with(pipeline: &str) -> Self {
        let sandbox = Self::empty();
        sandbox.write("pipeline.yaml", pipeline);
        if pipeline.contains("digits.parquet") {
            fs_err::copy(
                Path::new(REPOSITORY).join("data/digits.parquet"),
                sandbox.path("digits.parquet"),
            )
            .unwrap();
        }
        sandbox
    }

    pub fn empty() -> Self {
        Self::empty_in(&std::env::temp_dir())
    }

    /// Where no `fsync` waits for a disk, on machines that have such a place.
    pub fn in_memory() -> Self {
        match Path::new("/dev/shm") {
            memory if memory.is_dir() => Self::empty_in(memory),
            _ => Self::empty(),
        }
    }

    fn empty_in(folder: &Path) -> Self {
        let mut builder = tempfile::Builder::new();
        let folder = builder.prefix("seedpipe-test-").tempdir_in(folder);
        Self {
            folder: folder.unwrap(),
        }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    /// The binary with these arguments in this folder, free of the caller's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SEEDPIPE);
        command.args(arguments).current_dir(self.folder.path());
        // Tests in the background of a shell have Ctrl-C ignored, and would hand that on.
        let heed = || {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                // SAFETY: nothing but `signal`, which may be called between fork and exec.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // SAFETY: see there.
        unsafe { command.pre_exec(heed) };
        for variable in [
            "SEEDPIPE_CACHE",
            "SEEDPIPE_REMOTE",
            "SEEDPIPE_HANDOVER",
            "SEEDPIPE_BUILD_STAMP",
            "LD_LIBRARY_PATH",
            "LIBTORCH",
            "NO_COLOR",
            "CLICOLOR",
            "CLICOLOR_FORCE",
        ] {
            command.env_remove(variable);
        }
        // What one test measured is nothing to another; those that ask name a file.
        command.env("SEEDPIPE_RATES", "off");
        command
    }

    /// Runs to the end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.finish(&mut self.command(arguments))
    }

    /// Runs a command, perhaps with changes, to the end.
    pub fn finish(&self, command: &mut Command) -> Finished {
        Finished::of(command.output().unwrap(), self.folder.path())
    }

    /// Starts and doesn't wait.
    pub fn start(&self, arguments: &[&str]) -> Started {
        self.start_with(arguments, |_| {})
    }

    /// Starts a command with changes and doesn't wait.
    pub fn start_with(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Started {
        let mut command = self.command(arguments);
        change(&mut command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Started {
            child: Some(command.spawn().unwrap()),
        }
    }

    /// Files and folders below a folder of the cache, relative to it, sorted; empty when it isn't
    /// there.
    pub fn cache_entries(&self, below: &str) -> Vec<String> {
        let root = self.path(".seedpipe/v1").join(below);
        let mut entries = Vec::new();
        list(&root, &root, &mut entries);
        entries.sort();
        entries
    }

    /// What `run --json` prints of every stage, in order.
    pub fn run_json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["run", "--json"];
        all.extend(arguments);
        self.run(&all).succeeded().json_lines()
    }
}

fn list(root: &Path, folder: &Path, entries: &mut Vec<String>) {
    let Ok(found) = fs_err::read_dir(folder) else {
        return;
    };
    for entry in found {
        let path = entry.unwrap().path();
        entries.push(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() {
            list(root, &path, entries);
        }
    }
}

/// A run that is not awaited; killed when the test ends before it does.
pub struct Started {
    child: Option<Child>,
}

impl Started {
    fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    /// Of whatever program it becomes by `exec` as well.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child().try_wait().unwrap().is_some()
    }

    pub fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(self.child()), signal).unwrap();
    }

    /// Waits for the end.
    pub fn output(mut self) -> Output {
        self.child.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// What a run left.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    folder: PathBuf,
}

impl Finished {
    pub fn of(output: Output, folder: &Path) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            folder: folder.to_owned(),
        }
    }

    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    pub fn exited_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// stdout without what differs from run to run.
    pub fn stable_stdout(&self) -> String {
        stable(&self.stdout, &self.folder)
    }

    /// Exit code and stderr without what differs from run to run.
    pub fn refusal(&self) -> String {
        let code = self
            .code
            .map_or_else(|| "signal".to_owned(), |code| code.to_string());
        let stderr = self.stderr.split_inclusive('\n');
        let stderr: String = stderr.filter(|line| !tells_of_waiting(line)).collect();
        format!("{}exit code {code}", stable(&stderr, &self.folder))
    }
}

/// Whether a command beside `run` says that it has been at work for seconds, as it does on a slow
/// machine.
pub fn tells_of_waiting(line: &str) -> bool {
    const WORKS: [&str; 10] = [
        "comparing",
        "drawing",
        "exporting",
        "hashing",
        "looking",
        "measuring",
        "reading",
        "testing",
        "trying",
        "writing",
    ];
    let is_progress = line.contains(" at work for ") || line.contains(" of ");
    let first = line.split_whitespace().next();
    is_progress && WORKS.iter().any(|work| first == Some(work))
}

/// Replaces paths, digests, times, sizes, the processor's architecture and the repository's place.
fn stable(text: &str, folder: &Path) -> String {
    static VARIABLE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"\b[0-9a-f]{64}(-[0-9a-f]{8})?\b", "[digest]"),
            (r"\b[0-9a-f]{16}\b", "[digest]"),
            (r"\b[0-9a-f]{12}\b", "[short]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[date]"),
            (
                r"\b\d+ min \d\d s|\b\d+ h \d\d min|\b\d+(\.\d+)? s\b",
                "[time]",
            ),
            (r"\b\d+(\.\d+)? (kB|MB|GB)\b", "[size]"),
            (r"\b(x86_64|aarch64)\b", "[architecture]"),
        ]
        .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name))
        .into()
    });
    let mut text = text
        .replace(&folder.display().to_string(), "[folder]")
        .replace(REPOSITORY, "[repository]");
    for (pattern, name) in VARIABLE.iter() {
        text = pattern.replace_all(&text, *name).into_owned();
    }
    text
}

/// The outcome of every stage, as `images=cached`.
pub fn outcomes(lines: &[Value]) -> Vec<String> {
    lines
        .iter()
        .map(|line| {
            format!(
                "{}={}",
                line["stage"].as_str().unwrap(),
                line["outcome"].as_str().unwrap()
            )
        })
        .collect()
}

/// (stage, content digest) of every stage.
pub fn contents(lines: &[Value]) -> Vec<(String, String)> {
    lines
        .iter()
        .map(|line| {
            (
                line["stage"].as_str().unwrap().to_owned(),
                line["content"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

/// The same by name: stages that run at once end in any order.
pub fn contents_by_name(lines: &[Value]) -> Vec<(String, String)> {
    let mut contents = contents(lines);
    contents.sort();
    contents
}
