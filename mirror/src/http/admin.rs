//! The admin port: is the process alive, may it get requests, which document does it serve, and its
//! metrics.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use crds::contract::{Phase, Readiness, ServedDocument, pages};
use http::{HeaderMap, StatusCode, header};
use server::Heartbeat;
use tokio::sync::Semaphore;

use crate::http::probe::Probe;
use crate::telemetry::exposition::Format;
use crate::telemetry::metrics::Metrics;

/// The present [`Readiness`], set by `serve`, read by the admin port.
pub struct Health(ArcSwap<Readiness>);

impl Default for Health {
    fn default() -> Self {
        Self(ArcSwap::from_pointee(Readiness {
            status: Phase::Starting,
            document: None,
            newer_document_refused: false,
        }))
    }
}

impl Health {
    /// `document` is being served. A process that drains stays draining.
    pub fn serves(&self, document: &ServedDocument) {
        self.0.rcu(|before| Readiness {
            status: if before.status == Phase::Draining {
                Phase::Draining
            } else {
                Phase::Ready
            },
            document: Some(document.clone()),
            newer_document_refused: false,
        });
    }

    /// A newer document has faults.
    pub fn refused_newer_document(&self) {
        self.0.rcu(|before| Readiness {
            newer_document_refused: true,
            ..Readiness::clone(before)
        });
    }

    /// The process is about to end.
    pub fn drains(&self) {
        self.0.rcu(|before| Readiness {
            status: Phase::Draining,
            ..Readiness::clone(before)
        });
    }

    /// What `/readyz` answers now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        Readiness::clone(&self.0.load())
    }
}

/// So many clients may wait for `/targets` at once: it is the only page that takes time, and must
/// leave connections to the others.
const MOST_WAITING_FOR_TARGETS: usize = 8;

/// What the admin port tells of.
pub struct Admin {
    /// Where the process is in its life.
    pub health: Arc<Health>,
    /// Its instruments.
    pub metrics: Arc<Metrics>,
    /// Who asks the targets.
    pub probe: Arc<Probe>,
    /// Of the runtime that answers the API.
    pub heartbeat: Arc<Heartbeat>,
}

struct Shared {
    admin: Admin,
    waiting_for_targets: Semaphore,
}

/// The admin port's routes. Never reachable through the mirror's Service for StackState.
///
/// They are answered by a thread of their own and never wait for the runtime of the API, but for
/// `/targets`, which waits for a bounded time.
pub fn admin(admin: Admin) -> Router {
    Router::new()
        .route(
            "/",
            get(async || "Prometheus Mirror, admin port: /livez /readyz /targets /metrics\n"),
        )
        .route(pages::LIVENESS, get(livez))
        .route(pages::READINESS, get(readyz))
        .route(pages::TARGETS, get(targets))
        .route(pages::METRICS, get(metrics_page))
        .with_state(Arc::new(Shared {
            admin,
            waiting_for_targets: Semaphore::new(MOST_WAITING_FOR_TARGETS),
        }))
}

/// A process whose API has been busy for a while is alive; one that has not moved for a minute will
/// not move again.
async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    match shared.admin.heartbeat.dead_for(Instant::now()) {
        None => "ok\n".into_response(),
        Some(silent) => {
            let seconds = silent.as_secs();
            let message = format!("nothing has moved for {seconds} s\n");
            (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let admin = &shared.admin;
    let readiness = admin.health.readiness();
    let status = match readiness.status {
        Phase::Ready => StatusCode::OK,
        Phase::Starting | Phase::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::json!(readiness).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn targets(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(_waiting) = shared.waiting_for_targets.try_acquire() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    match shared.admin.probe.reachability_from_elsewhere().await {
        Some(found) => (
            [(header::CONTENT_TYPE, "application/json")],
            serde_json::json!(found).to_string(),
        )
            .into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn metrics_page(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let format = Format::accepted(
        headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok()),
    );
    (
        [(header::CONTENT_TYPE, format.content_type())],
        shared.admin.metrics.render(format),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    use super::*;

    fn routes(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
        admin(Admin {
            health,
            metrics,
            probe: Arc::default(),
            heartbeat: Heartbeat::of_this_runtime(),
        })
    }

    async fn ask(router: &Router, path: &str) -> (u16, String) {
        let response = router
            .clone()
            .oneshot(Request::get(path).body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_follows_the_life_of_the_process_and_names_the_document() {
        let health = Arc::new(Health::default());
        let metrics = Metrics::new();
        let router = routes(Arc::clone(&health), metrics);
        let ready = async || {
            let (status, body) = ask(&router, "/readyz").await;
            (status, serde_json::from_str::<Value>(&body).unwrap())
        };
        assert_eq!(
            ready().await,
            (
                503,
                json!({"status": "starting", "document": null, "newerDocumentRefused": false})
            )
        );
        health.serves(&ServedDocument {
            name: "production".into(),
            hash: "abc".into(),
        });
        let document = json!({"name": "production", "hash": "abc"});
        assert_eq!(
            ready().await,
            (
                200,
                json!({"status": "ready", "document": document, "newerDocumentRefused": false})
            )
        );
        health.refused_newer_document();
        assert_eq!(
            ready().await,
            (
                200,
                json!({"status": "ready", "document": document, "newerDocumentRefused": true})
            )
        );
        health.drains();
        assert_eq!(
            ready().await,
            (
                503,
                json!({"status": "draining", "document": document, "newerDocumentRefused": true})
            )
        );
        assert_eq!(
            ask(&router, "/livez").await,
            (200, "ok\n".into()),
            "draining is not a reason to be killed"
        );
    }

    #[tokio::test]
    async fn metrics_come_in_the_form_that_was_asked_for() {
        let metrics = Metrics::new();
        let router = routes(Arc::default(), metrics);
        let page = async |accept: &str| {
            let request = Request::get("/metrics")
                .header("accept", accept)
                .body(Body::empty())
                .unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let kind = response.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (
                kind,
                String::from_utf8(body.to_vec())
                    .unwrap()
                    .ends_with("# EOF\n"),
            )
        };
        assert_eq!(
            page("text/plain").await,
            ("text/plain; version=0.0.4; charset=utf-8".into(), false)
        );
        assert_eq!(
            page("application/openmetrics-text;version=1.0.0").await,
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8".into(),
                true
            )
        );
    }
}
