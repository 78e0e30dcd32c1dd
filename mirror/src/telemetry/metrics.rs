//! The mirror's own metrics, on the admin port's `/metrics`.
//!
//! Label values come from closed sets (methods, outcomes, declared targets), never from requests,
//! so that no client can grow the number of series. Handles of hot series are looked up once a
//! request under a read lock; nothing is allocated.

mod documents;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::documents::Documents;
pub use self::documents::Reload;
use self::requests::Requests;
pub use self::requests::{Counted, Outcome, method_label};
use crate::budget::Memory;
use crate::model::api_method::ApiMethod;
use crate::prometheus::observe::UpstreamMetrics;
use crate::telemetry::exposition::{Format, to_prometheus_text};
use crate::telemetry::memory::MemoryCollector;
use crate::telemetry::process::ProcessCollector;

/// The registry and the handles that the mirror's own code records with.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    documents: Documents,
    memory: MemoryCollector,
    /// Of the calls to the targets.
    pub upstream: UpstreamMetrics,
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
        self.requests.answered(method, outcome, duration);
    }

    /// Counts a request or connection as long as the returned guard lives, also when the client
    /// goes away.
    #[must_use]
    pub fn request_in_flight(&self) -> Counted {
        self.requests.in_flight()
    }

    /// As [`Metrics::request_in_flight`], for a connection.
    #[must_use]
    pub fn connection_open(&self) -> Counted {
        self.requests.connection_open()
    }

    /// Shows from now on how much of this memory is used. Later calls change nothing: the process
    /// has one.
    pub fn shows(&self, memory: &Arc<Memory>) {
        let _ = self.memory.0.set(Arc::clone(memory));
    }

    /// Records that the document called `name` with `hash` is being served from now on.
    pub fn serves(&self, name: &str, hash: &str) {
        self.documents.serves(name, hash);
    }

    /// Records what became of a changed document.
    pub fn reloaded(&self, result: Reload) {
        self.documents.reloaded(result);
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
