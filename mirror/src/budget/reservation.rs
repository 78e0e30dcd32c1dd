//! Memory that is held, and the wait for more of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::oneshot;

use super::size::ByteSize;
use super::state::{Group, Holder, STANDSTILL, State, Waiter, Wants};
use super::{Budget, Refused};

/// Bytes of a [`Budget`], given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    pub(super) budget: Arc<Budget>,
    pub(super) holder: Arc<Holder>,
    pub(super) spent: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Arriving(u64),
    Growing(u64),
}

/// Told when the wait is over.
pub(super) type Granted = oneshot::Receiver<Result<(), Refused>>;

/// On whose account something is reserved.
#[derive(Debug)]
pub struct Account {
    budget: Arc<Budget>,
    group: Arc<Group>,
    /// Until the reservation counts for itself.
    working: Option<Working>,
}

impl Account {
    /// As [`Budget::reserve`], for the same request.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn reserve(
        self,
        bytes: ByteSize,
        deadline: Option<Instant>,
    ) -> Result<Reservation, Refused> {
        self.budget
            .reserve_in(self.group, bytes, deadline, self.working)
            .await
    }

    /// Whoever wants to reserve something waits for others first.
    pub fn waits_for_others(&mut self) {
        self.working = None;
    }

    /// The same account for a reservation now, and this one for others later.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self {
            budget: Arc::clone(&self.budget),
            group: Arc::clone(&self.group),
            working: self.working.take(),
        }
    }
}

impl Reservation {
    /// For whatever else the same request needs, soon: it keeps its turn until then.
    #[must_use]
    pub fn account(&self) -> Account {
        Account {
            budget: Arc::clone(&self.budget),
            group: Arc::clone(&self.holder.group),
            working: Some(self.working()),
        }
    }

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
            if state.may_grow(&self.holder, more) {
                state.take(&self.holder, more);
                return Ok(());
            }
            if self.holder.group.turn.load(Ordering::Relaxed) == 0 {
                self.holder.group.grows();
                state.takes_turn(&self.holder.group);
            }
            self.queue(&mut state, Wants::Bytes(more))
        };
        self.wait(place, granted, deadline).await
    }

    /// Goes to the end of the order of turns, and waits until it is its turn.
    pub(super) async fn waits_for_its_turn(
        &self,
        deadline: Option<Instant>,
    ) -> Result<(), Refused> {
        let (place, granted) = {
            let mut state = self.budget.lock();
            self.holder.group.grows();
            state.takes_turn(&self.holder.group);
            self.queue(&mut state, Wants::Turn)
        };
        self.wait(place, granted, deadline).await
    }

    /// Waits for growth from now on, unless it is granted at once.
    fn queue(&self, state: &mut State, wants: Wants) -> (Place, Granted) {
        let (answer, granted) = oneshot::channel();
        let place = state.waits_for_growth(Waiter {
            wants,
            holder: Arc::clone(&self.holder),
            answer,
        });
        state.settle();
        (Place::Growing(place), granted)
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

    /// Spends `more`: of what is held already as far as it goes, so that a small request never
    /// waits. Grows only beyond that, as [`grow_to`](Self::grow_to).
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn spend(
        &self,
        ByteSize(more): ByteSize,
        deadline: Option<Instant>,
    ) -> Result<(), Refused> {
        let spent = self.spent.fetch_add(more, Ordering::Relaxed);
        let spent = ByteSize(spent.saturating_add(more));
        self.grow_to(spent, deadline).await
    }

    /// Gives back what is held beyond `bytes`.
    pub fn shrink_to(&self, ByteSize(bytes): ByteSize) {
        let mut state = self.budget.lock();
        let held = self.bytes().0;
        if held > bytes {
            state.give_back(&self.holder, held - bytes);
            state.settle();
        }
    }

    /// While the answer exists, the holder does not count as one that can go on by itself: it waits
    /// for another holder.
    #[must_use]
    pub fn waits_for_others(&self) -> Blocked<'_> {
        let mut state = self.budget.lock();
        state.block(&self.holder);
        state.settle();
        Blocked(self)
    }

    /// The bytes stay taken, but nobody works on their release any more: who has them counts for
    /// himself.
    pub fn rests(&self) {
        let mut state = self.budget.lock();
        state.block(&self.holder);
        state.settle();
    }

    /// For as long as the answer exists, somebody sees to it that these bytes are given back,
    /// whether the holder can go on or not.
    #[must_use]
    pub fn working(&self) -> Working {
        self.budget.lock().active += 1;
        Working(Arc::clone(&self.budget))
    }

    pub(super) async fn wait(
        &self,
        place: Place,
        granted: Granted,
        deadline: Option<Instant>,
    ) -> Result<(), Refused> {
        let mut waiting = Waiting {
            of: self,
            place: Some(place),
        };
        let granted = async {
            let mut granted = granted;
            loop {
                match tokio::time::timeout(STANDSTILL, &mut granted).await {
                    // It is not dropped unanswered while it waits.
                    Ok(result) => return result.unwrap_or(Err(Refused::Busy)),
                    Err(_) => self.budget.lock().settle(),
                }
            }
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
        state.give_back(&self.holder, self.bytes().0);
        if self.holder.blocked.load(Ordering::Relaxed) == 0 {
            state.active -= 1;
        }
        let group = &self.holder.group;
        if group.holders.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.turns.remove(&group.turn.load(Ordering::Relaxed));
        }
        state.settle();
    }
}

/// See [`Reservation::working`].
#[derive(Debug)]
pub struct Working(Arc<Budget>);

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.active -= 1;
        state.settle();
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

/// A place in a queue. A caller that gives up leaves it; bytes that came at the same moment stay
/// with the reservation.
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
            Place::Growing(place) => state.leaves_growing(place),
        };
        if left.is_some() {
            state.unblock(&self.of.holder);
            // Those behind it may be smaller.
            state.settle();
        }
    }
}
