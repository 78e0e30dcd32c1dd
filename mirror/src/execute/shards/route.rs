//! Which shards are asked what of an expression, by what they have. Pure.

use crate::plan::distribution::{Across, Node, Reads, Reason};

/// Which shards have series of a selector.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) reads: Reads,
    pub(super) by_shard: Vec<bool>,
}

/// How an expression is answered.
#[derive(Debug, PartialEq)]
pub(super) enum Route {
    /// By one shard, which has all there is.
    Whole(usize),
    /// By what shards answer to the leaves of a tree, each of which has its place.
    Parts { tree: Node, places: Vec<Place> },
}

/// Who is asked for a leaf.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// All shards.
    All,
    /// Any shard.
    Any,
    /// The shard that has the series.
    One(usize),
    /// No shard has all of the series: so many have some.
    Nowhere(Reason, usize),
}

impl Route {
    /// Of a tree, where shards have what was found. Without that, of one that does not depend on
    /// it.
    pub(super) fn of(tree: &Node, found: &[Found]) -> Self {
        if !found.is_empty()
            && let Some(only) = only(found.iter())
        {
            return Self::Whole(only);
        }
        let is_gone = |reads: &Reads| {
            let found = found.iter().find(|found| found.reads == *reads);
            found.is_some_and(|found| !found.by_shard.contains(&true))
        };
        let tree = tree.clone().without(&is_gone);
        let places = tree.leaves().into_iter().map(|leaf| match &leaf.across {
            Across::SideBySide { .. } | Across::Folded(_) => Place::All,
            Across::Anywhere => Place::Any,
            Across::Alone(reason) => {
                let of_it = || {
                    found
                        .iter()
                        .filter(|found| leaf.reads.contains(&found.reads))
                };
                match only(of_it()) {
                    Some(only) => Place::One(only),
                    None => Place::Nowhere(reason.clone(), holders(of_it()).len()),
                }
            }
        });
        let places = places.collect();
        Self::Parts { tree, places }
    }
}

/// What a way takes for granted: that no shard but one has such series, or none at all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Premise {
    pub(super) reads: Reads,
    but: Option<usize>,
}

impl Premise {
    /// Whether it is so, where shards have these.
    pub(super) fn holds(&self, by_shard: &[bool]) -> bool {
        let mut shards = by_shard.iter().enumerate();
        shards.all(|(index, has_any)| !has_any || self.but == Some(index))
    }

    /// Whether it says the same as another, of a longer time.
    fn says_more_than(&self, other: &Self) -> bool {
        let (own, its) = (&self.reads, &other.reads);
        let begins_earlier = match (own.before, its.before) {
            (None, _) => true,
            (Some(own), Some(its)) => own >= its,
            (Some(_), None) => false,
        };
        self != other
            && self.but == other.but
            && own.selector == its.selector
            && begins_earlier
            && own.after >= its.after
    }
}

impl Route {
    /// What it takes for granted of what was found. None: it leads nowhere.
    pub(super) fn premises(&self, found: &[Found]) -> Option<Vec<Premise>> {
        let all_but = |but: Option<usize>| {
            move |reads: &Reads| Premise {
                reads: reads.clone(),
                but,
            }
        };
        let mut premises: Vec<Premise> = Vec::new();
        match self {
            Self::Whole(only) => {
                premises.extend(found.iter().map(|found| all_but(Some(*only))(&found.reads)));
            }
            Self::Parts { tree, places } => {
                let gone = found.iter().filter(|found| !found.by_shard.contains(&true));
                premises.extend(gone.map(|found| all_but(None)(&found.reads)));
                for (leaf, place) in tree.leaves().into_iter().zip(places) {
                    match place {
                        Place::Nowhere(..) => return None,
                        Place::One(only) => {
                            premises.extend(leaf.reads.iter().map(all_but(Some(*only))));
                        }
                        Place::All | Place::Any => {}
                    }
                }
            }
        }
        let is_said = |one: &Premise| premises.iter().any(|other| other.says_more_than(one));
        Some(
            premises
                .iter()
                .filter(|one| !is_said(one))
                .cloned()
                .collect(),
        )
    }
}

/// The shards that have any of these series.
fn holders<'a>(found: impl Iterator<Item = &'a Found>) -> Vec<usize> {
    let mut holders: Vec<usize> = found
        .flat_map(|found| found.by_shard.iter().enumerate())
        .filter(|(_, has_any)| **has_any)
        .map(|(index, _)| index)
        .collect();
    holders.sort_unstable();
    holders.dedup();
    holders
}

/// The shard that has all there is; the first one if there is nothing.
fn only<'a>(found: impl Iterator<Item = &'a Found>) -> Option<usize> {
    match holders(found)[..] {
        [] => Some(0),
        [only] => Some(only),
        _ => None,
    }
}
