//! Tokens of the OAuth 2.0 client credentials grant (RFC 6749, 4.4): obtained when one is needed, kept until shortly before they
//! expire, one request at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{StatusCode, header};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::client::{plain_client, root_cause};
use super::{StoreError, tls};
use crate::settings::{Authorization, OAuth2, TargetSettings};

/// For a whole exchange with the token endpoint. Requests have 15 seconds in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Tokens and errors are far smaller.
const MAX_BODY_BYTES: usize = 64 << 10;

/// So long before its end a token is replaced, or after nine tenths of its life: its way to the server takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(30);

/// The tokens of one target.
#[derive(Debug)]
pub(super) struct Tokens {
    /// How messages begin: `the token endpoint HOST of target a`.
    name: String,
    settings: OAuth2,
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
            .and_then(|builder| builder.timeout(TIMEOUT).build())
            .map_err(|error| {
                StoreError::Unreachable(format!("{name} cannot be asked: {}", root_cause(&error)))
            });
        Self {
            name,
            settings: oauth2.clone(),
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
        // A task of its own: a caller that gives up does not end it for the others. The time limit ends it.
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

    /// Asks for a token with the credentials in the header, which every endpoint must understand, and if it does not, in the form.
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
        let (mut status, mut body) = self
            .exchange(&[], |request| {
                request.basic_auth(encoded(id), Some(encoded(secret)))
            })
            .await?;
        if [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&status) {
            let in_form = [("client_id", id), ("client_secret", secret)];
            (status, body) = self.exchange(&in_form, |request| request).await?;
        }
        if status.is_success() {
            self.token(&body, sent)
        } else {
            Err(self.refusal(status, &body))
        }
    }

    async fn exchange(
        &self,
        more: &[(&str, &str)],
        authenticate: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(StatusCode, Vec<u8>), StoreError> {
        let http = self.http.as_ref().map_err(Clone::clone)?;
        let form = self.form(more);
        let request = http
            .post(self.settings.token_url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form);
        let mut response = authenticate(request)
            .send()
            .await
            .map_err(|error| self.not_answered(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.not_answered(&error))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY_BYTES {
                return Err(self.failed("answered far more than a token"));
            }
        }
        Ok((response.status(), body))
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

    fn token(&self, body: &[u8], sent: Instant) -> Result<Token, StoreError> {
        let Ok(answer) = serde_json::from_slice::<TokenAnswer>(body) else {
            return Err(self.failed("answered something that is no token"));
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

    fn refusal(&self, status: StatusCode, body: &[u8]) -> StoreError {
        // Only the code of RFC 6749 (5.2): descriptions may repeat what was sent.
        let code = serde_json::from_slice::<Value>(body).ok();
        let code = code.as_ref().and_then(|body| body["error"].as_str());
        let is_code = |code: &&str| {
            code.len() <= 40
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let code = code.filter(is_code);
        let because = code.map_or_else(String::new, |code| format!(": {code}"));
        if status.is_client_error() {
            StoreError::CredentialsRefused(format!(
                "{} refused the credentials: it answered {status}{because}",
                self.name
            ))
        } else if status.is_redirection() {
            self.failed(&format!("answered {status}, is tokenUrl right?"))
        } else {
            self.failed(&format!("answered {status}{because}"))
        }
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

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Value,
}
