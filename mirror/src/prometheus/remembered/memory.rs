//! Where runs are kept: so many bytes of them, those that were asked for last.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::lessons::Lessons;
use super::run::Run;
use crate::blocking;
use crate::budget::size::ByteSize;
use crate::model::time::Millis;
use crate::plan::lasting::{Dialect, Passing};
use crate::prometheus::Deadline;

/// Runs of one expression that are kept apart at most.
const MOST_RUNS: usize = 8;

/// An entry has this part of the memory at most.
const SHARES: u64 = 8;

/// What an entry takes beside its runs and its expression, about.
const ENTRY: u64 = 400;

/// So often a run is put into an entry that others change meanwhile.
const TRIES: usize = 8;

/// How much is remembered, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembering {
    /// At most so much. Nothing: nothing is remembered.
    pub most: ByteSize,
    /// So long after its end a bucket may still change.
    pub settle: Millis,
}

impl Default for Remembering {
    /// Nothing is remembered.
    fn default() -> Self {
        Self {
            most: ByteSize(0),
            settle: Millis(0),
        }
    }
}

/// What is counted of it, and measured.
#[derive(Clone, Debug, Default)]
pub(in crate::prometheus) struct RememberedMetrics {
    /// Buckets that were remembered.
    pub(super) hits: Counter,
    /// Buckets that the store was asked for.
    pub(super) misses: Counter,
    bytes: Gauge,
}

impl RememberedMetrics {
    /// Makes the metrics and registers them.
    pub(in crate::prometheus) fn register(registry: &mut Registry) -> Self {
        let buckets = Family::<[(&str, &str); 1], Counter>::default();
        let metrics = Self {
            hits: buckets.get_or_create_owned(&[("result", "hit")]),
            misses: buckets.get_or_create_owned(&[("result", "miss")]),
            bytes: Gauge::default(),
        };
        registry.register(
            "remembered_buckets",
            "Buckets of range queries that were remembered (hit), or that a target was asked for (miss)",
            buckets,
        );
        registry.register(
            "remembered_bytes",
            "Memory that remembered buckets use",
            metrics.bytes.clone(),
        );
        metrics
    }
}

/// Finished buckets of all servers.
#[derive(Debug, Default)]
pub struct Remembered {
    is_on: AtomicBool,
    state: Mutex<State>,
    /// What is not in the state yet.
    pub(super) lessons: Arc<Lessons>,
    pub(super) metrics: RememberedMetrics,
}

/// Of one server, or of one that has taken its place: what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) server: u64,
    pub(super) dialect: Dialect,
    pub(super) promql: String,
    pub(super) step: Millis,
    /// Where evaluations are between two multiples of the step.
    pub(super) phase: i64,
}

#[derive(Debug, Default)]
struct State {
    remembering: Remembering,
    held: u64,
    /// Counts what was forgotten: what was found out before is not learned after.
    epoch: u64,
    ticks: u64,
    entries: HashMap<Arc<Key>, Entry>,
    /// The keys by their last use.
    order: BTreeMap<u64, Arc<Key>>,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    /// The longest range that was asked for.
    longest: Millis,
    bytes: u64,
    used: u64,
}

/// What is known of an expression.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// How far its values look back, or why they don't last.
    pub(super) looks_back: Result<Millis, Passing>,
    /// Oldest knowledge first; no two have an instant in common.
    pub(super) runs: Vec<Arc<Run>>,
}

/// What is known when a request comes.
#[derive(Debug)]
pub(super) struct Recalled {
    pub(super) known: Option<Known>,
    pub(super) settle: Millis,
    pub(super) epoch: u64,
}

