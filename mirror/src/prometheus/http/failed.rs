//! Why an exchange over HTTP has failed, whichever client made it.

use std::error::Error;

use hyper_util::client::legacy;

/// Why an exchange has failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::prometheus) enum Failed {
    /// As reqwest says it.
    #[error(transparent)]
    Reqwest(#[from] reqwest::Error),
    /// The request was not sent, or no head of an answer came.
    #[error("not answered")]
    Unanswered(#[source] legacy::Error),
    /// The answer's body broke off.
    #[error("broken off")]
    BrokenOff(#[source] hyper::Error),
    /// There can be no such address.
    #[error("no address")]
    Address(#[from] http::uri::InvalidUri),
}

impl Failed {
    /// Whether there was no connection.
    pub(in crate::prometheus) fn is_connect(&self) -> bool {
        match self {
            Self::Reqwest(error) => error.is_connect(),
            Self::Unanswered(error) => error.is_connect(),
            Self::BrokenOff(_) | Self::Address(_) => false,
        }
    }

    /// Whether the client's own time was over.
    pub(in crate::prometheus) fn is_timeout(&self) -> bool {
        matches!(self, Self::Reqwest(error) if error.is_timeout())
    }

    /// The first cause of that type.
    pub(in crate::prometheus) fn find<T: Error + 'static>(&self) -> Option<&T> {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}
