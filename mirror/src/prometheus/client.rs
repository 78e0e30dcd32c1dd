//! One exchange over HTTP: a call goes out, an answer or the reason why there is none comes back.
//!
//! In the good case that is one request. There are two only where the first shows that a call must
//! go in another way (`methods`), that a kept connection was closed under it (`connections`), or
//! that a token or a signature is not good (`credentials`, `signing`).

mod arriving;
mod connections;
mod credentials;
mod decoding;
mod failures;
mod foreign;
mod http_client;
mod methods;
mod refusal;
mod sender;
mod signing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::StatusCode;
use tokio::sync::OnceCell;
use url::Url;

use self::connections::Connections;
pub(super) use self::credentials::Credentials;
use self::credentials::Response;
use self::methods::{Methods, Next, Way};
use self::sender::{Added, Parts, Sender};
use super::charge::Charge;
use super::decode::Decoded;
use super::guard::Guard;
use super::http::{self, Secrets, root_cause};
use super::observe::ServerMetrics;
use super::request::{Base, Request};
use super::throttle::{self, Pace};
use super::{Answer, Call, StoreError, tls};
use crate::model::cache_control::has_directive;
use crate::settings::TargetSettings;

/// The largest body that is taken. 30,240 points of 20 series are about 20 MiB.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// So much of an error's body, or of a page, is looked at.
pub(super) const MAX_ERROR_BYTES: usize = 64 << 10;

/// So long the rest of an error's body is waited for: its status says most of it already.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The HTTP client of one server. It sets no time limit: whoever waits drops the exchange, which
/// closes its connection.
#[derive(Debug)]
pub(super) struct Client {
    /// What the server is called in messages.
    name: String,
    settings: Arc<TargetSettings>,
    /// The server's URL, as declared.
    declared: Url,
    /// Where it asks; see [`tls::named`].
    base: Base,
    /// What the Host header must say if it is not the URL's host.
    host: Option<String>,
    /// Where it must not lead; none where it may lead anywhere.
    guard: Option<Arc<Guard>>,
    /// Or why there can't be one; the other targets are served all the same.
    http: Result<Sender, StoreError>,
    connections: Connections,
    /// A client that keeps no connections. Made when it is needed first, which is never for most
    /// targets.
    fresh: OnceCell<Sender>,
    methods: Methods,
    pace: Pace,
    credentials: Arc<Credentials>,
    secrets: Secrets,
    metrics: Arc<ServerMetrics>,
}

impl Client {
    /// The servers of one target share `credentials`.
    pub(super) fn new(
        settings: &Arc<TargetSettings>,
        declared: &Url,
        credentials: &Arc<Credentials>,
        metrics: Arc<ServerMetrics>,
        guard: Option<Arc<Guard>>,
    ) -> Self {
        let name = match settings.servers.only() {
            Some(_) => format!("target {}", settings.name),
            None => format!("server {declared} of target {}", settings.name),
        };
        let (url, host) = tls::named(settings, declared);
        let base = Base::new(url);
        let connections = Connections::default();
        let parts = Parts {
            settings,
            base: &base,
            declared,
            host: host.as_deref(),
            guard: guard.as_ref(),
            kept: Some(&connections),
        };
        let http = Sender::new(&parts).map_err(|error| {
            StoreError::Unreachable(format!("{name} cannot be asked: {}", root_cause(&error)))
        });
        Self {
            name,
            settings: Arc::clone(settings),
            declared: declared.clone(),
            base,
            host,
            guard,
            http,
            connections,
            fresh: OnceCell::new(),
            methods: Methods::default(),
            pace: Pace::default(),
            credentials: Arc::clone(credentials),
            secrets: Secrets::of(settings),
            metrics,
        }
    }

    /// Whether and how long the target asked to be left in peace.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// How it shows who the mirror is.
    pub(super) fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Forgets what the target lets through: another server may be there now.
    pub(super) fn forget_methods(&self) {
        self.methods.forget();
    }

