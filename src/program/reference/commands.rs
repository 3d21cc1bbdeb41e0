//! Every command with its arguments and options, from clap's definitions.

use clap::{Arg, ArgAction, Command};

use super::markdown::{code, heading, paragraph, plain, table};

/// - `program`: the whole command line
pub fn page(mut program: Command) -> String {
    program.build();
    let mut text = heading(1, "Commands");
    let about = program.get_about().map(ToString::to_string);
    text += &paragraph(&sentence(&about.unwrap_or_default()));
    let after = program.get_after_help().map(ToString::to_string);
    text += &paragraph(&plain(&after.unwrap_or_default()));
    text += &heading(2, "Options of every command");
    let global: Vec<&Arg> = program
        .get_arguments()
        .filter(|argument| !is_own(argument))
        .collect();
    text += &options(&global);
    let names: Vec<String> = program
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(command) = program.find_subcommand_mut(&name) {
            text += &section(command, 2, "");
        }
    }
    text
}

/// A command, and those below it.
///
/// - `above`: names of the commands that it belongs to, each with a space after it
fn section(command: &mut Command, level: usize, above: &str) -> String {
    if command.is_hide_set() || command.get_name() == "help" {
        return String::new();
    }
    let name = format!("{above}{}", command.get_name());
    let mut text = heading(level, &name);
    text += &paragraph(&plain(&sentence(
        &command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default(),
    )));
    text += &paragraph(&format!(
        "```text\n{}\n```",
        command.render_usage().to_string().trim_end()
    ));
    let own: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| is_own(argument) && !argument.is_hide_set())
        .collect();
    let positional: Vec<Vec<String>> = own
        .iter()
        .filter(|argument| argument.is_positional())
        .map(|argument| vec![code(&values(argument)), help(argument)])
        .collect();
    text += &table(&["argument", "meaning"], &positional);
    let named: Vec<&Arg> = own
        .into_iter()
        .filter(|argument| !argument.is_positional())
        .collect();
    text += &options(&named);
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let lines: Vec<&str> = examples.lines().skip(1).map(str::trim).collect();
        let lines = lines.join("\n");
        text += &paragraph(&format!(
            "```sh no-run=\"a test parses each\"\n{lines}\n```"
        ));
    }
    let below: Vec<String> = command
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for inner in below {
        if let Some(inner) = command.find_subcommand_mut(&inner) {
            text += &section(inner, level + 1, &format!("{name} "));
        }
    }
    text
}

/// Neither one of every command nor clap's own.
fn is_own(argument: &Arg) -> bool {
    !argument.is_global_set() && !["help", "version"].contains(&argument.get_id().as_str())
}

fn options(named: &[&Arg]) -> String {
    let rows: Vec<Vec<String>> = named
        .iter()
        .filter(|argument| {
            !argument.is_positional() && !["help", "version"].contains(&argument.get_id().as_str())
        })
        .map(|argument| vec![flags(argument), defaults(argument), help(argument)])
        .collect();
    table(&["option", "default", "meaning"], &rows)
}

/// `-n`, `--rows ROWS`.
fn flags(argument: &Arg) -> String {
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let value = match takes_value {
        true => format!(" {}", values(argument)),
        false => String::new(),
    };
    let short = argument.get_short().map(|letter| format!("-{letter}"));
    let long = argument.get_long().map(|name| format!("--{name}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    code(&format!("{}{value}", names.join(", ")))
}

/// What stands for the values: `STAGE…` where there may be several.
fn values(argument: &Arg) -> String {
    let names: Vec<&str> = argument
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(|name| name.as_str())
        .collect();
    let name = match names.is_empty() {
        true => argument.get_id().as_str().to_uppercase(),
        false => names.join(" "),
    };
    let most = argument
        .get_num_args()
        .map_or(1, |range| range.max_values());
    match argument.is_positional() && most > 1 {
        true => format!("{name}…"),
        false => name,
    }
}

fn defaults(argument: &Arg) -> String {
    let values: Vec<String> = argument
        .get_default_values()
        .iter()
        .map(|value| code(&value.to_string_lossy()))
        .collect();
    match argument.get_action() {
        ArgAction::Set | ArgAction::Append => values.join(" "),
        _ => String::new(),
    }
}

/// The help, and the possible values where there are only some.
fn help(argument: &Arg) -> String {
    let help = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut text = sentence(&plain(&help));
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let possible: Vec<String> = match takes_value {
        true => argument.get_possible_values(),
        false => Vec::new(),
    }
    .iter()
    .map(|value| code(value.get_name()))
    .collect();
    if !possible.is_empty() {
        let gap = if text.is_empty() { "" } else { " " };
        text = format!("{text}{gap}One of {}.", possible.join(", "));
    }
    text
}

/// With a full stop.
fn sentence(text: &str) -> String {
    match text.is_empty() || text.ends_with(['.', ']', ')']) {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}
