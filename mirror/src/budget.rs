//! The memory that requests may use, shared by all of them.
//!
//! A [`Budget`] hands out bytes. A request first reserves a small base, in the order of arrival,
//! and then grows step by step as it needs more. Its upstream calls do the same on its account:
//! request and calls are one group. Without room, a holder waits until its deadline.
//!
//! * A newcomer holds nothing and may use all of the budget. Growth may use seven eighths of it, so
//!   the last eighth always lets small requests in.
//! * A small group, up to a sixty-fourth of what growth may use, gets what there is, and may use
//!   half of the last eighth, too: it never waits for a large one to end.
//! * Larger groups grow together only while a quarter of it is used. Beyond that they do so in
//!   turn: the group that began to wait first may use all of it, the others stand still until it
//!   has ended. So large requests that fit one after the other are answered one after the other,
//!   instead of all beginning and none being able to end.
//! * A group whose turn it is and that has not grown for a second, because its store is slow, goes
//!   to the end.
//! * No deadlock: the budget counts the holders that can go on by themselves. When there are none,
//!   because each waits for growth or for somebody who does, the turn goes to the first group that
//!   waits for growth. If that does not help, the largest holder that waits out of turn has to
//!   give way, and if there is none, the one whose turn it is. It gives back the most, and the
//!   others go on. Its request begins again when its turn comes, holding nothing until then. A lone
//!   holder is refused only if it needs more than it can get.

pub(crate) mod memory;
mod reservation;
mod state;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

pub use crds::memory::size;

pub use self::memory::{Limit, Memory, Origin};
use self::reservation::Place;
pub use self::reservation::{Account, Blocked, Reservation, Working};
use self::size::ByteSize;
use self::state::{Group, Holder, State, Waiter, Wants};

/// Why there are no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// More than one holder can ever have.
    #[error("more than {0} are needed, which is all that one request can have")]
    TooLarge(ByteSize),
    /// Others have them, and did not give them back in time.
    #[error("the memory is used up by other requests")]
    Busy,
    /// Nobody could go on, and this holder has to give back what it has. It may begin again, see
    /// [`Budget::reserve_in_turn`].
    #[error("other requests need the memory first")]
    GivesWay,
}

/// A number of bytes that are shared.
#[derive(Debug)]
pub struct Budget {
    state: Mutex<State>,
}

impl Budget {
    /// A budget of that many bytes.
    #[must_use]
    pub fn new(ByteSize(capacity): ByteSize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::new(capacity)),
        })
    }

    /// Changes the number of bytes. Nobody loses what he holds: where that is more, newcomers wait
    /// until it is less.
    pub fn resize(&self, ByteSize(capacity): ByteSize) {
        let mut state = self.lock();
        state.capacity = capacity;
        state.settle();
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

    /// How many wait for some.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        state.arriving.len() + state.growing.len()
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
        self.reserve_in(Arc::default(), ByteSize(bytes), deadline, None)
            .await
    }

    /// As [`reserve`](Self::reserve), for a request that had to give way: waits, too, until it is
    /// its turn to grow.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn reserve_in_turn(
        self: &Arc<Self>,
        bytes: ByteSize,
        deadline: Option<Instant>,
    ) -> Result<Reservation, Refused> {
        let reservation = self.reserve(bytes, deadline).await?;
        reservation.waits_for_its_turn(deadline).await?;
        Ok(reservation)
    }

    async fn reserve_in(
        self: &Arc<Self>,
        group: Arc<Group>,
        ByteSize(bytes): ByteSize,
        deadline: Option<Instant>,
        working: Option<Working>,
    ) -> Result<Reservation, Refused> {
        let (reservation, waiting) = {
            let mut state = self.lock();
            if bytes > state.for_growth() {
                return Err(Refused::TooLarge(ByteSize(state.for_growth())));
            }
            let holder = Arc::new(Holder::of(group));
            let waiting = if state.arriving.is_empty() && state.used + bytes <= state.capacity {
                state.active += 1;
                state.take(&holder, bytes);
                None
            } else {
                holder.blocked.store(1, Ordering::Relaxed);
                let ticket = state.ticket();
                let (answer, granted) = oneshot::channel();
                let waiter = Waiter {
                    wants: Wants::Bytes(bytes),
                    holder: Arc::clone(&holder),
                    answer,
                };
                state.arriving.insert(ticket, waiter);
                Some((Place::Arriving(ticket), granted))
            };
            // From here on, dropping it gives back what was given.
            let reservation = Reservation {
                budget: Arc::clone(self),
                holder,
                spent: AtomicU64::new(0),
            };
            (reservation, waiting)
        };
        drop(working);
        if let Some((place, granted)) = waiting {
            reservation.wait(place, granted, deadline).await?;
        }
        Ok(reservation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
