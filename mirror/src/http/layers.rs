//! What every request of the API port passes on its way to a route, and its answer on the way back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use futures::FutureExt as _;
use http::Uri;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower::util::MapRequestLayer;
use tower::{Layer as _, ServiceBuilder};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::api::error::ApiError;
use crate::api::state::AppState;
use crate::http::body::refuse;
use crate::http::browser;
use crate::http::keys::authenticate;
use crate::http::request_id::{RequestId, X_REQUEST_ID};
use crate::model::api_method::ApiMethod;
use crate::telemetry::metrics::{Outcome, method_label};

/// The routes with all layers around them, outermost first.
pub(super) fn around(state: Arc<AppState>, routes: Router) -> Router {
    // Slashes are put right before the routes are looked up, so around the router and not among its
    // layers.
    let routes = MapRequestLayer::new(normalize).layer(routes);
    let layers = ServiceBuilder::new()
        .layer(from_fn(follow))
        .layer(from_fn_with_state(Arc::clone(&state), record))
        .layer(from_fn_with_state(Arc::clone(&state), refuse_web_pages))
        .layer(from_fn_with_state(Arc::clone(&state), authenticate))
        .layer(from_fn_with_state(state, report_panic));
    Router::new().fallback_service(ServiceBuilder::new().layer(layers).service(routes))
}

/// Runs a request in a span with its id.
async fn follow(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let method = method_label(ApiMethod::of_path(request.uri().path()));
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
    let started = Instant::now();
    async move {
        let mut response = next.run(request).await;
        let status = response.status();
        if status.is_server_error() {
            tracing::Span::current().record("otel.status_code", "ERROR");
        }
        tracing::debug!(status = status.as_u16(), duration = ?started.elapsed(), "answered");
        response
            .headers_mut()
            .insert(X_REQUEST_ID.clone(), id.into_header());
        response
    }
    .instrument(span)
    .await
}

/// Records every request that passes.
async fn record(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let method = ApiMethod::of_path(request.uri().path());
    let started = Instant::now();
    let _in_flight = state.metrics.request_in_flight();
    let response = next.run(request).await;
    let outcome = response
        .extensions()
        .get::<Outcome>()
        .copied()
        .unwrap_or(Outcome("ok"));
    state.metrics.answered(method, outcome, started.elapsed());
    response
}

/// Refuses what a web page of another site can have sent, and keeps the key from it.
async fn refuse_web_pages(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let serving = state.serving();
    let allowed = serving.settings.allowed_hosts.as_deref();
    match browser::check(allowed, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => refuse(&serving, request, error).await,
    }
}

/// A panic is a bug: the client gets an error of the contract, the log the rest.
async fn report_panic(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map_or_else(String::new, |id| id.as_str().to_owned());
    let policy = state.serving().settings.error_status;
    // The panic hook has logged what and where. Every handler owns its state, so nothing half-done
    // is seen afterwards.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => ApiError::Internal { request_id }.into_response(policy),
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
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

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
}
