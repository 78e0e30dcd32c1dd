//! What is issued for a while, such as a token or keys: obtained when it is first needed, replaced
//! ahead of its end by one request at a time, while the others go on with what is still good.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::StoreError;

/// So long nobody tries again to replace what is still good.
const PAUSE: Duration = Duration::from_secs(5);

/// So long nothing is replaced for being refused, after what replaced it was refused as well: the
/// target takes none of them, and each would cost the issuer a request.
const IN_VAIN: Duration = Duration::from_secs(10);

/// Where it comes from.
pub(super) trait Source: Send + Sync + 'static {
    /// A token, or keys.
    type Issued: Clone + Send + 'static;

    /// Asks for another one, and how long it is good. None: until the target refuses it.
    fn obtain(
        &self,
    ) -> impl Future<Output = Result<(Self::Issued, Option<Good>), StoreError>> + Send;

    /// The error if a task that asks ends otherwise than with an answer.
    fn lost(&self) -> StoreError;

    /// Says in the log that what ends soon could not be replaced.
    fn could_not_replace(&self, error: &StoreError);
}

/// How long something is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) replaced_from: Instant,
    pub(super) until: Instant,
}

impl Good {
    /// Of what lives so long from `since` on. It is replaced `ahead` of its end, and used no more
    /// `margin` before it. None: it lasts longer than time is counted.
    pub(super) fn of(
        life: Duration,
        since: Instant,
        ahead: Duration,
        margin: Duration,
    ) -> Option<Self> {
        Some(Self {
            replaced_from: since.checked_add(life.saturating_sub(ahead))?,
            until: since.checked_add(life.saturating_sub(margin))?,
        })
    }
}

/// What one target is issued.
#[derive(Debug)]
pub(super) struct Renewal<S: Source> {
    source: S,
    state: Mutex<State<S::Issued>>,
    /// Whoever asks the source.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State<T> {
    held: Option<Held<T>>,
    /// Why there was none the last time, and since when.
    failed: Option<(Instant, StoreError)>,
    /// Nobody replaces what is good before.
    paused_until: Option<Instant>,
    /// Since when the target refuses whatever it is shown.
    in_vain: Option<Instant>,
}

#[derive(Debug)]
struct Held<T> {
    issued: T,
    /// None: until it is refused.
    good: Option<Good>,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        Self {
            held: None,
            failed: None,
            paused_until: None,
            in_vain: None,
        }
    }
}

impl<T: Clone> State<T> {
    fn good(&self, now: Instant) -> Option<T> {
        let held = self.held.as_ref()?;
        let is_good = held.good.is_none_or(|good| now < good.until);
        is_good.then(|| held.issued.clone())
    }

    /// Whether it is this caller who has to replace what is still good.
    fn takes_over(&mut self, now: Instant) -> bool {
        let good = self.held.as_ref().and_then(|held| held.good);
        let is_due = good.is_some_and(|good| good.replaced_from <= now)
            && self.paused_until.is_none_or(|until| until <= now);
        if is_due {
            self.paused_until = Some(now + PAUSE);
        }
        is_due
    }

    /// What the target refused is not used again. False: another would help no more.
    fn forgets(&mut self, is_refused: impl FnOnce(&T) -> bool, now: Instant) -> bool {
        let held = self.held.as_ref();
        if !held.is_some_and(|held| is_refused(&held.issued)) {
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

impl<S: Source> Renewal<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            source,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn source(&self) -> &S {
        &self.source
    }

    /// One that is good now.
    pub(super) async fn good(self: &Arc<Self>) -> Result<S::Issued, StoreError> {
        let asked = Instant::now();
        let (good, takes_over) = {
            let mut state = self.state();
            let good = state.good(asked);
            let takes_over = good.is_some() && state.takes_over(asked);
            (good, takes_over)
        };
        // A task of its own: a caller that gives up does not end it for the others. The source's
        // time limits end it.
        let this = Arc::clone(self);
        if let Some(good) = good {
            if takes_over {
                tokio::spawn(async move { this.replace().await });
            }
            return Ok(good);
        }
        let obtained = tokio::spawn(async move { this.obtained(asked).await });
        obtained.await.unwrap_or_else(|_| Err(self.source.lost()))
    }

    /// What the target refused is not used again. False: it refused the one before as well, just
    /// now, and another would help no more.
    pub(super) fn forget(&self, is_refused: impl FnOnce(&S::Issued) -> bool) -> bool {
        self.state().forgets(is_refused, Instant::now())
    }

    /// What replaced one that was refused was refused, too.
    pub(super) fn is_in_vain(&self) {
        self.state().in_vain = Some(Instant::now());
    }

    async fn obtained(&self, asked: Instant) -> Result<S::Issued, StoreError> {
        // Whoever comes while one is being obtained waits here for it.
        let _turn = self.turn.lock().await;
        {
            let state = self.state();
            if let Some(good) = state.good(Instant::now()) {
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
        self.renew().await
    }

    /// Replaces what is still good.
    async fn replace(&self) {
        let _turn = self.turn.lock().await;
        if let Err(error) = self.renew().await {
            self.source.could_not_replace(&error);
        }
    }

    async fn renew(&self) -> Result<S::Issued, StoreError> {
        let obtained = self.source.obtain().await;
        let mut state = self.state();
        match obtained {
            Ok((issued, good)) => {
                *state = State {
                    held: Some(Held {
                        issued: issued.clone(),
                        good,
                    }),
                    in_vain: state.in_vain,
                    ..State::default()
                };
                Ok(issued)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<S::Issued>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn holding(issued: &'static str, good: Option<Good>) -> State<&'static str> {
        State {
            held: Some(Held { issued, good }),
            ..State::default()
        }
    }

    #[test]
    fn one_caller_replaces_what_ends_soon_and_the_others_use_it() {
        let now = Instant::now();
        let good = Good::of(21 * SECOND, now, 20 * SECOND, SECOND);
        let mut state = holding("a", good);
        assert!(!state.takes_over(now));
        assert!(state.takes_over(now + SECOND));
        assert!(!state.takes_over(now + SECOND));
        assert_eq!(state.good(now + SECOND), Some("a"));
        // Nothing came of it: another one tries again, after a while.
        assert!(!state.takes_over(now + 5 * SECOND));
        assert!(state.takes_over(now + 6 * SECOND));
        assert_eq!(state.good(now + 19 * SECOND), Some("a"));
        assert_eq!(state.good(now + 20 * SECOND), None);
    }

    #[test]
    fn a_target_that_refuses_all_costs_one_request_in_a_while() {
        let now = Instant::now();
        let mut state = holding("a", None);
        assert!(state.forgets(|held| *held == "a", now));
        // Whoever was refused with the same gets the one that takes its place.
        assert!(state.forgets(|held| *held == "a", now));
        state.held = holding("b", None).held;
        assert!(state.forgets(|held| *held == "a", now));
        state.in_vain = Some(now);
        assert!(!state.forgets(|held| *held == "b", now + 9 * SECOND));
        assert_eq!(state.good(now), Some("b"));
        assert!(state.forgets(|held| *held == "b", now + 10 * SECOND));
        assert_eq!(state.good(now), None);
    }
}
