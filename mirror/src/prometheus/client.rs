//! One exchange over HTTP: a call goes out, an answer or the reason why there is none comes back.
//!
//! In the good case that is one request. There are two only where the first shows that a call must
//! go in another way (`methods`), that a kept connection was closed under it (`connections`), or
//! that a token is no longer good.

mod body;
mod connections;
mod encoding;
mod markup;
mod methods;
mod quote;
mod redact;
mod refusal;
mod said;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, header};
use reqwest::RequestBuilder;
use tokio::sync::OnceCell;
use tower::util::{AndThenLayer, MapResponseLayer};
use url::Url;

pub(super) use self::body::{Body, BodyError};
use self::connections::Connections;
use self::methods::{Methods, Next, Way};
pub(crate) use self::quote::root_cause;
pub(super) use self::quote::{Secrets, quote};
pub(super) use self::said::Said;
use super::charge::Charge;
use super::decode::{ALLOCATED_PER_BYTE, Decoded, Decoder, Expected, small};
use super::guard::Guard;
use super::observe::TargetMetrics;
use super::request::Request;
use super::throttle::{self, Pace};
use super::tokens::Tokens;
use super::{Answer, Call, StoreError, tls};
use crate::settings::{Auth, Authorization, Secret, TargetSettings};

/// The largest body that is taken. 30,240 points of 20 series are about 20 MiB.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// So much of an answer is decoded before the memory for it is looked at.
const PIECE: usize = 8 << 10;

/// After so many decoded bytes other tasks get a turn.
const BYTES_A_TURN: usize = 64 << 10;

/// Bodies up to this length are decoded at once.
const SMALL: usize = 16 << 10;

/// So much of an error's body, or of a page, is looked at.
pub(super) const MAX_ERROR_BYTES: usize = 64 << 10;

/// So long the rest of an error's body is waited for: its status says most of it already.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The HTTP client of one target. It sets no time limit: whoever waits drops the exchange, which
/// closes its connection.
#[derive(Debug)]
pub(super) struct Client {
    /// What the target is called in messages.
    name: String,
    settings: Arc<TargetSettings>,
    /// Where it asks; see [`tls::named`].
    url: Url,
    /// What the Host header must say if it is not the URL's host.
    host: Option<String>,
    /// Where it must not lead; none where it may lead anywhere.
    guard: Option<Arc<Guard>>,
    /// Or why there can't be one; the other targets are served all the same.
    http: Result<reqwest::Client, StoreError>,
    connections: Connections,
    /// A client that keeps no connections. Made when it is needed first, which is never for most
    /// targets.
    fresh: OnceCell<reqwest::Client>,
    methods: Methods,
    pace: Pace,
    credentials: Credentials,
    secrets: Secrets,
    metrics: Arc<TargetMetrics>,
}

/// What a request proves with who sends it. Redirects are not followed, so it goes to the target's
/// host and no other.
#[derive(Debug)]
enum Credentials {
    None,
    Basic { username: Secret, password: Secret },
    Bearer(Authorization),
    Tokens(Arc<Tokens>),
}

impl Credentials {
    fn new(settings: &TargetSettings) -> Self {
        match settings.auth.clone() {
            None => Self::None,
            Some(Auth::Basic { username, password }) => Self::Basic { username, password },
            Some(Auth::Bearer(token)) => Self::Bearer(token),
            Some(Auth::OAuth2(oauth2)) => Self::Tokens(Arc::new(Tokens::new(settings, &oauth2))),
        }
    }
}

/// An answer's head, and the token that it was sent with if it was obtained for it.
struct Response {
    http: reqwest::Response,
    token: Option<Authorization>,
}

impl Client {
    pub(super) fn new(
        settings: &Arc<TargetSettings>,
        metrics: Arc<TargetMetrics>,
        guard: Option<Arc<Guard>>,
    ) -> Self {
        let name = format!("target {}", settings.name);
        let (url, host) = tls::named(settings);
        let connections = Connections::default();
        let http = http_client(settings, host.as_deref(), guard.as_ref())
            .and_then(|builder| {
                let opened = connections.clone().opened();
                builder
                    .connector_layer(MapResponseLayer::new(opened))
                    .build()
            })
            .map_err(|error| {
                StoreError::Unreachable(format!("{name} cannot be asked: {}", root_cause(&error)))
            });
        Self {
            name,
            settings: Arc::clone(settings),
            url,
            host,
            guard,
            http,
            connections,
            fresh: OnceCell::new(),
            methods: Methods::default(),
            pace: Pace::default(),
            credentials: Credentials::new(settings),
            secrets: Secrets::of(settings),
            metrics,
        }
    }

