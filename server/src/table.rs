//! The connections of one listener at work: [`Shares`] behind a lock, and what tells of each
//! connection's state.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::client::ClientAddress;
use crate::limits::Limits;
use crate::shares::{Admitted, Id, Shares};

/// So many connections that gave way may still have to end, beside those that are counted.
const ENDING: usize = 16;

/// The connections of a listener.
#[derive(Debug)]
pub(crate) struct Table {
    shares: Mutex<State>,
    ended: Notify,
    most: usize,
}

#[derive(Debug)]
struct State {
    shares: Shares<AbortHandle>,
    /// Connections that really are open: those that are counted, and those that gave way and are
    /// about to end.
    open: usize,
}

impl Table {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        let shares = Shares::new(limits.connections, limits.per_client);
        Arc::new(Self {
            shares: Mutex::new(State { shares, open: 0 }),
            ended: Notify::new(),
            most: limits.connections + ENDING,
        })
    }

    /// Waits until those that gave way have ended. That takes them no longer than their turn.
    pub(crate) async fn room(&self) {
        loop {
            let ended = self.ended.notified();
            if self.lock().open < self.most {
                return;
            }
            ended.await;
        }
    }

    /// A place for a connection of `client`, if there is one or an idle connection gives it up.
    pub(crate) fn admit(self: &Arc<Self>, client: ClientAddress) -> Option<Place> {
        let Admitted { id, displaced } = {
            let mut state = self.lock();
            let admitted = state.shares.admit(client)?;
            state.open += 1;
            admitted
        };
        if let Some(displaced) = displaced {
            displaced.abort();
        }
        Some(Place {
            table: Arc::clone(self),
            id,
            under_way: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        })
    }

    /// Says which task serves the connection `id`.
    pub(crate) fn attach(&self, id: Id, task: AbortHandle) {
        self.lock().shares.attach(id, task);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the table. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<Table>,
    id: Id,
    /// A request has come, and its answer is not yet written.
    under_way: AtomicBool,
    /// The answer is complete, but perhaps not yet written.
    answered: AtomicBool,
}

impl Place {
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// A request begins.
    pub(crate) fn asked(&self) {
        self.under_way.store(true, Ordering::Relaxed);
        self.answered.store(false, Ordering::Relaxed);
        self.table.lock().shares.busy(self.id);
    }

    /// Whether a request is being answered: from its head until its answer is written.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Nothing is left of a request's answer but what waits to be written.
    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// All that there was to be written is with the operating system.
    pub(crate) fn flushed(&self) {
        if self.answered.swap(false, Ordering::Relaxed) {
            self.under_way.store(false, Ordering::Relaxed);
            self.table.lock().shares.idle(self.id);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.table.lock();
        state.shares.remove(self.id);
        state.open -= 1;
        drop(state);
        self.table.ended.notify_one();
    }
}
