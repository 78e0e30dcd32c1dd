//! How many calls run at once, and who waits.
//!
//! `workers` calls are in flight per process. Each of the `n` lanes (one per declared target, one for all undeclared ones together)
//! has a share of `max(1, workers / 2n)` of its own; what is left is a pool for all. A call takes a place of its lane, else one of
//! the pool, else it waits for whichever frees first. So a target that hangs may fill its own share and the pool, and every other
//! target still has its share. With more lanes than workers, each still has its one place.
//!
//! A lane outlives a reload of the settings, as does the pool: calls in flight keep counting, and a change of `workers`
//! takes effect as they end.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit};

/// So many calls may wait in a lane for each worker.
const QUEUE_PER_WORKER: usize = 10;

/// A semaphore whose size can change while permits are out.
#[derive(Debug)]
struct Places {
    semaphore: Semaphore,
    /// The size, and how many permits must vanish as they come back.
    size: Mutex<(usize, usize)>,
}

impl Places {
    fn new(size: usize) -> Self {
        Self {
            semaphore: Semaphore::new(size),
            size: Mutex::new((size, 0)),
        }
    }

    fn resize(&self, to: usize) {
        let mut guard = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, surplus) = &mut *guard;
        if to >= *size {
            let more = to - *size;
            let kept = more.min(*surplus);
            *surplus -= kept;
            self.semaphore.add_permits(more - kept);
        } else {
            let fewer = *size - to;
            *surplus += fewer - self.semaphore.forget_permits(fewer);
        }
        *size = to;
    }

    /// Whether a permit that comes back must vanish.
    fn shrinks(&self) -> bool {
        let mut guard = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let shrinks = guard.1 > 0;
        guard.1 -= usize::from(shrinks);
        shrinks
    }

    fn took(self: &Arc<Self>, permit: SemaphorePermit<'_>) -> Place {
        permit.forget();
        Place {
            of: Arc::clone(self),
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Place> {
        self.semaphore
            .try_acquire()
            .ok()
            .map(|permit| self.took(permit))
    }

    async fn take(self: &Arc<Self>) -> Place {
        match self.semaphore.acquire().await {
            Ok(permit) => self.took(permit),
            // Only a closed semaphore answers an error, and nobody closes these.
            Err(_) => std::future::pending().await,
        }
    }
}

/// The right to have one call in flight. Dropping it lets the next one go.
#[derive(Debug)]
pub(super) struct Place {
    of: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.of.shrinks() {
            self.of.semaphore.add_permits(1);
        }
    }
}

/// The pool that all lanes share.
#[derive(Debug)]
pub(super) struct Pool {
    places: Arc<Places>,
}

impl Pool {
    pub(super) fn new(workers: NonZeroUsize, lanes: usize) -> Self {
        Self {
            places: Arc::new(Places::new(pool_size(workers, lanes))),
        }
    }

    pub(super) fn resize(&self, workers: NonZeroUsize, lanes: usize) {
        self.places.resize(pool_size(workers, lanes));
    }
}

/// The places that each lane has for itself.
fn share(workers: NonZeroUsize, lanes: usize) -> usize {
    (workers.get() / (2 * lanes.max(1))).max(1)
}

fn pool_size(workers: NonZeroUsize, lanes: usize) -> usize {
    workers.get().saturating_sub(lanes * share(workers, lanes))
}

/// The way of one target's calls: its own places, the pool, and a bounded queue before both.
#[derive(Debug)]
pub(super) struct Lane {
    own: Arc<Places>,
    pool: Arc<Places>,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
    depth: Gauge,
}

impl Lane {
    /// `depth` shows how many calls wait.
    pub(super) fn new(pool: &Pool, workers: NonZeroUsize, lanes: usize, depth: Gauge) -> Self {
        Self {
            own: Arc::new(Places::new(share(workers, lanes))),
            pool: Arc::clone(&pool.places),
            waiting: AtomicUsize::new(0),
            most_waiting: AtomicUsize::new(workers.get().saturating_mul(QUEUE_PER_WORKER)),
            depth,
        }
    }

    pub(super) fn resize(&self, workers: NonZeroUsize, lanes: usize) {
        self.own.resize(share(workers, lanes));
        self.most_waiting.store(
            workers.get().saturating_mul(QUEUE_PER_WORKER),
            Ordering::Relaxed,
        );
    }

    /// How many calls may wait.
    pub(super) fn most_waiting(&self) -> usize {
        self.most_waiting.load(Ordering::Relaxed)
    }

    /// Enters the queue, or answers `None` because it is full. A call that is `admitted` belongs to a request that was let in
    /// before: refusing it now would waste what was done for that request.
    pub(super) fn enter(self: &Arc<Self>, admitted: bool) -> Option<Ticket> {
        if let Some(place) = self.own.try_take().or_else(|| self.pool.try_take()) {
            return Some(Ticket::Served(place));
        }
        let most = if admitted {
            usize::MAX
        } else {
            self.most_waiting()
        };
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < most).then_some(waiting + 1)
            })
            .ok()?;
        self.depth.inc();
        Some(Ticket::Waiting(Waiting {
            lane: Arc::clone(self),
        }))
    }
}

