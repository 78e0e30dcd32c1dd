//! What every request of the API port passes on its way to a route, and its answer on the way back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use futures::FutureExt as _;
use http::{HeaderMap, Uri};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower::util::MapRequestLayer;
use tower::{Layer as _, ServiceBuilder};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::api::error::ApiError;
use crate::api::state::AppState;
use crate::http::body::refuse;
use crate::http::browser;
use crate::http::console::{calls, headers};
use crate::http::keys;
use crate::http::request_id::{RequestId, X_REQUEST_ID};
use crate::http::request_log::Entry;
use crate::model::api_method::ApiMethod;
use crate::telemetry::metrics::{Outcome, method_label};

/// The routes with all that requests pass around them. For the API port it is one layer: each layer
/// copies those inside it for every request, and puts what is under way into a box of its own.
pub(super) fn around(state: Arc<AppState>, routes: Router) -> Router {
    // Slashes are put right before the routes are looked up, so around the router and not among its
    // layers.
    let routes = MapRequestLayer::new(normalize).layer(routes);
    let layer = from_fn_with_state(state, pass);
    Router::new().fallback_service(layer.layer(routes))
}

/// The console's routes with all layers around them, outermost first. The routes that answer with
/// data demand the key by themselves; with it, the request's host does not matter.
pub(super) fn around_console(state: Arc<AppState>, routes: Router) -> Router {
    let layers = ServiceBuilder::new()
        // Its notes are those that the log of requests writes down.
        .layer(from_fn(calls::show))
        .layer(from_fn_with_state(Arc::clone(&state), observe))
        .layer(from_fn(headers::protect))
        .layer(from_fn_with_state(state, report_panic));
    Router::new().fallback_service(ServiceBuilder::new().layer(layers).service(routes))
}

/// What every request of the API port passes.
async fn pass(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let admitted = |request| admit(Arc::clone(&state), request, next);
    observed(&state, request, admitted).await
}

/// What every request of the console passes first.
async fn observe(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    observed(&state, request, |request| next.run(request)).await
}

/// Runs a request in a span with its id, and records it.
async fn observed<F: Future<Output = Response>>(
    state: &AppState,
    mut request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response {
    let started = Instant::now();
    let method = ApiMethod::of_path(request.uri().path());
    let id = RequestId::of(request.headers());
    let span = span(&id, method, request.headers());
    request.extensions_mut().insert(id.clone());
    let logged = state.logged_requests();
    let entry = logged.map(|which| Entry::begin(which, &mut request));
    // It would be moved, and room for it kept twice.
    let answer = Box::pin(answer(request));
    async move {
        let in_flight = state.metrics.request_in_flight();
        let mut response = answer.await;
        let outcome = response
            .extensions()
            .get::<Outcome>()
            .copied()
            .unwrap_or(Outcome("ok"));
        state.metrics.answered(method, outcome, started.elapsed());
        if let Some(entry) = entry {
            entry.answered(&response, outcome);
        }
        drop(in_flight);
        let status = response.status();
        if status.is_server_error() {
            Span::current().record("otel.status_code", "ERROR");
        }
        tracing::debug!(status = status.as_u16(), duration = ?started.elapsed(), "answered");
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID.clone(), id.into_header());
        response
    }
    .instrument(span)
    .await
}

fn span(id: &RequestId, method: Option<ApiMethod>, headers: &HeaderMap) -> Span {
    let method = method_label(method);
    // An error span, so that no log level hides the id from the lines inside.
    let span = tracing::error_span!(
        "request",
        id = id.as_str(),
        method,
        otel.kind = "server",
        otel.name = method,
        otel.status_code = tracing::field::Empty
    );
    if headers.contains_key("traceparent") {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        // Fails only where no traces are collected; then there is no span to have a parent.
        let _ = span.set_parent(parent);
    }
    span
}

