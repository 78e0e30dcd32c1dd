//! Tokens from a token endpoint, by the OAuth 2.0 client credentials grant (RFC 6749, 4.4) with a
//! secret or an assertion (RFC 7523), or by token exchange (RFC 8693).

mod endpoint;
mod form;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::StoreError;
use super::issuer::{Issuer, IssuerKind};
use super::renewal::{Good, Source};
use crate::settings::{Authorization, OAuth2, TargetSettings};

/// What tokens come from.
const ENDPOINT: IssuerKind = IssuerKind {
    what: "the token endpoint",
    issues: "a token",
    // Requests have 15 seconds in all.
    timeout: Duration::from_secs(10),
};

/// So long before its end a token is replaced, or after nine tenths of its life.
const AHEAD: Duration = Duration::from_secs(30);

/// So long before its end a token is used no more, or a sixtieth of its life: its way to the server
/// takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(5);

/// Where the tokens of one target come from.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    settings: OAuth2,
    endpoint: Issuer,
}

impl TokenEndpoint {
    pub(super) fn new(settings: &Arc<TargetSettings>, oauth2: &OAuth2) -> Self {
        Self {
            settings: oauth2.clone(),
            endpoint: Issuer::new(settings, ENDPOINT, &oauth2.token_url),
        }
    }
}

impl Source for TokenEndpoint {
    type Issued = Authorization;

    async fn obtain(&self) -> Result<(Authorization, Option<Good>), StoreError> {
        self.ask().await
    }

    fn lost(&self) -> StoreError {
        let name = self.endpoint.name();
        StoreError::Unreachable(format!(
            "{name} could not be asked; the mirror's log says more"
        ))
    }

    fn could_not_replace(&self, error: &StoreError) {
        tracing::warn!("a token ends soon and could not be replaced: {error}");
    }
}

/// How long a token is good that was asked for at `sent`.
fn good(life: Duration, sent: Instant) -> Option<Good> {
    Good::of(life, sent, AHEAD.min(life / 10), MARGIN.min(life / 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_before_they_are_of_no_use() {
        let now = Instant::now();
        // life, replaced after, used until: of an hour, five minutes, a minute, six seconds.
        for (life, replaced, until) in [
            (3600.0, 3570.0, 3595.0),
            (300.0, 270.0, 295.0),
            (60.0, 54.0, 59.0),
            (6.0, 5.4, 5.9),
        ] {
            let expected = Good {
                replaced_from: now + Duration::from_secs_f64(replaced),
                until: now + Duration::from_secs_f64(until),
            };
            let good = good(Duration::from_secs_f64(life), now);
            assert_eq!(good, Some(expected), "{life}");
        }
        assert_eq!(good(Duration::MAX, now), None);
    }
}
