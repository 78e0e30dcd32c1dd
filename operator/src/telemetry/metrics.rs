//! The operator's own metrics.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::waiting::Waiting;

/// The instruments.
pub struct Metrics {
    registry: Registry,
    reconciles: Counter,
    failures: Family<Failure, Counter>,
    durations: Histogram,
    under_way: Gauge,
    leader: Gauge,
    waits: Histogram,
    depth: Gauge,
    namespaces: Family<Watched, Gauge>,
    /// One for each running controller; it goes with its controller.
    waiting: Mutex<Vec<Weak<Waiting>>>,
}

/// Where a reconcile failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    step: &'static str,
    reason: &'static str,
}

/// A namespace that the operator is told to watch. Its label is not `namespace`, which the scraper
/// sets to the operator's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Watched {
    watched_namespace: String,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("prometheus_mirror_operator");
        let metrics = Self {
            reconciles: Counter::default(),
            failures: Family::default(),
            durations: Histogram::new(exponential_buckets(0.005, 2.0, 12)),
            under_way: Gauge::default(),
            leader: Gauge::default(),
            waits: Histogram::new(exponential_buckets(0.001, 4.0, 10)),
            depth: Gauge::default(),
            namespaces: Family::default(),
            waiting: Mutex::default(),
            registry: Registry::default(),
        };
        registry.register(
            "reconciles",
            "Reconciles that ended",
            metrics.reconciles.clone(),
        );
        registry.register(
            "reconcile_failures",
            "Reconciles that failed or found an invalid resource",
            metrics.failures.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "How long a reconcile took",
            metrics.durations.clone(),
        );
        registry.register(
            "reconciles_under_way",
            "Reconciles under way",
            metrics.under_way.clone(),
        );
        registry.register(
            "leader",
            "1 in the replica that is at work",
            metrics.leader.clone(),
        );
        registry.register(
            "workqueue_depth",
            "Resources with an event whose reconcile has not begun",
            metrics.depth.clone(),
        );
        registry.register(
            "workqueue_age_seconds",
            "How long it took from the first such event to the beginning of the reconcile",
            metrics.waits.clone(),
        );
        registry.register(
            "namespace_readable",
            "0 where the operator may not read a namespace that it is told to watch",
            metrics.namespaces.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    /// A reconcile begins.
    pub fn began(&self) {
        self.under_way.inc();
    }

    /// A reconcile ended, one way or the other.
    pub fn ended(&self, took: Duration) {
        self.under_way.dec();
        self.reconciles.inc();
        self.durations.observe(took.as_secs_f64());
    }

    /// A step failed, for one of a fixed set of reasons.
    pub fn failed(&self, step: &'static str, reason: &'static str) {
        self.failures.get_or_create(&Failure { step, reason }).inc();
    }

    /// Whether this replica is at work.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            // Only who leads looks into namespaces.
            self.namespaces.clear();
        }
    }

    /// Whether a namespace that the operator is told to watch can be read.
    pub fn namespace_readable(&self, namespace: &str, readable: bool) {
        let watched_namespace = namespace.to_owned();
        let gauge = self
            .namespaces
            .get_or_create(&Watched { watched_namespace });
        gauge.set(i64::from(readable));
    }

    /// A reconcile begins so long after the event that asked for it.
    pub fn waited(&self, age: Duration) {
        self.waits.observe(age.as_secs_f64());
    }

    /// For another controller: the resources that wait there.
    #[must_use]
    pub fn waiting(&self) -> Arc<Waiting> {
        let new = Arc::new(Waiting::default());
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|waiting| waiting.strong_count() > 0);
        all.push(Arc::downgrade(&new));
        new
    }

    fn depth(&self) -> usize {
        let all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let running = all.iter().filter_map(Weak::upgrade);
        running.map(|waiting| waiting.depth()).sum()
    }

    /// All of it in the text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.depth
            .set(i64::try_from(self.depth()).unwrap_or(i64::MAX));
        let mut page = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut page, &self.registry);
        page
    }
}
