//! Tokens of the OAuth 2.0 client credentials grant (RFC 6749, 4.4): obtained when one is needed,
//! kept until shortly before they expire, one request at a time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, StatusCode, header};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::client::{Body, BodyError, Said, Secrets, plain_client, quote, root_cause};
use super::{StoreError, throttle, tls};
use crate::settings::{Authorization, OAuth2, TargetSettings};

/// For a whole exchange with the token endpoint. Requests have 15 seconds in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Tokens and errors are far smaller.
const MAX_BODY_BYTES: usize = 64 << 10;

/// So long before its end a token is replaced, or after nine tenths of its life: its way to the
/// server takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(30);

/// The tokens of one target.
#[derive(Debug)]
pub(super) struct Tokens {
    /// How messages begin: `the token endpoint HOST of target a`.
    name: String,
    settings: OAuth2,
    /// What must not be shown of what it says.
    secrets: Secrets,
    /// Or why there can't be one.
    http: Result<reqwest::Client, StoreError>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// Why there is none, and since when.
    failed: Option<(Instant, StoreError)>,
}

#[derive(Debug)]
struct Token {
    authorization: Authorization,
    /// None: until the target refuses it.
    good_until: Option<Instant>,
}

impl State {
    fn valid(&self) -> Option<Authorization> {
        let token = self.token.as_ref()?;
        let is_good = token.good_until.is_none_or(|end| Instant::now() < end);
        is_good.then(|| token.authorization.clone())
    }
}

impl Tokens {
    pub(super) fn new(settings: &TargetSettings, oauth2: &OAuth2) -> Self {
        let host = oauth2.token_url.host_str().unwrap_or_default();
        let name = format!("the token endpoint {host} of target {}", settings.name);
        let http = tls::configure_token_endpoint(plain_client(), settings, oauth2)
            // Tokens are asked for so seldom that a kept connection would be closed by the server
            // most of the times.
            .and_then(|builder| builder.timeout(TIMEOUT).pool_max_idle_per_host(0).build())
            .map_err(|error| {
                StoreError::Unreachable(format!("{name} cannot be asked: {}", root_cause(&error)))
            });
        Self {
            name,
            settings: oauth2.clone(),
            secrets: Secrets::of(settings),
            http,
            state: Mutex::default(),
        }
    }

    /// A token that is good now.
    pub(super) async fn authorization(self: &Arc<Self>) -> Result<Authorization, StoreError> {
        let asked = Instant::now();
        // Whoever comes while a token is being obtained waits here for it.
        if let Some(valid) = self.state.lock().await.valid() {
            return Ok(valid);
        }
        // A task of its own: a caller that gives up does not end it for the others. The time limit
        // ends it.
        let tokens = Arc::clone(self);
        let renewed = tokio::spawn(async move { tokens.renewed(asked).await });
        renewed.await.unwrap_or_else(|_| {
            Err(StoreError::Unreachable(format!(
                "{} could not be asked; the mirror's log says more",
                self.name
            )))
        })
    }

    /// A token that the target refused is not used again.
    pub(super) async fn forget(&self, refused: &Authorization) {
        let mut state = self.state.lock().await;
        let is_it = |token: &Token| token.authorization == *refused;
        if state.token.as_ref().is_some_and(is_it) {
            state.token = None;
        }
    }

