//! The operator's own port: is it alive, may it be relied on, its metrics; and the question that `check-health` asks there.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Serves `/livez`, `/readyz` and `/metrics` until dropped. A replica that does not lead is ready, too: it is ready to take over.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let page = async move || {
        (
            [(
                "content-type",
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            metrics.render(),
        )
    };
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .route("/metrics", get(page));
    axum::serve(listener, router).await
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
    use super::*;

    #[tokio::test]
    async fn a_health_check_tells_a_running_operator_from_a_wrong_page_and_from_none() {
        // `main` does this; another test may have done it before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, Arc::default()));
        let url = |page: &str| format!("http://{address}/{page}").parse().unwrap();
        assert!(check(&url("readyz")).await.is_ok());
        assert_eq!(
            check(&url("health")).await.unwrap_err().to_string(),
            format!("http://{address}/health answered 404 Not Found")
        );
        server.abort();
        let _ = server.await;
        let message = check(&url("readyz")).await.unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("no answer from http://{address}/readyz (hint:")),
            "{message}"
        );
    }
}
