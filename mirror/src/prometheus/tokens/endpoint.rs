//! A token endpoint, asked once: for a token, or why there is none.

use std::time::{Duration, Instant};

use http::{StatusCode, header};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::{TokenEndpoint, form, good};
use crate::prometheus::http::{Said, Secrets, Whole};
use crate::prometheus::issuer::Issuer;
use crate::prometheus::renewal::Good;
use crate::prometheus::{StoreError, service_account};
use crate::settings::{Authorization, Proof, Secret};

impl TokenEndpoint {
    /// Asks for a token, and how long it is good.
    pub(super) async fn ask(&self) -> Result<(Authorization, Option<Good>), StoreError> {
        let sent = Instant::now();
        let (answer, secrets) = match &self.settings.proof {
            Proof::Secret(secret) => (
                self.with_secret(secret).await?,
                self.endpoint.secrets().clone(),
            ),
            // Read for each request: the kubelet renews them.
            Proof::Assertion(file) | Proof::Exchange(file) => {
                let proof = service_account::read(file, self.endpoint.name()).await?;
                let more = form::with_token(&self.settings, &proof);
                let answer = self.exchange(&more, |request| request).await?;
                (answer, self.endpoint.secrets().and_token(&proof))
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
    async fn with_secret(&self, secret: &Secret) -> Result<Whole, StoreError> {
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
    ) -> Result<Whole, StoreError> {
        let form = form::of(&self.settings, more);
        let request = self
            .endpoint
            .http()?
            .post(self.settings.token_url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form);
        self.endpoint.ask(authenticate(request)).await
    }

    fn token(
        &self,
        response: &Whole,
        sent: Instant,
        secrets: &Secrets,
    ) -> Result<(Authorization, Option<Good>), StoreError> {
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
        // Some write it as text, and some zero where a token has no end.
        let seconds = match answer.expires_in {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let life = seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
        let life = life.filter(|life| !life.is_zero());
        Ok((authorization, life.and_then(|life| good(life, sent))))
    }

    fn refusal(&self, response: &Whole, secrets: &Secrets) -> StoreError {
        let status = response.status;
        if let Some(refused) = self.endpoint.refused_by_proxy(status) {
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
        if Issuer::asks_to_slow_down(response) {
            return self.endpoint.throttled(response, &because);
        }
        // What RFC 6749 (5.2) has for clients and secrets that are wrong, and what a gate in front
        // may answer.
        let is_about_credentials = matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        );
        if is_about_credentials {
            return self.endpoint.refused(status, &because);
        }
        let scheme = self.settings.token_url.scheme();
        let hint = self.endpoint.proxy_hint(status, scheme);
        self.failed(&format!("answered {status}{because}{hint}"))
    }

    fn failed(&self, what: &str) -> StoreError {
        self.endpoint.failed(what)
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
