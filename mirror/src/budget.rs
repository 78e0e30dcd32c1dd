//! The memory that requests may use, shared by all of them.
//!
//! A [`Budget`] hands out bytes. A request first reserves a small base, in the order of arrival,
//! and then grows step by step as it needs more. Its upstream calls do the same on its account:
//! request and calls are one group. Without room, a holder waits until its deadline.
//!
//! * A newcomer holds nothing and may use all of the budget. Growth may use seven eighths of it, so
//!   the last eighth always lets small requests in.
//! * A small group, up to a sixty-fourth of what growth may use, gets what there is.
//! * Larger groups grow together only while a quarter of it is used. Beyond that they do so in
//!   turn: the group that began to wait first may use all of it, the others stand still until it
//!   has ended. So large requests that fit one after the other are answered one after the other,
//!   instead of all beginning and none being able to end.
//! * A group whose turn it is and that has not grown for a second, because its store is slow, goes
//!   to the end.
//! * No deadlock: the budget counts the holders that can go on by themselves. When there are none,
//!   because each waits for growth or for somebody who does, the turn goes to the first group that
//!   waits for growth. If that does not help, the largest holder that waits out of
//!   turn is refused at once, and if there is none, the one whose turn it is. It gives back the
//!   most, the others go on, and a lone holder is refused only if it needs more than it can get.

pub(crate) mod memory;
pub mod size;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub use self::memory::{Limit, Memory, Origin};
use self::size::ByteSize;

/// A group is small up to this part of what growth may use.
const SMALL: u64 = 64;

/// Larger ones grow together while no more than this part of it is used.
const TOGETHER: u64 = 4;

/// So long a group may stand still while others wait for the end of its turn.
const STANDSTILL: Duration = Duration::from_secs(1);

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
    /// In the order of arrival.
    growing: BTreeMap<u64, Waiter>,
    /// The large groups that have had to wait, in the order of their turns.
    turns: BTreeMap<u64, Arc<Group>>,
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
    group: Arc<Group>,
}

/// The holders of one request. Changed only while the state is locked.
#[derive(Debug, Default)]
struct Group {
    bytes: AtomicU64,
    holders: AtomicUsize,
    /// Its place in the order of turns. 0: it has none.
    turn: AtomicU64,
    /// When it grew last, once it has a turn.
    grew: Mutex<Option<Instant>>,
}

impl Group {
    fn grows(&self) {
        *self.grew.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it has not grown for long.
    fn stands_still(&self) -> bool {
        let grew = *self.grew.lock().unwrap_or_else(PoisonError::into_inner);
        grew.is_none_or(|grew| grew.elapsed() >= STANDSTILL)
    }
}

impl Holder {
    fn of(group: Arc<Group>) -> Self {
        group.holders.fetch_add(1, Ordering::Relaxed);
        Self {
            group,
            ..Self::default()
        }
    }
}

impl State {
    /// So much growth may use.
    fn for_growth(&self) -> u64 {
        self.capacity - self.capacity / 8
    }

    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
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

    fn take(&mut self, holder: &Holder, bytes: u64) {
        self.used += bytes;
        holder.bytes.fetch_add(bytes, Ordering::Relaxed);
        holder.group.bytes.fetch_add(bytes, Ordering::Relaxed);
        if holder.group.turn.load(Ordering::Relaxed) != 0 {
            holder.group.grows();
        }
    }

