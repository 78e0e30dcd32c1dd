//! The keys of one target.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::environment::Environment;
use super::identity::Identity;
use super::keys::Keys;
use crate::prometheus::StoreError;
use crate::prometheus::renewal::{Good, Renewal, Source};
use crate::settings::{SigV4, TargetSettings};

/// So long before their end keys are replaced, or after three quarters of a short life.
const AHEAD: Duration = Duration::from_secs(300);

/// So long before their end keys are used no more, or after nine tenths of a short life: a request
/// takes time, and clocks differ.
const MARGIN: Duration = Duration::from_secs(10);

/// The keys of one target.
#[derive(Debug)]
pub(super) struct Session(Arc<Renewal<Issuance>>);

/// Where they come from.
#[derive(Debug)]
struct Issuance {
    /// What the target is called in messages.
    name: String,
    identity: Identity,
    clock: Clock,
}

impl Session {
    pub(super) fn new(
        settings: &Arc<TargetSettings>,
        sig_v4: &SigV4,
        environment: &Environment,
    ) -> Self {
        Self(Arc::new(Renewal::new(Issuance {
            name: format!("target {}", settings.name),
            identity: Identity::new(settings, sig_v4, environment),
            clock: Clock::default(),
        })))
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.source().clock
    }

    /// Keys that are good now.
    pub(super) async fn keys(&self) -> Result<Arc<Keys>, StoreError> {
        match self.lasting() {
            Some(lasting) => Ok(Arc::clone(lasting)),
            None => self.0.good().await,
        }
    }

    /// Keys that the target refused are not used again. True: others can be obtained.
    pub(super) fn forget(&self, refused: &Arc<Keys>) -> bool {
        self.lasting().is_none() && self.0.forget(|held| Arc::ptr_eq(held, refused))
    }

    /// Keys that replaced others that were refused were refused, too.
    pub(super) fn is_in_vain(&self) {
        self.0.is_in_vain();
    }

    /// Keys without an end.
    fn lasting(&self) -> Option<&Arc<Keys>> {
        self.0.source().identity.lasting()
    }
}

impl Source for Issuance {
    type Issued = Arc<Keys>;

    async fn obtain(&self) -> Result<(Arc<Keys>, Option<Good>), StoreError> {
        let keys = self.identity.obtain(&self.clock).await?;
        let now = Instant::now();
        let life = keys.expires.map(|end| {
            let left = end.duration_since(self.clock.now());
            Duration::try_from(left).unwrap_or_default()
        });
        Ok((keys, life.and_then(|life| good(life, now))))
    }

    fn lost(&self) -> StoreError {
        StoreError::Unreachable(format!(
            "{} could not be given keys; the mirror's log says more",
            self.name
        ))
    }

    fn could_not_replace(&self, error: &StoreError) {
        tracing::warn!(target = %self.name, "its AWS keys end soon and could not be replaced: {error}");
    }
}

/// How long keys are good that end after this time.
fn good(life: Duration, now: Instant) -> Option<Good> {
    Good::of(life, now, AHEAD.min(life / 4), MARGIN.min(life / 10))
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
            assert_eq!(good(seconds(life), now), Some(expected), "{life}");
        }
    }
}
