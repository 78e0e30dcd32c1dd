//! Who waits, and whose turn it is: round-robin over callers, first come, first served within each.
//!
//! A bounded queue. When it is full, a caller that has less waiting than another may still come in:
//! the newest entry of the one with the most gives way. So one caller can fill the queue only as
//! long as nobody else wants in. An entry that was marked as not to give way stays; a caller that
//! has nothing waiting is let in even if nobody gives way to it.
//!
//! Each operation costs the logarithm of what waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

/// Entries `T` of callers `K`.
#[derive(Debug)]
pub(super) struct FairQueue<K, T> {
    /// Tickets and turns count up from here.
    next: u64,
    waiting: usize,
    callers: HashMap<K, Caller<T>>,
    /// Whose turn is next.
    turns: BTreeMap<u64, K>,
    /// Callers with at least one entry that may give way, by how many entries they have.
    yielding: BTreeSet<(usize, K)>,
}

#[derive(Debug)]
struct Caller<T> {
    turn: u64,
    entries: BTreeMap<u64, T>,
    /// The entries that may give way.
    yielding: BTreeSet<u64>,
}

/// The place of an entry in its caller's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Number(u64);

/// What became of an entry that wanted in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered<T> {
    /// It waits; perhaps another had to go for it.
    Waits(Number, Option<T>),
    /// The queue is full.
    Refused,
}

impl<K, T> Default for FairQueue<K, T> {
    fn default() -> Self {
        Self {
            next: 0,
            waiting: 0,
            callers: HashMap::new(),
            turns: BTreeMap::new(),
            yielding: BTreeSet::new(),
        }
    }
}

impl<K: Copy + Eq + Hash + Ord, T> FairQueue<K, T> {
    /// How many entries wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// An entry of `caller` wants in, where `most` may wait. It may have to give way later.
    pub(super) fn enter(&mut self, caller: K, most: usize, entry: T) -> Entered<T> {
        if self.waiting < most {
            return Entered::Waits(self.add(caller, entry, true), None);
        }
        let own = self
            .callers
            .get(&caller)
            .map_or(0, |caller| caller.entries.len());
        let displaced = match self.yielding.last() {
            Some(&(heaviest, other)) if heaviest > own + 1 => self.remove_newest(other),
            _ if own == 0 => None,
            _ => return Entered::Refused,
        };
        Entered::Waits(self.add(caller, entry, true), displaced)
    }

    /// An entry that is let in however many wait, and never gives way.
    pub(super) fn enter_admitted(&mut self, caller: K, entry: T) -> Number {
        self.add(caller, entry, false)
    }

    /// Takes the entry whose turn it is.
    pub(super) fn next(&mut self) -> Option<T> {
        let (_, caller) = self.turns.pop_first()?;
        let turn = self.count();
        let known = self.callers.get_mut(&caller)?;
        // The others come first now.
        known.turn = turn;
        self.turns.insert(turn, caller);
        let (&number, _) = known.entries.first_key_value()?;
        self.remove(caller, Number(number))
    }

    /// Takes an entry out, whoever's turn it is. None: it was taken before.
    pub(super) fn remove(&mut self, caller: K, number: Number) -> Option<T> {
        let known = self.callers.get_mut(&caller)?;
        let entries = known.entries.len();
        let entry = known.entries.remove(&number.0)?;
        self.waiting -= 1;
        self.yielding.remove(&(entries, caller));
        known.yielding.remove(&number.0);
        if !known.yielding.is_empty() {
            self.yielding.insert((entries - 1, caller));
        }
        if known.entries.is_empty() {
            self.turns.remove(&known.turn);
            self.callers.remove(&caller);
        }
        Some(entry)
    }

    fn remove_newest(&mut self, caller: K) -> Option<T> {
        let newest = *self.callers.get(&caller)?.yielding.last()?;
        self.remove(caller, Number(newest))
    }

    fn add(&mut self, caller: K, entry: T, yields: bool) -> Number {
        let number = self.count();
        let turns = &mut self.turns;
        let known = self.callers.entry(caller).or_insert_with(|| {
            turns.insert(number, caller);
            Caller {
                turn: number,
                entries: BTreeMap::new(),
                yielding: BTreeSet::new(),
            }
        });
        let entries = known.entries.len();
        self.yielding.remove(&(entries, caller));
        known.entries.insert(number, entry);
        if yields {
            known.yielding.insert(number);
        }
        if !known.yielding.is_empty() {
            self.yielding.insert((entries + 1, caller));
        }
        self.waiting += 1;
        Number(number)
    }

