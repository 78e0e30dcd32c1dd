//! One exchange: from its turn in the queue to its answer.

use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::Instrument as _;

use crate::budget::{Account, Budget};
use crate::model::capabilities::Capabilities;
use crate::prometheus::charge::Charge;
use crate::prometheus::client::Client;
use crate::prometheus::limits::Ticket;
use crate::prometheus::observe::ServerMetrics;
use crate::prometheus::{Answer, Call, StoreError};

/// What came of a call when its turn came.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    /// It was sent.
    Asked(Result<Arc<Answer>, StoreError>),
    /// The server had asked to be left in peace meanwhile. It was not sent, and its place is free
    /// for others.
    Paused,
    /// It had to leave the queue for another caller's call.
    Displaced,
}

/// What an exchange needs while it runs.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: Arc<str>,
    pub(super) client: Client,
    /// A call without an answer for so long says something about the server, and not about the time
    /// that its caller had.
    pub(super) patience: Duration,
    pub(super) capabilities: Mutex<Option<Capabilities>>,
    pub(super) memory: Arc<Budget>,
    pub(super) metrics: Arc<ServerMetrics>,
}

/// What callers know of an exchange.
#[derive(Debug)]
pub(super) struct Progress {
    /// The latest deadline of the callers so far.
    deadline: Mutex<Instant>,
    /// Once the call is sent: the deadline that was sent with it, and the instant.
    sent: OnceLock<(Instant, Instant)>,
    /// Whether it waits for memory now.
    pub(super) waits_for_memory: Arc<AtomicBool>,
}

impl Progress {
    pub(super) fn new(deadline: Instant) -> Self {
        Self {
            deadline: Mutex::new(deadline),
            sent: OnceLock::new(),
            waits_for_memory: Arc::default(),
        }
    }

    pub(super) fn extend(&self, deadline: Instant) {
        let mut latest = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = (*latest).max(deadline);
    }

    fn send(&self) -> Instant {
        let latest = || *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        self.sent.get_or_init(|| (latest(), Instant::now())).0
    }

    /// The deadline that was sent to the store, once it was.
    pub(super) fn announced(&self) -> Option<Instant> {
        self.sent.get().map(|(deadline, _)| *deadline)
    }

    /// Whether the store has had so much time.
    pub(super) fn has_lasted(&self, time: Duration) -> bool {
        self.sent.get().is_some_and(|(_, at)| at.elapsed() >= time)
    }
}

impl Upstream {
    /// One exchange, from the queue to the answer. It has no time limit of its own, see
    /// `sharing.rs`.
    pub(super) fn exchange(
        self: Arc<Self>,
        call: Call,
        ticket: Ticket,
        progress: Arc<Progress>,
        mut account: Option<Account>,
    ) -> impl Future<Output = Turn> + Send + 'static {
        let span = tracing::debug_span!("upstream call", target = %self.name, ?call, outcome = tracing::field::Empty);
        let recorder = span.clone();
        if ticket.waits() {
            account.iter_mut().for_each(Account::waits_for_others);
        }
        // It is kilobytes long, and handed on several times before it runs.
        let exchange = Box::pin(async move {
            let queued = Instant::now();
            let Ok(_place) = ticket.served().await else {
                recorder.record("outcome", "displaced");
                return Turn::Displaced;
            };
            self.metrics.waited(queued.elapsed());
            if self.client.pace().paused().is_some() {
                recorder.record("outcome", "held");
                return Turn::Paused;
            }
            let deadline = progress.send();
            let waits = Arc::clone(&progress.waits_for_memory);
            let charge = match Charge::new(&self.memory, account, waits, deadline).await {
                Ok(charge) => charge,
                Err(error) => return Turn::Asked(Err(error)),
            };
            let sent = self.metrics.sent(deadline);
            let result = self.client.ask(&call, deadline, charge).await;
            recorder.record("outcome", sent.ended(&result));
            if let Err(error) = &result {
                tracing::debug!(%error, "no answer");
            }
            let has_failed = match &result {
                Err(StoreError::Unreachable(_)) => true,
                Err(StoreError::Timeout(_)) => progress.has_lasted(self.patience),
                _ => false,
            };
            if has_failed {
                // Another server may have taken its place when it comes back.
                self.forget_capabilities();
            }
            Turn::Asked(result.map(Arc::new))
        });
        exchange.instrument(span)
    }

    pub(super) fn forget_capabilities(&self) {
        *self
            .capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.client.forget_methods();
    }
}
