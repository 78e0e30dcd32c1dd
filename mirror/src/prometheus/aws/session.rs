//! The keys of one target: obtained when first needed, replaced ahead of their end by one request
//! at a time, while the others go on with those that are still good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::environment::Environment;
use super::identity::Identity;
use super::keys::Keys;
use crate::prometheus::StoreError;
use crate::settings::{SigV4, TargetSettings};

/// So long before their end keys are replaced, or after three quarters of a short life.
const AHEAD: Duration = Duration::from_secs(300);

/// So long before their end keys are used no more, or after nine tenths of a short life: a request
/// takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(10);

/// So long nobody tries again to replace keys that are still good.
const PAUSE: Duration = Duration::from_secs(5);

/// So long keys are not replaced for being refused, after those that replaced others were refused
/// as well: each would cost the service that issues them a request.
const IN_VAIN: Duration = Duration::from_secs(10);

/// The keys of one target.
#[derive(Debug)]
pub(super) struct Session {
    /// What the target is called in messages.
    name: String,
    identity: Identity,
    clock: Clock,
    state: Mutex<State>,
    /// Whoever obtains keys.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// Why there were none the last time, and since when.
    failed: Option<(Instant, StoreError)>,
    /// Nobody replaces good keys before.
    paused_until: Option<Instant>,
    /// Since when the target refuses whatever keys it is shown.
    in_vain: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    keys: Arc<Keys>,
    /// None: until they are refused.
    good: Option<Good>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Good {
    replaced_from: Instant,
    until: Instant,
}

impl Good {
    fn of(life: Duration, now: Instant) -> Self {
        Self {
            replaced_from: now + (life - AHEAD.min(life / 4)),
            until: now + (life - MARGIN.min(life / 10)),
        }
    }
}

impl State {
    fn good_keys(&self, now: Instant) -> Option<Arc<Keys>> {
        let held = self.held.as_ref()?;
        let is_good = held.good.is_none_or(|good| now < good.until);
        is_good.then(|| Arc::clone(&held.keys))
    }

    /// Whether it is this caller who has to replace the keys, which are still good.
    fn takes_over(&mut self, now: Instant) -> bool {
        let good = self.held.as_ref().and_then(|held| held.good);
        let is_due = good.is_some_and(|good| good.replaced_from <= now)
            && self.paused_until.is_none_or(|until| until <= now);
        if is_due {
            self.paused_until = Some(now + PAUSE);
        }
        is_due
    }

