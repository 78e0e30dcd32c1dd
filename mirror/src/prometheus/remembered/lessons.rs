//! Answers that something is still to be learned from. One thread goes through them, one after the
//! other: whoever has asked does not wait for it, and only those who ask for the same again do.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::memory::Key;
use crate::blocking;

/// So many wait at most, each with its answer. Of one more nothing is learned, this time.
const MOST_WAITING: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// What is still to be learned.
#[derive(Debug, Default)]
pub(super) struct Lessons {
    state: Mutex<State>,
    /// Told whenever something was learned.
    learned: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Arc<Key>, Work)>,
    /// How many there are of a key, with the one that is being learned.
    unlearned: HashMap<Arc<Key>, usize>,
    /// Whether the thread is at work.
    is_busy: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("unlearned", &self.unlearned)
            .field("is_busy", &self.is_busy)
            .finish_non_exhaustive()
    }
}

impl Lessons {
    /// Does `work`, which learns something for `key`, some time soon, unless too much waits.
    pub(super) fn add(self: &Arc<Self>, key: &Arc<Key>, work: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.waiting.len() >= MOST_WAITING {
            return;
        }
        *state.unlearned.entry(Arc::clone(key)).or_default() += 1;
        state.waiting.push_back((Arc::clone(key), Box::new(work)));
        let is_busy = std::mem::replace(&mut state.is_busy, true);
        drop(state);
        if !is_busy {
            let lessons = Arc::clone(self);
            blocking::later(move || lessons.learn());
        }
    }

    /// Waits until everything is learned for `key`.
    pub(super) async fn learned(&self, key: &Key) {
        loop {
            let learned = self.learned.notified();
            if !self.lock().unlearned.contains_key(key) {
                return;
            }
            learned.await;
        }
    }

    /// Learns until nothing waits.
    fn learn(&self) {
        while let Some((key, work)) = self.next() {
            // A panic is in the log, and what it would have learned stays unknown.
            let _ = catch_unwind(AssertUnwindSafe(work));
            let mut state = self.lock();
            if let Some(unlearned) = state.unlearned.get_mut(&key) {
                *unlearned -= 1;
                if *unlearned == 0 {
                    state.unlearned.remove(&key);
                }
            }
            drop(state);
            self.learned.notify_waiters();
        }
    }

    fn next(&self) -> Option<(Arc<Key>, Work)> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.is_busy = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt as _;

    use super::*;
    use crate::model::time::Millis;
    use crate::plan::lasting::Dialect;

    fn key(promql: &str) -> Arc<Key> {
        Arc::new(Key {
            server: 0,
            dialect: Dialect::PromQl,
            promql: promql.to_owned(),
            step: Millis(10),
            phase: 0,
        })
    }

    #[tokio::test]
    async fn whoever_asks_for_the_same_waits_and_others_do_not() {
        let lessons = Arc::new(Lessons::default());
        let (end, ended) = mpsc::channel::<()>();
        lessons.add(&key("a"), move || {
            let _ = ended.recv();
        });
        let known = |promql| {
            let lessons = Arc::clone(&lessons);
            async move { lessons.learned(&key(promql)).await }
        };
        assert!(known("a").now_or_never().is_none());
        assert!(known("b").now_or_never().is_some());
        drop(end);
        known("a").await;
        assert!(lessons.lock().unlearned.is_empty());
    }

    #[tokio::test]
    async fn lessons_are_learned_in_their_order_and_a_panic_ends_only_its_own() {
        let lessons = Arc::new(Lessons::default());
        let (learn, learned) = mpsc::channel();
        let lesson = |number: usize| {
            let learn = learn.clone();
            move || {
                assert_ne!(number, 1, "a bug");
                let _ = learn.send(number);
            }
        };
        for number in 0..4 {
            lessons.add(&key("a"), lesson(number));
        }
        lessons.learned(&key("a")).await;
        assert_eq!(learned.try_iter().collect::<Vec<_>>(), [0, 2, 3]);
    }

    #[tokio::test]
    async fn of_one_too_many_nothing_is_learned() {
        let lessons = Arc::new(Lessons::default());
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel::<()>();
        lessons.add(&key("first"), move || {
            drop(begin);
            let _ = ended.recv();
        });
        assert!(begun.recv().is_err(), "the thread is at work");
        let (learn, learned) = mpsc::channel();
        for number in 0..=MOST_WAITING {
            let learn = learn.clone();
            lessons.add(&key("more"), move || {
                let _ = learn.send(number);
            });
        }
        drop(end);
        lessons.learned(&key("more")).await;
        assert_eq!(learned.try_iter().count(), MOST_WAITING);
    }
}
