//! The mirror's own metrics, on the admin port's `/metrics`.
//!
//! Label values come from closed sets (methods, outcomes, declared targets), never from requests,
//! so that no client can grow the number of series. Handles of hot series are looked up once a
//! request under a read lock; nothing is allocated.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::budget::Memory;
use crate::model::api_method::ApiMethod;
use crate::model::time::Timestamp;
use crate::prometheus::observe::UpstreamMetrics;
use crate::telemetry::exposition::{Format, to_prometheus_text};
use crate::telemetry::memory::MemoryCollector;
use crate::telemetry::process::ProcessCollector;

/// The `method` label of a request; of other paths than those of the Mirror API `other`.
#[must_use]
pub fn method_label(method: Option<ApiMethod>) -> &'static str {
    method.map_or("other", ApiMethod::label)
}

/// How a request ended, as the `outcome` label. The error map puts one into the response's
/// extensions; without it a response counts as `ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(pub &'static str);

/// Whether a changed document was taken over, as the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is being served.
    Success,
    /// It has faults; the one before keeps being served.
    Failure,
}

impl Reload {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMethod {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMethodAndOutcome {
    method: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDocument {
    name: String,
    hash: String,
}

/// The registry and the handles that the mirror's own code records with.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    documents: Documents,
    memory: MemoryCollector,
    /// Of the calls to the targets.
    pub upstream: UpstreamMetrics,
}

/// Of the API port.
#[derive(Default)]
struct Requests {
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
    fn register(registry: &mut Registry) -> Self {
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
}

/// Of the document being served.
#[derive(Default)]
struct Documents {
    reloads: Family<ByResult, Counter>,
    last_reload_successful: Gauge,
    last_reload_at: Gauge<f64, AtomicU64>,
    served: Family<ByDocument, Gauge>,
}

impl Documents {
    fn register(registry: &mut Registry) -> Self {
        let documents = Self::default();
        registry.register(
            "config_reloads",
            "Changed documents, by whether they were taken over",
            documents.reloads.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "1 if the newest document is the one being served",
            documents.last_reload_successful.clone(),
        );
        registry.register(
            "config_last_reload_success_timestamp_seconds",
            "When the document being served was taken over",
            documents.last_reload_at.clone(),
        );
        registry.register(
            "config_document",
            "1 for the document being served: its name and SHA-256",
            documents.served.clone(),
        );
        // Both results exist from the start, so that a rate over the first failure is not lost.
        for result in [Reload::Success, Reload::Failure] {
            drop(documents.reloads.get_or_create(&ByResult {
                result: result.as_str(),
            }));
        }
        documents
    }
}

/// What this binary was built from.
fn build() -> Info<Vec<(&'static str, &'static str)>> {
    Info::new(vec![
        ("version", env!("CARGO_PKG_VERSION")),
        (
            "revision",
            option_env!("PROMETHEUS_MIRROR_REVISION").unwrap_or("unknown"),
        ),
        ("rustc", env!("PROMETHEUS_MIRROR_RUSTC")),
    ])
}

impl Metrics {
    /// Registers every family.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let mut root = Registry::default();
        root.register_collector(Box::new(ProcessCollector));
        let memory = MemoryCollector::default();
        root.register_collector(Box::new(memory.clone()));
        let registry = root.sub_registry_with_prefix("prometheus_mirror");
        let requests = Requests::register(registry);
        let documents = Documents::register(registry);
        registry.register("build", "What this binary was built from", build());
        let upstream = UpstreamMetrics::register(registry);
        Arc::new(Self {
            registry: root,
            requests,
            documents,
            memory,
            upstream,
        })
    }

    /// Records a request that was answered.
    pub fn answered(&self, method: Option<ApiMethod>, outcome: Outcome, duration: Duration) {
        let method = method_label(method);
        self.requests
            .answered
            .get_or_create(&ByMethodAndOutcome {
                method,
                outcome: outcome.0,
            })
            .inc();
        self.requests
            .duration
            .0
            .get_or_create(&ByMethod { method })
            .observe(duration.as_secs_f64());
    }

    /// Counts a request or connection as long as the returned guard lives, also when the client
    /// goes away.
    #[must_use]
    pub fn request_in_flight(&self) -> Counted {
        Counted::new(&self.requests.in_flight)
    }

    /// As [`Metrics::request_in_flight`], for a connection.
    #[must_use]
    pub fn connection_open(&self) -> Counted {
        Counted::new(&self.requests.connections)
    }

    /// Shows from now on how much of this memory is used. Later calls change nothing: the process
    /// has one.
    pub fn shows(&self, memory: &Arc<Memory>) {
        let _ = self.memory.0.set(Arc::clone(memory));
    }

    /// Records that the document called `name` with `hash` is being served from now on.
    pub fn serves(&self, name: &str, hash: &str) {
        self.documents.last_reload_successful.set(1);
        self.documents
            .last_reload_at
            .set(Timestamp::now().0 as f64 / 1000.0);
        self.documents.served.clear();
        let document = ByDocument {
            name: name.to_owned(),
            hash: hash.to_owned(),
        };
        self.documents.served.get_or_create(&document).set(1);
    }

    /// Records what became of a changed document.
    pub fn reloaded(&self, result: Reload) {
        self.documents
            .reloads
            .get_or_create(&ByResult {
                result: result.as_str(),
            })
            .inc();
        self.documents
            .last_reload_successful
            .set(i64::from(result == Reload::Success));
    }

    /// The exposition in `format`.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let mut text = String::with_capacity(8 * 1024);
        // Writing into a String cannot fail, and no collector of ours returns an error.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        match format {
            Format::OpenMetrics => text,
            Format::Prometheus => to_prometheus_text(&text),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_reloads_the_document_and_the_process_are_exposed() {
        let metrics = Metrics::new();
        metrics.answered(
            Some(ApiMethod::Metric),
            Outcome("ok"),
            Duration::from_millis(3),
        );
        metrics.serves("first", "aaa");
        metrics.reloaded(Reload::Success);
        metrics.serves("second", "bbb");
        metrics.reloaded(Reload::Failure);
        let _open = metrics.request_in_flight();
        drop(metrics.request_in_flight());
        let text = metrics.render(Format::Prometheus);
        for line in [
            "prometheus_mirror_requests_total{method=\"metric\",outcome=\"ok\"} 1",
            "prometheus_mirror_request_duration_seconds_bucket{le=\"0.005\",method=\"metric\"} 1",
            "prometheus_mirror_requests_in_flight 1",
            "prometheus_mirror_config_reloads_total{result=\"success\"} 1",
            "prometheus_mirror_config_reloads_total{result=\"failure\"} 1",
            "prometheus_mirror_config_last_reload_successful 0",
            "prometheus_mirror_config_document{name=\"second\",hash=\"bbb\"} 1",
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no line {line} in\n{text}"
            );
        }
        assert!(
            !text.contains("hash=\"aaa\""),
            "the old document is gone:\n{text}"
        );
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        assert!(
            text.contains("prometheus_mirror_build_info{version="),
            "{text}"
        );
    }
}
