//! The classes of faults, numbered as in the project's list of them.

pub mod killed;

use futures::future::LocalBoxFuture;

use crate::reference::Reference;
use crate::trial::Harness;

/// A class.
pub struct Class {
    /// Its number.
    pub number: u8,
    /// What goes wrong.
    pub title: &'static str,
    /// The oracles, and anything that is particular.
    pub compared: &'static str,
}

const fn class(number: u8, title: &'static str, compared: &'static str) -> Class {
    Class {
        number,
        title,
        compared,
    }
}

/// All that are tried.
pub const CLASSES: [Class; 3] = [
    class(0, "none: clean runs", "with each other: O1 O2"),
    class(
        1,
        "killed after each write, before the response arrives",
        "O1 O2 O3 O4 after each step",
    ),
    class(2, "killed before each write", "O1 O2 O3 O4 after each step"),
];

/// Trials that are still to be run.
pub type Trials<'a> = Vec<LocalBoxFuture<'a, ()>>;

/// The trials of some classes; of all, if `only` is empty.
#[must_use]
pub fn trials<'a>(harness: &'a Harness, reference: &'a Reference, only: &[u8]) -> Trials<'a> {
    let of = |number: u8, trials: Trials<'a>| match only.is_empty() || only.contains(&number) {
        true => trials,
        false => vec![],
    };
    [
        of(1, killed::trials(harness, reference, 1)),
        of(2, killed::trials(harness, reference, 2)),
    ]
    .into_iter()
    .flatten()
    .collect()
}
