//! The console: a page on which people try queries and see why a stream shows what it shows.
//!
//! It has a port of its own. The page is for everyone who reaches that port, and holds nothing
//! secret. All data comes through the methods of the Mirror API, within the bounds of everybody
//! else, and only with the key, which the page asks for and never stores.

pub(super) mod calls;
mod files;
pub(super) mod headers;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::json;

use crate::api::state::AppState;
use crate::http::keys::demand;
use crate::http::layers;
use crate::http::router::{methods, no_such_path, only};

/// The targets that a request may choose from.
const TARGETS: &str = "/api/targets";

/// The console's routes.
pub fn console(state: Arc<AppState>) -> Router {
    let data = methods()
        .route(TARGETS, only("GET", get(targets)))
        .route_layer(from_fn_with_state(Arc::clone(&state), demand));
    let routes = files::FILES.iter().fold(data, |routes, file| {
        routes.route(
            file.path,
            only(
                "GET",
                get(async move |headers: HeaderMap| file.answer(&headers)),
            ),
        )
    });
    let routes = routes.fallback(no_such_path).with_state(Arc::clone(&state));
    layers::around_console(state, routes)
}

/// The names of the targets, and which one connection details that name none mean.
async fn targets(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    let settings = &state.serving().settings;
    let name = |index: usize| {
        settings
            .targets
            .get(index)
            .map(|target| target.name.to_string())
    };
    let names: Vec<_> = (0..settings.targets.len()).filter_map(name).collect();
    let targets = json!({ "targets": names, "default": settings.default_target.and_then(name) });
    ([(CONTENT_TYPE, "application/json")], targets.to_string())
}
