//! What can be seen of the upstream calls: counters, histograms and gauges, by target.
//!
//! Some agents read no more than 2,000 series of an endpoint (that of SUSE Observability does). A
//! target takes 24 at most: nine outcomes, nine of the histogram, and six more. With 64 targets of
//! which each has seen everything that makes 1,536, and leaves room for what is there once.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Answer, StoreError};

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

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Ok,
    Rejected,
    Unreachable,
    CredentialsRefused,
    Timeout,
    TooLarge,
    Throttled,
    /// It fits into no URL.
    TooLong,
    /// Everybody who waited for it had hung up.
    Abandoned,
}

impl Outcome {
    const ALL: [Self; 9] = [
        Self::Ok,
        Self::Rejected,
        Self::Unreachable,
        Self::CredentialsRefused,
        Self::Timeout,
        Self::TooLarge,
        Self::Throttled,
        Self::TooLong,
        Self::Abandoned,
    ];

    fn of(result: &Result<Answer, StoreError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(StoreError::Rejected { .. } | StoreError::NotOffered(_)) => Self::Rejected,
            Err(StoreError::Unreachable(_)) => Self::Unreachable,
            Err(StoreError::CredentialsRefused(_)) => Self::CredentialsRefused,
            Err(StoreError::Timeout(_)) => Self::Timeout,
            Err(StoreError::TooLarge(_) | StoreError::BeyondMemory(_)) => Self::TooLarge,
            Err(StoreError::Throttled { .. }) => Self::Throttled,
            // Those but the first end before they are a call.
            Err(
                StoreError::TooLongForUrl { .. }
                | StoreError::TooMuchPromql { .. }
                | StoreError::TooManyCalls { .. },
            ) => Self::TooLong,
            Err(StoreError::ExpiredInQueue | StoreError::QueueFull | StoreError::OutOfMemory) => {
                Self::Abandoned
            }
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::CredentialsRefused => "credentials_refused",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Throttled => "throttled",
            Self::TooLong => "too_long",
            Self::Abandoned => "abandoned",
        }
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> std::fmt::Result {
        self.name().encode(encoder)
    }
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
            counter: std::sync::OnceLock::new(),
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

/// A counter that appears with its first increment: most targets never see most outcomes.
#[derive(Debug)]
struct LazyCounter {
    family: Family<CallLabels, Counter>,
    labels: CallLabels,
    counter: std::sync::OnceLock<Counter>,
}

impl LazyCounter {
    fn inc(&self) {
        self.counter
            .get_or_init(|| self.family.get_or_create_owned(&self.labels))
            .inc();
    }
}

/// The metrics of one target.
#[derive(Debug)]
pub(super) struct TargetMetrics {
    calls: [LazyCounter; Outcome::ALL.len()],
    duration: Histogram,
    wait: Histogram,
    pub(super) waiting: Gauge,
    in_flight: Gauge,
    pub(super) shared: Counter,
    pub(super) sent_again: Counter,
    held: Gauge,
    /// Appears when the target first asks: most never do.
    throttled_until: Family<TargetLabel, Gauge<f64, AtomicU64>>,
    label: TargetLabel,
}

impl TargetMetrics {
    pub(super) fn waited(&self, wait: Duration) {
        self.wait.observe(wait.as_secs_f64());
    }

    /// Counts a call as held as long as the answer lives.
    pub(super) fn held_now(&self) -> HeldNow {
        self.held.inc();
        HeldNow(self.held.clone())
    }

    /// The target asks to be left in peace until then.
    pub(super) fn throttled(&self, until: std::time::Instant) {
        let left = until.saturating_duration_since(std::time::Instant::now());
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 are exact"
        )]
        let now = crate::model::time::Timestamp::now().0 as f64 / 1000.0;
        self.throttled_until
            .get_or_create_owned(&self.label)
            .set(now + left.as_secs_f64());
    }

    /// A call is sent now. If the answer is dropped before it [ended](Sent::ended), the call was
    /// abandoned, or timed out where it is later than `deadline`: whoever waits for it gives up at
    /// the same moment as the call.
    pub(super) fn sent(self: &std::sync::Arc<Self>, deadline: std::time::Instant) -> Sent {
        self.in_flight.inc();
        Sent {
            metrics: std::sync::Arc::clone(self),
            outcome: Outcome::Abandoned,
            deadline,
            since: std::time::Instant::now(),
        }
    }
}

