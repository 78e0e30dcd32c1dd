//! How many calls run at once, and who waits.
//!
//! `workers` calls are in flight per process. Each of the `n` lanes (one per declared target, one
//! for all undeclared ones together) has a share of `max(1, workers / 2n)` of its own; what is left
//! is a pool for all. A call takes a place of its lane, else one of the pool, else it waits for
//! whichever frees first. So a target that hangs may fill its own share and the pool, and every
//! other target still has its share. With more lanes than workers, each still has its one place.
//!
//! Within a lane callers take turns, see `queue.rs`; lanes take turns at the places of the pool. So
//! neither a client nor a target with many calls makes another one wait for all of them.
//!
//! A lane outlives a reload of the settings, as does the pool: calls in flight keep counting, and a
//! change of `workers` takes effect as they end.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use super::queue::{Entered, FairQueue, Number};

/// So many calls may wait in a lane for each worker.
const QUEUE_PER_WORKER: usize = 10;

/// For whom a call is made: each of them gets its turn. Behind a proxy all clients are one, since
/// only a proxy that is trusted could tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Caller {
    /// The mirror itself: what it wants to know of a target, asked on nobody's behalf.
    Mirror,
    /// A client, by its address.
    Client(IpAddr),
}

/// Places for calls in flight. While a size shrinks there may be more in use than there are.
#[derive(Debug)]
struct Places {
    size: usize,
    used: usize,
}

impl Places {
    fn new(size: usize) -> Self {
        Self { size, used: 0 }
    }

    fn take(&mut self) -> bool {
        let free = self.used < self.size;
        self.used += usize::from(free);
        free
    }
}

