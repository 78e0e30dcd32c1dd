//! Why a reconcile ends before its last step.

use crds::Reason;

use super::validate::Invalid;
use super::{apply, dereference, notify, observe, restart};
use crate::cluster::answer::{Refusal, refusal, words};

/// Why the steps end early. Each step's own error becomes one of these.
#[derive(Debug)]
pub enum Stop {
    /// It may work when it is tried again.
    Retry(Error),
    /// Only a change of the resource, or of what it refers to, can help. What ran before still
    /// runs.
    Stalled(Invalid),
    /// `spec.paused`.
    Paused,
    /// The resource has been deleted.
    Gone,
}

/// A failure that may pass.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An object that the spec refers to could not be read.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// A child could not be written.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// The Deployment could not be read.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// A pod could not be notified.
    #[error(transparent)]
    Notify(#[from] notify::Error),
    /// A pod could not be restarted.
    #[error(transparent)]
    Restart(#[from] restart::Error),
    /// The status could not be written.
    #[error("cannot write the status: {}", words(.0))]
    Status(#[source] kube::Error),
}

impl Error {
    /// The step that failed, for the metric.
    #[must_use]
    pub const fn step(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "dereference",
            Self::Apply(_) | Self::Observe(_) | Self::Notify(_) | Self::Restart(_) => "apply",
            Self::Status(_) => "status",
        }
    }

    /// Whether the API server has answered; otherwise it cannot be told either.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.source(), Some(kube::Error::Api(_)))
    }

    /// The failed request, if another try may work.
    const fn source(&self) -> Option<&kube::Error> {
        match self {
            Self::Dereference(dereference::Error { source, .. })
            | Self::Apply(
                apply::Error::Failed { source, .. } | apply::Error::Resource { source, .. },
            )
            | Self::Observe(observe::Error { source, .. })
            | Self::Notify(notify::Error { source, .. })
            | Self::Restart(restart::Error { source, .. }) => Some(source),
            Self::Apply(_) | Self::Status(_) => None,
        }
    }

    /// The API server's answer, if it will be the same next time.
    fn final_reason(&self) -> Option<Reason> {
        match self {
            Self::Apply(apply::Error::Refused { .. }) => return Some(Reason::Refused),
            Self::Apply(apply::Error::Denied { .. }) => return Some(Reason::Denied),
            _ => {}
        }
        match refusal(self.source()?)? {
            Refusal::Forbidden => Some(Reason::Forbidden),
            Refusal::Denied => Some(Reason::Denied),
            // Of what was built, nothing was refused: it may pass.
            Refusal::Invalid => None,
        }
    }
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        let error = error.into();
        if matches!(error, Error::Apply(apply::Error::Gone)) {
            return Self::Gone;
        }
        match error.final_reason() {
            Some(reason) => Self::Stalled(Invalid {
                reason,
                message: error.to_string(),
            }),
            None => Self::Retry(error),
        }
    }
}

impl From<Invalid> for Stop {
    fn from(invalid: Invalid) -> Self {
        Self::Stalled(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kind::Kind;
    use crate::cluster::written::ObjectName;

    fn failed(code: u16) -> apply::Error {
        let status = kube::core::Status::failure("no", "x").with_code(code);
        let (kind, name) = (Kind::Service, "a".to_owned());
        apply::Error::Failed {
            object: ObjectName { kind, name },
            source: kube::Error::Api(status.boxed()),
        }
    }

    #[test]
    fn what_the_api_server_will_say_again_stalls_and_the_rest_is_retried() {
        let refused = apply::Error::Refused {
            object: ObjectName {
                kind: Kind::Deployment,
                name: "a".to_owned(),
            },
            message: "no".to_owned(),
        };
        let reason = |error: apply::Error| match Stop::from(error) {
            Stop::Stalled(invalid) => Some(invalid.reason),
            Stop::Retry(_) => None,
            Stop::Paused | Stop::Gone => panic!("another way to stop"),
        };
        assert_eq!(reason(refused), Some(Reason::Refused));
        assert_eq!(reason(failed(403)), Some(Reason::Forbidden));
        let denied = apply::Error::Denied {
            object: ObjectName {
                kind: Kind::Service,
                name: "a".to_owned(),
            },
            message: "no".to_owned(),
        };
        assert_eq!(reason(denied), Some(Reason::Denied));
        assert_eq!(reason(failed(500)), None);
        assert!(matches!(Stop::from(apply::Error::Gone), Stop::Gone));
    }
}
