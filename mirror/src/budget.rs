//! The memory that requests may use, shared by all of them.
//!
//! A [`Budget`] hands out bytes. A request or an upstream call first reserves a small base, in the
//! order of arrival, and then grows step by step as it needs more. Without room, it waits until its
//! deadline.
//!
//! * A newcomer holds nothing and may use all of the budget. Growth may use seven eighths of it, so
//!   the last eighth always lets small requests in.
//! * Waiting growth is served smallest first. A demand that alone exceeds seven eighths is refused
//!   at once.
//! * No deadlock: the budget counts the holders that can go on by themselves. When there are none,
//!   because each waits for growth or for somebody who does, the largest waiting holder is refused
//!   at once. It gives back the most, the others go on, and a lone holder is refused only if it
//!   needs more than it can get.

mod memory;
pub mod size;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

pub use self::memory::{Limit, Memory, Origin};
use self::size::ByteSize;

/// Why there are no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More than one holder can ever have.
    #[error("more than {0} are needed, which is all that one request can have")]
    TooLarge(ByteSize),
    /// Others have them, and did not give them back in time.
    #[error("the memory is used up by other requests")]
    Busy,
}

/// A number of bytes that are shared.
#[derive(Debug)]
pub struct Budget {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    capacity: u64,
    used: u64,
    /// How many holders can go on by themselves.
    active: usize,
    next: u64,
    /// In the order of arrival.
    arriving: BTreeMap<u64, Waiter>,
    /// By what the holder would have, smallest first, then in the order of arrival.
    growing: BTreeMap<(u64, u64), Waiter>,
}

#[derive(Debug)]
struct Waiter {
    bytes: u64,
    holder: Arc<Holder>,
    answer: oneshot::Sender<Result<(), Refused>>,
}

/// What is known of a holder. Changed only while the state is locked.
#[derive(Debug, Default)]
struct Holder {
    bytes: AtomicU64,
    /// For how many things it waits that need somebody else's progress. Active: none.
    blocked: AtomicUsize,
}

impl State {
    /// So much growth may use.
    fn for_growth(&self) -> u64 {
        self.capacity - self.capacity / 8
    }

    fn block(&mut self, holder: &Holder) {
        if holder.blocked.fetch_add(1, Ordering::Relaxed) == 0 {
            self.active -= 1;
        }
    }

    fn unblock(&mut self, holder: &Holder) {
        if holder.blocked.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.active += 1;
        }
    }

    fn give(&mut self, waiter: Waiter) {
        self.used += waiter.bytes;
        waiter
            .holder
            .bytes
            .fetch_add(waiter.bytes, Ordering::Relaxed);
        // The receiver goes only while the state is locked, and takes its waiter along.
        let _ = waiter.answer.send(Ok(()));
    }
}