    /// Keys that the target refused are not used again. False: others would help no more.
    fn forgets(&mut self, refused: &Arc<Keys>, now: Instant) -> bool {
        let is_it = |held: &Held| Arc::ptr_eq(&held.keys, refused);
        if !self.held.as_ref().is_some_and(is_it) {
            return true;
        }
        let is_in_vain = |since: Instant| now.saturating_duration_since(since) < IN_VAIN;
        if self.in_vain.is_some_and(is_in_vain) {
            return false;
        }
        self.held = None;
        true
    }
}

impl Session {
    pub(super) fn new(
        settings: &Arc<TargetSettings>,
        sig_v4: &SigV4,
        environment: &Environment,
    ) -> Self {
        Self {
            name: format!("target {}", settings.name),
            identity: Identity::new(settings, sig_v4, environment),
            clock: Clock::default(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Keys that are good now.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Arc<Keys>, StoreError> {
        if let Some(lasting) = self.identity.lasting() {
            return Ok(Arc::clone(lasting));
        }
        let asked = Instant::now();
        let (good, takes_over) = {
            let mut state = self.state();
            let good = state.good_keys(asked);
            let takes_over = good.is_some() && state.takes_over(asked);
            (good, takes_over)
        };
        // A task of its own: a caller that gives up does not end it for the others. Its time limits
        // end it.
        let session = Arc::clone(self);
        if let Some(good) = good {
            if takes_over {
                tokio::spawn(async move { session.replace().await });
            }
            return Ok(good);
        }
        let obtained = tokio::spawn(async move { session.obtained(asked).await });
        obtained.await.unwrap_or_else(|_| {
            Err(StoreError::Unreachable(format!(
                "{} could not be given keys; the mirror's log says more",
                self.name
            )))
        })
    }

    /// Keys that the target refused are not used again. True: others can be obtained.
    pub(super) fn forget(&self, refused: &Arc<Keys>) -> bool {
        self.identity.lasting().is_none() && self.state().forgets(refused, Instant::now())
    }

    /// Keys that replaced others that were refused were refused, too.
    pub(super) fn is_in_vain(&self) {
        self.state().in_vain = Some(Instant::now());
    }

    async fn obtained(&self, asked: Instant) -> Result<Arc<Keys>, StoreError> {
        let _turn = self.turn.lock().await;
        {
            let state = self.state();
            if let Some(good) = state.good_keys(Instant::now()) {
                return Ok(good);
            }
            // All who waited for an attempt that failed share its failure; who comes later tries
            // again.
            if let Some((at, error)) = &state.failed
                && *at >= asked
            {
                return Err(error.clone());
            }
        }
        self.obtain().await
    }

    /// Replaces keys that are still good.
    async fn replace(&self) {
        let _turn = self.turn.lock().await;
        if let Err(error) = self.obtain().await {
            tracing::warn!(target = %self.name, "its AWS keys end soon and could not be replaced: {error}");
        }
    }

    async fn obtain(&self) -> Result<Arc<Keys>, StoreError> {
        let result = self.identity.obtain(&self.clock).await;
        let now = Instant::now();
        let mut state = self.state();
        match &result {
            Ok(keys) => {
                let life = keys.expires.map(|end| {
                    let left = end.duration_since(self.clock.now());
                    Duration::try_from(left).unwrap_or_default()
                });
                *state = State {
                    held: Some(Held {
                        keys: Arc::clone(keys),
                        good: life.map(|life| Good::of(life, now)),
                    }),
                    failed: None,
                    paused_until: None,
                    in_vain: state.in_vain,
                };
            }
            Err(error) => {
                state.failed = Some((now, error.clone()));
            }
        }
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_replaced_before_they_are_of_no_use() {
        let now = Instant::now();
        let seconds = Duration::from_secs_f64;
        // life, replaced after, used until: of an hour, six hours, a quarter, two seconds, none.
        for (life, replaced, until) in [
            (3600.0, 3300.0, 3590.0),
            (21_600.0, 21_300.0, 21_590.0),
            (900.0, 675.0, 890.0),
            (2.0, 1.5, 1.8),
            (0.0, 0.0, 0.0),
        ] {
            let expected = Good {
                replaced_from: now + seconds(replaced),
                until: now + seconds(until),
            };
            assert_eq!(Good::of(seconds(life), now), expected, "{life}");
        }
    }

    #[test]
    fn a_target_that_refuses_all_keys_costs_one_request_for_them_in_a_while() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let [first, other] = ["a", "b"].map(|id| Arc::new(Keys::for_tests(id, "secret", None)));
        let mut state = State {
            held: Some(Held {
                keys: Arc::clone(&first),
                good: None,
            }),
            ..State::default()
        };
        // Others were obtained meanwhile.
        assert!(state.forgets(&other, now));
        state.in_vain = Some(now);
        assert!(!state.forgets(&first, now + 9 * second));
        assert_eq!(state.good_keys(now), Some(Arc::clone(&first)));
        assert!(state.forgets(&first, now + 10 * second));
        assert_eq!(state.good_keys(now), None);
    }

    #[test]
    fn one_caller_replaces_keys_and_the_others_use_them() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let keys = Arc::new(Keys::for_tests("id", "secret", None));
        let good = Good {
            replaced_from: now + second,
            until: now + 20 * second,
        };
        let mut state = State {
            held: Some(Held {
                keys: Arc::clone(&keys),
                good: Some(good),
            }),
            ..State::default()
        };
        assert!(!state.takes_over(now));
        assert!(state.takes_over(now + second));
        assert!(!state.takes_over(now + second));
        assert_eq!(state.good_keys(now + second), Some(keys));
        // Nothing came of it: another one tries again, after a while.
        assert!(!state.takes_over(now + 5 * second));
        assert!(state.takes_over(now + 6 * second));
        assert_eq!(state.good_keys(now + 20 * second), None);
    }
}
