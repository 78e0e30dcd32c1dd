//! Tokens from a token endpoint, by the OAuth 2.0 client credentials grant (RFC 6749, 4.4) with a
//! secret or an assertion (RFC 7523), or by token exchange (RFC 8693): obtained when one is needed,
//! kept until shortly before they expire, one request at a time.

mod endpoint;
mod form;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::http::{Secrets, plain_client, root_cause};
use super::{StoreError, proxy, tls};
use crate::settings::{Authorization, OAuth2, TargetSettings};

/// For a whole exchange with the token endpoint. Requests have 15 seconds in all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The tokens of one target.
#[derive(Debug)]
pub(super) struct Tokens {
    /// How messages begin: `the token endpoint HOST of target a`.
    name: String,
    settings: OAuth2,
    /// What leads to the endpoint.
    target: Arc<TargetSettings>,
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
    pub(super) fn new(settings: &Arc<TargetSettings>, oauth2: &OAuth2) -> Self {
        let host = oauth2.token_url.host_str().unwrap_or_default();
        let name = format!("the token endpoint {host} of target {}", settings.name);
        let http = proxy::configure(plain_client(), settings)
            .and_then(|builder| tls::configure_token_endpoint(builder, settings, oauth2))
            // Tokens are asked for so seldom that a kept connection would be closed by the server
            // most of the times.
            .and_then(|builder| builder.timeout(TIMEOUT).pool_max_idle_per_host(0).build())
            .map_err(|error| {
                StoreError::Unreachable(format!("{name} cannot be asked: {}", root_cause(&error)))
            });
        Self {
            name,
            settings: oauth2.clone(),
            target: Arc::clone(settings),
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
}
