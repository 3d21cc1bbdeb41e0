//! A shell in a page's folder, with the program on its path and nothing of the machine's own
//! settings.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sandbox::{SEEDPIPE, tells_of_waiting};

/// Variables that would change what commands do.
const REMOVED: [&str; 8] = [
    "SEEDPIPE_CACHE",
    "SEEDPIPE_REMOTE",
    "SEEDPIPE_HANDOVER",
    "SEEDPIPE_BUILD_STAMP",
    "LD_LIBRARY_PATH",
    "LIBTORCH",
    "GIT_DIR",
    "GIT_WORK_TREE",
];
const SET: [(&str, &str); 10] = [
    // How fast a reader's machine is, is no part of a page.
    ("SEEDPIPE_RATES", "off"),
    ("NO_COLOR", "1"),
    ("TERM", "dumb"),
    ("LC_ALL", "C.UTF-8"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_AUTHOR_NAME", "reader"),
    ("GIT_AUTHOR_EMAIL", "reader@book"),
    ("GIT_COMMITTER_NAME", "reader"),
    ("GIT_COMMITTER_EMAIL", "reader@book"),
];

pub struct Session {
    folder: PathBuf,
}

impl Session {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Runs a script to its end or to the first command that fails, and gives what it wrote, both
    /// streams as they came.
    ///
    /// # Errors
    /// When it ends with another code.
    pub fn run(&self, script: &str, exit: i32) -> Result<String, String> {
        let programs = Path::new(SEEDPIPE).parent().unwrap();
        let path = match env::var_os("PATH") {
            Some(path) => format!("{}:{}", programs.display(), path.display()),
            None => programs.display().to_string(),
        };
        let mut command = Command::new("bash");
        command
            .args(["--norc", "-e", "-o", "pipefail", "-c"])
            .arg(format!("exec 2>&1\n{script}"))
            .current_dir(&self.folder)
            .env("PATH", path)
            .stdin(Stdio::null());
        for name in REMOVED {
            command.env_remove(name);
        }
        command.envs(SET);
        let output = command.output().map_err(|error| format!("bash: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text
            .split_inclusive('\n')
            .filter(|line| !tells_of_waiting(line));
        let text: String = lines.collect();
        if output.status.code() == Some(exit) {
            Ok(text)
        } else {
            let code = output
                .status
                .code()
                .map_or_else(|| "a signal".to_owned(), |code| code.to_string());
            Err(format!("expected exit code {exit}, got {code}\n{text}"))
        }
    }
}