    fn count(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Names = FairQueue<u8, &'static str>;

    fn all(queue: &mut Names) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.next()).collect()
    }

    #[test]
    fn callers_take_turns_and_each_is_served_in_its_own_order() {
        let mut queue = Names::default();
        for (caller, entry) in [
            (1, "a1"),
            (1, "a2"),
            (1, "a3"),
            (2, "b1"),
            (3, "c1"),
            (2, "b2"),
        ] {
            queue.enter(caller, 10, entry);
        }
        assert_eq!(all(&mut queue), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert!(queue.is_empty() && queue.callers.is_empty() && queue.yielding.is_empty());
    }

    #[test]
    fn a_full_queue_lets_a_caller_with_less_in_at_the_cost_of_the_newest_of_the_one_with_most() {
        let mut queue = Names::default();
        for entry in ["a1", "a2", "a3", "a4"] {
            assert!(matches!(queue.enter(1, 4, entry), Entered::Waits(_, None)));
        }
        assert_eq!(queue.enter(1, 4, "a5"), Entered::Refused);
        assert!(matches!(
            queue.enter(2, 4, "b1"),
            Entered::Waits(_, Some("a4"))
        ));
        assert!(matches!(
            queue.enter(2, 4, "b2"),
            Entered::Waits(_, Some("a3"))
        ));
        assert_eq!(queue.enter(2, 4, "b3"), Entered::Refused, "both have two");
        assert_eq!(all(&mut queue), ["a1", "b1", "a2", "b2"]);
    }

    #[test]
    fn what_was_admitted_stays_and_still_keeps_nobody_out_who_has_nothing_waiting() {
        let mut queue = Names::default();
        for entry in ["a1", "a2", "a3"] {
            queue.enter_admitted(1, entry);
        }
        assert_eq!(queue.enter(1, 3, "a4"), Entered::Refused);
        assert!(matches!(queue.enter(2, 3, "b1"), Entered::Waits(_, None)));
        assert_eq!(queue.enter(2, 3, "b2"), Entered::Refused);
        assert_eq!(queue.len(), 4);
    }

    #[test]
    fn who_leaves_is_passed_over() {
        let mut queue = Names::default();
        let Entered::Waits(gone, None) = queue.enter(1, 9, "gone") else {
            panic!("there is room");
        };
        queue.enter(2, 9, "b1");
        assert_eq!(queue.remove(1, gone), Some("gone"));
        assert_eq!(queue.remove(1, gone), None);
        assert_eq!(all(&mut queue), ["b1"]);
    }

    proptest! {
        #[test]
        fn callers_that_always_wait_are_served_equally_often_whatever_order_they_came_in(
            callers in 1_usize..8,
            arrivals in prop::collection::vec(0_usize..8, 0..100),
            served in 0_usize..200,
        ) {
            let mut queue = FairQueue::default();
            for caller in arrivals.into_iter().map(|caller| caller % callers).chain(0..callers) {
                queue.enter(caller, usize::MAX, caller);
            }
            let mut counts = vec![0_usize; callers];
            for _ in 0..served {
                let caller = queue.next().expect("somebody waits");
                counts[caller] += 1;
                queue.enter(caller, usize::MAX, caller);
            }
            // A caller that had only one entry was out of the line for a moment, and is at its end
            // again.
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(most - least <= 1, "{counts:?}");
        }

        #[test]
        fn the_queue_is_bounded_and_nothing_is_lost_or_served_twice(
            steps in prop::collection::vec((0_u8..8, 0_u8..5, any::<prop::sample::Index>()), 0..300),
        ) {
            const MOST: usize = 12;
            let mut queue = FairQueue::default();
            let mut waiting: Vec<(u8, Number, u64)> = Vec::new();
            for (entry, (step, caller, which)) in (0_u64..).zip(steps) {
                match step {
                    0 => {
                        let next = queue.next();
                        prop_assert_eq!(next.is_some(), !waiting.is_empty());
                        waiting.retain(|(_, _, entry)| Some(*entry) != next);
                    }
                    1 if !waiting.is_empty() => {
                        let (caller, number, entry) = waiting.swap_remove(which.index(waiting.len()));
                        prop_assert_eq!(queue.remove(caller, number), Some(entry));
                    }
                    2 => waiting.push((caller, queue.enter_admitted(caller, entry), entry)),
                    _ => {
                        let own = waiting.iter().filter(|(other, ..)| *other == caller).count();
                        match queue.enter(caller, MOST, entry) {
                            Entered::Waits(number, displaced) => {
                                waiting.retain(|(_, _, entry)| Some(*entry) != displaced);
                                waiting.push((caller, number, entry));
                                prop_assert!(own == 0 || displaced.is_some() || waiting.len() <= MOST);
                            }
                            Entered::Refused => prop_assert!(own > 0 && waiting.len() >= MOST),
                        }
                    }
                }
                prop_assert_eq!(queue.len(), waiting.len());
                prop_assert_eq!(queue.turns.len(), queue.callers.len());
            }
        }
    }
}
