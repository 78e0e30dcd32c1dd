//! The operator's own port: is it alive, may it be relied on, its metrics; and the question that
//! `check-health` asks there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use server::{Apart, Heartbeat, Limits};
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// Serves `/livez`, `/readyz` and `/metrics` until dropped, on a thread of its own: whatever the
/// runtime that this is called in does, they are answered at once. `/livez` says no only when that
/// runtime has not moved for a minute.
///
/// A replica that does not lead is ready, too: it is ready to take over.
///
/// # Errors
/// If the thread cannot be started.
pub fn serve(listener: TcpListener, metrics: Arc<Metrics>) -> std::io::Result<Apart> {
    let page = async move || {
        (
            [(
                "content-type",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            metrics.render(),
        )
    };
    let heartbeat = Heartbeat::of_this_runtime();
    let alive = async move || match heartbeat.dead_for(Instant::now()) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(silent) => {
            let seconds = silent.as_secs();
            let message = format!("nothing has moved for {seconds} s\n");
            (StatusCode::SERVICE_UNAVAILABLE, message)
        }
    };
    let router = Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(async || "ok\n"))
        .route("/metrics", get(page));
    Apart::start("admin", listener, router, Limits::ADMIN)
}

/// How long an answer may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a health check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No answer.
    #[error(
        "no answer from {0} (hint: is the operator running, and does a NetworkPolicy allow it?): {1}"
    )]
    NoAnswer(reqwest::Url, reqwest::Error),
    /// An answer that is not 200.
    #[error("{0} answered {1}")]
    Unhealthy(reqwest::Url, reqwest::StatusCode),
}

/// Asks an operator how it is.
///
/// # Errors
/// Unless it answers 200 within seconds.
pub async fn check(url: &reqwest::Url) -> Result<(), CheckError> {
    let no_answer = |error: reqwest::Error| CheckError::NoAnswer(url.clone(), error.without_url());
    let client = reqwest::Client::builder().no_proxy().timeout(CHECK_TIMEOUT);
    let client = client.build().map_err(no_answer)?;
    let answer = client.get(url.clone()).send().await.map_err(no_answer)?;
    match answer.status() {
        reqwest::StatusCode::OK => Ok(()),
        status => Err(CheckError::Unhealthy(url.clone(), status)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_health_check_tells_a_running_operator_from_a_wrong_page_and_from_none() {
        // `main` does this; another test may have done it before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(listener, Arc::default()).unwrap();
        let url = |page: &str| format!("http://{address}/{page}").parse().unwrap();
        assert!(check(&url("readyz")).await.is_ok());
        assert_eq!(
            check(&url("health")).await.unwrap_err().to_string(),
            format!("http://{address}/health answered 404 Not Found")
        );
        server.drain(Duration::ZERO).await;
        let message = check(&url("readyz")).await.unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("no answer from http://{address}/readyz (hint:")),
            "{message}"
        );
    }

    #[tokio::test]
    async fn clients_that_never_finish_a_request_keep_no_probe_from_its_answer() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _server = serve(listener, Arc::default()).unwrap();
        let mut held = Vec::new();
        for chunk in 0..30 {
            for _ in 0..100 {
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                // It may have given way to another before this arrives.
                let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await;
                held.push(stream);
            }
            let url = format!("http://{address}/livez").parse().unwrap();
            assert!(check(&url).await.is_ok(), "after {chunk} times 100");
        }
        // The server has given up all but a few of them.
        let mut closed = 0;
        for stream in &mut held {
            let read = tokio::time::timeout(Duration::from_millis(1), stream.read_u8()).await;
            closed += usize::from(read.is_ok());
        }
        let left = held.len() - closed;
        assert!(left <= Limits::ADMIN.per_client, "{left} are still open");
    }
}
