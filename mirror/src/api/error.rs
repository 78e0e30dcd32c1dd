//! The only place that makes error bodies. What went wrong inside stays in the log.

mod causes;

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::model::api_method::ApiMethod;
use crate::settings::ErrorStatus;
use crate::telemetry::metrics::Outcome;

/// Why a request gets no answer, in the terms of the Mirror API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The store cannot be asked: not a target, unreachable, TLS or credentials refused, no
    /// sensible answer.
    #[error("{details}")]
    Connection {
        /// What the user can act on.
        details: String,
    },
    /// The store did not answer in time.
    #[error("{details}")]
    Timeout {
        /// What the user can act on.
        details: String,
    },
    /// No series matches, or no metric is named.
    #[error("{details}")]
    MetricNotFound {
        /// The name that was asked for.
        metric: String,
        /// What the user can act on.
        details: String,
    },
    /// A value's type, or an aggregation, that has no meaning here.
    #[error("{mirror_type} has no meaning here")]
    UnsupportedFieldType {
        /// The `_type` or the method.
        mirror_type: String,
    },
    /// The request is at fault, or the store complains about its expression.
    #[error("{summary}: {details}")]
    BadRequest {
        /// A few words.
        summary: &'static str,
        /// What exactly, and where.
        details: String,
    },
    /// The queue before the store is full, or the deadline passed in it.
    #[error("{details}")]
    Busy {
        /// What the user can act on.
        details: String,
    },
    /// Other requests need the memory first. The request begins again when its turn comes, so that
    /// nobody is answered this.
    #[error("the mirror's memory is used up by other requests")]
    GivesWay,
    /// The store asks to slow down.
    #[error("{details}")]
    Throttled {
        /// What the user can act on.
        details: String,
        /// In how many seconds to come back.
        retry_after: u64,
    },
    /// The body is larger than 1 MiB.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The client was too slow to send its body.
    #[error("the request's body did not arrive in time")]
    BodyStalled,
    /// No such path.
    #[error("there is no {path}")]
    NoSuchPath {
        /// The path.
        path: String,
    },
    /// The path exists, with another method.
    #[error("{path} takes {allowed}")]
    WrongMethod {
        /// The path.
        path: String,
        /// What it takes.
        allowed: &'static str,
    },
    /// The request is for a host that is not among `spec.server.allowedHosts`. Answered without the
    /// key.
    #[error("this mirror does not answer for the request's host (spec.server.allowedHosts)")]
    WrongHost,
    /// The request may come from a web page of another site. Answered without the key.
    #[error("a request of a web page must be of the type application/json")]
    OfWebPage,
    /// The request's key is not this mirror's. Answered without the key.
    #[error("the API key is missing or wrong")]
    Unauthorized,
    /// A bug. The request id leads to the log.
    #[error("internal error")]
    Internal {
        /// The id of the request.
        request_id: String,
    },
}

/// How long a client should wait before it asks a busy mirror again, in seconds.
const RETRY_AFTER_SECONDS: u16 = 5;

impl ApiError {
    /// The wire form of the error.
    #[must_use]
    pub fn body(&self) -> Value {
        let remote = |summary: &str, details: String| json!({"_type": "RemoteMirrorError", "summary": summary, "details": details});
        match self {
            Self::Connection { details } | Self::Timeout { details } => {
                json!({"_type": "MetricStoreConnectionError", "details": details})
            }
            Self::MetricNotFound { metric, details } => {
                json!({"_type": "MetricNotFoundError", "metric": metric, "details": details})
            }
            Self::UnsupportedFieldType { mirror_type } => {
                json!({"_type": "UnsupportedFieldTypeError", "mirrorType": mirror_type})
            }
            Self::BadRequest { summary, details } => remote(summary, details.clone()),
            Self::Busy { details } | Self::Throttled { details, .. } => {
                remote("too busy", details.clone())
            }
            Self::GivesWay => remote("too busy", self.to_string()),
            Self::BodyTooLarge { .. } => remote("request too large", self.to_string()),
            Self::BodyStalled => remote("request too slow", self.to_string()),
            Self::NoSuchPath { .. } => remote(
                "no such method",
                format!(
                    "{self}; there are POST {}, and GET / and /openapi.json",
                    listed(&ApiMethod::ALL.map(ApiMethod::path))
                ),
            ),
            Self::WrongMethod { .. } => remote("wrong HTTP method", self.to_string()),
            Self::WrongHost => remote("wrong host", self.to_string()),
            Self::OfWebPage => remote("wrong content type", self.to_string()),
            Self::Unauthorized => remote("unauthorized", self.to_string()),
            Self::Internal { request_id } => remote(
                "internal error",
                format!("the mirror's log says more about request {request_id}"),
            ),
        }
    }

    /// The same as the answer of a connection test, which asks whether a connection works.
    #[must_use]
    pub fn as_failed_connection(&self) -> Value {
        Self::Connection {
            details: self.to_string(),
        }
        .body()
    }

    /// The status and what the metrics call it.
    fn status(&self, policy: ErrorStatus) -> (StatusCode, Outcome) {
        let (semantic, outcome, is_typed) = match self {
            Self::Connection { .. } => (StatusCode::BAD_GATEWAY, "connection_error", true),
            Self::Timeout { .. } => (StatusCode::GATEWAY_TIMEOUT, "timeout", true),
            Self::MetricNotFound { .. } => (StatusCode::NOT_FOUND, "not_found", true),
            Self::UnsupportedFieldType { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unsupported", true)
            }
            Self::BadRequest { .. } => (StatusCode::BAD_REQUEST, "bad_request", true),
            Self::Busy { .. } | Self::GivesWay | Self::Throttled { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy", true)
            }
            Self::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error", true),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "bad_request", false),
            Self::BodyStalled => (StatusCode::REQUEST_TIMEOUT, "bad_request", false),
            Self::NoSuchPath { .. } => (StatusCode::NOT_FOUND, "no_such_method", false),
            Self::WrongMethod { .. } => (StatusCode::METHOD_NOT_ALLOWED, "no_such_method", false),
            Self::WrongHost => (StatusCode::MISDIRECTED_REQUEST, "bad_request", false),
            Self::OfWebPage => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_request", false),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", false),
        };
        let status = match policy {
            ErrorStatus::Always500 if is_typed => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorStatus::Semantic | ErrorStatus::Always500 => semantic,
        };
        (status, Outcome(outcome))
    }

    /// The whole response.
    #[must_use]
    pub fn into_response(self, policy: ErrorStatus) -> Response {
        let (status, outcome) = self.status(policy);
        let mut response = (
            status,
            [(CONTENT_TYPE, "application/json")],
            self.body().to_string(),
        )
            .into_response();
        match self {
            Self::Busy { .. } | Self::GivesWay => {
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            }
            Self::Throttled { retry_after, .. } => {
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from(retry_after));
            }
            Self::WrongMethod { allowed, .. } => {
                response
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static(allowed));
            }
            _ => {}
        }
        response.extensions_mut().insert(outcome);
        response
    }
}

/// Words as a sentence lists them: `a, b and c`.
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests;
