//! A target: a client, a way through the limits, exchanges that are shared, and what is known of
//! the server.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::Instrument as _;

use super::charge::{self, Charge};
use super::client::Client;
use super::guard::Guard;
use super::limits::{Caller, Lane, Ticket};
use super::observe::TargetMetrics;
use super::sharing::Exchanges;
use super::{Answer, Call, Deadline, Store, StoreError, capabilities};
use crate::budget::size::ByteSize;
use crate::budget::{Account, Budget, Reservation};
use crate::model::capabilities::Capabilities;
use crate::model::time::Timestamp;
use crate::settings::TargetSettings;

/// One Prometheus server that may be asked. Made by [`super::Targets`].
///
/// A [`Target`] answers calls that stand alone. The calls of one request go through
/// [`Target::for_request`].
#[derive(Debug)]
pub struct Target {
    settings: Arc<TargetSettings>,
    upstream: Arc<Upstream>,
    lane: Arc<Lane>,
    exchanges: Exchanges<Call, Turn, Progress>,
}

/// What came of a call when its turn came.
#[derive(Clone, Debug)]
enum Turn {
    /// It was sent.
    Asked(Result<Arc<Answer>, StoreError>),
    /// The target had asked to be left in peace meanwhile. It was not sent, and its place is free
    /// for others.
    Paused,
    /// It had to leave the queue for another caller's call.
    Displaced,
}

/// A call is not worth sending with less time than this.
const LEAST_TIME: Duration = Duration::from_millis(250);

/// What an exchange needs while it runs.
#[derive(Debug)]
struct Upstream {
    name: String,
    client: Client,
    /// A call without an answer for so long says something about the server, and not about the time
    /// that its caller had.
    patience: Duration,
    capabilities: Mutex<Option<Capabilities>>,
    memory: Arc<Budget>,
    metrics: Arc<TargetMetrics>,
}

/// What callers know of an exchange.
#[derive(Debug)]
struct Progress {
    /// The latest deadline of the callers so far.
    deadline: Mutex<Instant>,
    /// Once the call is sent: the deadline that the store was told, and the instant.
    sent: OnceLock<(Instant, Instant)>,
    /// Whether it waits for memory now.
    waits_for_memory: Arc<AtomicBool>,
}

impl Progress {
    fn new(deadline: Instant) -> Self {
        Self {
            deadline: Mutex::new(deadline),
            sent: OnceLock::new(),
            waits_for_memory: Arc::default(),
        }
    }

    fn extend(&self, deadline: Instant) {
        let mut latest = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = (*latest).max(deadline);
    }

    fn send(&self) -> Instant {
        let told = || *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        self.sent.get_or_init(|| (told(), Instant::now())).0
    }

    /// The deadline that the store was told, once it was.
    fn told(&self) -> Option<Instant> {
        self.sent.get().map(|(told, _)| *told)
    }

    /// Whether the store has had so much time.
    fn has_lasted(&self, time: Duration) -> bool {
        self.sent.get().is_some_and(|(_, at)| at.elapsed() >= time)
    }
}

/// The calls of one request to a target. Once its first call is past the door of the queue, the
/// request is admitted: its later calls wait, but are not refused because the queue is full.
#[derive(Debug)]
pub struct RequestCalls {
    target: Arc<Target>,
    caller: Caller,
    admitted: AtomicBool,
    memory: Option<RequestMemory>,
}

/// What evaluating a request takes beside the answers that it reads.
#[derive(Debug)]
struct RequestMemory {
    reservation: Arc<Reservation>,
    /// What of the answers so far is kept, in bytes.
    kept: AtomicU64,
}

impl Target {
    pub(super) fn new(
        settings: Arc<TargetSettings>,
        name: &str,
        lane: Arc<Lane>,
        memory: Arc<Budget>,
        metrics: Arc<TargetMetrics>,
        guard: Option<Arc<Guard>>,
    ) -> Self {
        let client = Client::new(&settings, Arc::clone(&metrics), guard);
        let upstream = Upstream {
            name: name.to_owned(),
            client,
            patience: settings.request_timeout / 2,
            capabilities: Mutex::default(),
            memory,
            metrics,
        };
        Self {
            settings,
            upstream: Arc::new(upstream),
            lane,
            exchanges: Exchanges::new(),
        }
    }

    /// What the target was made from.
    #[must_use]
    pub fn settings(&self) -> &Arc<TargetSettings> {
        &self.settings
    }

    /// The store to use for all calls of one request of `caller`.
    #[must_use]
    pub fn for_request(self: &Arc<Self>, caller: Caller) -> RequestCalls {
        RequestCalls {
            target: Arc::clone(self),
            caller,
            admitted: AtomicBool::new(false),
            memory: None,
        }
    }

    /// Why a call would not go out now: the target asks to slow down. None: it would.
    #[must_use]
    pub fn throttled(&self) -> Option<StoreError> {
        let client = &self.upstream.client;
        let until = client.pace().paused()?;
        Some(client.held_back(until.saturating_duration_since(Instant::now())))
    }

    /// Waits until a pause is over that the target asked for. A call that cannot wait so long ends
    /// here, and so does one too many.
    async fn hold(&self, until: Instant, deadline: Instant) -> Result<(), StoreError> {
        let client = &self.upstream.client;
        let left = until.saturating_duration_since(Instant::now());
        if until + LEAST_TIME > deadline {
            return Err(client.held_back(left));
        }
        let place = client.pace().hold(self.lane.most_waiting());
        let _place = place.ok_or_else(|| client.held_back(left))?;
        let _counted = self.upstream.metrics.held_now();
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }

