//! Which resources wait for their reconcile, and since when. The queue itself is kube's, which does
//! not say.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cluster::references::NamespacedName;

/// Resources with an event whose reconcile has not begun. Reconciles that only time asks for are
/// not in it.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<HashMap<NamespacedName, Instant>>);

impl Waiting {
    /// Something concerns a resource. Only the first event counts until the reconcile begins.
    pub fn put(&self, resource: NamespacedName) {
        self.lock().entry(resource).or_insert_with(Instant::now);
    }

    /// The reconcile of a resource begins, or it is gone: how long it waited, if there was an
    /// event.
    pub fn take(&self, resource: &NamespacedName) -> Option<Duration> {
        let since = self.lock().remove(resource)?;
        Some(since.elapsed())
    }

    /// How many wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NamespacedName, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_waits_once_and_from_its_first_event_on() {
        let waiting = Waiting::default();
        let name = |name: &str| ("namespace".to_owned(), name.to_owned());
        waiting.put(name("a"));
        let first = waiting.lock()[&name("a")];
        waiting.put(name("a"));
        waiting.put(name("b"));
        assert_eq!(waiting.lock()[&name("a")], first);
        assert_eq!(waiting.depth(), 2);
        assert!(waiting.take(&name("a")).is_some());
        assert_eq!(waiting.take(&name("a")), None);
        assert_eq!(waiting.depth(), 1);
    }
}