    /// Whether and how long the target asked to be left in peace.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Forgets what the target lets through: another server may be there now.
    pub(super) fn forget_methods(&self) {
        self.methods.forget();
    }

    /// Asks. By `deadline` the store is told to be ready with a query. The answer keeps of `charge`
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
        let request = Request::new(&self.url, call, timeout);
        let chosen = self.methods.choose(call, &request);
        let mut way = chosen.ok_or_else(|| self.too_long(call, &request))?;
        let mut before = None;
        let Response { http, token } = loop {
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
        let secrets = || match &token {
            None => self.secrets.clone(),
            Some(token) => self.secrets.and(&token.header_value()),
        };
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
        let decoded = match call {
            Call::Instant { .. } | Call::Range { .. } => {
                self.decode_stream(call, http, &secrets, deadline, charge)
                    .await?
            }
            _ => {
                self.decode_whole(call, http, &secrets, deadline, charge)
                    .await?
            }
        };
        match decoded {
            Decoded::Success(answer) => Ok(answer),
            Decoded::Failure { kind, message } => {
                Err(self.complaint(StatusCode::OK, kind, &message, &secrets()))
            }
        }
    }

    /// Sends a request with the target's credentials.
    async fn send(
        &self,
        request: &Request,
        way: Way,
        began: Instant,
    ) -> Result<Response, StoreError> {
        let http = match &self.credentials {
            Credentials::None => self.send_once(request, way, |request| request).await?,
            Credentials::Basic { username, password } => {
                let authenticate = |request: RequestBuilder| {
                    request.basic_auth(username.expose(), Some(password.expose()))
                };
                self.send_once(request, way, authenticate).await?
            }
            Credentials::Bearer(token) => self.send_with(request, way, token).await?,
            Credentials::Tokens(tokens) => {
                return self.send_with_one_of(request, way, tokens, began).await;
            }
        };
        Ok(Response { http, token: None })
    }

    async fn send_with_one_of(
        &self,
        request: &Request,
        way: Way,
        tokens: &Arc<Tokens>,
        began: Instant,
    ) -> Result<Response, StoreError> {
        let mut token = self.obtained(tokens, began).await?;
        let mut http = self.send_with(request, way, &token).await?;
        if http.status() == StatusCode::UNAUTHORIZED {
            // It may have been revoked, or the server has new keys.
            tokens.forget(&token).await;
            token = self.obtained(tokens, began).await?;
            http = self.send_with(request, way, &token).await?;
        }
        Ok(Response {
            http,
            token: Some(token),
        })
    }

    /// A token. A token endpoint that asks to slow down slows the target's calls down: none of them
    /// goes without one.
    async fn obtained(
        &self,
        tokens: &Arc<Tokens>,
        began: Instant,
    ) -> Result<Authorization, StoreError> {
        match tokens.authorization().await {
            Err(StoreError::Throttled {
                message,
                retry_after,
            }) => {
                let asked = (!retry_after.is_zero()).then_some(retry_after);
                Err(StoreError::Throttled {
                    message,
                    retry_after: self.pace.slow_down(began, asked),
                })
            }
            obtained => obtained,
        }
    }

    async fn send_with(
        &self,
        request: &Request,
        way: Way,
        token: &Authorization,
    ) -> Result<reqwest::Response, StoreError> {
        let value = token.header_value();
        self.send_once(request, way, |request| {
            request.header(header::AUTHORIZATION, value.clone())
        })
        .await
    }

