//! Placeholder until the routes proper are merged.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::state::AppState;

/// Every route of the API port.
pub fn app(_state: Arc<AppState>) -> Router {
    Router::new().route("/", get(async || "Prometheus Mirror"))
}