impl Budget {
    /// A budget of that many bytes.
    #[must_use]
    pub fn new(ByteSize(capacity): ByteSize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                capacity,
                ..State::default()
            }),
        })
    }

    /// Changes the number of bytes. Nobody loses what he holds: where that is more, newcomers wait
    /// until it is less.
    pub fn resize(&self, ByteSize(capacity): ByteSize) {
        let mut state = self.lock();
        state.capacity = capacity;
        self.settle(&mut state);
    }

    /// The whole of it.
    #[must_use]
    pub fn capacity(&self) -> ByteSize {
        ByteSize(self.lock().capacity)
    }

    /// What is handed out.
    #[must_use]
    pub fn used(&self) -> ByteSize {
        ByteSize(self.lock().used)
    }

    /// Reserves `bytes` for somebody who holds nothing, waiting in the order of arrival until
    /// `deadline` if there is one.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn reserve(
        self: &Arc<Self>,
        ByteSize(bytes): ByteSize,
        deadline: Option<Instant>,
    ) -> Result<Reservation, Refused> {
        let holder = Arc::new(Holder::default());
        let waiting = {
            let mut state = self.lock();
            if bytes > state.for_growth() {
                return Err(Refused::TooLarge(ByteSize(state.for_growth())));
            }
            if state.arriving.is_empty() && state.used + bytes <= state.capacity {
                state.used += bytes;
                state.active += 1;
                holder.bytes.store(bytes, Ordering::Relaxed);
                None
            } else {
                holder.blocked.store(1, Ordering::Relaxed);
                let ticket = state.ticket();
                let (answer, granted) = oneshot::channel();
                let waiter = Waiter {
                    bytes,
                    holder: Arc::clone(&holder),
                    answer,
                };
                state.arriving.insert(ticket, waiter);
                Some((Place::Arriving(ticket), granted))
            }
        };
        // From here on, dropping it gives back what was given.
        let reservation = Reservation {
            budget: Arc::clone(self),
            holder,
        };
        if let Some((place, granted)) = waiting {
            reservation.wait(place, granted, deadline).await?;
        }
        Ok(reservation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves those that can be served, and if nobody can go on by himself, refuses the largest.
    fn settle(&self, state: &mut State) {
        let (capacity, for_growth) = (state.capacity, state.for_growth());
        while let Some(first) = state.arriving.first_entry() {
            if state.used + first.get().bytes > capacity {
                break;
            }
            let waiter = first.remove();
            state.unblock(&waiter.holder);
            state.give(waiter);
        }
        while let Some(first) = state.growing.first_entry() {
            if state.used + first.get().bytes > for_growth {
                break;
            }
            let waiter = first.remove();
            state.unblock(&waiter.holder);
            state.give(waiter);
        }
        while state.active == 0
            && let Some((_, largest)) = state.growing.pop_last()
        {
            state.unblock(&largest.holder);
            let others = state.used - largest.holder.bytes.load(Ordering::Relaxed);
            let refused = if others <= capacity - for_growth {
                // It would not get so much if it came alone.
                Refused::TooLarge(ByteSize(for_growth))
            } else {
                Refused::Busy
            };
            let _ = largest.answer.send(Err(refused));
        }
    }
}

impl State {
    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// Bytes of a [`Budget`], given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    holder: Arc<Holder>,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Arriving(u64),
    Growing((u64, u64)),
}

impl Reservation {
    /// How many bytes there are.
    #[must_use]
    pub fn bytes(&self) -> ByteSize {
        ByteSize(self.holder.bytes.load(Ordering::Relaxed))
    }

    /// Adds `more`, waiting until `deadline` if there is one.
    ///
    /// # Errors
    /// See [`Refused`]. What is held already stays held.
    pub async fn grow(
        &self,
        ByteSize(more): ByteSize,
        deadline: Option<Instant>,
    ) -> Result<(), Refused> {
        let (place, granted) = {
            let mut state = self.budget.lock();
            let wanted = self.bytes().0.saturating_add(more);
            if wanted > state.for_growth() {
                return Err(Refused::TooLarge(ByteSize(state.for_growth())));
            }
            let first = state.growing.keys().next();
            if first.is_none_or(|(smallest, _)| wanted < *smallest)
                && state.used + more <= state.for_growth()
            {
                state.used += more;
                self.holder.bytes.store(wanted, Ordering::Relaxed);
                return Ok(());
            }
            let place = (wanted, state.ticket());
            let (answer, granted) = oneshot::channel();
            let waiter = Waiter {
                bytes: more,
                holder: Arc::clone(&self.holder),
                answer,
            };
            state.growing.insert(place, waiter);
            state.block(&self.holder);
            self.budget.settle(&mut state);
            (Place::Growing(place), granted)
        };
        self.wait(place, granted, deadline).await
    }

    /// Sees to it that there are at least `bytes`.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn grow_to(
        &self,
        ByteSize(bytes): ByteSize,
        deadline: Option<Instant>,
    ) -> Result<(), Refused> {
        match bytes.checked_sub(self.bytes().0) {
            None | Some(0) => Ok(()),
            Some(more) => self.grow(ByteSize(more), deadline).await,
        }
    }

    /// Gives back what is held beyond `bytes`.
    pub fn shrink_to(&self, ByteSize(bytes): ByteSize) {
        let mut state = self.budget.lock();
        let held = self.bytes().0;
        if held > bytes {
            self.holder.bytes.store(bytes, Ordering::Relaxed);
            state.used -= held - bytes;
            self.budget.settle(&mut state);
        }
    }

    /// While the answer exists, the holder does not count as one that can go on by itself: it waits
    /// for another holder.
    #[must_use]
    pub fn waits_for_others(&self) -> Blocked<'_> {
        let mut state = self.budget.lock();
        state.block(&self.holder);
        self.budget.settle(&mut state);
        Blocked(self)
    }

    /// The bytes stay taken, but nobody works on their release any more: who has them counts for
    /// himself.
    pub fn rests(&self) {
        let mut state = self.budget.lock();
        state.block(&self.holder);
        self.budget.settle(&mut state);
    }

    /// For as long as the answer exists, somebody sees to it that these bytes are given back, whether
    /// the holder can go on or not.
    #[must_use]
    pub fn working(&self) -> Working {
        self.budget.lock().active += 1;
        Working(Arc::clone(&self.budget))
    }

    async fn wait(
        &self,
        place: Place,
        granted: oneshot::Receiver<Result<(), Refused>>,
        deadline: Option<Instant>,
    ) -> Result<(), Refused> {
        let mut waiting = Waiting {
            of: self,
            place: Some(place),
        };
        let granted = async {
            // It is not dropped unanswered while it waits.
            granted.await.unwrap_or(Err(Refused::Busy))
        };
        let result = match deadline {
            None => granted.await,
            Some(deadline) => match tokio::time::timeout_at(deadline.into(), granted).await {
                Ok(result) => result,
                // Dropping `waiting` leaves the queue.
                Err(_) => return Err(Refused::Busy),
            },
        };
        waiting.place = None;
        result
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.used -= self.bytes().0;
        if self.holder.blocked.load(Ordering::Relaxed) == 0 {
            state.active -= 1;
        }
        self.budget.settle(&mut state);
    }
}

/// See [`Reservation::working`].
#[derive(Debug)]
pub struct Working(Arc<Budget>);

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.active -= 1;
        self.0.settle(&mut state);
    }
}

/// See [`Reservation::waits_for_others`].
#[derive(Debug)]
pub struct Blocked<'a>(&'a Reservation);

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.0.budget.lock().unblock(&self.0.holder);
    }
}

/// A place in a queue. Whoever gives up leaves it; bytes that came at the same moment stay with the
/// reservation.
struct Waiting<'a> {
    of: &'a Reservation,
    place: Option<Place>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let budget = &self.of.budget;
        let mut state = budget.lock();
        let left = match place {
            Place::Arriving(place) => state.arriving.remove(&place),
            Place::Growing(place) => state.growing.remove(&place),
        };
        if left.is_some() {
            state.unblock(&self.of.holder);
            // Those behind it may be smaller.
            budget.settle(&mut state);
        }
    }
}

#[cfg(test)]
mod tests;
