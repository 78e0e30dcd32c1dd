//! One exchange over HTTP: a call goes out, an answer or the reason why there is none comes back.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use reqwest::RequestBuilder;
use url::Url;

use super::decode::{Decoded, Decoder, small};
use super::request::Request;
use super::tokens::Tokens;
use super::{Answer, Call, StoreError, tls};
use crate::settings::{Auth, Authorization, Secret, TargetSettings};

/// The largest body that is taken. 30,240 points of 20 series are about 20 MiB.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// So much of an error's body is looked at.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// So much of an upstream's text goes into a message.
const MAX_QUOTED_CHARACTERS: usize = 200;

/// The HTTP client of one target. It sets no time limit: whoever waits drops the exchange, which closes its connection.
#[derive(Debug)]
pub(super) struct Client {
    /// What the target is called in messages.
    name: String,
    settings: Arc<TargetSettings>,
    /// Where it asks; see [`tls::named`].
    url: Url,
    /// Or why there can't be one; the other targets are served all the same.
    http: Result<reqwest::Client, StoreError>,
    credentials: Credentials,
}

/// What a request proves with who sends it. Redirects are not followed, so it goes to the target's host and no other.
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

/// Adds a token.
fn with(token: &Authorization) -> impl FnOnce(RequestBuilder) -> RequestBuilder {
    let value = token.header_value();
    move |request| request.header(header::AUTHORIZATION, value)
}

impl Client {
    pub(super) fn new(settings: &Arc<TargetSettings>) -> Self {
        let name = format!("target {}", settings.name);
        let (url, host) = tls::named(settings);
        let http = http_client(settings, host).map_err(|error| {
            StoreError::Unreachable(format!("{name} cannot be asked: {}", root_cause(&error)))
        });
        Self {
            name,
            settings: Arc::clone(settings),
            url,
            http,
            credentials: Credentials::new(settings),
        }
    }

    /// Asks. `timeout` is what the store is told that a query may take.
    pub(super) async fn ask(&self, call: &Call, timeout: Duration) -> Result<Answer, StoreError> {
        let response = match &self.credentials {
            Credentials::None => self.send(call, timeout, |request| request).await?,
            Credentials::Basic { username, password } => {
                let authenticate = |request: RequestBuilder| {
                    request.basic_auth(username.expose(), Some(password.expose()))
                };
                self.send(call, timeout, authenticate).await?
            }
            Credentials::Bearer(token) => self.send(call, timeout, with(token)).await?,
            Credentials::Tokens(tokens) => {
                let token = tokens.authorization().await?;
                let response = self.send(call, timeout, with(&token)).await?;
                if response.status() == StatusCode::UNAUTHORIZED {
                    // It may have been revoked, or the server has new keys.
                    tokens.forget(&token).await;
                    let token = tokens.authorization().await?;
                    self.send(call, timeout, with(&token)).await?
                } else {
                    response
                }
            }
        };
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let decoded = match call {
            Call::Instant { .. } | Call::Range { .. } => self.decode_stream(response).await?,
            _ => {
                let body = self.read(response).await?;
                small::decode(call, &body)
                    .map_err(|error| self.not_prometheus(&error.to_string()))?
            }
        };
        match decoded {
            Decoded::Success(answer) => Ok(answer),
            Decoded::Failure { kind, message } => {
                Err(self.complaint(StatusCode::OK, kind, message))
            }
        }
    }

    async fn send(
        &self,
        call: &Call,
        timeout: Duration,
        authenticate: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<reqwest::Response, StoreError> {
        let request = Request::new(&self.url, call, timeout);
        let http = self.http.as_ref().map_err(Clone::clone)?;
        let builder = match request.form {
            None => http.get(request.url),
            Some(form) => http
                .post(request.url)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form),
        };
        let sent = authenticate(builder).send().await;
        sent.map_err(|error| self.not_sent(&error))
    }

