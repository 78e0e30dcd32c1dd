//! A target: a client, a way through the limits, exchanges that are shared, and what is known of
//! the server.

mod request_calls;
mod upstream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use self::request_calls::RequestCalls;
use self::upstream::{Progress, Turn, Upstream};
use super::client::Client;
use super::guard::Guard;
use super::limits::{Caller, Lane};
use super::observe::TargetMetrics;
use super::sharing::Exchanges;
use super::{Answer, Call, Deadline, Store, StoreError, capabilities};
use crate::budget::{Account, Budget};
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

/// A call is not worth sending with less time than this.
const LEAST_TIME: Duration = Duration::from_millis(250);

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
        RequestCalls::new(Arc::clone(self), caller)
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
                // Whoever asked first had less time, and so had the store.
                Ok(Some(Turn::Asked(Err(StoreError::Timeout(_)))))
                    if progress
                        .announced()
                        .is_some_and(|announced| announced < deadline) => {}
                Ok(Some(Turn::Asked(result))) => return result,
                Ok(None) => return Err(self.upstream.client.failed_inside()),
                Err(_) if progress.announced().is_none() => {
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
