//! `kubectl pmirror <TAB>`: kubectl asks the program `kubectl_complete-pmirror`, which is this one
//! under another name.

use clap::{Command, CommandFactory as _};

use crate::args::Cli;

/// The name by which kubectl asks.
pub const PROGRAM: &str = "kubectl_complete-pmirror";

/// Ends what kubectl reads: it must not complete with names of files.
const NO_FILES: &str = ":4\n";

/// What kubectl reads: what the last of the words may become, each on a line.
#[must_use]
pub fn answer(words: &[String]) -> String {
    let lines = candidates(words)
        .into_iter()
        .map(|candidate| candidate + "\n");
    lines.chain([NO_FILES.to_owned()]).collect()
}

fn candidates(words: &[String]) -> Vec<String> {
    let (partial, before) = match words.split_last() {
        Some((partial, before)) => (partial.as_str(), before),
        None => ("", words),
    };
    let mut program = Cli::command();
    // Puts flags that stand anywhere into each subcommand.
    program.build();
    let chosen = before.iter().find_map(|word| program.find_subcommand(word));
    let mut candidates = match chosen {
        None if !partial.starts_with('-') => subcommands(&program),
        None => flags(&program),
        Some(chosen) if partial.starts_with('-') => flags(chosen),
        Some(_) => Vec::new(),
    };
    candidates.retain(|candidate| candidate.starts_with(partial));
    candidates
}

fn subcommands(program: &Command) -> Vec<String> {
    let visible = program.get_subcommands().filter(|one| !one.is_hide_set());
    visible.map(|one| one.get_name().to_owned()).collect()
}

fn flags(command: &Command) -> Vec<String> {
    let flags = command
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    flags.map(|flag| format!("--{flag}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_and_their_flags_are_offered() {
        let offered = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            candidates(&words)
        };
        assert_eq!(offered("co"), ["conform", "completion"]);
        assert_eq!(offered("st"), ["status"]);
        assert_eq!(offered("--con"), ["--context"]);
        assert_eq!(offered("query p --prom"), ["--promql"]);
        assert_eq!(offered("-n a logs p --f"), ["--follow"]);
        assert_eq!(offered("status p --names"), ["--namespace"]);
        assert!(offered("status p").is_empty());
        assert!(offered("").contains(&"why".to_owned()));
        assert_eq!(answer(&["wh".to_owned()]), "why\n:4\n");
    }
}