    async fn decode_stream(&self, mut response: reqwest::Response) -> Result<Decoded, StoreError> {
        self.check_length(response.content_length().unwrap_or(0))?;
        let mut decoder = Decoder::default();
        let mut length = 0_u64;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.broken_off(&error))?
        {
            length += chunk.len() as u64;
            self.check_length(length)?;
            decoder
                .push(&chunk)
                .map_err(|error| self.not_prometheus(&error.to_string()))?;
        }
        decoder
            .finish()
            .map_err(|error| self.not_prometheus(&error.to_string()))
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Vec<u8>, StoreError> {
        self.check_length(response.content_length().unwrap_or(0))?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.broken_off(&error))?
        {
            self.check_length((body.len() + chunk.len()) as u64)?;
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn check_length(&self, length: u64) -> Result<(), StoreError> {
        if length <= MAX_BODY_BYTES as u64 {
            return Ok(());
        }
        let limit = MAX_BODY_BYTES >> 20;
        Err(StoreError::TooLarge(format!(
            "{} answered more than {limit} MiB; ask for fewer series or a shorter time",
            self.name
        )))
    }

    /// What an answer that is no success says.
    async fn refusal(&self, mut response: reqwest::Response) -> StoreError {
        let status = response.status();
        if status.is_redirection() {
            let location = response
                .headers()
                .get(header::LOCATION)
                .and_then(|location| location.to_str().ok());
            let to = location
                .and_then(|location| self.settings.url.join(location).ok())
                .map(|url| without_secrets(&url));
            let to = to.map_or_else(String::new, |to| format!(" to {to}"));
            return StoreError::Unreachable(format!(
                "{} answered with a redirect{to}, is the URL right?",
                self.name
            ));
        }
        let is_html = response
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|content_type| content_type.as_bytes().starts_with(b"text/html"));
        let mut body = Vec::new();
        // What can't be read any more of an error's text is no error of its own.
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(MAX_ERROR_BYTES - body.len())]);
            if body.len() >= MAX_ERROR_BYTES {
                break;
            }
        }
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return StoreError::CredentialsRefused(format!(
                "{} refused the credentials: it answered {status}",
                self.name
            ));
        }
        match small::decode_error(&body) {
            Some((kind, message)) => self.complaint(status, kind, message),
            None if is_html => StoreError::Unreachable(format!(
                "{} answered {status} with an HTML page",
                self.name
            )),
            None => match first_line(&body) {
                line if line.is_empty() => {
                    StoreError::Unreachable(format!("{} answered {status}", self.name))
                }
                line => StoreError::Unreachable(format!("{} answered {status}: {line}", self.name)),
            },
        }
    }

    /// What Prometheus' own complaint means. VictoriaMetrics puts the status code where Prometheus puts a kind of error.
    fn complaint(&self, status: StatusCode, kind: String, message: String) -> StoreError {
        let message = clean(&message);
        match (kind.as_str(), status) {
            ("timeout" | "canceled", _) => {
                StoreError::Timeout(format!("{} gave up on the query: {message}", self.name))
            }
            ("unavailable" | "internal", _) => {
                StoreError::Unreachable(format!("{} answered {status}: {message}", self.name))
            }
            (_, StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
                StoreError::Rejected { kind, message }
            }
            _ => StoreError::Unreachable(format!("{} answered {status}: {message}", self.name)),
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
        // With TLS 1.3 a server refuses a client certificate when the connection stands already, and may be gone before it has said so.
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

    fn broken_off(&self, error: &reqwest::Error) -> StoreError {
        StoreError::Unreachable(format!(
            "{} broke its answer off: {}",
            self.name,
            root_cause(error)
        ))
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

/// `host` is what the Host header must say if it is not the URL's host.
fn http_client(
    settings: &TargetSettings,
    host: Option<String>,
) -> Result<reqwest::Client, reqwest::Error> {
    let mut headers = settings.headers.clone();
    // A URL's host can always be sent.
    if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
        headers.insert(header::HOST, host);
    }
    tls::configure(plain_client().default_headers(headers), settings)?.build()
}

/// What the clients of targets and of their token endpoints have in common.
pub(super) fn plain_client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("prometheus-mirror/", env!("CARGO_PKG_VERSION")))
        // A redirect is nearly always a login page or a URL without its prefix, and would carry our headers elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        // HTTP_PROXY is set in many clusters for the way out, and Prometheus lies inside: a proxy that cannot reach it would be
        // asked, and would see the credentials. If somebody needs one, it should be a field of the target.
        .no_proxy()
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
}

/// `url` without user info, query and fragment.
fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for URLs that have no host and so no user info.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    clean(url.as_str())
}

/// The innermost cause: the outer ones say "error sending request" and repeat the URL.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    clean(&cause.to_string())
}

/// The first line with text, fit for a message.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    clean(
        text.lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or_default(),
    )
}

/// `text` in one line, without control characters, cut to a readable length.
fn clean(text: &str) -> String {
    let mut cleaned: String = text
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(MAX_QUOTED_CHARACTERS)
        .collect();
    if text.chars().nth(MAX_QUOTED_CHARACTERS).is_some() {
        cleaned.push('…');
    }
    cleaned
}
