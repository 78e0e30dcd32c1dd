//! How a call ended, as the `outcome` label.

use prometheus_client::encoding::EncodeLabelValue;

use crate::prometheus::{Answer, StoreError};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Ok,
    Rejected,
    Unreachable,
    CredentialsRefused,
    Timeout,
    TooLarge,
    Throttled,
    /// It fits into no URL.
    TooLong,
    /// Everybody who waited for it had hung up.
    Abandoned,
}

impl Outcome {
    pub(super) const ALL: [Self; 9] = [
        Self::Ok,
        Self::Rejected,
        Self::Unreachable,
        Self::CredentialsRefused,
        Self::Timeout,
        Self::TooLarge,
        Self::Throttled,
        Self::TooLong,
        Self::Abandoned,
    ];

    pub(super) fn of(result: &Result<Answer, StoreError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(
                StoreError::Rejected { .. }
                | StoreError::NotOffered(_)
                | StoreError::AcrossShards(_),
            ) => Self::Rejected,
            Err(StoreError::Unreachable(_)) => Self::Unreachable,
            Err(StoreError::CredentialsRefused(_)) => Self::CredentialsRefused,
            Err(StoreError::Timeout(_)) => Self::Timeout,
            Err(StoreError::TooLarge(_) | StoreError::BeyondMemory(_)) => Self::TooLarge,
            Err(StoreError::Throttled { .. }) => Self::Throttled,
            // Those but the first end before they are a call.
            Err(
                StoreError::TooLongForUrl { .. }
                | StoreError::TooMuchPromql { .. }
                | StoreError::TooManyCalls { .. },
            ) => Self::TooLong,
            Err(
                StoreError::ExpiredInQueue
                | StoreError::QueueFull
                | StoreError::OutOfMemory
                | StoreError::GivesWay,
            ) => Self::Abandoned,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::CredentialsRefused => "credentials_refused",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Throttled => "throttled",
            Self::TooLong => "too_long",
            Self::Abandoned => "abandoned",
        }
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> std::fmt::Result {
        self.name().encode(encoder)
    }
}
