//! What is counted of one server's calls.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::outcome::Outcome;
use super::{CallLabels, ServerLabels};
use crate::model::time::Timestamp;
use crate::prometheus::{Answer, StoreError};

/// A counter that appears with its first increment: most servers never see most outcomes.
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

/// The metrics of one server.
#[derive(Debug)]
pub(in crate::prometheus) struct ServerMetrics {
    pub(super) calls: [LazyCounter; Outcome::ALL.len()],
    pub(super) duration: Histogram,
    pub(super) wait: Histogram,
    pub(super) in_flight: Gauge,
    pub(in crate::prometheus) shared: Counter,
    pub(in crate::prometheus) sent_again: Counter,
    pub(super) held: Gauge,
    /// Appears when the server first asks: most never do.
    pub(super) throttled_until: Family<ServerLabels, Gauge<f64, AtomicU64>>,
    pub(super) preferred: Family<ServerLabels, Gauge>,
    pub(in crate::prometheus) labels: ServerLabels,
}

impl ServerMetrics {
    pub(in crate::prometheus) fn waited(&self, wait: Duration) {
        self.wait.observe(wait.as_secs_f64());
    }

    /// Counts a call as held as long as the answer lives.
    pub(in crate::prometheus) fn held_now(&self) -> HeldNow {
        self.held.inc();
        HeldNow(self.held.clone())
    }

    /// Whether it is the preferred one of several replicas. Not shown where servers are not told
    /// apart.
    pub(in crate::prometheus) fn is_preferred(&self, preferred: bool) {
        if self.labels.server.is_some() {
            let gauge = self.preferred.get_or_create_owned(&self.labels);
            gauge.set(i64::from(preferred));
        }
    }

    /// The server asks to be left in peace until then.
    pub(in crate::prometheus) fn throttled(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 are exact"
        )]
        let now = Timestamp::now().0 as f64 / 1000.0;
        self.throttled_until
            .get_or_create_owned(&self.labels)
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

/// A call that waits because its server asks to slow down.
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
    metrics: Arc<ServerMetrics>,
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
