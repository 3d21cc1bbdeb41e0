//! A page of the book as the tests read it: its blocks in order, and the markers that say what is
//! not run.
//!
//! The rules are told to readers in docs/README.md, under "How its commands are tested".

use std::sync::LazyLock;

use regex::Regex;

/// Languages of blocks that are run.
const SCRIPT: &str = "sh";
const SESSION: &str = "console";
/// Other names for these, which would slip through.
const OTHER_SHELLS: [&str; 5] = ["bash", "shell", "zsh", "shell-session", "terminal"];
/// Languages in which a line may begin like a command and is none.
const NO_SHELL: [&str; 7] = ["yaml", "diff", "rust", "python", "json", "toml", "html"];
/// First words of commands.
const PROGRAMS: [&str; 15] = [
    "$",
    "seedpipe",
    "seedpipe-torch",
    "cargo",
    "make",
    "git",
    "python3",
    "pip",
    "npm",
    "uv",
    "curl",
    "mdbook",
    "rustup",
    "apt",
    "perf",
];

#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// From the repository's root.
    pub path: String,
    /// Where its commands begin: the name of a folder that the test lays out; none: an empty one.
    pub starts: Option<String>,
    /// Why nothing on the page is run, where its marker says so.
    pub no_run: Option<String>,
    pub blocks: Vec<Block>,
}

/// A block of code.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// Of its first line, from 1.
    pub line: usize,
    pub language: String,
    /// `no-run`: why it is not run.
    pub no_run: Option<String>,
    /// `file`: where its text is written before the next command.
    pub file: Option<String>,
    /// `run=cell`: a part of the page's program in Python.
    pub is_cell: bool,
    /// `exit`: the code that its last command ends with.
    pub exit: i32,
    pub lines: Vec<String>,
}

/// A command, and what the page shows of its output.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    pub command: String,
    pub shown: Vec<String>,
    pub exit: i32,
}

impl Step {
    fn of(command: &str) -> Step {
        Step {
            command: command.to_owned(),
            shown: Vec::new(),
            exit: 0,
        }
    }
}

impl Page {
    /// - `path`: from the repository's root
    ///
    /// # Errors
    /// What is wrong with the page, a line a fault.
    pub fn parse(path: &str, text: &str) -> Result<Page, String> {
        static MARKER: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"(?m)^<!-- (starts|no-run): (.*?) -->$").unwrap());
        let mut page = Page {
            path: path.to_owned(),
            starts: None,
            no_run: None,
            blocks: blocks(path, text)?,
        };
        for found in MARKER.captures_iter(text) {
            let value = found[2].to_owned();
            match &found[1] {
                "starts" => page.starts = Some(value),
                _ => page.no_run = Some(value),
            }
        }
        let faults = page.faults();
        if faults.is_empty() {
            Ok(page)
        } else {
            Err(faults.join("\n"))
        }
    }

    /// Commands that would not be run although nothing says why.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for block in &self.blocks {
            let place = format!("{}:{}", self.path, block.line);
            if OTHER_SHELLS.contains(&block.language.as_str()) {
                faults.push(format!(
                    "{place}: expected `{SCRIPT}` or `{SESSION}`, got `{}`",
                    block.language
                ));
            }
            if block.no_run.as_ref().is_some_and(|reason| reason.len() < 8) {
                faults.push(format!("{place}: `no-run` needs a reason"));
            }
            if self.no_run.is_some()
                || block.is_shell()
                || block.no_run.is_some()
                || NO_SHELL.contains(&block.language.as_str())
            {
                continue;
            }
            let commands = block.lines.iter().filter(|line| is_command(line));
            faults.extend(commands.map(|line| {
                format!("{place}: `{}` is not run\nhint: put it into a block ```{SCRIPT} or ```{SESSION}, with no-run=\"REASON\" where it can't be run", line.trim())
            }));
        }
        faults
    }

    /// Why a block is not run.
    pub fn reason(&self, block: &Block) -> Option<String> {
        block.no_run.clone().or_else(|| self.no_run.clone())
    }
}

/// Whether a line begins as a command does.
pub fn is_command(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|letter| letter.is_ascii_uppercase() || letter == '_')
        })
    });
    let Some(first) = words.next() else {
        return false;
    };
    PROGRAMS.contains(&first) || first.starts_with("tests/peers/") || first.ends_with("/seedpipe")
}

impl Block {
    pub fn is_shell(&self) -> bool {
        [SCRIPT, SESSION].contains(&self.language.as_str())
    }

