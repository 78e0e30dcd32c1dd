//! The classes of faults, numbered as in the project's list of them.

pub mod answers;
pub mod denied;
pub mod ended;
pub mod killed;
pub mod leaders;
pub mod limits;
pub mod meddled;
pub mod names;
pub mod pods;
pub mod rested;
pub mod sidecar;
pub mod specs;
pub mod upgraded;
pub mod watched;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::reference::Reference;
use crate::trial::{Harness, Trial};

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
pub const CLASSES: [Class; 20] = [
    class(
        0,
        "none: clean runs",
        "with each other: O1 O2; in the full run O3 of two minutes after each step",
    ),
    class(
        1,
        "killed after each write, before the response arrives",
        "O1 O2 after each step, O3 after two",
    ),
    class(
        2,
        "killed before each write",
        "O1 O2 after each step, O3 after two",
    ),
    class(
        3,
        "started with lists from before the resource was deleted and created again",
        "no child replaced; O1 O3",
    ),
    class(
        4,
        "an event held back until the one that cancels it",
        "O1 O3",
    ),
    class(
        5,
        "409, 429, 500, 503, silence, broken connections, lost responses, by verb and kind",
        "O1 O2 after each step, O3; no request more than five times a second",
    ),
    class(
        6,
        "watches cut, expired, refused; lists refused",
        "O1 O2 after each step, O3",
    ),
    class(
        7,
        "each child changed, each child deleted",
        "what the operator writes within 10 s; O1 O3",
    ),
    class(
        8,
        "another writer's fields in every child",
        "preserved, also when the resource changes; O3",
    ),
    class(9, "other series of specs with the same end", "O1 O3"),
    class(
        10,
        "a bad spec, then the previous one",
        "the condition, children unchanged meanwhile; O1 O3",
    ),
    class(
        11,
        "every field at impossible values, some at the limits of what is possible",
        "refused at admission, children unchanged; O1 O3",
    ),
    class(12, "every optional field set and removed again", "O5 O1 O3"),
    class(
        13,
        "resource or namespace deleted at each write",
        "nothing left, nothing stuck, O3",
    ),
    class(
        14,
        "two replicas, the leader killed, frozen, frozen at a write",
        "no write by the old one after its lease expired; O1 O3",
    ),
    class(
        15,
        "no right to a kind, or its API is not installed",
        "the condition, all other children and resources are made; O1 O3 once it is available",
    ),
    class(
        16,
        "the operator replaced by another version",
        "nothing but the default image changes; O3",
    ),
    class(
        17,
        "a child's name taken by another resource or by something else",
        "the condition names it, and it is not touched; O3; O1 once it is gone",
    ),
    class(
        18,
        "pods not ready, crashing, without a node",
        "the condition and its message, O3 meanwhile; O1 O3 once they are ready",
    ),
    class(
        19,
        "mode Sidecar: killed at each write on the way there and back, names taken",
        "O1 after each step, O3; what is in the way is named and not touched",
    ),
];

/// Trials that are still to be run.
pub type Trials<'a> = Vec<LocalBoxFuture<'a, ()>>;

fn trial<'a>(
    harness: &'a Harness,
    class: u8,
    name: String,
    replicas: usize,
    story: impl AsyncFnOnce(&Trial<'_>) -> Result<()> + 'a,
) -> LocalBoxFuture<'a, ()> {
    Box::pin(async move { harness.trial(class, &name, replicas, story).await })
}

/// Too long for the brief run.
const NONE: usize = usize::MAX;

/// Every nth, beginning in the middle, because the ends of a series are often alike.
fn some<T>(every: usize, trials: Vec<T>) -> Vec<T> {
    let from = every / 2;
    trials.into_iter().skip(from).step_by(every).collect()
}

/// The trials of some classes; of all, if `only` is empty.
#[must_use]
pub fn trials<'a>(
    harness: &'a Harness,
    reference: &'a Reference,
    only: &[u8],
) -> Vec<(u8, LocalBoxFuture<'a, ()>)> {
    // The brief run takes every nth trial of each class, the same ones each time.
    let all = [
        (0, NONE, rested::trials(harness, reference)),
        (1, 6, killed::trials(harness, reference, 1)),
        (2, 5, killed::trials(harness, reference, 2)),
        (3, 1, watched::stale(harness, reference)),
        (4, 6, watched::withheld(harness, reference)),
        (5, 10, answers::trials(harness, reference)),
        (6, 3, watched::broken(harness, reference)),
        (7, 2, meddled::undone(harness, reference)),
        (8, 1, meddled::preserved(harness, reference)),
        (9, 5, specs::other_ways(harness, reference)),
        (10, 1, specs::bad_in_between(harness, reference)),
        (11, 3, limits::trials(harness, reference)),
        (12, 3, specs::removed(harness, reference)),
        (13, 7, ended::trials(harness, reference)),
        (14, 3, leaders::trials(harness, reference)),
        (15, 6, denied::trials(harness, reference)),
        (16, 1, upgraded::trials(harness, reference)),
        (17, 6, names::trials(harness, reference)),
        (18, 2, pods::trials(harness, reference)),
        (19, 6, sidecar::trials(harness, reference)),
    ];
    let mut ordered: Vec<_> = all
        .into_iter()
        .filter(|(class, ..)| only.is_empty() || only.contains(class))
        .flat_map(|(class, every, trials)| {
            let trials = match harness.full {
                true => trials,
                false => some(every, trials),
            };
            let number = trials.len();
            let trials = trials.into_iter().enumerate();
            trials.map(move |(index, trial)| (1000 * index / number, class, trial))
        })
        .collect();
    // Where time is short, every class has had its share.
    ordered.sort_by_key(|(share, class, _)| (*share, *class));
    ordered
        .into_iter()
        .map(|(_, class, trial)| (class, trial))
        .collect()
}
