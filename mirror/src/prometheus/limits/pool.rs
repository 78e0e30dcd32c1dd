//! The places that all lanes have together, and who gets the next one.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Caller;
use crate::prometheus::queue::{Entered, FairQueue, Number};

/// Places for calls in flight. While a size shrinks there may be more in use than there are.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) size: usize,
    used: usize,
}

impl Places {
    pub(super) fn new(size: usize) -> Self {
        Self { size, used: 0 }
    }

    pub(super) fn take(&mut self) -> bool {
        let free = self.used < self.size;
        self.used += usize::from(free);
        free
    }
}

/// Whose a place is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Pool,
    Lane(LaneId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LaneId(pub(super) u64);

/// The right to have one call in flight. Dropping it lets the next one go.
#[derive(Debug)]
pub(in crate::prometheus) struct Place {
    pub(super) pool: Arc<Pool>,
    pub(super) owner: Owner,
}

impl Drop for Place {
    fn drop(&mut self) {
        let granted = {
            let mut state = self.pool.lock();
            state.free(self.owner);
            state.grant()
        };
        self.pool.hand_out(granted);
    }
}

/// All lanes, and the pool that they share.
#[derive(Debug)]
pub(in crate::prometheus) struct Pool(Mutex<State>);

#[derive(Debug)]
pub(super) struct State {
    pool: Places,
    pub(super) next: u64,
    pub(super) lanes: HashMap<LaneId, LaneState>,
    /// Lanes in which somebody waits, in the order of their turns at the pool. Some may have nobody
    /// left.
    turns: VecDeque<LaneId>,
    /// Lanes that may have a free place of their own for somebody who waits.
    pub(super) freed: Vec<LaneId>,
}

#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) own: Places,
    pub(super) most_waiting: usize,
    pub(super) queue: FairQueue<Caller, oneshot::Sender<Place>>,
    /// Whether `turns` has it.
    pub(super) in_turns: bool,
}

/// Who gets a place of whom.
pub(super) type Granted = Vec<(oneshot::Sender<Place>, Owner)>;

impl State {
    pub(super) fn try_take(&mut self, id: LaneId) -> Option<Owner> {
        if self.lanes.get_mut(&id)?.own.take() {
            return Some(Owner::Lane(id));
        }
        self.pool.take().then_some(Owner::Pool)
    }

    fn free(&mut self, owner: Owner) {
        match owner {
            Owner::Pool => self.pool.used -= 1,
            Owner::Lane(id) => {
                // The target of a lane that is gone is no longer served.
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.own.used -= 1;
                    self.freed.push(id);
                }
            }
        }
    }

    /// Takes all places that are free for somebody who waits.
    pub(super) fn grant(&mut self) -> Granted {
        let mut granted = Vec::new();
        while let Some(id) = self.freed.pop() {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            while !lane.queue.is_empty() && lane.own.take() {
                granted.extend(lane.queue.next().map(|waiting| (waiting, Owner::Lane(id))));
            }
        }
        while self.pool.used < self.pool.size
            && let Some(id) = self.turns.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&id) else {
                continue;
            };
            match lane.queue.next() {
                Some(waiting) => {
                    self.pool.used += 1;
                    granted.push((waiting, Owner::Pool));
                    self.turns.push_back(id);
                }
                None => lane.in_turns = false,
            }
        }
        granted
    }

    /// Puts a call into the queue of a lane. The second part of the answer is a call that had to go
    /// for it.
    pub(super) fn wait(
        &mut self,
        id: LaneId,
        caller: Caller,
        admitted: bool,
    ) -> Option<(
        Number,
        oneshot::Receiver<Place>,
        Option<oneshot::Sender<Place>>,
    )> {
        let lane = self.lanes.get_mut(&id)?;
        let (sender, receiver) = oneshot::channel();
        let (number, displaced) = if admitted {
            (lane.queue.enter_admitted(caller, sender), None)
        } else {
            match lane.queue.enter(caller, lane.most_waiting, sender) {
                Entered::Waits(number, displaced) => (number, displaced),
                Entered::Refused => return None,
            }
        };
        if !lane.in_turns {
            lane.in_turns = true;
            self.turns.push_back(id);
        }
        Some((number, receiver, displaced))
    }
}

impl Pool {
    pub(in crate::prometheus) fn new(workers: NonZeroUsize, lanes: usize) -> Self {
        Self(Mutex::new(State {
            pool: Places::new(pool_size(workers, lanes)),
            next: 0,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            freed: Vec::new(),
        }))
    }

    pub(in crate::prometheus) fn resize(self: &Arc<Self>, workers: NonZeroUsize, lanes: usize) {
        let granted = {
            let mut state = self.lock();
            state.pool.size = pool_size(workers, lanes);
            state.grant()
        };
        self.hand_out(granted);
    }

    /// Without the lock: a place for somebody who has just left comes back at once.
    pub(super) fn hand_out(self: &Arc<Self>, granted: Granted) {
        for (waiting, owner) in granted {
            let place = Place {
                pool: Arc::clone(self),
                owner,
            };
            let _ = waiting.send(place);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places that each lane has for itself.
pub(super) fn share(workers: NonZeroUsize, lanes: usize) -> usize {
    (workers.get() / (2 * lanes.max(1))).max(1)
}

fn pool_size(workers: NonZeroUsize, lanes: usize) -> usize {
    workers.get().saturating_sub(lanes * share(workers, lanes))
}
