//! How often a status that tells only of progress is written. A rollout changes its numbers many
//! times a second; each write costs the API server as much as a child does, and comes back as an
//! event.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cluster::references::NamespacedName;

/// A new resource is often ready within so long, and then its first status says so.
const FIRST: Duration = Duration::from_secs(2);
/// Between two writes.
const PAUSE: Duration = Duration::from_secs(5);

/// When the next status of a resource may be written that is worth no write of its own.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<NamespacedName, Instant>>);

impl Throttle {
    /// How long such a status has to wait; none if it may be written now.
    pub fn wait(&self, resource: &NamespacedName, now: Instant) -> Option<Duration> {
        let mut all = self.lock();
        let not_before = all
            .entry(resource.clone())
            .or_insert_with(|| now + FIRST)
            .saturating_duration_since(now);
        (!not_before.is_zero()).then_some(not_before)
    }

    /// A status was written, for whatever reason.
    pub fn written(&self, resource: &NamespacedName, now: Instant) {
        self.lock().insert(resource.clone(), now + PAUSE);
    }

    /// The resource is gone.
    pub fn forget(&self, resource: &NamespacedName) {
        self.lock().remove(resource);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NamespacedName, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_waits_for_a_moment_at_first_and_longer_after_a_write() {
        let throttle = Throttle::default();
        let resource = ("namespace".to_owned(), "name".to_owned());
        let start = Instant::now();
        let wait = |seconds: u64| throttle.wait(&resource, start + Duration::from_secs(seconds));
        let seconds = |seconds: u64| Some(Duration::from_secs(seconds));
        assert_eq!([wait(0), wait(1), wait(2)], [seconds(2), seconds(1), None]);
        throttle.written(&resource, start + Duration::from_secs(2));
        assert_eq!([wait(3), wait(7)], [seconds(4), None]);
        throttle.forget(&resource);
        assert_eq!(wait(8), seconds(2));
    }
}