    /// What is run of it, in order: a script as a whole, a session command by command.
    pub fn steps(&self) -> Vec<Step> {
        if self.language == SCRIPT {
            return vec![Step {
                command: self.lines.join("\n"),
                shown: Vec::new(),
                exit: self.exit,
            }];
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut goes_on = false;
        for line in &self.lines {
            let begins = line.strip_prefix("$ ").filter(|_| !goes_on);
            if begins.is_none() && steps.is_empty() {
                steps.push(Step::of("false # an output before the first command"));
            }
            if let Some(command) = begins {
                steps.push(Step::of(command));
            } else if let Some(step) = steps.last_mut() {
                if goes_on {
                    step.command.push('\n');
                    step.command.push_str(line);
                } else {
                    step.shown.push(line.clone());
                }
            }
            let is_command_line = begins.is_some() || goes_on;
            goes_on = is_command_line && line.ends_with('\\');
        }
        if let Some(last) = steps.last_mut() {
            last.exit = self.exit;
        }
        steps
    }

    /// The commands as a list shows them, a line each.
    pub fn commands(&self) -> Vec<String> {
        let steps = self.steps();
        let lines = steps.iter().flat_map(|step| {
            let joined = step.command.replace("\\\n", "");
            joined.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        let told = |line: String| {
            let command = line.split(" # ").next().unwrap_or_default();
            command.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        lines
            .map(told)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect()
    }
}

/// Fenced and indented blocks. Lists with code in them are not looked into: their fences begin a
/// line, too.
fn blocks(path: &str, text: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fence: Option<(String, Block)> = None;
    let mut after_blank = true;
    let mut indented = false;
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if let Some((end, block)) = &mut fence {
            if trimmed.starts_with(end.as_str())
                && trimmed.trim_end().chars().all(|letter| letter == '`')
            {
                let (_, block) = fence.take().expect("BUG: a fence was there");
                blocks.push(block);
            } else {
                block.lines.push(line.to_owned());
            }
            continue;
        }
        if trimmed.starts_with("```") {
            let ticks: String = trimmed
                .chars()
                .take_while(|letter| *letter == '`')
                .collect();
            let info = &trimmed[ticks.len()..];
            fence = Some((ticks, of_info(info, number + 1)));
            (after_blank, indented) = (false, false);
            continue;
        }
        let is_code = line.starts_with("    ") && !trimmed.is_empty() && (after_blank || indented);
        match blocks.last_mut() {
            Some(block) if is_code && indented => block.lines.push(trimmed.to_owned()),
            _ if is_code => {
                let mut block = of_info("", number + 1);
                block.lines.push(trimmed.to_owned());
                blocks.push(block);
            }
            _ => {}
        }
        indented = is_code || (indented && trimmed.is_empty());
        after_blank = trimmed.is_empty();
    }
    match fence {
        Some((_, block)) => Err(format!("{path}:{}: the block has no end", block.line)),
        None => Ok(blocks),
    }
}

/// A block with the words after its fence: a language, then `key=value` or `key="more words"`.
fn of_info(info: &str, line: usize) -> Block {
    static ATTRIBUTE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"([a-z-]+)=(?:"([^"]*)"|(\S+))"#).unwrap());
    let mut block = Block {
        line,
        language: info
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
        no_run: None,
        file: None,
        is_cell: false,
        exit: 0,
        lines: Vec::new(),
    };
    for found in ATTRIBUTE.captures_iter(info) {
        let value = found
            .get(2)
            .or_else(|| found.get(3))
            .map_or("", |value| value.as_str());
        match &found[1] {
            "no-run" => block.no_run = Some(value.to_owned()),
            "file" => block.file = Some(value.to_owned()),
            "run" => block.is_cell = value == "cell",
            "exit" => block.exit = value.parse().unwrap_or(-1),
            _ => {}
        }
    }
    block
}

#[test]
fn blocks_are_found_with_their_markers() {
    let text = "# Page\n<!-- starts: photos -->\n\n```yaml file=pipeline.yaml\nstages:\n```\n\n```console exit=1\n$ seedpipe status \\\n    --json\nshown\n$ seedpipe verify\n```\n\n```sh no-run=\"needs a GPU\"\nmake\n```\n\n    indented\n    more\n";
    let page = Page::parse("page.md", text).unwrap();
    assert_eq!(page.starts.as_deref(), Some("photos"));
    let languages: Vec<&str> = page
        .blocks
        .iter()
        .map(|block| block.language.as_str())
        .collect();
    assert_eq!(languages, ["yaml", "console", "sh", ""]);
    assert_eq!(page.blocks[0].file.as_deref(), Some("pipeline.yaml"));
    let steps = page.blocks[1].steps();
    assert_eq!((steps[0].exit, steps[1].exit), (0, 1));
    assert_eq!(steps[0].shown, ["shown"]);
    assert_eq!(
        page.blocks[1].commands(),
        ["seedpipe status --json", "seedpipe verify"]
    );
    assert_eq!(page.reason(&page.blocks[2]).as_deref(), Some("needs a GPU"));
    assert_eq!(page.blocks[3].lines, ["indented", "more"]);
}

#[test]
fn commands_that_nothing_runs_are_faults() {
    for text in [
        "text\n\n    seedpipe run\n",
        "```text\n$ seedpipe run\n```\n",
        "```\nLIBTORCH=/opt cargo build\n```\n",
        "```bash\nls\n```\n",
        "```sh no-run=\"\"\nls\n```\n",
        "```sh\nls\n",
    ] {
        Page::parse("page.md", text).unwrap_err();
    }
    for text in [
        "<!-- no-run: measured on an idle machine -->\n\n    make peers\n",
        "```text\nUsage: seedpipe run\n```\n",
        "```yaml\nmake: this\n```\n",
        "- a list\n    seedpipe runs on\n",
    ] {
        Page::parse("page.md", text).unwrap();
    }
}
