//! Who gets memory next: decided here, under the budget's lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Refused;
use super::size::ByteSize;

/// A group is small up to this part of what growth may use.
const SMALL: u64 = 64;

/// Larger ones grow together while no more than this part of it is used.
const TOGETHER: u64 = 4;

/// So long a group may stand still while others wait for the end of its turn.
pub(super) const STANDSTILL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) capacity: u64,
    pub(super) used: u64,
    /// How many holders can go on by themselves.
    pub(super) active: usize,
    next: u64,
    /// In the order of arrival.
    pub(super) arriving: BTreeMap<u64, Waiter>,
    /// In the order of arrival.
    pub(super) growing: BTreeMap<u64, Waiter>,
    /// The large groups that have had to wait, in the order of their turns.
    pub(super) turns: BTreeMap<u64, Arc<Group>>,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wants {
    /// So many more bytes.
    Bytes(u64),
    /// That it is the turn of its group.
    Turn,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) wants: Wants,
    pub(super) holder: Arc<Holder>,
    pub(super) answer: oneshot::Sender<Result<(), Refused>>,
}

/// What is known of a holder. Changed only while the state is locked.
#[derive(Debug, Default)]
pub(super) struct Holder {
    pub(super) bytes: AtomicU64,
    /// For how many things it waits that need somebody else's progress. Active: none.
    pub(super) blocked: AtomicUsize,
    pub(super) group: Arc<Group>,
}

/// The holders of one request. Changed only while the state is locked.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) bytes: AtomicU64,
    pub(super) holders: AtomicUsize,
    /// How many of its holders wait for growth.
    waiting: AtomicUsize,
    /// Its place in the order of turns. 0: it has none.
    pub(super) turn: AtomicU64,
    /// When it grew last, once it has a turn.
    grew: Mutex<Option<Instant>>,
}

