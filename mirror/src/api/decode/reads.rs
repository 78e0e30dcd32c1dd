//! Which fields the decoder looks for, without the indexes of lists: for the test that compares
//! them with the document.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static PATHS: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

pub(super) fn record(path: &str) {
    let parts: Vec<&str> = path
        .split('[')
        .map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()))
        .collect();
    PATHS.with_borrow_mut(|paths| paths.insert(parts.join("[")));
}

/// What this thread has looked for since the last call.
pub(in crate::api) fn take() -> BTreeSet<String> {
    PATHS.take()
}