/// Whose a place is.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Pool,
    Lane(LaneId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LaneId(u64);

/// The right to have one call in flight. Dropping it lets the next one go.
#[derive(Debug)]
pub(super) struct Place {
    pool: Arc<Pool>,
    owner: Owner,
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
pub(super) struct Pool(Mutex<State>);

#[derive(Debug)]
struct State {
    pool: Places,
    next: u64,
    lanes: HashMap<LaneId, LaneState>,
    /// Lanes in which somebody waits, in the order of their turns at the pool. Some may have nobody
    /// left.
    turns: VecDeque<LaneId>,
    /// Lanes that may have a free place of their own for somebody who waits.
    freed: Vec<LaneId>,
}

#[derive(Debug)]
struct LaneState {
    own: Places,
    most_waiting: usize,
    queue: FairQueue<Caller, oneshot::Sender<Place>>,
    /// Whether `turns` has it.
    in_turns: bool,
}

/// Who gets a place of whom.
type Granted = Vec<(oneshot::Sender<Place>, Owner)>;

impl State {
    fn try_take(&mut self, id: LaneId) -> Option<Owner> {
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
    fn grant(&mut self) -> Granted {
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
    fn wait(
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
    pub(super) fn new(workers: NonZeroUsize, lanes: usize) -> Self {
        Self(Mutex::new(State {
            pool: Places::new(pool_size(workers, lanes)),
            next: 0,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            freed: Vec::new(),
        }))
    }

    pub(super) fn resize(self: &Arc<Self>, workers: NonZeroUsize, lanes: usize) {
        let granted = {
            let mut state = self.lock();
            state.pool.size = pool_size(workers, lanes);
            state.grant()
        };
        self.hand_out(granted);
    }

    /// Without the lock: a place for somebody who has just left comes back at once.
    fn hand_out(self: &Arc<Self>, granted: Granted) {
        for (waiting, owner) in granted {
            let place = Place {
                pool: Arc::clone(self),
                owner,
            };
            let _ = waiting.send(place);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    id: LaneId,
    pool: Arc<Pool>,
    depth: Gauge,
}

impl Lane {
    /// `depth` shows how many calls wait.
    pub(super) fn new(pool: &Arc<Pool>, workers: NonZeroUsize, lanes: usize, depth: Gauge) -> Self {
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

    pub(super) fn resize(&self, workers: NonZeroUsize, lanes: usize) {
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
    pub(super) fn most_waiting(&self) -> usize {
        let state = self.pool.lock();
        state
            .lanes
            .get(&self.id)
            .map_or(0, |lane| lane.most_waiting)
    }

    /// Enters the queue, or answers `None` because it is full. A call that is `admitted` belongs to
    /// a request that was let in before: refusing it now would waste what was done for that
    /// request.
    pub(super) fn enter(self: &Arc<Self>, caller: Caller, admitted: bool) -> Option<Ticket> {
        let mut state = self.pool.lock();
        if let Some(owner) = state.try_take(self.id) {
            return Some(Ticket::Served(Place {
                pool: Arc::clone(&self.pool),
                owner,
            }));
        }
        let (number, turn, displaced) = state.wait(self.id, caller, admitted)?;
        drop(state);
        // Who waited for it is told by this.
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
        // Nobody waits: whoever does holds the lane.
        let gone = self.pool.lock().lanes.remove(&self.id);
        drop(gone);
    }
}

fn most_waiting(workers: NonZeroUsize) -> usize {
    workers.get().saturating_mul(QUEUE_PER_WORKER)
}

/// A call's standing in its lane.
#[derive(Debug)]
pub(super) enum Ticket {
    Served(Place),
    Waiting(Waiting),
}

/// A call had to leave the queue, because it was full and another caller had fewer calls in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Displaced;

impl Ticket {
    /// Waits for a place. Dropping the future leaves the queue.
    pub(super) async fn served(self) -> Result<Place, Displaced> {
        match self {
            Self::Served(place) => Ok(place),
            Self::Waiting(mut waiting) => (&mut waiting.turn).await.map_err(|_| Displaced),
        }
    }
}

/// A call in the queue.
#[derive(Debug)]
pub(super) struct Waiting {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: Caller = Caller::Client(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));
    const B: Caller = Caller::Client(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2)));

    fn lanes(workers: usize, count: usize) -> (Arc<Pool>, Vec<Arc<Lane>>) {
        let workers = NonZeroUsize::new(workers).unwrap();
        let pool = Arc::new(Pool::new(workers, count));
        let lanes = (0..count)
            .map(|_| Arc::new(Lane::new(&pool, workers, count, Gauge::default())))
            .collect();
        (pool, lanes)
    }

    fn waiting(lane: &Lane) -> usize {
        lane.pool.lock().lanes[&lane.id].queue.len()
    }

    /// Takes every place that `lane` gives without waiting.
    fn fill(lane: &Arc<Lane>) -> Vec<Place> {
        std::iter::from_fn(|| {
            let owner = lane.pool.lock().try_take(lane.id)?;
            let pool = Arc::clone(&lane.pool);
            Some(Place { pool, owner })
        })
        .collect()
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
        let mut calls: Vec<_> = (0..10).map(|_| lanes[0].enter(A, false).unwrap()).collect();
        assert!(lanes[0].enter(A, false).is_none());
        assert!(lanes[0].enter(A, true).is_some());
        calls.pop();
        assert!(lanes[0].enter(A, false).is_some());
        drop(calls);
        assert_eq!((waiting(&lanes[0]), lanes[0].depth.get()), (0, 0));
    }

    #[tokio::test]
    async fn a_waiting_call_takes_whichever_place_frees_first() {
        let (_pool, lanes) = lanes(4, 1);
        let mut taken = fill(&lanes[0]);
        let own = taken.remove(0);
        let pooled = taken.pop().unwrap();
        for place in [own, pooled] {
            let ticket = lanes[0].enter(A, false).unwrap();
            let (_, served) = tokio::join!(async { drop(place) }, ticket.served());
            taken.push(served.unwrap());
        }
        assert_eq!(taken.len(), 4);
    }

    #[tokio::test]
    async fn a_caller_that_leaves_the_queue_gives_its_turn_to_the_next() {
        let (_pool, lanes) = lanes(1, 1);
        let taken = fill(&lanes[0]);
        let first = lanes[0].enter(A, false).unwrap();
        let second = lanes[0].enter(A, false).unwrap();
        let gone = tokio::time::timeout(Duration::from_millis(1), first.served()).await;
        assert!(gone.is_err());
        drop(taken);
        drop(second.served().await.unwrap());
        assert_eq!(waiting(&lanes[0]), 0);
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

    #[tokio::test]
    async fn a_client_with_many_calls_makes_another_wait_for_one_of_them() {
        let (_pool, lanes) = lanes(2, 1);
        let mut taken = fill(&lanes[0]);
        let mut many: VecDeque<_> = (0..20).map(|_| lanes[0].enter(A, false).unwrap()).collect();
        assert!(lanes[0].enter(A, false).is_none(), "the queue is full");
        let other = lanes[0].enter(B, false).unwrap();
        let last = many.pop_back().unwrap().served().await;
        assert_eq!(last.unwrap_err(), Displaced);
        taken.pop();
        let first = many.pop_front().unwrap().served().await.unwrap();
        taken.pop();
        drop(other.served().await.unwrap());
        drop(first);
        assert_eq!(waiting(&lanes[0]), 16);
    }

    #[tokio::test]
    async fn a_target_with_many_calls_makes_another_wait_for_one_of_them() {
        let (_pool, lanes) = lanes(4, 2);
        let mut pooled = fill(&lanes[0]);
        let _own = (pooled.remove(0), fill(&lanes[1]));
        let mut many: VecDeque<_> = (0..9).map(|_| lanes[0].enter(A, false).unwrap()).collect();
        let other = lanes[1].enter(A, false).unwrap();
        pooled.pop();
        let _first = many.pop_front().unwrap().served().await.unwrap();
        pooled.pop();
        let waited = tokio::time::timeout(Duration::from_secs(10), other.served()).await;
        assert!(waited.is_ok());
    }

    #[test]
    fn a_lane_that_goes_leaves_nothing_behind() {
        let (pool, mut lanes) = lanes(4, 2);
        let places = fill(&lanes[0]);
        let waiting = lanes[0].enter(A, false).unwrap();
        lanes.remove(0);
        assert_eq!(pool.lock().lanes.len(), 2, "somebody waits in it");
        drop(waiting);
        assert_eq!(pool.lock().lanes.len(), 1);
        drop(places);
        assert_eq!(fill(&lanes[0]).len(), 3);
    }
}
