//! A token endpoint, asked once: for a token, or why there is none.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, StatusCode, header};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::{TIMEOUT, Token, Tokens, form};
use crate::prometheus::http::{Body, BodyError, Said, Secrets, quote, root_cause};
use crate::prometheus::{StoreError, proxy, service_account, throttle, tls};
use crate::settings::{Authorization, Proof, Secret};

/// Tokens and errors are far smaller.
const MAX_BODY_BYTES: usize = 64 << 10;

/// So long before its end a token is replaced, or after nine tenths of its life: its way to the
/// server takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(30);

impl Tokens {
    /// Asks for a token.
    pub(super) async fn obtain(&self) -> Result<Token, StoreError> {
        let sent = Instant::now();
        let (answer, secrets) = match &self.settings.proof {
            Proof::Secret(secret) => (self.with_secret(secret).await?, self.secrets.clone()),
            // Read for each request: the kubelet renews them.
            Proof::Assertion(file) | Proof::Exchange(file) => {
                let proof = service_account::read(file, &self.name).await?;
                let more = form::with_token(&self.settings, &proof);
                let answer = self.exchange(&more, |request| request).await?;
                (answer, self.secrets.and_token(&proof))
            }
        };
        if answer.status.is_success() {
            self.token(&answer, sent, &secrets)
        } else {
            Err(self.refusal(&answer, &secrets))
        }
    }

    /// With the credentials in the header, which every endpoint must understand, and if it does
    /// not, in the form.
    async fn with_secret(&self, secret: &Secret) -> Result<TokenResponse, StoreError> {
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let id = self.settings.client_id.as_ref();
        let (id, secret) = (id.map_or("", Secret::expose), secret.expose());
        let answer = self
            .exchange(&[], |request| {
                request.basic_auth(encoded(id), Some(encoded(secret)))
            })
            .await?;
        if [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&answer.status) {
            let in_form = [("client_id", id), ("client_secret", secret)];
            return self.exchange(&in_form, |request| request).await;
        }
        Ok(answer)
    }

    async fn exchange(
        &self,
        more: &[(&str, &str)],
        authenticate: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<TokenResponse, StoreError> {
        let http = self.http.as_ref().map_err(Clone::clone)?;
        let form = form::of(&self.settings, more);
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

    fn token(
        &self,
        response: &TokenResponse,
        sent: Instant,
        secrets: &Secrets,
    ) -> Result<Token, StoreError> {
        let Ok(answer) = serde_json::from_slice::<TokenAnswer>(&response.body) else {
            // Nothing else of a success is quoted: it may hold a token in another form.
            return Err(match response.said(secrets) {
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

    fn refusal(&self, response: &TokenResponse, secrets: &Secrets) -> StoreError {
        let (name, status) = (&self.name, response.status);
        if let Some(refused) = proxy::refusal(status, &self.target, name) {
            return refused;
        }
        if status.is_redirection() {
            return self.failed(&format!("answered {status}, is tokenUrl right?"));
        }
        let because = match response.said(secrets) {
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
        let hint = proxy::hint(status, &self.target, self.settings.token_url.scheme());
        self.failed(&format!("answered {status}{because}{hint}"))
    }

    fn not_answered(&self, error: &reqwest::Error) -> StoreError {
        if error.is_timeout() {
            return self.failed(&format!("did not answer within {} s", TIMEOUT.as_secs()));
        }
        let host = self.settings.token_url.host_str().unwrap_or_default();
        if let Some(failure) = tls::failure(error) {
            return self.failed(&failure.message(host));
        }
        if let Some(failed) = proxy::failure(error, &self.target, &self.name) {
            return failed;
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