/// A call's standing in its lane.
#[derive(Debug)]
pub(super) enum Ticket {
    Served(Place),
    Waiting(Waiting),
}

impl Ticket {
    /// Waits for a place, first come, first served. Dropping the future leaves the queue.
    pub(super) async fn served(self) -> Place {
        match self {
            Self::Served(place) => place,
            Self::Waiting(waiting) => tokio::select! {
                biased;
                place = waiting.lane.own.take() => place,
                place = waiting.lane.pool.take() => place,
            },
        }
    }
}

/// A call in the queue.
#[derive(Debug)]
pub(super) struct Waiting {
    lane: Arc<Lane>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.lane.waiting.fetch_sub(1, Ordering::Relaxed);
        self.lane.depth.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lanes(workers: usize, count: usize) -> (Pool, Vec<Arc<Lane>>) {
        let workers = NonZeroUsize::new(workers).unwrap();
        let pool = Pool::new(workers, count);
        let lanes = (0..count)
            .map(|_| Arc::new(Lane::new(&pool, workers, count, Gauge::default())))
            .collect();
        (pool, lanes)
    }

    /// Takes every place that `lane` gives without waiting.
    fn fill(lane: &Arc<Lane>) -> Vec<Place> {
        std::iter::from_fn(|| lane.own.try_take().or_else(|| lane.pool.try_take())).collect()
    }

    #[test]
    fn a_lane_that_takes_all_it_can_leaves_the_others_their_share() {
        for (workers, count, most, share) in [
            (20, 1, 20, 10),
            (20, 2, 15, 5),
            (20, 3, 14, 3),
            (1, 1, 1, 1),
            (2, 5, 1, 1),
        ] {
            let (_pool, lanes) = lanes(workers, count);
            let taken = fill(&lanes[0]);
            let others: Vec<_> = lanes[1..].iter().map(fill).collect();
            assert_eq!(taken.len(), most, "{workers} workers, {count} lanes");
            assert!(
                others.iter().all(|places| places.len() == share),
                "{workers} workers, {count} lanes"
            );
        }
    }

    #[test]
    fn the_queue_is_bounded_and_lets_the_admitted_in() {
        let (_pool, lanes) = lanes(1, 1);
        let _taken = fill(&lanes[0]);
        let mut waiting: Vec<_> = (0..10).map(|_| lanes[0].enter(false).unwrap()).collect();
        assert!(lanes[0].enter(false).is_none());
        assert!(lanes[0].enter(true).is_some());
        waiting.pop();
        assert!(lanes[0].enter(false).is_some());
        drop(waiting);
        assert_eq!(
            (
                lanes[0].waiting.load(Ordering::Relaxed),
                lanes[0].depth.get()
            ),
            (0, 0)
        );
    }

    #[tokio::test]
    async fn a_waiting_call_takes_whichever_place_frees_first() {
        let (_pool, lanes) = lanes(4, 1);
        let mut taken = fill(&lanes[0]);
        let own = taken.remove(0);
        let pooled = taken.pop().unwrap();
        for place in [own, pooled] {
            let ticket = lanes[0].enter(false).unwrap();
            let (_, served) = tokio::join!(async { drop(place) }, ticket.served());
            taken.push(served);
        }
        assert_eq!(taken.len(), 4);
    }

    #[tokio::test]
    async fn a_caller_that_leaves_the_queue_gives_its_turn_to_the_next() {
        let (_pool, lanes) = lanes(1, 1);
        let taken = fill(&lanes[0]);
        let first = lanes[0].enter(false).unwrap();
        let second = lanes[0].enter(false).unwrap();
        let gone = tokio::time::timeout(Duration::from_millis(1), first.served()).await;
        assert!(gone.is_err());
        drop(taken);
        drop(second.served().await);
        assert_eq!(lanes[0].waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn fewer_workers_take_effect_as_calls_end_and_more_at_once() {
        let workers = |count| NonZeroUsize::new(count).unwrap();
        let (pool, lanes) = lanes(20, 2);
        let mut taken = fill(&lanes[0]);
        assert_eq!(taken.len(), 15);
        pool.resize(workers(8), 2);
        lanes[0].resize(workers(8), 2);
        lanes[1].resize(workers(8), 2);
        // Of the 15, 6 may stay: 2 of its own and 4 of the pool.
        for left in (6..15).rev() {
            taken.pop();
            assert_eq!(taken.len(), left);
        }
        let more = fill(&lanes[0]);
        assert!(more.len() <= 3, "{}", more.len());
        drop(more);
        taken.clear();
        assert_eq!(fill(&lanes[0]).len(), 6);
        pool.resize(workers(20), 2);
        lanes[0].resize(workers(20), 2);
        assert_eq!(fill(&lanes[0]).len(), 15);
    }
}
