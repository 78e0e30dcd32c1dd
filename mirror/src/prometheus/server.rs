//! One server: a client, a way through the limits, exchanges that are shared, and what is known of
//! it.

mod calls;
mod upstream;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

pub(super) use self::calls::{ForRequest, ServerCalls, Way};
use self::upstream::{Progress, Turn, Upstream};
use super::client::{Client, Credentials};
use super::guard::Guard;
use super::limits::{Caller, Lane};
use super::observe::ServerMetrics;
use super::remembered::{OfServer, Remembered};
use super::sharing::Exchanges;
use super::{Answer, Call, Deadline, Store, StoreError, capabilities};
use crate::budget::{Account, Budget};
use crate::model::capabilities::Capabilities;
use crate::model::time::Timestamp;
use crate::plan::lasting::Dialect;
use crate::settings::TargetSettings;

/// One Prometheus server that may be asked: that of a [`Target`](super::Target), or one of its
/// servers. Made by [`super::Targets`].
///
/// A [`Server`] answers calls that stand alone. The calls of one request go through
/// [`Target::for_request`](super::Target::for_request).
#[derive(Debug)]
pub struct Server {
    settings: Arc<TargetSettings>,
    url: Url,
    upstream: Arc<Upstream>,
    lanes: Lanes,
    exchanges: Exchanges<Call, Turn, Progress>,
    /// None: nothing of it is.
    remembered: Option<Arc<Remembered>>,
    /// No other server has the same.
    number: u64,
}

/// How many servers there have been.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// The ways of a target's calls. All of its servers share them.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    pub(super) usual: Arc<Lane>,
    /// For calls after another replica has failed or is late: that one's calls may hang, and have
    /// all of the other places.
    pub(super) instead: Arc<Lane>,
}

impl Lanes {
    fn of(&self, way: Way) -> &Arc<Lane> {
        match way {
            Way::Usual => &self.usual,
            Way::Instead => &self.instead,
        }
    }
}

/// A call is not worth sending with less time than this.
const LEAST_TIME: Duration = Duration::from_millis(250);

/// What a server is made of, beside its target's settings and its URL.
pub(super) struct Parts {
    /// What its target is called in traces.
    pub(super) name: Arc<str>,
    pub(super) lanes: Lanes,
    /// All servers of a target share them, and each token with them.
    pub(super) credentials: Arc<Credentials>,
    pub(super) memory: Arc<Budget>,
    pub(super) metrics: Arc<ServerMetrics>,
    pub(super) guard: Option<Arc<Guard>>,
    /// Where finished buckets are kept; none if those of this server are not.
    pub(super) remembered: Option<Arc<Remembered>>,
}

impl Server {
    pub(super) fn new(settings: Arc<TargetSettings>, url: Url, parts: Parts) -> Self {
        let Parts {
            name,
            lanes,
            credentials,
            memory,
            metrics,
            guard,
            remembered,
        } = parts;
        let client = Client::new(&settings, &url, &credentials, Arc::clone(&metrics), guard);
        let upstream = Upstream {
            name,
            client,
            patience: settings.request_timeout / 2,
            capabilities: Mutex::default(),
            memory,
            metrics,
        };
        Self {
            settings,
            url,
            upstream: Arc::new(upstream),
            lanes,
            exchanges: Exchanges::new(),
            remembered,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// What is remembered of it. None: nothing is, or it is not known what it can do.
    pub(super) fn memory(&self) -> Option<OfServer> {
        let remembered = self.remembered.as_ref().filter(|one| one.is_on())?;
        let dialect = match self.known_capabilities()?.is_metricsql() {
            true => Dialect::MetricsQl,
            false => Dialect::PromQl,
        };
        Some(OfServer {
            remembered: Arc::clone(remembered),
            server: self.number,
            dialect,
        })
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How it is shown who the mirror is.
    pub(super) fn credentials(&self) -> &Arc<Credentials> {
        self.upstream.client.credentials()
    }

    /// Whether it would be the same for a target of these settings.
    pub(super) fn suits(&self, settings: &TargetSettings) -> bool {
        let (own, other) = (&*self.settings, settings);
        let alike = TargetSettings {
            servers: own.servers.clone(),
            partial_responses: own.partial_responses,
            ..other.clone()
        };
        // What it is called in messages depends on whether there are others.
        *own == alike && own.servers.only().is_some() == other.servers.only().is_some()
    }

    /// Under which labels its calls are counted.
    pub(super) fn metrics(&self) -> &Arc<ServerMetrics> {
        &self.upstream.metrics
    }

    /// Why a call would not go out now: the server asks to slow down. None: it would.
    #[must_use]
    pub fn throttled(&self) -> Option<StoreError> {
        let client = &self.upstream.client;
        let until = client.pace().paused()?;
        Some(client.held_back(until.saturating_duration_since(Instant::now())))
    }

    /// Waits until a pause is over that the server asked for. A call that cannot wait so long ends
    /// here, and so does one too many.
    async fn hold(&self, until: Instant, deadline: Instant) -> Result<(), StoreError> {
        let client = &self.upstream.client;
        let left = until.saturating_duration_since(Instant::now());
        if until + LEAST_TIME > deadline {
            return Err(client.held_back(left));
        }
        let place = client.pace().hold(self.lanes.usual.most_waiting());
        let _place = place.ok_or_else(|| client.held_back(left))?;
        let _counted = self.upstream.metrics.held_now();
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }

    async fn call_admitted(
        &self,
        call: Call,
        Deadline(deadline): Deadline,
        (caller, way): (Caller, Way),
        admitted: &AtomicBool,
        mut account: Option<Account>,
    ) -> Result<Arc<Answer>, StoreError> {
        loop {
            if Instant::now() >= deadline {
                return Err(self.upstream.client.too_slow());
            }
            if let Some(until) = self.upstream.client.pace().paused() {
                account.iter_mut().for_each(Account::waits_for_others);
                self.hold(until, deadline).await?;
                // It has waited for its turn once, and those that wait are bounded.
                admitted.store(true, Ordering::Relaxed);
                continue;
            }
            let (outcome, progress, joined) = self.exchanges.join(call.clone(), || {
                let ticket = self
                    .lanes
                    .of(way)
                    .enter(caller, admitted.load(Ordering::Relaxed))
                    .ok_or(StoreError::QueueFull)?;
                let progress = Arc::new(Progress::new(deadline));
                let exchange = Arc::clone(&self.upstream).exchange(
                    call.clone(),
                    ticket,
                    Arc::clone(&progress),
                    account.as_mut().map(Account::take),
                );
                Ok::<_, StoreError>((progress, exchange))
            })?;
            admitted.store(true, Ordering::Relaxed);
            account.iter_mut().for_each(Account::waits_for_others);
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

/// What `store`, which leads to `server`, can do. Callers at the same time share the probe because
/// they share its calls.
async fn capabilities(
    server: &Server,
    store: &impl Store,
    deadline: Deadline,
) -> Result<Capabilities, StoreError> {
    if let Some(known) = server.known_capabilities() {
        return Ok(known);
    }
    // It is kilobytes long, and happens once.
    let found = Box::pin(capabilities::probe(store, Timestamp::now(), deadline)).await?;
    *server
        .upstream
        .capabilities
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some(found);
    Ok(found)
}

impl Store for Server {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        self.call_admitted(
            call,
            deadline,
            (Caller::Mirror, Way::Usual),
            &AtomicBool::new(false),
            None,
        )
        .await
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        capabilities(self, self, deadline).await
    }
}