/// A call that waits because its target asks to slow down.
#[derive(Debug)]
pub(super) struct HeldNow(Gauge);

impl Drop for HeldNow {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A call in flight.
#[derive(Debug)]
pub(super) struct Sent {
    metrics: std::sync::Arc<TargetMetrics>,
    outcome: Outcome,
    deadline: std::time::Instant,
    since: std::time::Instant,
}

impl Sent {
    pub(super) fn ended(mut self, result: &Result<Answer, StoreError>) -> &'static str {
        self.outcome = Outcome::of(result);
        self.outcome.name()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics
            .duration
            .observe(self.since.elapsed().as_secs_f64());
        let late = std::time::Instant::now() >= self.deadline;
        let outcome = match self.outcome {
            Outcome::Abandoned if late => Outcome::Timeout,
            outcome => outcome,
        };
        self.metrics.calls[outcome as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{Outcome, UNDECLARED};
    use crate::model::api_method::ApiMethod;
    use crate::telemetry::metrics::{self, Format, Metrics};

    /// What the error map calls the ends of a request, and `ok`.
    const ANSWERS: [&str; 11] = [
        "ok",
        "connection_error",
        "timeout",
        "not_found",
        "unsupported",
        "bad_request",
        "busy",
        "internal_error",
        "no_such_method",
        "unauthorized",
        "one to come",
    ];

    /// Everything has happened to 64 targets, which is as many as a document may have, and to an
    /// undeclared one.
    fn after_everything() -> Arc<Metrics> {
        let metrics = Metrics::new();
        metrics.serves("mirror", "hash");
        let names = (0..64).map(|index| format!("target-{index}"));
        for name in names.chain([UNDECLARED.to_owned()]) {
            let target = Arc::new(metrics.upstream.of_target(&name));
            for outcome in Outcome::ALL {
                let mut sent = target.sent(Instant::now() + Duration::from_secs(60));
                sent.outcome = outcome;
            }
            target.throttled(Instant::now());
        }
        for method in ApiMethod::ALL.map(Some).into_iter().chain([None]) {
            for outcome in ANSWERS {
                let outcome = metrics::Outcome(outcome);
                metrics.answered(method, outcome, Duration::ZERO);
            }
        }
        metrics
    }

    #[test]
    fn whatever_happens_to_64_targets_an_agent_that_reads_2000_lines_reads_all() {
        let metrics = after_everything();
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let text = metrics.render(format);
            let lines = text.lines().count();
            assert!(lines < 2000, "{lines} lines as {format:?}");
        }
    }

    #[test]
    fn a_target_has_at_most_24_series_and_none_once_it_is_gone() {
        let metrics = after_everything();
        let of_the_seventh = || {
            let text = metrics.render(Format::OpenMetrics);
            let label = "target=\"target-7\"";
            text.lines().filter(|line| line.contains(label)).count()
        };
        assert_eq!(of_the_seventh(), 24);
        metrics.upstream.remove_target("target-7");
        assert_eq!(of_the_seventh(), 0);
    }

    #[test]
    fn a_call_that_nobody_waits_for_after_its_deadline_timed_out() {
        let metrics = Metrics::new();
        let target = Arc::new(metrics.upstream.of_target("silent"));
        drop(target.sent(Instant::now()));
        drop(target.sent(Instant::now() + Duration::from_secs(60)));
        let text = metrics.render(Format::Prometheus);
        for outcome in ["timeout", "abandoned"] {
            let line = format!(
                "prometheus_mirror_upstream_requests_total{{target=\"silent\",outcome=\"{outcome}\"}} 1"
            );
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
    }
}