impl Group {
    pub(super) fn grows(&self) {
        *self.grew.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it waits for memory.
    fn waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Whether it has not grown for long.
    pub(super) fn stands_still(&self) -> bool {
        let grew = *self.grew.lock().unwrap_or_else(PoisonError::into_inner);
        grew.is_none_or(|grew| grew.elapsed() >= STANDSTILL)
    }
}

impl Holder {
    pub(super) fn of(group: Arc<Group>) -> Self {
        group.holders.fetch_add(1, Ordering::Relaxed);
        Self {
            group,
            ..Self::default()
        }
    }
}

impl State {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            ..Self::default()
        }
    }

    /// So much growth may use.
    pub(super) fn for_growth(&self) -> u64 {
        self.capacity - self.capacity / 8
    }

    /// So much small groups may use when they grow.
    fn for_small_growth(&self) -> u64 {
        self.capacity - self.capacity / 16
    }

    pub(super) fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn block(&mut self, holder: &Holder) {
        if holder.blocked.fetch_add(1, Ordering::Relaxed) == 0 {
            self.active -= 1;
        }
    }

    pub(super) fn unblock(&mut self, holder: &Holder) {
        if holder.blocked.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.active += 1;
        }
    }

    pub(super) fn take(&mut self, holder: &Holder, bytes: u64) {
        self.used += bytes;
        holder.bytes.fetch_add(bytes, Ordering::Relaxed);
        holder.group.bytes.fetch_add(bytes, Ordering::Relaxed);
        if holder.group.turn.load(Ordering::Relaxed) != 0 {
            holder.group.grows();
        }
    }

    pub(super) fn give_back(&mut self, holder: &Holder, bytes: u64) {
        self.used -= bytes;
        holder.bytes.fetch_sub(bytes, Ordering::Relaxed);
        holder.group.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn give(&mut self, waiter: Waiter) {
        self.unblock(&waiter.holder);
        if let Wants::Bytes(bytes) = waiter.wants {
            self.take(&waiter.holder, bytes);
        }
        // The receiver goes only while the state is locked, and takes its waiter along.
        let _ = waiter.answer.send(Ok(()));
    }

    /// Whether a holder may have so much more now.
    pub(super) fn may_grow(&self, holder: &Holder, more: u64) -> bool {
        let (group, for_growth) = (&holder.group, self.for_growth());
        let (used, large) = (self.used + more, group.bytes.load(Ordering::Relaxed) + more);
        if large <= for_growth / SMALL {
            return used <= self.for_small_growth();
        }
        used <= for_growth && (used <= for_growth / TOGETHER || self.is_first(group))
    }

    /// Whether somebody may have now what it waits for.
    fn may_have(&self, waiter: &Waiter) -> bool {
        match waiter.wants {
            Wants::Bytes(more) => self.may_grow(&waiter.holder, more),
            Wants::Turn => self.is_first(&waiter.holder.group),
        }
    }

    /// Whether it is the turn of this group.
    pub(super) fn is_first(&self, group: &Group) -> bool {
        let first = self.turns.first_key_value().map(|(turn, _)| *turn);
        first == Some(group.turn.load(Ordering::Relaxed))
    }

    /// Puts a group at the end of the order of turns.
    pub(super) fn takes_turn(&mut self, group: &Arc<Group>) {
        let turn = self.ticket();
        self.turns.remove(&group.turn.swap(turn, Ordering::Relaxed));
        self.turns.insert(turn, Arc::clone(group));
    }

    /// The group whose turn it is.
    fn first(&self) -> Option<Arc<Group>> {
        self.turns.values().next().map(Arc::clone)
    }

    /// Lets groups pass by those that stand still although they do not wait for memory.
    fn pass_by(&mut self) {
        for _ in 0..self.turns.len() {
            let still = |first: &Arc<Group>| first.stands_still() && !first.waits();
            let Some(first) = self.first().filter(still) else {
                return;
            };
            self.takes_turn(&first);
            // It has another second when it is first again.
            first.grows();
        }
    }

    /// Gives the turn to the first group that waits for memory. Those before it wait for something
    /// else, such as the place of a call that itself waits for memory.
    fn skip_to_waiting(&mut self) {
        for _ in 0..self.turns.len() {
            let Some(first) = self.first().filter(|first| !first.waits()) else {
                return;
            };
            self.takes_turn(&first);
        }
    }

    /// Puts a holder into the queue of those that wait for growth. Returns its place.
    pub(super) fn waits_for_growth(&mut self, waiter: Waiter) -> u64 {
        let place = self.ticket();
        self.block(&waiter.holder);
        waiter.holder.group.waiting.fetch_add(1, Ordering::Relaxed);
        self.growing.insert(place, waiter);
        place
    }

    /// Takes a holder out of that queue, if it is still there.
    pub(super) fn leaves_growing(&mut self, place: u64) -> Option<Waiter> {
        let waiter = self.growing.remove(&place)?;
        waiter.holder.group.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(waiter)
    }

    /// Serves those that wait for growth and may have it, in one pass: who may not have it before
    /// another is served may not have it after.
    fn serve_growing(&mut self) {
        let mut from = 0;
        while let Some(place) = self
            .growing
            .range(from..)
            .find(|(_, waiter)| self.may_have(waiter))
            .map(|(place, _)| *place)
            && let Some(waiter) = self.leaves_growing(place)
        {
            self.give(waiter);
            from = place + 1;
        }
    }

    /// Who has to give way when nobody can go on by himself: never one that waits for its turn, as
    /// it holds next to nothing.
    pub(super) fn superfluous(&mut self) -> Option<Waiter> {
        let rank = |place: &u64, waiter: &Waiter| {
            let Wants::Bytes(bytes) = waiter.wants else {
                return None;
            };
            let group = &waiter.holder.group;
            let held = waiter.holder.bytes.load(Ordering::Relaxed) + bytes;
            Some((!self.is_first(group), held, *place))
        };
        let ranked = self
            .growing
            .iter()
            .filter_map(|(place, waiter)| Some((rank(place, waiter)?, *place)))
            .max();
        let (_, place) = ranked?;
        self.leaves_growing(place)
    }

    /// Serves those that can be served, and if nobody can go on by himself, lets one give way.
    pub(super) fn settle(&mut self) {
        while let Some(first) = self.arriving.first_entry() {
            if let Wants::Bytes(bytes) = first.get().wants
                && self.used + bytes > self.capacity
            {
                break;
            }
            let waiter = first.remove();
            self.give(waiter);
        }
        self.pass_by();
        self.serve_growing();
        if self.active == 0 {
            self.skip_to_waiting();
            self.serve_growing();
        }
        let for_growth = self.for_growth();
        while self.active == 0
            && let Some(refused) = self.superfluous()
        {
            self.unblock(&refused.holder);
            let others = self.used - refused.holder.bytes.load(Ordering::Relaxed);
            let why = if others <= self.capacity - for_growth {
                // It would not get so much if it came alone.
                Refused::TooLarge(ByteSize(for_growth))
            } else {
                Refused::GivesWay
            };
            let _ = refused.answer.send(Err(why));
        }
    }
}