    async fn renewed(&self, asked: Instant) -> Result<Authorization, StoreError> {
        let mut state = self.state.lock().await;
        if let Some(valid) = state.valid() {
            return Ok(valid);
        }
        // All who waited for an attempt that failed share its failure; who comes later tries again.
        if let Some((at, error)) = &state.failed
            && *at >= asked
        {
            return Err(error.clone());
        }
        match self.obtain().await {
            Ok(token) => {
                let authorization = token.authorization.clone();
                *state = State {
                    token: Some(token),
                    failed: None,
                };
                Ok(authorization)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Asks for a token with the credentials in the header, which every endpoint must understand,
    /// and if it does not, in the form.
    async fn obtain(&self) -> Result<Token, StoreError> {
        let OAuth2 {
            client_id,
            client_secret,
            ..
        } = &self.settings;
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (client_id.expose(), client_secret.expose());
        let sent = Instant::now();
        let mut answer = self
            .exchange(&[], |request| {
                request.basic_auth(encoded(id), Some(encoded(secret)))
            })
            .await?;
        if [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&answer.status) {
            let in_form = [("client_id", id), ("client_secret", secret)];
            answer = self.exchange(&in_form, |request| request).await?;
        }
        if answer.status.is_success() {
            self.token(&answer, sent)
        } else {
            Err(self.refusal(&answer))
        }
    }

    async fn exchange(
        &self,
        more: &[(&str, &str)],
        authenticate: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<TokenResponse, StoreError> {
        let http = self.http.as_ref().map_err(Clone::clone)?;
        let form = self.form(more);
        let request = http
            .post(self.settings.token_url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form);
        let response = authenticate(request)
            .send()
            .await
            .map_err(|error| self.not_answered(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Body::new(response, MAX_BODY_BYTES).map_err(|unknown| {
            let name = quote(&unknown.0, &self.secrets);
            self.failed(&format!(
                "answered {status} with {name} encoding although it was not asked for"
            ))
        })?;
        let mut whole = Vec::new();
        loop {
            match body.next().await {
                Ok(Some(chunk)) if whole.len() + chunk.len() <= MAX_BODY_BYTES => {
                    whole.extend_from_slice(&chunk);
                }
                Ok(None) => break,
                // What can't be read any more of an error's text is no error of its own.
                _ if !status.is_success() => break,
                Ok(Some(_)) | Err(BodyError::TooLarge) => {
                    return Err(self.failed("answered far more than a token"));
                }
                Err(BodyError::BrokenOff(error)) => return Err(self.not_answered(&error)),
                Err(BodyError::Decoding(error)) => {
                    return Err(self.failed(&format!("answered {error}")));
                }
            }
        }
        Ok(TokenResponse {
            status,
            headers,
            body: whole,
        })
    }

    fn form(&self, more: &[(&str, &str)]) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.settings.scopes.is_empty() {
            form.append_pair("scope", &self.settings.scopes.join(" "));
        }
        form.extend_pairs(&self.settings.endpoint_params);
        form.extend_pairs(more);
        form.finish()
    }

    fn token(&self, response: &TokenResponse, sent: Instant) -> Result<Token, StoreError> {
        let Ok(answer) = serde_json::from_slice::<TokenAnswer>(&response.body) else {
            // Nothing else of a success is quoted: it may hold a token in another form.
            return Err(match response.said(&self.secrets) {
                Said::Html(title) => {
                    let title = titled(title.as_deref());
                    self.failed(&format!("answered an HTML page{title}, is tokenUrl right?"))
                }
                _ => self.failed("answered something that is no token"),
            });
        };
        if let Some(kind) = answer.token_type
            && !kind.eq_ignore_ascii_case("bearer")
        {
            return Err(self.failed("answered with a token that is no bearer token"));
        }
        let authorization = Authorization::bearer(&answer.access_token)
            .ok_or_else(|| self.failed("answered with a token that no HTTP header can carry"))?;
        // Some write it as text.
        let seconds = match answer.expires_in {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let life = seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
        Ok(Token {
            authorization,
            good_until: life.and_then(|life| sent.checked_add(life - MARGIN.min(life / 10))),
        })
    }

    fn refusal(&self, response: &TokenResponse) -> StoreError {
        let (name, status) = (&self.name, response.status);
        if status.is_redirection() {
            return self.failed(&format!("answered {status}, is tokenUrl right?"));
        }
        let because = match response.said(&self.secrets) {
            // Descriptions may repeat what was sent: it is cut out of them.
            Said::Words(words) => format!(": {words}"),
            Said::Html(title) => format!(
                " with an HTML page{}, is tokenUrl right?",
                titled(title.as_deref())
            ),
            _ => String::new(),
        };
        if throttle::asks_to_slow_down(status, &response.headers)
            || throttle::body_asks_to_slow_down(&response.body)
        {
            let asked = throttle::retry_after(&response.headers, SystemTime::now());
            return StoreError::Throttled {
                message: format!("{name} asks to slow down: it answered {status}{because}"),
                // Zero: it does not say.
                retry_after: asked.unwrap_or_default(),
            };
        }
        // What RFC 6749 (5.2) has for clients and secrets that are wrong, and what a gate in front
        // may answer.
        let is_about_credentials = matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        );
        if is_about_credentials {
            return StoreError::CredentialsRefused(format!(
                "{name} refused the credentials: it answered {status}{because}"
            ));
        }
        self.failed(&format!("answered {status}{because}"))
    }

    fn not_answered(&self, error: &reqwest::Error) -> StoreError {
        if error.is_timeout() {
            return self.failed(&format!("did not answer within {} s", TIMEOUT.as_secs()));
        }
        let host = self.settings.token_url.host_str().unwrap_or_default();
        if let Some(failure) = tls::failure(error) {
            return self.failed(&failure.message(host));
        }
        let what = if error.is_connect() {
            "cannot be reached"
        } else {
            "did not answer as HTTP servers do"
        };
        self.failed(&format!("{what}: {}", root_cause(error)))
    }

    fn failed(&self, what: &str) -> StoreError {
        StoreError::Unreachable(format!("{} {what}", self.name))
    }
}

/// What the endpoint answered.
struct TokenResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl TokenResponse {
    fn said(&self, secrets: &Secrets) -> Said {
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|kind| kind.to_str().ok());
        Said::of(content_type, &self.body, secrets)
    }
}

fn titled(title: Option<&str>) -> String {
    title.map_or_else(String::new, |title| format!(" titled \"{title}\""))
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Value,
}
