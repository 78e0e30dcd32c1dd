//! Identical calls in flight share one exchange.
//!
//! The exchange runs in a task of its own, so that a caller who hangs up does not end it for the
//! others. Each caller waits until its own deadline and then leaves; when the last one has left,
//! the exchange is aborted, which closes its connection, and Prometheus stops the query. So an
//! exchange lives exactly until the latest deadline of its callers, without anybody keeping book of
//! it. Nothing is kept after the end: the next call asks again.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};

use crate::blocking::AbortOnDrop;

/// The exchanges in flight: outcomes `T` by key, with what callers need to know of an exchange
/// while it runs.
#[derive(Debug)]
pub(super) struct Exchanges<K, T: Clone, P>(Arc<Mutex<HashMap<K, Entry<T, P>>>>);

#[derive(Debug)]
struct Entry<T: Clone, P> {
    progress: Arc<P>,
    outcome: WeakShared<BoxFuture<'static, Option<T>>>,
}

/// A caller's part in an exchange. It answers `None` if the exchange panicked.
pub(super) type Joined<T> = Shared<BoxFuture<'static, Option<T>>>;

impl<K, T, P> Exchanges<K, T, P>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Joins the exchange for `key` that is in flight, or starts one. `start` answers the exchange
    /// and its progress, or the reason why it can't begin. The third part of the answer says
    /// whether an exchange was joined.
    pub(super) fn join<E, F>(
        &self,
        key: K,
        start: impl FnOnce() -> Result<(Arc<P>, F), E>,
    ) -> Result<(Joined<T>, Arc<P>, bool), E>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut exchanges = lock(&self.0);
        if let Some(entry) = exchanges.get(&key)
            && let Some(outcome) = entry.outcome.upgrade()
            && outcome.peek().is_none()
        {
            return Ok((outcome, Arc::clone(&entry.progress), true));
        }
        let (progress, exchange) = start()?;
        let leave = Leave {
            exchanges: Arc::clone(&self.0),
            key: key.clone(),
            progress: Arc::clone(&progress),
        };
        // The task starts when the first caller polls, not here: a runtime that shuts down drops it
        // at once, and `leave` with it, which wants the lock that is held here.
        let outcome = async move {
            let task = tokio::spawn(async move {
                let _leave = leave;
                exchange.await
            });
            AbortOnDrop(task).await.ok()
        };
        let outcome = outcome.boxed().shared();
        if let Some(weak) = outcome.downgrade() {
            exchanges.insert(
                key,
                Entry {
                    progress: Arc::clone(&progress),
                    outcome: weak,
                },
            );
        }
        Ok((outcome, progress, false))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes an exchange off the list when it ends, in whatever way, unless another has taken its
/// place.
struct Leave<K: Eq + Hash, T: Clone, P> {
    exchanges: Arc<Mutex<HashMap<K, Entry<T, P>>>>,
    key: K,
    progress: Arc<P>,
}

impl<K: Eq + Hash, T: Clone, P> Drop for Leave<K, T, P> {
    fn drop(&mut self) {
        let mut exchanges = lock(&self.exchanges);
        if exchanges
            .get(&self.key)
            .is_some_and(|entry| Arc::ptr_eq(&entry.progress, &self.progress))
        {
            exchanges.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    type Ints = Exchanges<&'static str, usize, ()>;

    fn slow(exchanges: &Ints, runs: &Arc<AtomicUsize>) -> Joined<usize> {
        let runs = Arc::clone(runs);
        let exchange = async move {
            let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            run
        };
        let Ok((outcome, ..)) =
            exchanges.join("key", || Ok::<_, Infallible>((Arc::new(()), exchange)));
        outcome
    }

    #[tokio::test]
    async fn identical_calls_in_flight_run_once_and_later_ones_again() {
        let (exchanges, runs) = (Ints::new(), Arc::default());
        let callers: Vec<_> = (0..5).map(|_| slow(&exchanges, &runs)).collect();
        assert_eq!(futures::future::join_all(callers).await, [Some(1); 5]);
        assert_eq!(slow(&exchanges, &runs).await, Some(2));
        tokio::task::yield_now().await;
        assert!(lock(&exchanges.0).is_empty());
    }

    #[tokio::test]
    async fn a_caller_that_leaves_does_not_end_it_for_the_others() {
        let (exchanges, runs) = (Ints::new(), Arc::default());
        let first = slow(&exchanges, &runs);
        let second = slow(&exchanges, &runs);
        assert!(
            tokio::time::timeout(Duration::from_millis(1), first)
                .await
                .is_err()
        );
        assert_eq!(second.await, Some(1));
    }

    #[tokio::test]
    async fn it_is_aborted_when_the_last_caller_leaves() {
        let (exchanges, dropped) = (Ints::new(), Arc::new(()));
        let held = Arc::clone(&dropped);
        let exchange = async move {
            let _held = held;
            std::future::pending().await
        };
        let Ok((outcome, ..)) =
            exchanges.join("key", || Ok::<_, Infallible>((Arc::new(()), exchange)));
        assert!(
            tokio::time::timeout(Duration::from_millis(1), outcome)
                .await
                .is_err()
        );
        while Arc::strong_count(&dropped) > 1 {
            tokio::task::yield_now().await;
        }
        assert!(lock(&exchanges.0).is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_an_outcome() {
        let exchanges = Ints::new();
        let Ok((outcome, ..)) = exchanges.join("key", || {
            Ok::<_, Infallible>((Arc::new(()), async { panic!("a bug") }))
        });
        assert_eq!(outcome.await, None);
        assert!(lock(&exchanges.0).is_empty());
    }
}