    async fn call_admitted(
        &self,
        call: Call,
        Deadline(deadline): Deadline,
        caller: Caller,
        admitted: &AtomicBool,
        account: Option<Account>,
    ) -> Result<Arc<Answer>, StoreError> {
        loop {
            if Instant::now() >= deadline {
                return Err(self.upstream.client.too_slow());
            }
            if let Some(until) = self.upstream.client.pace().paused() {
                self.hold(until, deadline).await?;
                // It has waited for its turn once, and those that wait are bounded.
                admitted.store(true, Ordering::Relaxed);
                continue;
            }
            let (outcome, progress, joined) = self.exchanges.join(call.clone(), || {
                let ticket = self
                    .lane
                    .enter(caller, admitted.load(Ordering::Relaxed))
                    .ok_or(StoreError::QueueFull)?;
                let progress = Arc::new(Progress::new(deadline));
                let exchange = Arc::clone(&self.upstream).exchange(
                    call.clone(),
                    ticket,
                    Arc::clone(&progress),
                    account.clone(),
                );
                Ok::<_, StoreError>((progress, exchange))
            })?;
            admitted.store(true, Ordering::Relaxed);
            if joined {
                progress.extend(deadline);
                self.upstream.metrics.shared.inc();
            }
            match tokio::time::timeout_at(deadline.into(), outcome).await {
                Ok(Some(Turn::Paused)) => {}
                // It was another caller's that this one had joined. On its own, it is let in.
                Ok(Some(Turn::Displaced)) if joined => {}
                Ok(Some(Turn::Displaced)) => return Err(StoreError::QueueFull),
                // Whoever asked first had less time and told the store so.
                Ok(Some(Turn::Asked(Err(StoreError::Timeout(_)))))
                    if progress.told().is_some_and(|told| told < deadline) => {}
                Ok(Some(Turn::Asked(result))) => return result,
                Ok(None) => return Err(self.upstream.client.failed_inside()),
                Err(_) if progress.told().is_none() => {
                    return Err(StoreError::ExpiredInQueue);
                }
                Err(_) if progress.waits_for_memory.load(Ordering::Relaxed) => {
                    return Err(StoreError::OutOfMemory);
                }
                Err(_) => {
                    if progress.has_lasted(self.upstream.patience) {
                        self.upstream.forget_capabilities();
                    }
                    return Err(self.upstream.client.too_slow());
                }
            }
        }
    }

    fn known_capabilities(&self) -> Option<Capabilities> {
        *self
            .upstream
            .capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `store`, which leads to `target`, can do. Callers at the same time share the probe because
/// they share its calls.
async fn capabilities(
    target: &Target,
    store: &impl Store,
    deadline: Deadline,
) -> Result<Capabilities, StoreError> {
    if let Some(known) = target.known_capabilities() {
        return Ok(known);
    }
    let found = capabilities::probe(store, Timestamp::now(), deadline).await?;
    *target
        .upstream
        .capabilities
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(found);
    Ok(found)
}

impl Upstream {
    /// One exchange, from the queue to the answer. It has no time limit of its own, see
    /// `sharing.rs`.
    fn exchange(
        self: Arc<Self>,
        call: Call,
        ticket: Ticket,
        progress: Arc<Progress>,
        account: Option<Account>,
    ) -> impl Future<Output = Turn> + Send + 'static {
        let span = tracing::debug_span!("upstream call", target = %self.name, ?call, outcome = tracing::field::Empty);
        let recorder = span.clone();
        let exchange = async move {
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
        };
        exchange.instrument(span)
    }

    fn forget_capabilities(&self) {
        *self
            .capabilities
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.client.forget_methods();
    }
}

impl Store for Target {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        self.call_admitted(
            call,
            deadline,
            Caller::Mirror,
            &AtomicBool::new(false),
            None,
        )
        .await
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        capabilities(self, self, deadline).await
    }
}

impl RequestCalls {
    /// The same, with the memory of the request: it grows by what is kept of the answers.
    #[must_use]
    pub fn with_memory(self, reservation: Arc<Reservation>) -> Self {
        let kept = AtomicU64::new(0);
        Self {
            memory: Some(RequestMemory { reservation, kept }),
            ..self
        }
    }
}

impl RequestMemory {
    async fn keeps(&self, answer: &Answer, Deadline(deadline): Deadline) -> Result<(), StoreError> {
        let more = charge::kept_of(answer);
        let kept = ByteSize(self.kept.fetch_add(more, Ordering::Relaxed) + more);
        Ok(self.reservation.grow_to(kept, Some(deadline)).await?)
    }
}

impl Store for RequestCalls {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        let account = self.memory.as_ref();
        let account = account.map(|memory| memory.reservation.account());
        let call = self
            .target
            .call_admitted(call, deadline, self.caller, &self.admitted, account);
        let Some(memory) = &self.memory else {
            return call.await;
        };
        let answer = {
            let _blocked = memory.reservation.waits_for_others();
            call.await?
        };
        answer.held.rests();
        memory.keeps(&answer, deadline).await?;
        Ok(answer)
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        capabilities(&self.target, self, deadline).await
    }
}
