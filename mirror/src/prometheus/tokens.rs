//! Tokens from a token endpoint, by the OAuth 2.0 client credentials grant (RFC 6749, 4.4) with a
//! secret or an assertion (RFC 7523), or by token exchange (RFC 8693): obtained when one is needed,
//! kept until shortly before they expire, one request at a time.

mod endpoint;
mod form;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::StoreError;
use super::issuer::{Issuer, Kind};
use crate::settings::{Authorization, OAuth2, TargetSettings};

/// What tokens come from.
const ENDPOINT: Kind = Kind {
    what: "the token endpoint",
    issues: "a token",
    // Requests have 15 seconds in all.
    timeout: Duration::from_secs(10),
};

/// The tokens of one target.
#[derive(Debug)]
pub(super) struct Tokens {
    settings: OAuth2,
    endpoint: Issuer,
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
        Self {
            settings: oauth2.clone(),
            endpoint: Issuer::new(settings, ENDPOINT, &oauth2.token_url),
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
                self.endpoint.name()
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
