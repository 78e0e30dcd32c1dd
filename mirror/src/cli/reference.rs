//! The command line reference as Markdown, made from the parser itself.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::{Failure, print};
use crate::cli::args::Cli;

/// Prints it.
///
/// # Errors
/// If stdout cannot be written.
pub fn run() -> Result<(), Failure> {
    print(&markdown())
}

/// The text of `docs/cli.md`.
#[must_use]
pub fn markdown() -> String {
    let mut command = Cli::command();
    command.build();
    let mut text = String::from(
        "# Command line\n\nGenerated from the program by `prometheus-mirror reference`; do not edit.\n\n\
         Every flag of `serve` and every path is also an environment variable; a flag wins. Results go to stdout, logs and errors to stderr.\n\
         Exit codes: 0 fine, 1 failed, 2 the command line is wrong.\n",
    );
    for subcommand in command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
    {
        section(subcommand, &mut text);
    }
    text
}

fn section(command: &Command, text: &mut String) {
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "\n## prometheus-mirror {}\n\n{about}.\n\n| flag | variable | meaning |\n|---|---|---|\n",
        command.get_name()
    );
    for argument in command.get_arguments().filter(|argument| {
        !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str())
    }) {
        let variable = argument
            .get_env()
            .map(|name| format!("`{}`", name.to_string_lossy()))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {variable} | {} |",
            flag(argument),
            meaning(argument)
        );
    }
}

fn flag(argument: &Arg) -> String {
    let names = [
        argument.get_short().map(|short| format!("-{short}")),
        argument.get_long().map(|long| format!("--{long}")),
    ];
    let names = names.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let value = argument
        .get_value_names()
        .filter(|_| argument.get_action().takes_values())
        .map(|names| format!(" {}", names[0]))
        .unwrap_or_default();
    format!("`{}`", format!("{names}{value}").trim_start())
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default()
        .replace('|', "\\|");
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if argument.get_action().takes_values() && !values.is_empty() {
        let _ = write!(text, ": {}", values.join(", "));
    }
    if let [default] = argument.get_default_values()
        && argument.get_action().takes_values()
    {
        let _ = write!(text, " (default `{}`)", default.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_reference_is_current() {
        let committed = include_str!("../../../docs/cli.md");
        assert_eq!(
            committed,
            super::markdown(),
            "run `make generate`: docs/cli.md is the output of `prometheus-mirror reference`"
        );
    }
}
