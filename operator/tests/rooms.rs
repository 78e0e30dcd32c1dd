//! The operator's rooms stand on each other in one direction: no room imports from one above it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the ground up. Each may import from those before it in the list.
const ROOMS: &[&str] = &[
    "cluster",
    "telemetry",
    "leader",
    "controller",
    "sidecar",
    "args",
    "run",
    "lib",
    "main",
];

/// No room may import these: the operator never links the mirror.
const FOREIGN: &[&str] = &["mirror"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The words after each `prefix`, up to the next character that is in no name.
fn named_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let parts = text.split(prefix).skip(1);
    parts
        .map(|part| part.split(|letter| !is_name(letter)).next().unwrap())
        .collect()
}

/// What a source of a room imports and must not.
fn misplaced(room: &str, text: &str) -> Vec<String> {
    let floor = |room: &str| ROOMS.iter().position(|known| *known == room);
    let own = floor(room).unwrap_or_else(|| panic!("{room} is not in the list of rooms"));
    let above = named_after(text, "crate::")
        .into_iter()
        .filter(|used| floor(used).is_none_or(|used| used > own))
        .map(str::to_owned);
    let foreign = FOREIGN
        .iter()
        .filter(|name| text.contains(&format!("use {name}::")));
    above
        .chain(foreign.map(|name| (*name).to_owned()))
        .collect()
}

#[test]
fn no_room_imports_from_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in sources(&root) {
        let path = file.strip_prefix(&root).unwrap();
        let first = path.components().next().unwrap();
        let room = Path::new(first.as_os_str()).file_stem().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for used in misplaced(room.to_str().unwrap(), &text) {
            wrong.push(format!("{} imports {used}", path.display()));
        }
        seen += 1;
    }
    assert!(seen > 30, "the sources are gone");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_from_above_or_from_the_mirror_is_found() {
    let text =
        "use crate::cluster::kind::Kind;\nuse crate::controller::Context;\nuse mirror::model;\n";
    assert_eq!(misplaced("cluster", text), ["controller", "mirror"]);
    assert_eq!(misplaced("controller", text), ["mirror"]);
}
