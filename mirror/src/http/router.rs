//! Every route of the API port on one page.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::header::CONTENT_TYPE;
use serde_json::json;

use crate::api::decode::beginning;
use crate::api::error::ApiError;
use crate::api::openapi;
use crate::api::state::AppState;
use crate::http::body::refuse;
use crate::http::handle::handle;
use crate::http::layers;
use crate::model::api_method::ApiMethod;

/// The API port's routes. The admin port has its own.
pub fn app(state: Arc<AppState>) -> Router {
    let routes = methods()
        .route("/", only("GET", get(about)))
        .route("/openapi.json", only("GET", get(description)))
        .fallback(no_such_path)
        .with_state(Arc::clone(&state));
    layers::around(state, routes)
}

/// The methods of the Mirror API.
pub(super) fn methods() -> Router<Arc<AppState>> {
    let methods = ApiMethod::ALL.into_iter();
    methods.fold(Router::new(), |routes, method| {
        routes.route(method.path(), of(method))
    })
}

/// The answer where there is no route.
pub(super) async fn no_such_path(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let path = beginning(request.uri().path());
    refuse(&state.serving(), request, ApiError::NoSuchPath { path }).await
}

/// A method of the Mirror API.
fn of(method: ApiMethod) -> MethodRouter<Arc<AppState>> {
    only(
        "POST",
        post(
            move |State(state): State<Arc<AppState>>, request: Request| {
                handle(state, method, request)
            },
        ),
    )
}

/// Any other HTTP method gets the contract's kind of error.
pub(super) fn only(
    allowed: &'static str,
    route: MethodRouter<Arc<AppState>>,
) -> MethodRouter<Arc<AppState>> {
    route.fallback(
        move |State(state): State<Arc<AppState>>, request: Request| async move {
            let path = beginning(request.uri().path());
            let error = ApiError::WrongMethod { path, allowed };
            refuse(&state.serving(), request, error).await
        },
    )
}

async fn about() -> impl IntoResponse {
    let about = json!({"app": "Prometheus Mirror", "version": env!("CARGO_PKG_VERSION")});
    ([(CONTENT_TYPE, "application/json")], about.to_string())
}

async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], openapi::DOCUMENT)
}
