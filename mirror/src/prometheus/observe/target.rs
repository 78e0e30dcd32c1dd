//! What is counted of one target's calls.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::outcome::Outcome;
use super::{CallLabels, TargetLabel};
use crate::model::time::Timestamp;
use crate::prometheus::{Answer, StoreError};

/// A counter that appears with its first increment: most targets never see most outcomes.
#[derive(Debug)]
pub(super) struct LazyCounter {
    pub(super) family: Family<CallLabels, Counter>,
    pub(super) labels: CallLabels,
    pub(super) counter: OnceLock<Counter>,
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
pub(in crate::prometheus) struct TargetMetrics {
    pub(super) calls: [LazyCounter; Outcome::ALL.len()],
    pub(super) duration: Histogram,
    pub(super) wait: Histogram,
    pub(in crate::prometheus) waiting: Gauge,
    pub(super) in_flight: Gauge,
    pub(in crate::prometheus) shared: Counter,
    pub(in crate::prometheus) sent_again: Counter,
    pub(super) held: Gauge,
    /// Appears when the target first asks: most never do.
    pub(super) throttled_until: Family<TargetLabel, Gauge<f64, AtomicU64>>,
    pub(super) label: TargetLabel,
}

impl TargetMetrics {
    pub(in crate::prometheus) fn waited(&self, wait: Duration) {
        self.wait.observe(wait.as_secs_f64());
    }

    /// Counts a call as held as long as the answer lives.
    pub(in crate::prometheus) fn held_now(&self) -> HeldNow {
        self.held.inc();
        HeldNow(self.held.clone())
    }

    /// The target asks to be left in peace until then.
    pub(in crate::prometheus) fn throttled(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 are exact"
        )]
        let now = Timestamp::now().0 as f64 / 1000.0;
        self.throttled_until
            .get_or_create_owned(&self.label)
            .set(now + left.as_secs_f64());
    }

    /// A call is sent now. If the answer is dropped before it [ended](Sent::ended), the call was
    /// abandoned, or timed out where it is later than `deadline`: whoever waits for it gives up at
    /// the same moment as the call.
    pub(in crate::prometheus) fn sent(self: &Arc<Self>, deadline: Instant) -> Sent {
        self.in_flight.inc();
        Sent {
            metrics: Arc::clone(self),
            outcome: Outcome::Abandoned,
            deadline,
            since: Instant::now(),
        }
    }
}

/// A call that waits because its target asks to slow down.
#[derive(Debug)]
pub(in crate::prometheus) struct HeldNow(Gauge);

impl Drop for HeldNow {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A call in flight.
#[derive(Debug)]
pub(in crate::prometheus) struct Sent {
    metrics: Arc<TargetMetrics>,
    pub(super) outcome: Outcome,
    deadline: Instant,
    since: Instant,
}

impl Sent {
    pub(in crate::prometheus) fn ended(
        mut self,
        result: &Result<Answer, StoreError>,
    ) -> &'static str {
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
        let late = Instant::now() >= self.deadline;
        let outcome = match self.outcome {
            Outcome::Abandoned if late => Outcome::Timeout,
            outcome => outcome,
        };
        self.metrics.calls[outcome as usize].inc();
    }
}