    fn give_back(&mut self, holder: &Holder, bytes: u64) {
        self.used -= bytes;
        holder.bytes.fetch_sub(bytes, Ordering::Relaxed);
        holder.group.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn give(&mut self, waiter: Waiter) {
        self.unblock(&waiter.holder);
        self.take(&waiter.holder, waiter.bytes);
        // The receiver goes only while the state is locked, and takes its waiter along.
        let _ = waiter.answer.send(Ok(()));
    }

    /// Whether a holder may have so much more now.
    fn may_grow(&self, holder: &Holder, more: u64) -> bool {
        let (group, for_growth) = (&holder.group, self.for_growth());
        let (used, large) = (self.used + more, group.bytes.load(Ordering::Relaxed) + more);
        used <= for_growth
            && (large <= for_growth / SMALL
                || used <= for_growth / TOGETHER
                || self.is_first(group))
    }

    /// Whether it is the turn of this group.
    fn is_first(&self, group: &Group) -> bool {
        let first = self.turns.first_key_value().map(|(turn, _)| *turn);
        first == Some(group.turn.load(Ordering::Relaxed))
    }

    /// Puts a group at the end of the order of turns.
    fn takes_turn(&mut self, group: &Arc<Group>) {
        let turn = self.ticket();
        self.turns.remove(&group.turn.swap(turn, Ordering::Relaxed));
        self.turns.insert(turn, Arc::clone(group));
    }

    /// Lets groups pass by those that stand still although they do not wait for memory.
    fn pass_by(&mut self) {
        for _ in 0..self.turns.len() {
            let Some(first) = self
                .turns
                .first_entry()
                .map(|first| Arc::clone(first.get()))
            else {
                return;
            };
            if !first.stands_still() || self.is_waiting(&first) {
                return;
            }
            self.takes_turn(&first);
            // It has another second when it is first again.
            first.grows();
        }
    }

    /// Gives the turn to the first group that waits for memory. Those before it wait for something
    /// else, such as the place of a call that itself waits for memory.
    fn skip_to_waiting(&mut self) {
        for _ in 0..self.turns.len() {
            let Some(first) = self
                .turns
                .first_entry()
                .map(|first| Arc::clone(first.get()))
            else {
                return;
            };
            if self.is_waiting(&first) {
                return;
            }
            self.takes_turn(&first);
        }
    }

    fn is_waiting(&self, group: &Arc<Group>) -> bool {
        let mut waiting = self.growing.values();
        waiting.any(|waiter| Arc::ptr_eq(&waiter.holder.group, group))
    }

    /// Serves those that wait for growth and may have it.
    fn serve_growing(&mut self) {
        while let Some(place) = self
            .growing
            .iter()
            .find(|(_, waiter)| self.may_grow(&waiter.holder, waiter.bytes))
            .map(|(place, _)| *place)
            && let Some(waiter) = self.growing.remove(&place)
        {
            self.give(waiter);
        }
    }

    /// Who is refused when nobody can go on by himself.
    fn superfluous(&mut self) -> Option<Waiter> {
        let rank = |place: &u64, waiter: &Waiter| {
            let group = &waiter.holder.group;
            let held = waiter.holder.bytes.load(Ordering::Relaxed) + waiter.bytes;
            (!self.is_first(group), held, *place)
        };
        let ranked = self
            .growing
            .iter()
            .max_by_key(|(place, waiter)| rank(place, waiter));
        let place = ranked.map(|(place, _)| *place)?;
        self.growing.remove(&place)
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
        self.reserve_in(Arc::default(), ByteSize(bytes), deadline)
            .await
    }

    async fn reserve_in(
        self: &Arc<Self>,
        group: Arc<Group>,
        ByteSize(bytes): ByteSize,
        deadline: Option<Instant>,
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
                    bytes,
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
            };
            (reservation, waiting)
        };
        if let Some((place, granted)) = waiting {
            reservation.wait(place, granted, deadline).await?;
        }
        Ok(reservation)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves those that can be served, and if nobody can go on by himself, refuses one.
    fn settle(&self, state: &mut State) {
        while let Some(first) = state.arriving.first_entry() {
            if state.used + first.get().bytes > state.capacity {
                break;
            }
            let waiter = first.remove();
            state.give(waiter);
        }
        state.pass_by();
        state.serve_growing();
        if state.active == 0 {
            state.skip_to_waiting();
            state.serve_growing();
        }
        let for_growth = state.for_growth();
        while state.active == 0
            && let Some(refused) = state.superfluous()
        {
            state.unblock(&refused.holder);
            let others = state.used - refused.holder.bytes.load(Ordering::Relaxed);
            let why = if others <= state.capacity - for_growth {
                // It would not get so much if it came alone.
                Refused::TooLarge(ByteSize(for_growth))
            } else {
                Refused::Busy
            };
            let _ = refused.answer.send(Err(why));
        }
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
    Growing(u64),
}

/// On whose account something is reserved.
#[derive(Clone, Debug)]
pub struct Account {
    budget: Arc<Budget>,
    group: Arc<Group>,
}

impl Account {
    /// As [`Budget::reserve`], for the same request.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn reserve(
        &self,
        bytes: ByteSize,
        deadline: Option<Instant>,
    ) -> Result<Reservation, Refused> {
        let group = Arc::clone(&self.group);
        self.budget.reserve_in(group, bytes, deadline).await
    }
}

impl Reservation {
    /// For whatever else the same request needs.
    #[must_use]
    pub fn account(&self) -> Account {
        Account {
            budget: Arc::clone(&self.budget),
            group: Arc::clone(&self.holder.group),
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
            let place = state.ticket();
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
            state.give_back(&self.holder, held - bytes);
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

    /// For as long as the answer exists, somebody sees to it that these bytes are given back,
    /// whether the holder can go on or not.
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
            let mut granted = granted;
            loop {
                match tokio::time::timeout(STANDSTILL, &mut granted).await {
                    // It is not dropped unanswered while it waits.
                    Ok(result) => return result.unwrap_or(Err(Refused::Busy)),
                    Err(_) => self.budget.settle(&mut self.budget.lock()),
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