    /// Sends a request; once more, on a new connection, if a kept one was closed under it.
    async fn send_once(
        &self,
        request: &Request,
        way: Way,
        authenticate: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<reqwest::Response, StoreError> {
        let http = self.http.as_ref().map_err(Clone::clone)?;
        let error = match authenticate(built(http, request, way)).send().await {
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
        let fresh = fresh.map_err(|error| self.not_sent(&error))?;
        let sent = authenticate(built(fresh, request, way)).send().await;
        sent.map_err(|error| self.not_sent(&error))
    }

    /// A client each of whose requests has a connection of its own.
    async fn keeps_nothing(&self) -> reqwest::Result<reqwest::Client> {
        http_client(&self.settings, self.host.as_deref(), self.guard.as_ref())?
            .pool_max_idle_per_host(0)
            .build()
    }

    async fn decode_stream(
        &self,
        call: &Call,
        response: reqwest::Response,
        secrets: &impl Fn() -> Secrets,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Decoded, StoreError> {
        let content_type = content_type(&response);
        let mut body = self.body(response, secrets)?;
        let mut decoder = Decoder::new(Expected::of(call));
        let mut length = 0_u64;
        let mut since_turn = 0;
        let mut has_begun = false;
        while let Some(chunk) = body.next().await.map_err(|error| self.unread(error))? {
            if !has_begun && let Some(first) = refusal::first_byte(&chunk) {
                if first != b'{' {
                    let content_type = content_type.as_ref().and_then(|kind| kind.to_str().ok());
                    return Err(self.foreign(content_type, &chunk, body, &secrets()).await);
                }
                has_begun = true;
            }
            length += chunk.len() as u64;
            if length > MAX_BODY_BYTES as u64 {
                return Err(self.too_large());
            }
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(piece(rest));
                rest = behind;
                let at_most = piece.len() as u64 * ALLOCATED_PER_BYTE;
                charge
                    .cover(decoder.allocated() + at_most, deadline)
                    .await?;
                decoder
                    .push(piece)
                    .map_err(|error| self.not_prometheus(&error.to_string()))?;
                since_turn += piece.len();
                if since_turn >= BYTES_A_TURN {
                    since_turn = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
        let allocated = decoder.allocated();
        let decoded = decoder
            .finish()
            .map_err(|error| self.not_prometheus(&error.to_string()))?;
        Ok(holding(decoded, charge, allocated))
    }

    async fn decode_whole(
        &self,
        call: &Call,
        response: reqwest::Response,
        secrets: &impl Fn() -> Secrets,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Decoded, StoreError> {
        let content_type = content_type(&response);
        let mut body = self.body(response, secrets)?;
        let mut whole = Vec::new();
        while let Some(chunk) = body.next().await.map_err(|error| self.unread(error))? {
            if whole.is_empty() && !refusal::begins_as_json(&chunk) {
                let content_type = content_type.as_ref().and_then(|kind| kind.to_str().ok());
                return Err(self.foreign(content_type, &chunk, body, &secrets()).await);
            }
            if whole.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(self.too_large());
            }
            // A buffer that grows is there twice for a moment.
            charge
                .cover(2 * (whole.len() + chunk.len()) as u64, deadline)
                .await?;
            whole.extend_from_slice(&chunk);
        }
        let bytes = 2 * whole.len() as u64;
        if whole.len() <= SMALL {
            charge
                .cover(bytes + whole.len() as u64 * ALLOCATED_PER_BYTE, deadline)
                .await?;
            let meter = small::Meter::unlimited();
            let decoded = small::decode(call, &whole, &meter)
                .map_err(|error| self.not_prometheus(&reason(&error, &whole)))?;
            return Ok(holding(decoded, charge, meter.allocated()));
        }
        self.decode_large(call.clone(), whole, deadline, charge)
            .await
    }

    /// Decodes a large body outside the runtime's workers, which have other requests to serve.
    async fn decode_large(
        &self,
        call: Call,
        whole: Vec<u8>,
        deadline: Instant,
        charge: Charge,
    ) -> Result<Decoded, StoreError> {
        let runtime = tokio::runtime::Handle::current();
        let decoding = tokio::task::spawn_blocking(move || {
            let bytes = 2 * whole.len() as u64;
            let meter = small::Meter::new(|allocated| {
                runtime.block_on(charge.cover(bytes + allocated, deadline))
            });
            let decoded = small::decode(&call, &whole, &meter);
            let (allocated, refused) = meter.finish();
            match (decoded, refused) {
                (_, Some(refused)) => Err(Large::Refused(refused)),
                (Ok(decoded), None) => Ok(holding(decoded, charge, allocated)),
                (Err(error), None) => Err(Large::NotPrometheus(reason(&error, &whole))),
            }
        });
        match decoding.await {
            Ok(Ok(decoded)) => Ok(decoded),
            Ok(Err(Large::Refused(refused))) => Err(refused),
            Ok(Err(Large::NotPrometheus(reason))) => Err(self.not_prometheus(&reason)),
            Err(_) => Err(self.failed_inside()),
        }
    }

    fn body(
        &self,
        response: reqwest::Response,
        secrets: &impl Fn() -> Secrets,
    ) -> Result<Body, StoreError> {
        let body = Body::new(response, MAX_BODY_BYTES).map_err(|unknown| {
            StoreError::Unreachable(format!(
                "{} answered with {} encoding although it was not asked for, and the mirror cannot decode it: does a proxy in between compress?",
                self.name,
                quote(&unknown.0, &secrets())
            ))
        })?;
        if body.declares_too_much() {
            return Err(self.too_large());
        }
        Ok(body)
    }

    fn unread(&self, error: BodyError) -> StoreError {
        match error {
            BodyError::TooLarge => self.too_large(),
            BodyError::BrokenOff(error) => StoreError::Unreachable(format!(
                "{} broke its answer off: {}",
                self.name,
                root_cause(&error)
            )),
            BodyError::Decoding(error) => {
                StoreError::Unreachable(format!("{} answered {error}", self.name))
            }
        }
    }

    fn too_large(&self) -> StoreError {
        let limit = MAX_BODY_BYTES >> 20;
        StoreError::TooLarge(format!(
            "{} answered more than {limit} MiB; ask for fewer series or a shorter time",
            self.name
        ))
    }

    /// The message for a call that fits into no URL and cannot go in another way.
    fn too_long(&self, call: &Call, request: &Request) -> StoreError {
        let (bytes, at_most) = (request.url_length(), self.methods.longest_url());
        let why = match call {
            Call::LabelValues { .. } | Call::LabelValuesOtherwise { .. } => {
                "takes label values only as GET"
            }
            _ => "only accepts GET",
        };
        StoreError::TooLongForUrl {
            message: format!(
                "{} {why}, and this query is too long for a URL ({bytes} bytes, at most {at_most})",
                self.name
            ),
            bytes,
            at_most,
        }
    }

    fn not_sent(&self, error: &reqwest::Error) -> StoreError {
        if let Some(failure) = tls::failure(error) {
            let tls = &self.settings.tls;
            let host = self.settings.url.host_str().unwrap_or_default();
            let mut message = failure.message(tls.server_name.as_deref().unwrap_or(host));
            if let Some(hint) = failure.hint(tls) {
                message = format!("{message} (hint: {hint})");
            }
            let message = format!("{} {message}", self.name);
            return match failure {
                tls::Failure::Ours(_) => StoreError::CredentialsRefused(message),
                _ => StoreError::Unreachable(message),
            };
        }
        let what = if error.is_connect() {
            "cannot be reached"
        } else {
            "did not answer as HTTP servers do"
        };
        // With TLS 1.3 a server refuses a client certificate when the connection stands already,
        // and may be gone before it has said so.
        let hint = match &self.settings.tls.identity {
            _ if error.is_connect() || self.url.scheme() != "https" => "",
            None => {
                " (hint: a server that wants a client certificate may end a connection like this: name one in tls.clientCertificateSecretRef)"
            }
            Some(_) => {
                " (hint: a server that does not accept the certificate of tls.clientCertificateSecretRef may end a connection like this)"
            }
        };
        StoreError::Unreachable(format!("{} {what}: {}{hint}", self.name, root_cause(error)))
    }

    fn not_prometheus(&self, reason: &str) -> StoreError {
        StoreError::Unreachable(format!(
            "{} answered something that is not Prometheus' JSON: {reason}",
            self.name
        ))
    }

    /// The message for a caller whose time is over.
    pub(super) fn too_slow(&self) -> StoreError {
        StoreError::Timeout(format!("{} did not answer in time", self.name))
    }

    /// The message for an exchange that panicked.
    pub(super) fn failed_inside(&self) -> StoreError {
        StoreError::Unreachable(format!(
            "the call of {} failed inside the mirror; its log says more",
            self.name
        ))
    }
}

/// Why a large body is no answer.
enum Large {
    /// There is no memory for it.
    Refused(StoreError),
    /// It is not what was asked for.
    NotPrometheus(String),
}

/// The answer, if it is one, with the memory that it takes.
fn holding(decoded: Decoded, charge: Charge, allocated: u64) -> Decoded {
    match decoded {
        Decoded::Success(answer) => Decoded::Success(Answer {
            held: charge.becomes(allocated),
            ..answer
        }),
        failure @ Decoded::Failure { .. } => failure,
    }
}

/// How much of a chunk is decoded in one go: little enough to be done within a millisecond, and cut
/// behind a sample where one ends nearby, because what is cut in two must be copied.
fn piece(chunk: &[u8]) -> usize {
    /// Longer than most samples.
    const LOOKED_BACK: usize = 96;
    if chunk.len() <= PIECE {
        return chunk.len();
    }
    let end = &chunk[PIECE - LOOKED_BACK..PIECE];
    end.iter()
        .rposition(|byte| *byte == b']')
        .map_or(PIECE, |at| PIECE - LOOKED_BACK + at + 1)
}

fn built(http: &reqwest::Client, request: &Request, way: Way) -> RequestBuilder {
    match way {
        Way::Get => http.get(request.url_of_get()),
        Way::Post => {
            let (url, form) = request.form();
            http.post(url)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form)
        }
    }
}

fn content_type(response: &reqwest::Response) -> Option<HeaderValue> {
    // A reference count, no copy.
    response.headers().get(header::CONTENT_TYPE).cloned()
}

/// Why a small body is not what was asked for, without the library's words.
fn reason(error: &serde_json::Error, body: &[u8]) -> String {
    use serde_json::error::Category;
    let place = format!("(line {}, column {})", error.line(), error.column());
    match error.classify() {
        _ if refusal::first_byte(body).is_none() => "it is empty".to_owned(),
        Category::Eof | Category::Io => "it ends too early".to_owned(),
        Category::Syntax => format!("it is not JSON {place}"),
        Category::Data if error.line() == 0 => "it has no status".to_owned(),
        Category::Data => {
            format!("it has a value of another type than Prometheus has there {place}")
        }
    }
}

/// `host` is what the Host header must say if it is not the URL's host. With a guard each request
/// has a connection of its own: where an enforced target is may change while one is kept.
fn http_client(
    settings: &TargetSettings,
    host: Option<&str>,
    guard: Option<&Arc<Guard>>,
) -> reqwest::Result<reqwest::ClientBuilder> {
    let mut headers = settings.headers.clone();
    // A URL's host can always be sent.
    if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
        headers.insert(header::HOST, host);
    }
    let mut client = plain_client().default_headers(headers);
    if let Some(guard) = guard {
        client = client
            .pool_max_idle_per_host(0)
            .connector_layer(AndThenLayer::new(Arc::clone(guard).admits()));
    }
    tls::configure(client, settings)
}

/// Whether a store may lack just this call: it must have queries, and not all have the others.
fn is_missing(call: &Call, status: StatusCode) -> bool {
    let says_so = matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
    );
    says_so && !matches!(call, Call::Instant { .. } | Call::Range { .. })
}

/// What the clients of targets and of their token endpoints have in common.
pub(super) fn plain_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("prometheus-mirror/", env!("CARGO_PKG_VERSION")))
        // A redirect is nearly always a login page or a URL without its prefix, and would carry our
        // headers elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        // HTTP_PROXY is set in many clusters for the way out, and Prometheus lies inside: a proxy
        // that cannot reach it would be asked, and would see the credentials. If somebody needs
        // one, it should be a field of the target.
        .no_proxy()
        // Nothing is sent twice but by `Client::send_once`.
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
}
