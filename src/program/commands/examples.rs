//! Examples in the help, the manual pages and the reference: a few lines a command, of which every
//! one is a command line that the program takes.

use std::fmt::Write;

use clap::Command;

/// Command → its examples, each with what it does.
const EXAMPLES: [(&str, &[[&str; 2]]); 18] = [
    (
        "run",
        &[
            ["seedpipe run", "everything that is not cached"],
            ["seedpipe run student", "a stage and what it needs"],
            [
                "seedpipe run --set student.training.epochs=5",
                "with another value",
            ],
            ["seedpipe run --dry-run", "what would run"],
        ],
    ),
    (
        "status",
        &[
            ["seedpipe status", "what is cached"],
            ["seedpipe status --watch", "a run of another terminal, live"],
        ],
    ),
    (
        "explain",
        &[["seedpipe explain student", "why it will run again"]],
    ),
    (
        "graph",
        &[["seedpipe graph --format svg > pipeline.svg", "a picture"]],
    ),
    (
        "show",
        &[
            [
                "seedpipe show images",
                "its first rows and where they come from",
            ],
            [
                "seedpipe show images.rejected -n 100",
                "one output, more rows",
            ],
        ],
    ),
    (
        "metrics",
        &[
            [
                "seedpipe metrics",
                "the table that a run ends with, and every figure",
            ],
            ["seedpipe metrics --over seed", "mean and deviation"],
            [
                "seedpipe metrics --diff HEAD~1",
                "against an earlier commit",
            ],
            ["seedpipe metrics student_probe --csv", "for a spreadsheet"],
        ],
    ),
    (
        "export",
        &[
            [
                "seedpipe export student --format onnx -o student.onnx",
                "embeddings",
            ],
            [
                "seedpipe export student --with-head student_probe --format onnx",
                "classes",
            ],
        ],
    ),
    (
        "embed",
        &[
            [
                "seedpipe embed student photos/ -o photos.parquet",
                "a vector an image",
            ],
            [
                "seedpipe embed student --neighbours-of cat.jpg --among photos.parquet",
                "the images most like one",
            ],
        ],
    ),
    (
        "predict",
        &[[
            "seedpipe predict student --with-head student_probe photos/",
            "classes, as JSON lines",
        ]],
    ),
    (
        "evaluate",
        &[[
            "seedpipe evaluate student newer/ --with-head student_probe",
            "how good it is on other labelled images",
        ]],
    ),
    (
        "duplicates",
        &[[
            "seedpipe duplicates teacher_features",
            "nearly equal images",
        ]],
    ),
    (
        "verify",
        &[
            ["seedpipe verify", "whether the cache is as it was written"],
            [
                "seedpipe verify --rerun student",
                "whether the same comes out again",
            ],
        ],
    ),
    (
        "push",
        &[["seedpipe push --remote s3://bucket/project", "for others"]],
    ),
    ("pull", &[["seedpipe pull", "what others made"]]),
    (
        "gc",
        &[
            ["seedpipe gc --dry-run", "what would be deleted"],
            [
                "seedpipe gc --keep main --max-bytes 10GB",
                "keep a branch's results",
            ],
        ],
    ),
    (
        "init",
        &[
            ["seedpipe init --from photos", "a pipeline for a folder"],
            [
                "seedpipe init --from photos --teacher dinov2_vits14.pth",
                "with a published teacher",
            ],
        ],
    ),
    (
        "preview",
        &[[
            "seedpipe preview views -o views.png",
            "what the augmentations do",
        ]],
    ),
    (
        "completions",
        &[[
            "seedpipe completions bash > ~/.local/share/bash-completion/completions/seedpipe",
            "for bash, from the next shell on",
        ]],
    ),
];

/// The same command line, with the examples behind each command's help.
pub fn with_examples(program: Command) -> Command {
    EXAMPLES
        .into_iter()
        .fold(program, |program, (name, examples)| {
            let width = examples.iter().map(|[line, _]| line.len()).max();
            let mut text = "Examples:\n".to_owned();
            for [line, what] in examples {
                let width = width.unwrap_or_default();
                writeln!(text, "  {line:width$}  # {what}").expect("BUG: a String can be written");
            }
            program.mut_subcommand(name, |command| {
                command.after_help(text.trim_end().to_owned())
            })
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::arguments::Arguments;

    #[test]
    fn every_example_is_a_command_line_of_its_command() {
        for (name, examples) in EXAMPLES {
            for [line, _] in examples {
                let words = line.split(' ').take_while(|word| *word != ">");
                let words: Vec<&str> = words.collect();
                assert_eq!(words[..2], ["seedpipe", name]);
                Arguments::try_parse_from(words).unwrap();
            }
        }
    }
}
