//! The rooms of the mirror, and that none imports from a room above it.
#![expect(
    clippy::expect_used,
    reason = "clippy knows a test's functions, not their helpers"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room with the rooms that it may import from, from the ground floor up. A row names only
/// rooms of rows before it, so there is no circle. Tests inside a room may use any room.
const ROOMS: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("blocking", &[]),
    ("budget", &["model"]),
    ("plan", &["model"]),
    // A limit of memory is a size of the budget.
    ("settings", &["model", "budget"]),
    // A target is made from its settings; the plan knows which expressions may be remembered.
    (
        "prometheus",
        &["model", "blocking", "budget", "plan", "settings"],
    ),
    // The upstream metrics are registered beside the others; the budget is shown as it is.
    ("telemetry", &["model", "budget", "prometheus"]),
    ("execute", &["model", "blocking", "plan", "prometheus"]),
    (
        "api",
        &[
            "model",
            "blocking",
            "budget",
            "plan",
            "settings",
            "prometheus",
            "telemetry",
            "execute",
        ],
    ),
    (
        "http",
        &[
            "model",
            "budget",
            "settings",
            "prometheus",
            "telemetry",
            // Why an answer is partial, for a header.
            "execute",
            "api",
        ],
    ),
    // A client: it shares the names of headers, API keys, and how a lost connection reads.
    ("conform", &["model", "settings", "prometheus", "http"]),
    (
        "cli",
        &[
            "model",
            "budget",
            // The names of aggregations and query kinds are arguments.
            "plan",
            "settings",
            "prometheus",
            "telemetry",
            "api",
            "http",
            "conform",
        ],
    ),
    ("main", &["cli"]),
];

#[test]
fn no_room_imports_from_a_room_above_it() {
    let mut wrong = Vec::new();
    for (room, allowed) in ROOMS {
        for file in files_of(room) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            for (line, imported) in imports(&text) {
                if imported != room && !allowed.contains(&imported.as_str()) {
                    let file = file.strip_prefix(sources()).expect("a source file");
                    wrong.push(format!(
                        "{}:{line}: {room} imports {imported}",
                        file.display()
                    ));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_table_has_every_room_and_no_circle() {
    let mut below = BTreeSet::new();
    for (room, allowed) in ROOMS {
        for import in allowed {
            assert!(below.contains(import), "{room} is not above {import}");
        }
        below.insert(room);
    }
    let library = std::fs::read_to_string(sources().join("lib.rs")).expect("a source file");
    let declared = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let declared: BTreeSet<&str> = declared.chain(["main"]).collect();
    assert_eq!(below, declared);
}

#[test]
fn every_form_of_an_import_is_seen() {
    let text = "\
use crate::api::error;
// use crate::comment::x;
use crate::{budget::Budget, cli};
pub(crate) use crate::execute;
fn f() { crate::http::g() }
pub(in crate::model) fn h() {}
use super::super::settings::x;
use super::mod_of_own::x;
#[cfg(test)]
mod tests {
    use crate::plan::x;
}
";
    let expected = [
        (1, "api"),
        (3, "{"),
        (4, "execute"),
        (5, "http"),
        (6, "model"),
    ];
    assert_eq!(
        imports(text),
        expected.map(|(line, room)| (line, room.to_owned()))
    );
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of a room, without those that only hold tests.
fn files_of(room: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left = vec![sources().join(room)];
    let own = sources().join(format!("{room}.rs"));
    files.extend(own.is_file().then_some(own));
    while let Some(folder) = left.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                left.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "there is no room {room}");
    files
}

/// The rooms that a file names behind `crate::` (`mirror::` in main.rs), with their lines, up to
/// its tests. Of a group of imports this is `{`, which is no room: each import has its own line.
fn imports(text: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0].trim() == "#[cfg(test)]" && pair[1].ends_with('{'));
    let code = lines.iter().take(tests.unwrap_or(lines.len()));
    let mut found = Vec::new();
    for (index, line) in code.enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for root in ["crate::", "mirror::"] {
            for behind in line.split(root).skip(1) {
                let end = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let name = &behind[..end.unwrap_or(behind.len()).max(1)];
                found.push((index + 1, name.to_owned()));
            }
        }
    }
    found
}
