//! Which replica is preferred.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::prometheus::StoreError;
use crate::prometheus::observe::ServerMetrics;

/// Which of several replicas is asked first, by its place. It stays so while it answers; all
/// requests share it.
#[derive(Debug)]
pub(in crate::prometheus) struct Preference {
    target: Arc<str>,
    preferred: AtomicUsize,
    /// URLs and metrics by place; none where there is no choice.
    servers: Vec<(String, Arc<ServerMetrics>)>,
}

impl Preference {
    /// `first` is preferred to begin with.
    pub(in crate::prometheus) fn new(
        target: &Arc<str>,
        servers: Vec<(String, Arc<ServerMetrics>)>,
        first: usize,
    ) -> Self {
        let preference = Self {
            target: Arc::clone(target),
            preferred: AtomicUsize::new(first),
            servers,
        };
        preference.shows(first);
        preference
    }

    /// The preferred place.
    pub(in crate::prometheus) fn get(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    /// Another one answered where the preferred one, at `from`, did not. What it did instead is
    /// said, if it has failed. The first to come says so; the others find it done.
    pub(super) fn moves(&self, from: usize, to: usize, failure: Option<&StoreError>) {
        let moved = self
            .preferred
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_err() || from == to {
            return;
        }
        self.shows(to);
        let url = |place: usize| self.servers.get(place).map_or("", |(url, _)| url);
        let (before, now, target) = (url(from), url(to), &*self.target);
        match failure {
            Some(error) => tracing::warn!(
                target,
                before,
                now,
                %error,
                "the preferred server does not answer; another one is preferred from now on"
            ),
            None => tracing::warn!(
                target,
                before,
                now,
                "the preferred server answers late; another one is preferred from now on"
            ),
        }
    }

    fn shows(&self, preferred: usize) {
        for (place, (_, metrics)) in self.servers.iter().enumerate() {
            metrics.is_preferred(place == preferred);
        }
    }
}
