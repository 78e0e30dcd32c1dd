//! Which replica is preferred.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::prometheus::StoreError;
use crate::prometheus::observe::ServerMetrics;

/// So long a server that failed is not asked for what others lack: the answer is there without it,
/// and should not wait for it each time.
const OUT: Duration = Duration::from_secs(10);

/// Which of several replicas is asked first, by its place. It stays so while it answers; all
/// requests share it.
#[derive(Debug)]
pub(in crate::prometheus) struct Preference {
    target: Arc<str>,
    preferred: AtomicUsize,
    /// By place; none where there is no choice.
    servers: Vec<Known>,
}

/// What is known of a replica.
#[derive(Debug)]
struct Known {
    url: String,
    metrics: Option<Arc<ServerMetrics>>,
    failed: Mutex<Option<Instant>>,
    /// Held by the one request that asks it although it failed lately.
    on_trial: AtomicBool,
}

/// One request's look at a server that failed lately, until it is dropped.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    of: &'a AtomicBool,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.of.store(false, Ordering::Relaxed);
    }
}

impl Preference {
    /// `first` is preferred to begin with. Servers are known by their URLs.
    pub(in crate::prometheus) fn new(
        target: &Arc<str>,
        servers: Vec<(String, Option<Arc<ServerMetrics>>)>,
        first: usize,
    ) -> Self {
        let known = |(url, metrics)| Known {
            url,
            metrics,
            failed: Mutex::default(),
            on_trial: AtomicBool::new(false),
        };
        let preference = Self {
            target: Arc::clone(target),
            preferred: AtomicUsize::new(first),
            servers: servers.into_iter().map(known).collect(),
        };
        preference.shows(first);
        preference
    }

    /// The preferred place.
    pub(in crate::prometheus) fn get(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    /// What the server at a place is called.
    pub(super) fn name(&self, place: usize) -> String {
        let url = self.servers.get(place).map_or("", |known| &known.url);
        format!("server {url} of target {}", self.target)
    }

    /// The server at a place failed now.
    pub(super) fn failed(&self, place: usize) {
        self.knows(place, Some(Instant::now()));
    }

    /// The server at a place answered now.
    pub(super) fn answered(&self, place: usize) {
        self.knows(place, None);
    }

    fn knows(&self, place: usize, failed: Option<Instant>) {
        if let Some(known) = self.servers.get(place) {
            *known.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        }
    }

    /// Whether the server at a place failed lately.
    pub(super) fn is_out(&self, place: usize) -> bool {
        self.servers.get(place).is_some_and(|known| {
            let failed = known.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.is_some_and(|at| at.elapsed() < OUT)
        })
    }

    /// The right to ask the server at a place although it failed lately, unless another request
    /// does so now: calls that hang must not hold the places of others.
    pub(super) fn trial(&self, place: usize) -> Option<Trial<'_>> {
        let of = &self.servers.get(place)?.on_trial;
        (!of.swap(true, Ordering::Relaxed)).then_some(Trial { of })
    }

    /// Another one answered where the preferred one, at `from`, did not: it failed, or was late.
    /// The first request to find out says so; the others find it done.
    pub(super) fn moves(&self, from: usize, to: usize, failure: Option<&StoreError>) {
        let moved = self
            .preferred
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_err() || from == to {
            return;
        }
        self.shows(to);
        let reason = match failure {
            Some(error) => error.to_string(),
            None => format!("{} answers late", self.name(from)),
        };
        let (target, server) = (&*self.target, self.servers.get(to));
        let server = server.map_or("", |known| &known.url);
        tracing::warn!(target, server, reason, "another replica is preferred now");
    }

    fn shows(&self, preferred: usize) {
        for (place, known) in self.servers.iter().enumerate() {
            if let Some(metrics) = &known.metrics {
                metrics.is_preferred(place == preferred);
            }
        }
    }
}
