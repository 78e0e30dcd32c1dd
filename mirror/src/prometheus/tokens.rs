//! Tokens from a token endpoint, by the OAuth 2.0 client credentials grant (RFC 6749, 4.4) with a
//! secret or an assertion (RFC 7523), or by token exchange (RFC 8693): obtained when one is needed,
//! kept until shortly before they expire, one request at a time.

mod endpoint;
mod form;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// So long before its end a token is replaced, or after nine tenths of its life.
const AHEAD: Duration = Duration::from_secs(30);

/// So long before its end a token is used no more, or a sixtieth of its life: its way to the server
/// takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(5);

/// So long nobody tries again to replace a token that is still good.
const PAUSE: Duration = Duration::from_secs(5);

/// So long tokens are not replaced for being refused, after one that replaced another was refused
/// as well: the target takes none of them, and each would cost the endpoint a request.
const IN_VAIN: Duration = Duration::from_secs(10);

/// The tokens of one target.
#[derive(Debug)]
pub(super) struct Tokens {
    settings: OAuth2,
    endpoint: Issuer,
    state: Mutex<State>,
    /// Whoever obtains a token.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// Why there is none, and since when.
    failed: Option<(Instant, StoreError)>,
    /// Nobody replaces a good token before.
    paused_until: Option<Instant>,
    /// Since when the target refuses whatever token it gets.
    in_vain: Option<Instant>,
}

#[derive(Debug)]
struct Token {
    authorization: Authorization,
    /// None: until the target refuses it.
    good: Option<Good>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Good {
    replaced_from: Instant,
    until: Instant,
}

impl Good {
    /// Of a token that was asked for at `sent`. None: it lasts longer than time is counted.
    fn of(life: Duration, sent: Instant) -> Option<Self> {
        Some(Self {
            replaced_from: sent.checked_add(life - AHEAD.min(life / 10))?,
            until: sent.checked_add(life - MARGIN.min(life / 60))?,
        })
    }
}

impl State {
    fn valid(&self, now: Instant) -> Option<Authorization> {
        let token = self.token.as_ref()?;
        let is_good = token.good.is_none_or(|good| now < good.until);
        is_good.then(|| token.authorization.clone())
    }

    /// Whether it is this caller who has to replace the token, which is still good.
    fn takes_over(&mut self, now: Instant) -> bool {
        let good = self.token.as_ref().and_then(|token| token.good);
        let is_due = good.is_some_and(|good| good.replaced_from <= now)
            && self.paused_until.is_none_or(|until| until <= now);
        if is_due {
            self.paused_until = Some(now + PAUSE);
        }
        is_due
    }

