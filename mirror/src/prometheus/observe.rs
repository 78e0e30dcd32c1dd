//! What can be seen of the upstream calls: counters, histograms and gauges, by target.
//!
//! Some agents read no more than 2,000 series of an endpoint (that of SUSE Observability does). A
//! target takes 24 at most: nine outcomes, nine of the histogram, and six more. With 64 targets of
//! which each has seen everything that makes 1,536, and leaves room for what is there once.

mod outcome;
mod target;

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::outcome::Outcome;
use self::target::LazyCounter;
pub(super) use self::target::TargetMetrics;

/// What stands for every undeclared target: their names come from requests, and a label must not.
pub const UNDECLARED: &str = "(undeclared)";

/// Of each target's calls, in seconds, up to StackState's patience. Few, because every target has
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
    duration: Family<TargetLabel, Histogram>,
    wait: Histogram,
    waiting: Family<TargetLabel, Gauge>,
    in_flight: Family<TargetLabel, Gauge>,
    shared: Family<TargetLabel, Counter>,
    sent_again: Family<TargetLabel, Counter>,
    held: Family<TargetLabel, Gauge>,
    throttled_until: Family<TargetLabel, Gauge<f64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabel {
    target: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    target: String,
    outcome: Outcome,
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
        metrics
    }

    /// The metrics of one target, looked up once.
    pub(super) fn of_target(&self, target: &str) -> TargetMetrics {
        let label = TargetLabel {
            target: target.to_owned(),
        };
        let calls = Outcome::ALL.map(|outcome| LazyCounter {
            family: self.calls.clone(),
            labels: CallLabels {
                target: target.to_owned(),
                outcome,
            },
            counter: OnceLock::new(),
        });
        TargetMetrics {
            calls,
            duration: self.duration.get_or_create_owned(&label),
            wait: self.wait.clone(),
            waiting: self.waiting.get_or_create_owned(&label),
            in_flight: self.in_flight.get_or_create_owned(&label),
            shared: self.shared.get_or_create_owned(&label),
            sent_again: self.sent_again.get_or_create_owned(&label),
            held: self.held.get_or_create_owned(&label),
            throttled_until: self.throttled_until.clone(),
            label,
        }
    }

    /// Forgets a target that is no longer declared.
    pub(super) fn remove_target(&self, target: &str) {
        let label = TargetLabel {
            target: target.to_owned(),
        };
        for outcome in Outcome::ALL {
            self.calls.remove(&CallLabels {
                target: target.to_owned(),
                outcome,
            });
        }
        self.duration.remove(&label);
        self.waiting.remove(&label);
        self.in_flight.remove(&label);
        self.shared.remove(&label);
        self.sent_again.remove(&label);
        self.held.remove(&label);
        self.throttled_until.remove(&label);
    }
}

#[cfg(test)]
mod tests;
