//! The calls of one target, and the queue in which they wait.

use std::num::NonZeroUsize;
use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use super::Caller;
use super::pool::{LaneId, LaneState, Place, Places, Pool, share};
use crate::prometheus::queue::{FairQueue, Number};

/// So many calls may wait in a lane for each worker.
const QUEUE_PER_WORKER: usize = 10;

/// The way of one target's calls: its own places, the pool, and a bounded queue before both.
#[derive(Debug)]
pub(in crate::prometheus) struct Lane {
    pub(super) id: LaneId,
    pub(super) pool: Arc<Pool>,
    pub(super) depth: Gauge,
}

impl Lane {
    /// `depth` shows how many calls wait.
    pub(in crate::prometheus) fn new(
        pool: &Arc<Pool>,
        workers: NonZeroUsize,
        lanes: usize,
        depth: Gauge,
    ) -> Self {
        let mut state = pool.lock();
        state.next += 1;
        let id = LaneId(state.next);
        let lane = LaneState {
            own: Places::new(share(workers, lanes)),
            most_waiting: most_waiting(workers),
            queue: FairQueue::default(),
            in_turns: false,
        };
        state.lanes.insert(id, lane);
        drop(state);
        Self {
            id,
            pool: Arc::clone(pool),
            depth,
        }
    }

    pub(in crate::prometheus) fn resize(&self, workers: NonZeroUsize, lanes: usize) {
        let granted = {
            let mut state = self.pool.lock();
            if let Some(lane) = state.lanes.get_mut(&self.id) {
                lane.own.size = share(workers, lanes);
                lane.most_waiting = most_waiting(workers);
            }
            state.freed.push(self.id);
            state.grant()
        };
        self.pool.hand_out(granted);
    }

    /// How many calls may wait.
    pub(in crate::prometheus) fn most_waiting(&self) -> usize {
        let state = self.pool.lock();
        state
            .lanes
            .get(&self.id)
            .map_or(0, |lane| lane.most_waiting)
    }

    /// Enters the queue, or answers `None` because it is full. A call that is `admitted` belongs to
    /// a request that was let in before: refusing it now would waste what was done for that
    /// request.
    pub(in crate::prometheus) fn enter(
        self: &Arc<Self>,
        caller: Caller,
        admitted: bool,
    ) -> Option<Ticket> {
        let mut state = self.pool.lock();
        if let Some(owner) = state.try_take(self.id) {
            return Some(Ticket::Served(Place {
                pool: Arc::clone(&self.pool),
                owner,
            }));
        }
        let (number, turn, displaced) = state.wait(self.id, caller, admitted)?;
        drop(state);
        // This ends the wait of the call that gave way.
        drop(displaced);
        self.depth.inc();
        Some(Ticket::Waiting(Waiting {
            lane: Arc::clone(self),
            caller,
            number,
            turn,
        }))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // No call waits any more, because a waiting call holds the lane.
        let gone = self.pool.lock().lanes.remove(&self.id);
        drop(gone);
    }
}

fn most_waiting(workers: NonZeroUsize) -> usize {
    workers.get().saturating_mul(QUEUE_PER_WORKER)
}

/// A call's standing in its lane.
#[derive(Debug)]
pub(in crate::prometheus) enum Ticket {
    Served(Place),
    Waiting(Waiting),
}

/// A call had to leave the queue, because it was full and another caller had fewer calls in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::prometheus) struct Displaced;

impl Ticket {
    /// Whether there is no place yet.
    pub(in crate::prometheus) fn waits(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Waits for a place. Dropping the future leaves the queue.
    pub(in crate::prometheus) async fn served(self) -> Result<Place, Displaced> {
        match self {
            Self::Served(place) => Ok(place),
            Self::Waiting(mut waiting) => (&mut waiting.turn).await.map_err(|_| Displaced),
        }
    }
}

/// A call in the queue.
#[derive(Debug)]
pub(in crate::prometheus) struct Waiting {
    lane: Arc<Lane>,
    caller: Caller,
    number: Number,
    turn: oneshot::Receiver<Place>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let left = {
            let mut state = self.lane.pool.lock();
            let lane = state.lanes.get_mut(&self.lane.id);
            lane.and_then(|lane| lane.queue.remove(self.caller, self.number))
        };
        drop(left);
        self.lane.depth.dec();
    }
}