    /// A token that the target refused is not used again. False: another would help no more.
    fn forgets(&mut self, refused: &Authorization, now: Instant) -> bool {
        let held = self.token.as_ref();
        if held.is_none_or(|token| token.authorization != *refused) {
            return true;
        }
        let is_in_vain = |since: Instant| now.saturating_duration_since(since) < IN_VAIN;
        if self.in_vain.is_some_and(is_in_vain) {
            return false;
        }
        self.token = None;
        true
    }
}

impl Tokens {
    pub(super) fn new(settings: &Arc<TargetSettings>, oauth2: &OAuth2) -> Self {
        Self {
            settings: oauth2.clone(),
            endpoint: Issuer::new(settings, ENDPOINT, &oauth2.token_url),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// A token that is good now.
    pub(super) async fn authorization(self: &Arc<Self>) -> Result<Authorization, StoreError> {
        let asked = Instant::now();
        let (valid, takes_over) = {
            let mut state = self.state();
            let valid = state.valid(asked);
            let takes_over = valid.is_some() && state.takes_over(asked);
            (valid, takes_over)
        };
        // A task of its own: a caller that gives up does not end it for the others. The time limit
        // ends it.
        let tokens = Arc::clone(self);
        if let Some(valid) = valid {
            if takes_over {
                tokio::spawn(async move { tokens.replace().await });
            }
            return Ok(valid);
        }
        let obtained = tokio::spawn(async move { tokens.obtained(asked).await });
        obtained.await.unwrap_or_else(|_| {
            Err(StoreError::Unreachable(format!(
                "{} could not be asked; the mirror's log says more",
                self.endpoint.name()
            )))
        })
    }

    /// A token that the target refused is not used again. False: it refused the one before as well,
    /// just now, and another would help no more.
    pub(super) fn forget(&self, refused: &Authorization) -> bool {
        self.state().forgets(refused, Instant::now())
    }

    /// A token that replaced one that was refused was refused, too.
    pub(super) fn is_in_vain(&self) {
        self.state().in_vain = Some(Instant::now());
    }

    async fn obtained(&self, asked: Instant) -> Result<Authorization, StoreError> {
        // Whoever comes while a token is being obtained waits here for it.
        let _turn = self.turn.lock().await;
        {
            let state = self.state();
            if let Some(valid) = state.valid(Instant::now()) {
                return Ok(valid);
            }
            // All who waited for an attempt that failed share its failure; who comes later tries
            // again.
            if let Some((at, error)) = &state.failed
                && *at >= asked
            {
                return Err(error.clone());
            }
        }
        self.renew().await
    }

    /// Replaces a token that is still good.
    async fn replace(&self) {
        let _turn = self.turn.lock().await;
        if let Err(error) = self.renew().await {
            tracing::warn!("a token ends soon and could not be replaced: {error}");
        }
    }

    async fn renew(&self) -> Result<Authorization, StoreError> {
        let obtained = self.obtain().await;
        let mut state = self.state();
        match obtained {
            Ok(token) => {
                let authorization = token.authorization.clone();
                *state = State {
                    token: Some(token),
                    failed: None,
                    paused_until: None,
                    in_vain: state.in_vain,
                };
                Ok(authorization)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn token(text: &str, good: Option<Good>) -> Token {
        Token {
            authorization: Authorization::bearer(text).unwrap(),
            good,
        }
    }

    #[test]
    fn tokens_are_replaced_before_they_are_of_no_use() {
        let now = Instant::now();
        // life, replaced after, used until: of an hour, five minutes, a minute, two seconds.
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
            let good = Good::of(Duration::from_secs_f64(life), now);
            assert_eq!(good, Some(expected), "{life}");
        }
        assert_eq!(Good::of(Duration::MAX, now), None);
    }

    #[test]
    fn one_caller_replaces_a_token_and_the_others_use_it() {
        let now = Instant::now();
        let good = Good::of(60 * SECOND, now);
        let mut state = State {
            token: Some(token("a", good)),
            ..State::default()
        };
        assert!(!state.takes_over(now + 53 * SECOND));
        assert!(state.takes_over(now + 54 * SECOND));
        assert!(!state.takes_over(now + 55 * SECOND));
        // Nothing came of it: it is good for a while, and another one tries again.
        assert_eq!(state.valid(now + 58 * SECOND), Authorization::bearer("a"));
        assert!(state.takes_over(now + 59 * SECOND));
        assert_eq!(state.valid(now + 59 * SECOND), None);
    }

    #[test]
    fn a_target_that_refuses_every_token_costs_one_in_a_while() {
        let now = Instant::now();
        let [first, second] = ["a", "b"].map(|text| Authorization::bearer(text).unwrap());
        let mut state = State {
            token: Some(token("a", None)),
            ..State::default()
        };
        assert!(state.forgets(&first, now));
        // Whoever was refused with the same token gets the one that takes its place.
        assert!(state.forgets(&first, now));
        state.token = Some(token("b", None));
        assert!(state.forgets(&first, now));
        state.in_vain = Some(now);
        assert!(!state.forgets(&second, now + 9 * SECOND));
        assert_eq!(state.valid(now), Some(second.clone()));
        assert!(state.forgets(&second, now + 10 * SECOND));
        assert_eq!(state.valid(now), None);
    }
}