/// Refuses what a web page of another site can have sent, and wrong keys.
async fn admit(state: Arc<AppState>, request: Request, next: Next) -> Response {
    let serving = state.serving();
    let allowed = serving.settings.allowed_hosts.as_deref();
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    if let Err(error) = browser::check(allowed, method, uri, headers) {
        return refuse(&serving, request, error).await;
    }
    let required = serving.settings.require_api_key;
    let answer = |request| caught(Arc::clone(&state), request, next);
    keys::checked(serving, required, request, answer).await
}

/// A panic is a bug: the client gets an error of the contract, the log the rest.
async fn report_panic(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    caught(state, request, next).await
}

async fn caught(state: Arc<AppState>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let policy = state.serving().settings.error_status;
    // The panic hook has logged what and where. Every handler owns its state, so nothing half-done
    // is seen afterwards.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            let request_id = id.map_or_else(String::new, |id| id.as_str().to_owned());
            ApiError::Internal { request_id }.into_response(policy)
        }
    }
}

/// A data source URL may end in a slash: `//api/metric` and `/api/metric/` are `/api/metric`.
fn normalize(mut request: Request) -> Request {
    let path = request.uri().path();
    if !path.contains("//") && (path.len() == 1 || !path.ends_with('/')) {
        return request;
    }
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let query = request
        .uri()
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    if let Ok(uri) = format!("/{}{query}", segments.join("/")).parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroUsize};

    use axum::body::Body;
    use axum::routing::get;
    use http::HeaderValue;
    use tower::ServiceExt as _;

    use super::*;
    use crate::settings::{ApiKey, ApiKeys, ErrorStatus, Limits, Settings};
    use crate::telemetry::metrics::Metrics;

    /// A document without targets.
    fn settings() -> Settings {
        Settings {
            name: "test".to_owned(),
            document_hash: String::new(),
            api_keys: ApiKeys {
                current: ApiKey::parse("key").unwrap(),
                previous: None,
            },
            require_api_key: false,
            error_status: ErrorStatus::Semantic,
            allowed_hosts: None,
            server_tls: None,
            targets: Vec::new(),
            default_target: None,
            request_targets: None,
            logged_requests: None,
            notices: Vec::new(),
            cache: None,
            workers: NonZeroUsize::MIN,
            limits: Limits {
                memory: None,
                upstream_calls: NonZeroU32::MIN,
            },
            port: 0,
            console: false,
        }
    }

    /// What comes of a request with the id `mine` to these routes: its status, the id and the key
    /// that the answer carries, and its body.
    async fn answered(routes: Router) -> (u16, Vec<HeaderValue>, String) {
        let state = AppState::new(settings(), Metrics::new());
        let request = http::Request::get("/")
            .header("x-request-id", "mine")
            .body(Body::empty())
            .unwrap();
        let response = around(state, routes).oneshot(request).await.unwrap();
        let headers = ["x-request-id", "x-mirror-api-key"];
        let headers = headers.map(|name| response.headers()[name].clone());
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1000).await;
        let body = String::from_utf8(body.unwrap().into()).unwrap();
        (status, headers.to_vec(), body)
    }

    #[tokio::test]
    async fn the_response_repeats_the_id_that_the_handler_saw() {
        let route =
            get(async |axum::Extension(id): axum::Extension<RequestId>| id.as_str().to_owned());
        let routes = Router::new().route("/", route);
        let headers = ["mine", "key"].map(HeaderValue::from_static);
        let expected = (200, headers.to_vec(), "mine".to_owned());
        assert_eq!(answered(routes).await, expected);
    }

    #[tokio::test]
    async fn a_panic_is_answered_with_the_id_and_the_key() {
        let route = get(async || -> String { panic!("a bug") });
        let (status, headers, body) = answered(Router::new().route("/", route)).await;
        let expected = ["mine", "key"].map(HeaderValue::from_static);
        assert_eq!((status, headers), (500, expected.to_vec()));
        assert!(body.contains("mine"), "{body}");
    }
}
