//! Who answers `query`: this process, or a running mirror.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::api::About;
use crate::api::state::AppState;
use crate::cli::Failure;
use crate::cli::args::QueryArgs;
use crate::http::handle::PARTIAL_HEADER;
use crate::http::keys::API_KEY_HEADER;
use crate::prometheus::remarks::Remark;
use crate::prometheus::root_cause;
use crate::settings;
use crate::telemetry::metrics::Metrics;

/// The longest wait for a running mirror: its own longest request timeout, and a little for the
/// way.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(605);

/// What a mirror answered.
pub(super) struct Answered {
    pub(super) body: String,
    /// The value of [`PARTIAL_HEADER`]; empty if there is none.
    pub(super) partial: String,
    /// What the store said. A running mirror keeps that in its log.
    pub(super) remarks: Vec<Remark>,
}

/// Who answers.
pub enum Mirror {
    /// This process, with the configuration of a file.
    Here {
        /// What serves StackState.
        router: axum::Router,
        /// The mirror's key.
        key: HeaderValue,
    },
    /// A running one.
    At {
        /// Its base URL.
        url: reqwest::Url,
        /// Who asks it.
        http: reqwest::Client,
        /// Its key, if that is known.
        key: Option<HeaderValue>,
    },
}

impl Mirror {
    pub(super) fn new(args: &QueryArgs) -> Result<Self, Failure> {
        let settings = args
            .document
            .given()
            .map(|document| settings::load(&document.source()))
            .transpose()
            .map_err(Failure::from_error)?;
        let key = settings
            .as_ref()
            .map(|settings| settings.api_keys.current.header_value());
        match (&args.mirror, settings, key) {
            (Some(url), _, key) => Ok(Self::At {
                url: url.clone(),
                http: reqwest::Client::builder()
                    .no_proxy()
                    .timeout(ANSWER_TIMEOUT)
                    .build()
                    .map_err(Failure::from_error)?,
                key,
            }),
            (None, Some(settings), Some(key)) => Ok(Self::Here {
                router: crate::http::router::app(AppState::new(settings, Metrics::new())),
                key,
            }),
            (None, ..) => Err(Failure(
                "name a manifest with --file, or a running mirror with --mirror".into(),
            )),
        }
    }

    /// The body of the answer to a request.
    pub(super) async fn ask(&self, path: &str, request: &str) -> Result<Answered, Failure> {
        match self {
            Self::Here { router, key } => ask_here(router, key, path, request).await,
            Self::At { url, http, key } => {
                ask_elsewhere(url, http, key.as_ref(), path, request).await
            }
        }
    }
}

async fn ask_here(
    router: &axum::Router,
    key: &HeaderValue,
    path: &str,
    request: &str,
) -> Result<Answered, Failure> {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(API_KEY_HEADER.clone(), key)
        .body(Body::from(request.to_owned()))
        .map_err(Failure::from_error)?;
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let status = response.status();
    let partial = partial(response.headers());
    let about = response.extensions().get::<About>();
    let remarks = about.map(|about| about.remarks.clone());
    let body = to_bytes(response.into_body(), usize::MAX).await;
    let body = body.map_err(Failure::from_error)?;
    Ok(Answered {
        body: good(status, &body)?,
        partial,
        remarks: remarks.unwrap_or_default(),
    })
}

async fn ask_elsewhere(
    url: &reqwest::Url,
    http: &reqwest::Client,
    key: Option<&HeaderValue>,
    path: &str,
    request: &str,
) -> Result<Answered, Failure> {
    let mut address = url.clone();
    address.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    let mut asked = http
        .post(address)
        .header(header::CONTENT_TYPE, "application/json")
        .body(request.to_owned());
    if let Some(key) = key {
        asked = asked.header(API_KEY_HEADER.clone(), key);
    }
    let unreachable =
        |error: reqwest::Error| Failure(format!("{url} does not answer: {}", root_cause(&error)));
    let response = asked.send().await.map_err(unreachable)?;
    let status = response.status();
    let partial = partial(response.headers());
    let body = response.bytes().await.map_err(unreachable)?;
    Ok(Answered {
        body: good(status, &body)?,
        partial,
        remarks: Vec::new(),
    })
}

/// The value of [`PARTIAL_HEADER`]; empty if there is none.
fn partial(headers: &HeaderMap) -> String {
    let value = headers.get(&PARTIAL_HEADER);
    let text = value.and_then(|value| value.to_str().ok());
    text.unwrap_or_default().to_owned()
}

/// The text of a body, unless it is an error's.
fn good(status: StatusCode, body: &[u8]) -> Result<String, Failure> {
    if status != StatusCode::OK {
        return Err(Failure(error_text(status, body)));
    }
    String::from_utf8(body.to_vec()).map_err(Failure::from_error)
}

/// An error body in one line: what it says, without the wire's names.
fn error_text(status: StatusCode, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let parts: Vec<&str> = ["summary", "details", "mirrorType"]
        .iter()
        .filter_map(|key| body[key].as_str())
        .filter(|text| !text.is_empty())
        .collect();
    match (body["_type"].as_str(), parts.is_empty()) {
        (Some(kind), false) => format!("{kind}: {}", parts.join(": ")),
        (Some(kind), true) => kind.to_owned(),
        (None, _) => format!("the mirror answers {status}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_body_becomes_one_line() {
        let line = |body: Value| error_text(StatusCode::NOT_FOUND, body.to_string().as_bytes());
        assert_eq!(
            line(
                json!({"_type": "MetricNotFoundError", "metric": "m", "details": "no series matches"})
            ),
            "MetricNotFoundError: no series matches"
        );
        assert_eq!(
            line(json!({"_type": "RemoteMirrorError", "summary": "a", "details": "b"})),
            "RemoteMirrorError: a: b"
        );
        assert_eq!(
            error_text(StatusCode::NOT_FOUND, b"<html>"),
            "the mirror answers 404 Not Found"
        );
    }
}