impl Remembered {
    /// Nothing, and nothing is remembered yet.
    pub(in crate::prometheus) fn new(metrics: RememberedMetrics) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            ..Self::default()
        })
    }

    /// Remembers so from now on. What is too much is forgotten.
    pub fn set(&self, remembering: Remembering) {
        let is_on = remembering.most.0 > 0;
        let mut state = self.lock();
        state.remembering = remembering;
        let gone = state.evict();
        if !is_on {
            state.epoch += 1;
        }
        self.is_on.store(is_on, Ordering::Relaxed);
        self.show(&state);
        drop(state);
        free(gone);
    }

    /// Whether anything is remembered.
    pub(in crate::prometheus) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    fn show(&self, state: &State) {
        let held = i64::try_from(state.held).unwrap_or(i64::MAX);
        self.metrics.bytes.set(held);
    }

    /// What is known of an expression, once all answers are learned from, but at the deadline. That
    /// counts as a use of it.
    pub(super) async fn recall(&self, key: &Key, Deadline(deadline): Deadline) -> Recalled {
        // Without what is not learned in time, more is asked.
        let _ = tokio::time::timeout_at(deadline.into(), self.lessons.learned(key)).await;
        self.recall_learned(key)
    }

    fn recall_learned(&self, key: &Key) -> Recalled {
        let mut state = self.lock();
        state.touch(key);
        let known = state.entries.get(key).map(|entry| entry.known.clone());
        Recalled {
            known,
            settle: state.remembering.settle,
            epoch: state.epoch,
        }
    }

    /// The present epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// The store has changed: what is known of an expression is wrong.
    pub(super) fn forget(&self, key: &Key) {
        let mut state = self.lock();
        state.epoch += 1;
        let gone = state.remove(key);
        self.show(&state);
        drop(state);
        free(gone.into_iter().collect());
    }

    /// Keeps what was found out in `epoch`: that an expression's values don't last, or a run of
    /// them, from an answer to a range of this length. It may take long.
    pub(super) fn learn(
        &self,
        key: &Arc<Key>,
        found: Result<(Millis, Run), Passing>,
        length: Millis,
        epoch: u64,
    ) {
        let looks_back = found.as_ref().map(|(looks_back, _)| *looks_back);
        let looks_back = looks_back.map_err(Clone::clone);
        let run = found.ok().map(|(_, run)| run);
        for _ in 0..TRIES {
            let (runs, longest) = {
                let state = self.lock();
                let entry = state.entries.get(key);
                let longest = entry.map_or(length, |entry| entry.longest.max(length));
                let runs = entry.map_or_else(Vec::new, |entry| entry.known.runs.clone());
                (runs, longest)
            };
            let joined = match &run {
                Some(run) => with(&runs, run, longest),
                None => Vec::new(),
            };
            let mut state = self.lock();
            if state.epoch != epoch {
                return;
            }
            let entry = state.entries.get(key);
            let now = entry.map_or(&[][..], |entry| &entry.known.runs[..]);
            let is_as_before = now.len() == runs.len()
                && now
                    .iter()
                    .zip(&runs)
                    .all(|(one, two)| Arc::ptr_eq(one, two));
            if !is_as_before {
                continue;
            }
            let known = Known {
                looks_back: looks_back.clone(),
                runs: joined,
            };
            let gone = state.put(key, known, longest);
            self.show(&state);
            drop(state);
            drop(gone);
            return;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To give memory back may take long.
fn free(gone: Vec<Entry>) {
    if !gone.is_empty() {
        blocking::later(move || drop(gone));
    }
}

/// The runs with one more, which is right where they disagree. None is longer than twice the
/// longest range that was asked for: windows move on.
fn with(runs: &[Arc<Run>], new: &Run, longest: Millis) -> Vec<Arc<Run>> {
    let (mut apart, mut joined) = (Vec::new(), None::<Run>);
    for run in runs {
        let newest = joined.as_ref().unwrap_or(new);
        if !run.meets(newest) {
            apart.push(Arc::clone(run));
        } else if let Some(both) = run.joined(newest) {
            joined = Some(both);
        }
    }
    let joined = joined.unwrap_or_else(|| new.clone());
    let from = joined.last.minus(Millis(longest.0.saturating_mul(2)));
    apart.push(Arc::new(joined.since(from)));
    apart.drain(..apart.len().saturating_sub(MOST_RUNS));
    apart
}

impl State {
    fn touch(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        self.ticks += 1;
        if let Some(key) = self.order.remove(&entry.used) {
            entry.used = self.ticks;
            self.order.insert(self.ticks, key);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.used);
        self.held = self.held.saturating_sub(entry.bytes);
        Some(entry)
    }

    /// Puts what is known in the place of what was. Answers what there is no room for any more.
    fn put(&mut self, key: &Arc<Key>, mut known: Known, longest: Millis) -> Vec<Entry> {
        let own = ENTRY + key.promql.len() as u64;
        let most = self.remembering.most.0 / SHARES;
        let mut bytes = own + known.runs.iter().map(|run| run.bytes()).sum::<u64>();
        while bytes > most && !known.runs.is_empty() {
            bytes = bytes.saturating_sub(known.runs.remove(0).bytes());
        }
        let before = self.remove(key);
        if bytes > most {
            return before.into_iter().collect();
        }
        self.ticks += 1;
        let entry = Entry {
            known,
            longest,
            bytes,
            used: self.ticks,
        };
        self.held += bytes;
        self.order.insert(self.ticks, Arc::clone(key));
        self.entries.insert(Arc::clone(key), entry);
        let mut gone = self.evict();
        gone.extend(before);
        gone
    }

    /// Takes out what was used longest ago, until the rest fits.
    fn evict(&mut self) -> Vec<Entry> {
        let mut gone = Vec::new();
        while self.held > self.remembering.most.0 {
            let Some((_, key)) = self.order.pop_first() else {
                break;
            };
            gone.extend(self.remove(&key));
        }
        gone
    }
}

impl Run {
    /// Whether they have an instant in common.
    fn meets(&self, other: &Self) -> bool {
        self.first.max(other.first) <= self.last.min(other.last)
    }
}

#[cfg(test)]
mod tests;
