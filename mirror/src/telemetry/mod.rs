//! Logs and traces: how a request can be followed.
//!
//! Logs go to stderr (stdout is for results), as text or JSON. Every line written on behalf of a
//! request carries its id, which the response's `X-Request-Id` repeats. OpenTelemetry spans leave
//! over OTLP (HTTP, protobuf) only when the standard `OTEL_EXPORTER_OTLP_ENDPOINT` or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set; otherwise nothing of it is even built.

pub mod metrics;
pub mod process;

use std::env;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::WithHttpConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Instrument as _, Level};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::model::api_method::ApiMethod;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging and tracing could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "log level {0:?}: {1}; give error, warn, info, debug, trace, or directives like info,mirror=debug"
    )]
    Level(String, tracing_subscriber::filter::ParseError),
    /// The OTLP settings in the environment make no exporter.
    #[error("OpenTelemetry: {0}; see the OTEL_EXPORTER_OTLP_* environment variables")]
    Exporter(String),
    /// Someone set a logger before.
    #[error("logging is set up already")]
    Again(#[from] TryInitError),
}

/// Keeps the exporter; [`Telemetry::flush`] before the process ends.
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sends what is still queued, for at most five seconds.
    pub async fn flush(self) {
        if let Some(provider) = self.0 {
            // It waits for its own thread, and that one for the runtime: not on a runtime thread.
            let flushing =
                tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH));
            if !matches!(tokio::time::timeout(FLUSH, flushing).await, Ok(Ok(Ok(())))) {
                tracing::debug!("some traces were not sent");
            }
        }
    }
}

const FLUSH: Duration = Duration::from_secs(5);

/// Sets up logs at `level` (an `EnvFilter` directive) and, when the environment asks for it,
/// traces. Call inside the runtime.
///
/// # Errors
/// [`TelemetryError`] if `level` or the environment's OTLP settings make no sense.
pub fn init(format: LogFormat, level: &str) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| TelemetryError::Level(level.to_owned(), error))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    };
    let provider = provider(&|name| env::var(name).ok())?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("prometheus-mirror"))
            .with_filter(Targets::new().with_target("mirror", Level::INFO))
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces)
        .try_init()?;
    Ok(Telemetry(provider))
}

/// The exporter that `variable` (the environment) asks for, if any.
fn provider(
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let endpoint =
        set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let disabled = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if endpoint.is_none() || disabled {
        return Ok(None);
    }
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
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .build()
        .map_err(|error| failed(&error))?;
    let named = set("OTEL_SERVICE_NAME").is_some()
        || set("OTEL_RESOURCE_ATTRIBUTES")
            .is_some_and(|attributes| attributes.contains("service.name="));
    let resource = Resource::builder();
    let resource = if named {
        resource
    } else {
        resource.with_service_name("prometheus-mirror")
    };
    Ok(Some(
        SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build(),
    ))
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

/// The id of a request: on every log line, on the response, and in "internal error" bodies. In the
/// request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The client's own id if it is at most 64 visible ASCII characters, else a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let sane = |value: &&HeaderValue| {
            (1..=64).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        Self(
            headers
                .get(&X_REQUEST_ID)
                .filter(sane)
                .cloned()
                .unwrap_or_else(|| {
                    // The standard library's hash keys are random and differ from call to call.
                    let random = std::hash::RandomState::new().build_hasher().finish();
                    // Sixteen hex digits are a valid header value.
                    HeaderValue::from_str(&format!("{random:016x}"))
                        .unwrap_or(HeaderValue::from_static("unknown"))
                }),
        )
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("unknown")
    }
}

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs a request in a span with its id: for `axum::middleware::from_fn`, outermost.
pub async fn follow(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let method = metrics::method_label(ApiMethod::of_path(request.uri().path()));
    // An error span, so that no log level hides the id from the lines inside.
    let span = tracing::error_span!(
        "request",
        id = id.as_str(),
        method,
        otel.kind = "server",
        otel.name = method,
        otel.status_code = tracing::field::Empty
    );
    if request.headers().contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        // Fails only where no traces are collected; then there is no span to have a parent.
        let _ = span.set_parent(parent);
    }
    request.extensions_mut().insert(id.clone());
    let started = std::time::Instant::now();
    async move {
        let mut response = next.run(request).await;
        let status = response.status();
        if status.is_server_error() {
            tracing::Span::current().record("otel.status_code", "ERROR");
        }
        tracing::debug!(status = status.as_u16(), duration = ?started.elapsed(), "answered");
        response.headers_mut().insert(X_REQUEST_ID.clone(), id.0);
        response
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    fn of(id: &str) -> RequestId {
        RequestId::of(&HeaderMap::from_iter([(
            X_REQUEST_ID.clone(),
            HeaderValue::from_bytes(id.as_bytes()).unwrap(),
        )]))
    }

    #[test]
    fn a_sane_id_of_the_client_is_kept_and_any_other_replaced() {
        assert_eq!(of("abc-123").as_str(), "abc-123");
        for insane in ["", "two words", "ünicode", &"x".repeat(65)] {
            let made = of(insane);
            assert_ne!(made.as_str(), insane);
            assert_eq!(made.as_str().len(), 16);
        }
        assert_ne!(of("").as_str(), of("").as_str(), "ids differ");
    }

    #[tokio::test]
    async fn the_response_repeats_the_id_that_the_handler_saw() {
        let router = Router::new()
            .route(
                "/",
                get(async |axum::Extension(id): axum::Extension<RequestId>| id.as_str().to_owned()),
            )
            .layer(axum::middleware::from_fn(follow));
        let request = http::Request::get("/")
            .header("x-request-id", "mine")
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.headers()["x-request-id"], "mine");
        assert_eq!(
            axum::body::to_bytes(response.into_body(), 100)
                .await
                .unwrap(),
            "mine"
        );
    }

    #[tokio::test]
    async fn without_an_endpoint_nothing_of_opentelemetry_is_built() {
        assert!(provider(&|_| None).unwrap().is_none());
        assert!(
            provider(&|name| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(String::new))
                .unwrap()
                .is_none()
        );
        let disabled = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://127.0.0.1:1".into()),
            "OTEL_SDK_DISABLED" => Some("TRUE".into()),
            _ => None,
        };
        assert!(provider(&disabled).unwrap().is_none());
    }
}
