//! A server that a target's credentials come from, such as a token endpoint, and how it fails in
//! words.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use reqwest::{ClientBuilder, RequestBuilder};
use url::Url;

use super::http::{Failed, NotWhole, Secrets, Whole, plain_client, quote, root_cause};
use super::{StoreError, proxy, throttle, tls};
use crate::settings::TargetSettings;

/// A server that a target's credentials come from.
#[derive(Debug)]
pub(super) struct Issuer {
    /// How messages begin: `the token endpoint HOST of target a`.
    name: String,
    host: String,
    /// What it issues, in words.
    issues: &'static str,
    /// For a whole exchange.
    timeout: Duration,
    /// Or why there can't be one.
    http: Result<reqwest::Client, StoreError>,
    /// What must not be shown of what it says.
    secrets: Secrets,
    /// Of the target, whose proxy leads to it. None: it is near, and asked without a proxy.
    proxied: Option<Arc<TargetSettings>>,
}

/// What an issuer is, beside its URL.
#[derive(Clone, Copy)]
pub(super) struct IssuerKind {
    /// How messages about it begin: `the token endpoint`.
    pub(super) what: &'static str,
    /// What it issues: `a token`.
    pub(super) issues: &'static str,
    /// For a whole exchange.
    pub(super) timeout: Duration,
}

impl Issuer {
    /// One that the target's proxy leads to, if it has one.
    pub(super) fn new(settings: &Arc<TargetSettings>, kind: IssuerKind, url: &Url) -> Self {
        let http = proxy::configure(plain_client(), settings);
        Self {
            proxied: Some(Arc::clone(settings)),
            ..Self::with(http, settings, kind, url)
        }
    }

    /// One on the same machine, which is asked without a proxy.
    pub(super) fn near(settings: &TargetSettings, kind: IssuerKind, url: &Url) -> Self {
        Self::with(Ok(plain_client()), settings, kind, url)
    }

    fn with(
        http: reqwest::Result<ClientBuilder>,
        settings: &TargetSettings,
        IssuerKind {
            what,
            issues,
            timeout,
        }: IssuerKind,
        url: &Url,
    ) -> Self {
        let host = url.host_str().unwrap_or_default();
        let name = format!("{what} {host} of target {}", settings.name);
        let http = http
            .and_then(|builder| tls::configure_issuer(builder, settings, url))
            // So seldom that a kept connection would be closed by the server.
            .and_then(|builder| builder.timeout(timeout).pool_max_idle_per_host(0).build())
            .map_err(|error| {
                StoreError::Unreachable(format!("{name} cannot be asked: {}", root_cause(&error)))
            });
        Self {
            name,
            host: host.to_owned(),
            issues,
            timeout,
            http,
            secrets: Secrets::of(settings),
            proxied: None,
        }
    }

    /// How messages about it begin.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What must not be shown of what it says.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The client for requests to it.
    pub(super) fn http(&self) -> Result<&reqwest::Client, StoreError> {
        self.http.as_ref().map_err(Clone::clone)
    }

    /// What it answers, whatever the status.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Whole, StoreError> {
        Whole::of(request).await.map_err(|error| match error {
            NotWhole::Failed(error) => self.not_answered(&error),
            NotWhole::Encoded { status, encoding } => {
                let name = quote(&encoding, &self.secrets);
                self.failed(&format!(
                    "answered {status} with {name} encoding although it was not asked for"
                ))
            }
            NotWhole::TooLarge => self.failed(&format!("answered far more than {}", self.issues)),
            NotWhole::Decoding(error) => self.failed(&format!("answered {error}")),
        })
    }

    /// An answer with this status is the proxy's, which does not let the mirror through.
    pub(super) fn refused_by_proxy(&self, status: StatusCode) -> Option<StoreError> {
        let target = self.proxied.as_ref()?;
        proxy::refusal(status, target, &self.name)
    }

    /// What follows an answer that may be the proxy's.
    pub(super) fn proxy_hint(&self, status: StatusCode, scheme: &str) -> String {
        let hint = |target| proxy::hint(status, target, scheme);
        self.proxied.as_deref().map(hint).unwrap_or_default()
    }

    /// Whether an answer asks to slow down.
    pub(super) fn asks_to_slow_down(answer: &Whole) -> bool {
        throttle::asks_to_slow_down(answer.status, &answer.headers)
            || throttle::body_asks_to_slow_down(&answer.body)
    }

    /// The error for an answer that asks to slow down. `because` follows the status.
    pub(super) fn throttled(&self, answer: &Whole, because: &str) -> StoreError {
        let (name, status) = (&self.name, answer.status);
        let asked = throttle::retry_after(&answer.headers, SystemTime::now());
        StoreError::Throttled {
            message: format!("{name} asks to slow down: it answered {status}{because}"),
            // Zero: it does not say.
            retry_after: asked.unwrap_or_default(),
        }
    }

    /// The error for an answer that refuses who asks. `because` follows the status.
    pub(super) fn refused(&self, status: StatusCode, because: &str) -> StoreError {
        let name = &self.name;
        StoreError::CredentialsRefused(format!(
            "{name} refused the credentials: it answered {status}{because}"
        ))
    }

    fn not_answered(&self, error: &Failed) -> StoreError {
        if error.is_timeout() {
            let seconds = self.timeout.as_secs();
            return self.failed(&format!("did not answer within {seconds} s"));
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

    /// It does not do what it is there for.
    pub(super) fn failed(&self, what: &str) -> StoreError {
        StoreError::Unreachable(format!("{} {what}", self.name))
    }
}