    /// Asks. The store is asked to finish a query by `deadline`. The answer keeps of `charge`
    /// what it takes.
    pub(super) async fn ask(
        &self,
        call: &Call,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Answer, StoreError> {
        let began = Instant::now();
        let result = self.answer(call, deadline, began, charge).await;
        match &result {
            Ok(_) | Err(StoreError::Rejected { .. }) => self.pace.flows(began),
            Err(StoreError::Throttled { .. }) => {
                if let Some(until) = self.pace.paused() {
                    self.metrics.throttled(until);
                }
            }
            Err(_) => {}
        }
        result
    }

    async fn answer(
        &self,
        call: &Call,
        deadline: Instant,
        began: Instant,
        charge: Charge,
    ) -> Result<Answer, StoreError> {
        let timeout = deadline.saturating_duration_since(began);
        let mut request = Request::new(&self.base, call, timeout);
        if let Credentials::Signed(_) = *self.credentials {
            request = request.strictly_encoded();
        }
        let chosen = self.methods.choose(call, &request);
        let mut way = chosen.ok_or_else(|| self.too_long(call, &request))?;
        let mut before = None;
        let Response { http, sent } = loop {
            let response = self.send(&request, way, began).await?;
            let status = response.http.status();
            if throttle::asks_to_slow_down(status, response.http.headers()) {
                break response;
            }
            match self.methods.learn(call, &request, way, before, status) {
                Next::Answered => break response,
                Next::Again(next) => before = Some(std::mem::replace(&mut way, next)),
                Next::TooLong => return Err(self.too_long(call, &request)),
            }
        };
        let secrets = || sent.secrets(&self.secrets);
        if !http.status().is_success() {
            let status = http.status();
            let refusal = self.refusal(http, began, &secrets()).await;
            return Err(match refusal {
                StoreError::Unreachable(message) if is_missing(call, status) => {
                    StoreError::NotOffered(message)
                }
                refusal => refusal,
            });
        }
        let status = http.status().as_u16();
        let must_not_be_kept = has_directive(http.headers(), &["no-store"]);
        let decoded = match call {
            Call::Instant { .. } | Call::Range { .. } | Call::Samples { .. } => {
                self.decode_stream(call, http, &secrets, deadline, charge)
                    .await?
            }
            _ => {
                self.decode_whole(call, http, &secrets, deadline, charge)
                    .await?
            }
        };
        match decoded {
            Decoded::Success(mut answer) => {
                answer.arrival.is_post = way == Way::Post;
                answer.arrival.status = status;
                answer.must_not_be_kept = must_not_be_kept;
                Ok(answer)
            }
            Decoded::Failure { kind, message } => {
                Err(self.complaint(StatusCode::OK, kind, &message, &secrets()))
            }
        }
    }

    /// Sends a request; once more, on a new connection, if a kept one was closed under it.
    async fn send_once(
        &self,
        request: &Request<'_>,
        way: Way,
        added: &Added,
    ) -> Result<http::Response, StoreError> {
        let sender = self.http.as_ref().map_err(Clone::clone)?;
        let error = match sender.send(request, way, added).await {
            Ok(response) => {
                self.connections.answered(&response);
                return Ok(response);
            }
            Err(error) => error,
        };
        if !self.connections.may_send_again(&error) {
            return Err(self.not_sent(&error));
        }
        self.metrics.sent_again.inc();
        tracing::debug!(target = %self.name, "a kept connection was closed; sending again");
        let fresh = self.fresh.get_or_try_init(|| self.keeps_nothing()).await;
        let fresh = fresh.map_err(|error| self.not_sent(&error.into()))?;
        let sent = fresh.send(request, way, added).await;
        sent.map_err(|error| self.not_sent(&error))
    }

    /// A client each of whose requests has a connection of its own.
    async fn keeps_nothing(&self) -> reqwest::Result<Sender> {
        Sender::new(&Parts {
            settings: &self.settings,
            base: &self.base,
            declared: &self.declared,
            host: self.host.as_deref(),
            guard: self.guard.as_ref(),
            kept: None,
        })
    }
}

/// Whether a store may lack just this call: it must have queries, and not all have the others.
fn is_missing(call: &Call, status: StatusCode) -> bool {
    let says_so = matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    );
    let is_query = matches!(
        call,
        Call::Instant { .. } | Call::Range { .. } | Call::Samples { .. }
    );
    says_so && !is_query
}
