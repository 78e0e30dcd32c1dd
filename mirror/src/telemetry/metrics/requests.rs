//! The API port: its requests and connections.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::model::api_method::ApiMethod;

/// The `method` label of a request; of other paths than those of the Mirror API `other`.
#[must_use]
pub fn method_label(method: Option<ApiMethod>) -> &'static str {
    method.map_or("other", ApiMethod::label)
}

/// How a request ended, as the `outcome` label. The error map puts one into the response's
/// extensions; without it a response counts as `ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(pub &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMethod {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMethodAndOutcome {
    method: &'static str,
    outcome: &'static str,
}

/// Of the API port.
#[derive(Default)]
pub(super) struct Requests {
    answered: Family<ByMethodAndOutcome, Counter>,
    duration: Durations,
    in_flight: Gauge,
    connections: Gauge,
}

/// Time by method.
struct Durations(Family<ByMethod, Histogram>);

/// Upper bounds of the duration buckets, in seconds: from an answer without an upstream call to
/// StackState's patience (15 s).
const DURATION_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
];

impl Default for Durations {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| {
            Histogram::new(DURATION_BUCKETS)
        }))
    }
}

impl Requests {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let requests = Self::default();
        registry.register(
            "requests",
            "Requests of the Mirror API that were answered, by method and outcome",
            requests.answered.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its response's head",
            Unit::Seconds,
            requests.duration.0.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests of the Mirror API being answered",
            requests.in_flight.clone(),
        );
        registry.register(
            "open_connections",
            "Open connections of the API port",
            requests.connections.clone(),
        );
        requests
    }

    pub(super) fn answered(&self, method: Option<ApiMethod>, outcome: Outcome, duration: Duration) {
        let method = method_label(method);
        self.answered
            .get_or_create(&ByMethodAndOutcome {
                method,
                outcome: outcome.0,
            })
            .inc();
        self.duration
            .0
            .get_or_create(&ByMethod { method })
            .observe(duration.as_secs_f64());
    }

    pub(super) fn in_flight(&self) -> Counted {
        Counted::new(&self.in_flight)
    }

    pub(super) fn connection_open(&self) -> Counted {
        Counted::new(&self.connections)
    }
}

/// Keeps a gauge one higher as long as it lives.
pub struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
