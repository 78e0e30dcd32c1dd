//! What can be seen of the upstream calls: counters, histograms and gauges, by target, and by
//! server where a target has several.
//!
//! Some agents read no more than 2,000 series of an endpoint (that of SUSE Observability does). A
//! server takes 24 at most: nine outcomes, nine of the histogram, and six more. A target has one
//! more. With [`MOST_TOLD_APART`] servers of which each has seen everything that makes 1,600 at
//! most, and leaves room for what is there once. Where there are more, the servers of a target
//! share their series.

mod labels;
mod outcome;
mod server;

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(super) use self::labels::ServerLabels;
use self::labels::{CallLabels, TargetLabel};
use self::outcome::Outcome;
use self::server::LazyCounter;
pub(super) use self::server::ServerMetrics;
use super::remembered::RememberedMetrics;

/// What stands for every undeclared target: their names come from requests, and a label must not.
pub const UNDECLARED: &str = "(undeclared)";

/// So many servers are told apart at most: as many as a document may have targets.
pub(super) const MOST_TOLD_APART: usize = 64;

/// Of each server's calls, in seconds, up to StackState's patience. Few, because every server has
/// them all.
const CALL_SECONDS: [f64; 6] = [0.01, 0.05, 0.25, 1.0, 5.0, 15.0];

/// Of what is there once, in seconds: fine where StackState's polls normally lie, then up to its
/// patience.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0, 15.0,
];

/// The metrics of all targets. Clones share them.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    calls: Family<CallLabels, Counter>,
    duration: Family<ServerLabels, Histogram>,
    wait: Histogram,
    waiting: Family<TargetLabel, Gauge>,
    in_flight: Family<ServerLabels, Gauge>,
    shared: Family<ServerLabels, Counter>,
    sent_again: Family<ServerLabels, Counter>,
    held: Family<ServerLabels, Gauge>,
    throttled_until: Family<ServerLabels, Gauge<f64, AtomicU64>>,
    preferred: Family<ServerLabels, Gauge>,
    remembered: RememberedMetrics,
}

impl UpstreamMetrics {
    /// Makes the metrics and registers them. Once per registry, which adds the mirror's own prefix
    /// to the names.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            wait: Histogram::new(SECONDS),
            waiting: Family::default(),
            in_flight: Family::default(),
            shared: Family::default(),
            sent_again: Family::default(),
            held: Family::default(),
            throttled_until: Family::default(),
            preferred: Family::default(),
            remembered: RememberedMetrics::register(registry),
        };
        registry.register(
            "upstream_requests",
            "Calls of a target's Prometheus API, by outcome",
            metrics.calls.clone(),
        );
        registry.register(
            "upstream_request_duration_seconds",
            "Time from sending a call to the end of its answer",
            metrics.duration.clone(),
        );
        registry.register(
            "upstream_queue_wait_seconds",
            "Time that calls waited for a worker",
            metrics.wait.clone(),
        );
        registry.register(
            "upstream_queue_depth",
            "Calls that wait for a worker",
            metrics.waiting.clone(),
        );
        registry.register(
            "upstream_requests_in_flight",
            "Calls that are sent and not yet answered",
            metrics.in_flight.clone(),
        );
        registry.register(
            "upstream_requests_shared",
            "Calls that were saved because an identical one was in flight",
            metrics.shared.clone(),
        );
        registry.register(
            "upstream_requests_sent_again",
            "Requests that were sent again because a kept connection was closed under them",
            metrics.sent_again.clone(),
        );
        registry.register(
            "upstream_requests_held",
            "Calls that wait because the target asks to slow down",
            metrics.held.clone(),
        );
        registry.register(
            "upstream_throttled_until_timestamp_seconds",
            "Until when the target asked to be left in peace, the last time that it did",
            metrics.throttled_until.clone(),
        );
        registry.register(
            "upstream_server_preferred",
            "Whether a server is the preferred one of its replicas",
            metrics.preferred.clone(),
        );
        metrics
    }

    /// Of what is remembered of all servers.
    pub(super) fn remembered(&self) -> RememberedMetrics {
        self.remembered.clone()
    }

    /// How many calls to a target wait.
    pub(super) fn waiting(&self, target: &str) -> Gauge {
        self.waiting.get_or_create_owned(&TargetLabel::of(target))
    }

    /// The metrics of one server, looked up once.
    pub(super) fn of_server(&self, labels: ServerLabels) -> ServerMetrics {
        let calls = Outcome::ALL.map(|outcome| LazyCounter {
            family: self.calls.clone(),
            labels: CallLabels {
                server: labels.clone(),
                outcome,
            },
            counter: OnceLock::new(),
        });
        ServerMetrics {
            calls,
            duration: self.duration.get_or_create_owned(&labels),
            wait: self.wait.clone(),
            in_flight: self.in_flight.get_or_create_owned(&labels),
            shared: self.shared.get_or_create_owned(&labels),
            sent_again: self.sent_again.get_or_create_owned(&labels),
            held: self.held.get_or_create_owned(&labels),
            throttled_until: self.throttled_until.clone(),
            preferred: self.preferred.clone(),
            labels,
        }
    }

    /// Forgets a target that is no longer declared.
    pub(super) fn remove_target(&self, target: &str) {
        self.waiting.remove(&TargetLabel::of(target));
    }

    /// Forgets a server that is no longer declared.
    pub(super) fn remove_server(&self, labels: &ServerLabels) {
        for outcome in Outcome::ALL {
            self.calls.remove(&CallLabels {
                server: labels.clone(),
                outcome,
            });
        }
        self.duration.remove(labels);
        self.in_flight.remove(labels);
        self.shared.remove(labels);
        self.sent_again.remove(labels);
        self.held.remove(labels);
        self.throttled_until.remove(labels);
        self.preferred.remove(labels);
    }
}

#[cfg(test)]
mod tests;
