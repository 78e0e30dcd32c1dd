//! How much one request may ask of its target: the number of calls, and the PromQL in each.

use std::num::NonZeroU32;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::model::capabilities::Capabilities;
use crate::model::notes::{CallAnswer, CallMade, Notes};
use crate::prometheus::{
    Answer, Call, Deadline, Foreseen, Held, Store, StoreError, range_selector,
};

/// The longest PromQL of a call, in bytes. As a form it is three times as long at most, which fits
/// into the 1 MiB that proxies let through.
pub const MOST_PROMQL_BYTES: usize = 256 << 10;

/// A store for the calls of one request, of which there may be so many. What the store can do is
/// asked without counting: that is learned once, for all requests. Nor does it count that a call
/// goes to another replica as well: that is bounded for each call, and what is answered must not
/// depend on which replica is down.
#[derive(Debug)]
pub struct Counted<S> {
    store: S,
    at_most: NonZeroU32,
    made: Arc<AtomicU32>,
    notes: Option<Arc<Notes>>,
}

impl<S> Counted<S> {
    /// `at_most` calls of `store`.
    #[must_use]
    pub fn new(store: S, at_most: NonZeroU32) -> Self {
        Self {
            store,
            at_most,
            made: Arc::default(),
            notes: None,
        }
    }

    /// `at_most` calls of all of these together, which are noted.
    #[must_use]
    pub fn together(stores: Vec<S>, at_most: NonZeroU32, notes: Option<&Arc<Notes>>) -> Vec<Self> {
        let made = Arc::default();
        let counted = |store| Self {
            store,
            at_most,
            made: Arc::clone(&made),
            notes: notes.cloned(),
        };
        stores.into_iter().map(counted).collect()
    }

    /// As many calls again, of another store: those of a request that begins again. It is counted
    /// anew for all of its stores.
    #[must_use]
    pub fn again<T>(self, store: impl FnOnce(S) -> T) -> Counted<T> {
        self.made.store(0, Ordering::Relaxed);
        self.map(store)
    }

    /// The same over another store.
    #[must_use]
    pub fn map<T>(self, store: impl FnOnce(S) -> T) -> Counted<T> {
        Counted {
            store: store(self.store),
            at_most: self.at_most,
            made: self.made,
            notes: self.notes,
        }
    }
}

impl<S: Store> Store for Counted<S> {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        check_length(promql_bytes(&call))?;
        let at_most = self.at_most.get();
        let one_more = |made| (made < at_most).then_some(made + 1);
        self.made
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| StoreError::TooManyCalls {
                at_most: self.at_most,
            })?;
        let Some(notes) = &self.notes else {
            return self.store.call(call, deadline).await;
        };
        notes.call(promql(&call).first().map(String::as_str));
        let described = notes.describes_calls().then(|| (call.path(), text(&call)));
        let began = Instant::now();
        let answer = self.store.call(call, deadline).await;
        if let Ok(answer) = &answer {
            notes.samples(answer.samples());
        }
        if let Some((path, promql)) = described {
            notes.ended(CallMade {
                path,
                promql,
                duration: began.elapsed(),
                result: described_result(&answer),
            });
        }
        answer
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        self.store.capabilities(deadline).await
    }

    async fn foresee(&self, call: &Call, deadline: Deadline) -> Option<Foreseen> {
        self.store.foresee(call, deadline).await
    }

    async fn hold(&self, bytes: u64, deadline: Deadline) -> Result<Held, StoreError> {
        self.store.hold(bytes, deadline).await
    }
}

/// Whether a call may have so much PromQL.
///
/// # Errors
/// [`StoreError::TooMuchPromql`] if it may not.
pub(super) fn check_length(bytes: usize) -> Result<(), StoreError> {
    if bytes > MOST_PROMQL_BYTES {
        return Err(StoreError::TooMuchPromql {
            bytes,
            at_most: MOST_PROMQL_BYTES,
        });
    }
    Ok(())
}

/// The PromQL of a call: a query, or selectors.
fn promql(call: &Call) -> &[String] {
    match call {
        Call::Instant { promql, .. } | Call::Range { promql, .. } => slice::from_ref(promql),
        Call::SeriesExist { selectors, .. } => selectors,
        Call::LabelNames { selector, .. }
        | Call::LabelValues { selector, .. }
        | Call::LabelValuesOtherwise { selector, .. } => selector.as_slice(),
        Call::LabelOfSeries { selector, .. }
        | Call::SeriesCounted { selector, .. }
        | Call::Samples { selector, .. } => slice::from_ref(selector),
        Call::Metadata | Call::MetadataOf { .. } | Call::BuildInfo => &[],
    }
}

/// The same in the words that are sent.
fn text(call: &Call) -> Option<String> {
    match call {
        Call::Samples { selector, from, to } => Some(range_selector(selector, *from, *to)),
        call => promql(call).first().cloned(),
    }
}

fn described_result(answer: &Result<Arc<Answer>, StoreError>) -> Result<CallAnswer, String> {
    match answer {
        Ok(answer) => Ok(CallAnswer {
            is_post: answer.arrival.is_post,
            status: answer.arrival.status,
            bytes: answer.arrival.bytes,
            samples: answer.samples(),
        }),
        Err(error) => Err(error.to_string()),
    }
}

/// How much of what is somebody else's a call carries, in bytes.
fn promql_bytes(call: &Call) -> usize {
    match call {
        Call::MetadataOf { metric } => metric.len(),
        call => promql(call).iter().map(String::len).sum(),
    }
}
