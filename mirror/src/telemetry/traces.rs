//! Traces: OpenTelemetry spans leave over OTLP (HTTP, protobuf) only when the standard
//! `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set; otherwise nothing
//! of it is even built.

use std::env;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::TelemetryError;

const FLUSH: Duration = Duration::from_secs(5);

/// Sends spans to a collector.
pub(super) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// The one that the environment asks for, if any.
    pub(super) fn from_environment() -> Result<Option<Self>, TelemetryError> {
        Self::new(&|name| env::var(name).ok())
    }

    fn new(variable: Variables<'_>) -> Result<Option<Self>, TelemetryError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let endpoint = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let disabled =
            set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if endpoint.is_none() || disabled {
            return Ok(None);
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(&set))
            .with_batch_exporter(sender(&set)?)
            .build();
        Ok(Some(Self(provider)))
    }

    /// What gives it the spans.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("prometheus-mirror"))
            .with_filter(Targets::new().with_target("mirror", Level::INFO))
    }

    /// Sends what is still queued, for at most five seconds.
    pub(super) async fn flush(self) {
        // It waits for its own thread, and that one for the runtime: not on a runtime thread.
        let flushing = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH));
        if !matches!(tokio::time::timeout(FLUSH, flushing).await, Ok(Ok(Ok(())))) {
            tracing::debug!("some traces were not sent");
        }
    }
}

/// The environment: the value of a variable, if it is set.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

fn sender(set: Variables<'_>) -> Result<SpanExporter, TelemetryError> {
    let timeout =
        set("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT").or_else(|| set("OTEL_EXPORTER_OTLP_TIMEOUT"));
    let timeout = timeout
        .and_then(|ms| ms.parse().ok())
        .map_or(Duration::from_secs(10), Duration::from_millis);
    let failed = |error: &dyn fmt::Display| TelemetryError::Exporter(error.to_string());
    let client = reqwest::Client::builder()
        .timeout(timeout)
        .build()
        .map_err(|error| failed(&error))?;
    let client = OnRuntime {
        client,
        runtime: tokio::runtime::Handle::current(),
        failing: Arc::default(),
    };
    SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .build()
        .map_err(|error| failed(&error))
}

/// Who sends the spans.
fn resource(set: Variables<'_>) -> Resource {
    let named = set("OTEL_SERVICE_NAME").is_some()
        || set("OTEL_RESOURCE_ATTRIBUTES")
            .is_some_and(|attributes| attributes.contains("service.name="));
    let resource = Resource::builder();
    if named {
        resource.build()
    } else {
        resource.with_service_name("prometheus-mirror").build()
    }
}

/// Sends batches on the mirror's runtime: the exporter calls from a thread of its own, where
/// reqwest cannot work.
#[derive(Clone, Debug)]
struct OnRuntime {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
    /// Whether the last batch was lost, so that the log has one line a change and not one a batch.
    failing: Arc<AtomicBool>,
}

impl OnRuntime {
    async fn send(self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let sent = self.client.send_bytes(request).await;
        let lost = match &sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("the collector answers {}", response.status())),
            Err(error) => Some(error.to_string()),
        };
        match (lost, self.failing.load(Ordering::Relaxed)) {
            (Some(error), false) => {
                tracing::warn!(%error, "traces cannot be sent; requests are not affected")
            }
            (None, true) => tracing::info!("traces are sent again"),
            _ => {}
        }
        self.failing.store(
            sent.as_ref()
                .map_or(true, |response| !response.status().is_success()),
            Ordering::Relaxed,
        );
        sent
    }
}

impl HttpClient for OnRuntime {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: http::Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let sending = self.runtime.spawn(self.clone().send(request));
        Box::pin(async move { sending.await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_an_endpoint_nothing_of_opentelemetry_is_built() {
        assert!(Exporter::new(&|_| None).unwrap().is_none());
        assert!(
            Exporter::new(&|name| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(String::new))
                .unwrap()
                .is_none()
        );
        let disabled = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://127.0.0.1:1".into()),
            "OTEL_SDK_DISABLED" => Some("TRUE".into()),
            _ => None,
        };
        assert!(Exporter::new(&disabled).unwrap().is_none());
    }
}
