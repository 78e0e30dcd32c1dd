//! The admin port, by the address that a connection came to.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use crds::contract::{Phase, Reachability};
use serde_json::json;
use tokio::net::TcpListener;

use crate::world::World;

/// The address that a connection came to: the pod's.
#[derive(Clone, Copy, Debug)]
struct Pod(IpAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Pod {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        // A connection that is broken already asks nothing.
        let address = stream.io().local_addr().map(|address| address.ip());
        Self(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()))
    }
}

/// Answers until the listener fails.
///
/// # Errors
/// If it does.
pub async fn serve(listener: TcpListener, world: Arc<World>) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/targets", get(targets))
        .with_state(world);
    axum::serve(
        listener,
        routes.into_make_service_with_connect_info::<Pod>(),
    )
    .await
}

type At = Extension<ConnectInfo<Pod>>;

async fn livez(State(world): State<Arc<World>>, at: At) -> Response {
    match world.readiness(at.0.0.0) {
        Some(_) => "ok\n".into_response(),
        None => nobody(),
    }
}

async fn readyz(State(world): State<Arc<World>>, at: At) -> Response {
    match world.readiness(at.0.0.0) {
        Some(readiness) if readiness.status == Phase::Ready => {
            json_answer(StatusCode::OK, &json!(readiness))
        }
        Some(readiness) => json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!(readiness)),
        None => nobody(),
    }
}

async fn targets(State(world): State<Arc<World>>, at: At) -> Response {
    match world.targets(at.0.0.0) {
        Some(targets) => json_answer(
            StatusCode::OK,
            &json!(Reachability {
                targets,
                notices: Vec::new()
            }),
        ),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, body.to_string()).into_response()
}

fn nobody() -> Response {
    (StatusCode::NOT_FOUND, "no mirror's pod has this address\n").into_response()
}
