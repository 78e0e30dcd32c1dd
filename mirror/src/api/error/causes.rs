//! What went wrong in other rooms, in the terms of the Mirror API.

use std::error::Error;

use server::BodyStalled;

use super::ApiError;
use crate::api::decode::DecodeError;
use crate::budget::Refused;
use crate::execute::EvaluateError;
use crate::plan::enforce::EnforceError;
use crate::prometheus::{StoreError, whole_seconds};
use crate::settings::choose::{ChooseError, DetailsError};

impl ApiError {
    /// A request whose body did not come whole.
    #[must_use]
    pub fn of_body(error: &(dyn Error + 'static)) -> Self {
        // Whether the server gave up waiting stands somewhere among the causes.
        let is_stalled = std::iter::successors(Some(error), |&error| error.source())
            .any(|error| error.is::<BodyStalled>());
        if is_stalled {
            return Self::BodyStalled;
        }
        Self::BadRequest {
            summary: "incomplete request",
            details: error.to_string(),
        }
    }

    /// A target that was replaced while a request chose it.
    #[must_use]
    pub fn no_longer_served() -> Self {
        Self::Connection {
            details: "the target is no longer served".to_owned(),
        }
    }

    /// A failure to evaluate `metric` (the name that the user gave) with `method` (of its
    /// aggregation, if it has one).
    #[must_use]
    pub fn from_evaluation(error: EvaluateError, metric: &str, method: Option<&str>) -> Self {
        match error {
            EvaluateError::Store(error) => error.into(),
            EvaluateError::NotFound(reason) => {
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                Self::MetricNotFound {
                    metric: metric.to_owned(),
                    details: format!("no series of {metric:?} matches the conditions{reason}"),
                }
            }
            EvaluateError::Unsupported => Self::UnsupportedFieldType {
                mirror_type: method.unwrap_or(metric).to_owned(),
            },
            EvaluateError::SeveralSeries { .. } => Self::BadRequest {
                summary: "too many series",
                details: error.to_string(),
            },
            EvaluateError::NoValue(_) => Self::BadRequest {
                summary: "expression refused",
                details: error.to_string(),
            },
            EvaluateError::BothForms { .. } => Self::BadRequest {
                summary: "native and classic histograms",
                details: error.to_string(),
            },
            EvaluateError::BoundToItsRange => Self::BadRequest {
                summary: "range too long",
                details: error.to_string(),
            },
            EvaluateError::TooManySamples => Self::BadRequest {
                summary: "too many samples",
                details: error.to_string(),
            },
        }
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(details) => Self::BadRequest {
                summary: "malformed request",
                details,
            },
            DecodeError::Unsupported(mirror_type) => Self::UnsupportedFieldType { mirror_type },
            DecodeError::NoKind => Self::MetricNotFound {
                metric: String::new(),
                details: error.to_string(),
            },
        }
    }
}

impl From<DetailsError> for ApiError {
    fn from(error: DetailsError) -> Self {
        Self::BadRequest {
            summary: "bad connection details",
            details: error.to_string(),
        }
    }
}

impl From<ChooseError> for ApiError {
    fn from(error: ChooseError) -> Self {
        Self::Connection {
            details: error.to_string(),
        }
    }
}

impl From<EnforceError> for ApiError {
    fn from(error: EnforceError) -> Self {
        Self::BadRequest {
            summary: "expression refused",
            details: format!(
                "this target enforces label matchers, and the expression cannot be completed with them: {error}"
            ),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => StoreError::OutOfMemory.into(),
            Refused::GivesWay => Self::GivesWay,
            Refused::TooLarge(_) => Self::BadRequest {
                summary: "too large",
                details: refused.to_string(),
            },
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let details = error.to_string();
        match error {
            StoreError::Unreachable(_)
            | StoreError::CredentialsRefused(_)
            | StoreError::NotOffered(_)
            | StoreError::TooLarge(_) => Self::Connection { details },
            StoreError::Timeout(_) => Self::Timeout { details },
            StoreError::ExpiredInQueue | StoreError::QueueFull | StoreError::OutOfMemory => {
                Self::Busy { details }
            }
            StoreError::GivesWay => Self::GivesWay,
            StoreError::BeyondMemory(_) => Self::BadRequest {
                summary: "answer too large",
                details,
            },
            StoreError::Throttled { retry_after, .. } => Self::Throttled {
                details,
                retry_after: whole_seconds(retry_after),
            },
            StoreError::TooManyCalls { .. } => Self::BadRequest {
                summary: "too many calls",
                details,
            },
            StoreError::TooLongForUrl { .. } | StoreError::TooMuchPromql { .. } => {
                Self::BadRequest {
                    summary: "query too long",
                    details,
                }
            }
            StoreError::AcrossShards(_) => Self::BadRequest {
                summary: "not over shards",
                details,
            },
            StoreError::Rejected { .. } => Self::BadRequest {
                summary: "Prometheus refused the query",
                details,
            },
        }
    }
}
