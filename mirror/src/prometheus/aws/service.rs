//! A server that is asked for keys, and how it fails in words.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use reqwest::{ClientBuilder, RequestBuilder};
use url::Url;

use super::keys::element;
use crate::prometheus::http::{NotWhole, Said, Secrets, Whole, plain_client, quote, root_cause};
use crate::prometheus::{StoreError, proxy, throttle, tls};
use crate::settings::TargetSettings;

/// For a whole exchange. Requests have 15 seconds in all.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A server on the way to a target's keys.
#[derive(Debug)]
pub(super) struct Service {
    /// How messages begin: `the AWS security token service HOST of target a`.
    name: String,
    host: String,
    /// Or why there can't be one.
    http: Result<reqwest::Client, StoreError>,
    /// What must not be shown of what it says.
    secrets: Secrets,
    /// Of the target, whose proxy leads to it. None: it is near, and asked without a proxy.
    proxied: Option<Arc<TargetSettings>>,
}

impl Service {
    /// One that the target's proxy leads to, if it has one.
    pub(super) fn new(settings: &Arc<TargetSettings>, what: &str, url: &Url) -> Self {
        let http = proxy::configure(plain_client(), settings);
        let service = Self::with(http, settings, what, url);
        Self {
            proxied: Some(Arc::clone(settings)),
            ..service
        }
    }

    /// One on the same machine, which is asked without a proxy.
    pub(super) fn near(settings: &TargetSettings, what: &str, url: &Url) -> Self {
        Self::with(Ok(plain_client()), settings, what, url)
    }

    fn with(
        http: reqwest::Result<ClientBuilder>,
        settings: &TargetSettings,
        what: &str,
        url: &Url,
    ) -> Self {
        let host = url.host_str().unwrap_or_default();
        let name = format!("{what} {host} of target {}", settings.name);
        let http = http
            .and_then(|builder| tls::configure_endpoint(builder, settings, url))
            // So seldom that a kept connection would be closed by the server.
            .and_then(|builder| builder.timeout(TIMEOUT).pool_max_idle_per_host(0).build())
            .map_err(|error| {
                StoreError::Unreachable(format!("{name} cannot be asked: {}", root_cause(&error)))
            });
        Self {
            name,
            host: host.to_owned(),
            http,
            secrets: Secrets::of(settings),
            proxied: None,
        }
    }

    /// The client for requests to it.
    pub(super) fn http(&self) -> Result<&reqwest::Client, StoreError> {
        self.http.as_ref().map_err(Clone::clone)
    }

    /// What it answers, whatever the status.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Whole, StoreError> {
        Whole::of(request).await.map_err(|error| match error {
            NotWhole::Failed(error) => self.not_answered(&error),
            NotWhole::Encoded(name) => {
                let name = quote(&name, &self.secrets);
                self.failed(&format!(
                    "answered with {name} encoding although it was not asked for"
                ))
            }
            NotWhole::TooLarge => self.failed("answered far more than keys"),
            NotWhole::Decoding(error) => self.failed(&format!("answered {error}")),
        })
    }

    /// Why there are no keys in an answer. `sent` are the secrets that were sent.
    pub(super) fn refusal(&self, answer: &Whole, sent: &[&str]) -> StoreError {
        let (name, status) = (&self.name, answer.status);
        let proxied = self.proxied.as_ref();
        if let Some(refused) = proxied.and_then(|target| proxy::refusal(status, target, name)) {
            return refused;
        }
        let secrets = self.secrets.and_all(sent.iter().copied());
        // Nothing of a success is quoted: it may hold keys in another form.
        if status.is_success() {
            return self.failed("answered something that is no keys");
        }
        let words = xml_error(&answer.body).map(|words| quote(&words, &secrets));
        let words = words.or_else(|| match answer.said(&secrets) {
            Said::Words(words) | Said::Json(words) | Said::Xml(words) => Some(words),
            _ => None,
        });
        let because = words.map_or_else(String::new, |words| format!(": {words}"));
        if throttle::asks_to_slow_down(status, &answer.headers)
            || throttle::body_asks_to_slow_down(&answer.body)
            || because.starts_with(": Throttling")
        {
            let asked = throttle::retry_after(&answer.headers, SystemTime::now());
            return StoreError::Throttled {
                message: format!("{name} asks to slow down: it answered {status}{because}"),
                // Zero: it does not say.
                retry_after: asked.unwrap_or_default(),
            };
        }
        if super::is_refusal(status) {
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
        if let Some(failure) = tls::failure(error) {
            return self.failed(&failure.message(&self.host));
        }
        let proxied = self.proxied.as_ref();
        if let Some(failed) = proxied.and_then(|target| proxy::failure(error, target, &self.name)) {
            return failed;
        }
        let what = if error.is_connect() {
            "cannot be reached"
        } else {
            "did not answer as HTTP servers do"
        };
        self.failed(&format!("{what}: {}", root_cause(error)))
    }

    pub(super) fn failed(&self, what: &str) -> StoreError {
        StoreError::Unreachable(format!("{} {what}", self.name))
    }

    /// How messages about it begin.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// `AccessDenied: User … is not authorized`, as the Security Token Service says it in XML.
fn xml_error(body: &[u8]) -> Option<String> {
    let text = str::from_utf8(body).ok()?;
    let (code, message) = (element(text, "Code")?, element(text, "Message")?);
    Some(format!("{code}: {message}"))
}

/// Whether the status says that nothing is there.
pub(super) fn is_absent(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND
}
