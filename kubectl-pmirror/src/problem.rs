//! Why something cannot be done, and what the user can do about it.

use kube::client::UpgradeConnectionError;
use mirror::cli::Failure;

/// Why something cannot be done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Problem {
    /// No cluster to ask.
    #[error(
        "no cluster can be asked: {0}; name a kubeconfig with --kubeconfig, or a context with --context"
    )]
    NoCluster(String),
    /// The API server does not know the resource.
    #[error("this cluster has no PrometheusMirror resources; install the operator first")]
    NoDefinition,
    /// No mirror has this name.
    #[error("there is no PrometheusMirror {name} in namespace {namespace}; {}", known(.others))]
    NoSuchMirror {
        /// The name.
        name: String,
        /// Where it was looked for.
        namespace: String,
        /// Those that are there.
        others: Vec<String>,
    },
    /// The user lacks a right.
    #[error(
        "you may not do that in namespace {namespace}: it needs the right to {} {} there",
        .right.verb, .right.resource
    )]
    Forbidden {
        /// Which one.
        right: Right,
        /// Where.
        namespace: String,
    },
    /// No pod can be asked.
    #[error("no pod of {mirror} can be asked: {pods}")]
    NoPod {
        /// The mirror.
        mirror: String,
        /// What there is instead.
        pods: String,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// What a user needs to be allowed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// What is done.
    pub verb: &'static str,
    /// With what.
    pub resource: &'static str,
}

/// To read one resource.
pub const GET: Right = Right {
    verb: "get",
    resource: "prometheusmirrors.prometheus-mirror.io",
};
/// To list the resources.
pub const LIST: Right = Right {
    verb: "list",
    resource: "prometheusmirrors.prometheus-mirror.io",
};
/// To see the pods of a mirror.
pub const LIST_PODS: Right = Right {
    verb: "list",
    resource: "pods",
};
/// To reach a port of a pod. Kubernetes wants both since its version 1.35, and one before.
pub const FORWARD: Right = Right {
    verb: "get and create",
    resource: "pods/portforward",
};
/// To read logs.
pub const LOGS: Right = Right {
    verb: "get",
    resource: "pods/log",
};
/// To read the API key.
pub const SECRET: Right = Right {
    verb: "get",
    resource: "secrets",
};

impl Problem {
    /// From what the API server says to something that needs a right.
    #[must_use]
    pub fn of(error: &kube::Error, right: Right, namespace: &str) -> Self {
        match status_of(error) {
            Some(401) => Self::Other(
                "the API server does not accept your credentials; log in again".to_owned(),
            ),
            Some(403) => Self::Forbidden {
                right,
                namespace: namespace.to_owned(),
            },
            // The list of a kind is only missing with its definition.
            Some(404) if right == LIST => Self::NoDefinition,
            _ => Self::Other(in_words(error)),
        }
    }
}

/// The status that the API server answered.
#[must_use]
pub fn status_of(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => {
            Some(status.as_u16())
        }
        _ => None,
    }
}

fn in_words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("the API server answers: {}", status.message);
    }
    format!("the API server cannot be asked: {}", innermost(error))
}

/// The innermost reason is the one that says something: a name without an address, a refused
/// connection.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

fn known(others: &[String]) -> String {
    match others {
        [] => "there is none at all; kubectl pmirror list -A lists those of all namespaces".into(),
        others => format!("there are: {}", others.join(", ")),
    }
}

impl From<Failure> for Problem {
    fn from(Failure(text): Failure) -> Self {
        Self::Other(text)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use kube::core::Status;

    use super::*;

    fn api(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(
            Status::failure("pods \"a\" is broken", "Reason").with_code(code),
        ))
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let refused = |status: StatusCode| {
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status))
        };
        let table = [
            (
                Problem::of(&api(403), LIST_PODS, "shop"),
                "you may not do that in namespace shop: it needs the right to list pods there",
            ),
            (
                Problem::of(&refused(StatusCode::FORBIDDEN), FORWARD, "shop"),
                "you may not do that in namespace shop: it needs the right to get and create pods/portforward there",
            ),
            (
                Problem::of(&api(404), LIST, "shop"),
                "this cluster has no PrometheusMirror resources; install the operator first",
            ),
            (
                Problem::of(&api(401), GET, "shop"),
                "the API server does not accept your credentials; log in again",
            ),
            (
                Problem::of(&api(500), GET, "shop"),
                "the API server answers: pods \"a\" is broken",
            ),
            (
                Problem::NoSuchMirror {
                    name: "a".into(),
                    namespace: "shop".into(),
                    others: vec!["b".into(), "c".into()],
                },
                "there is no PrometheusMirror a in namespace shop; there are: b, c",
            ),
            (
                Problem::NoSuchMirror {
                    name: "a".into(),
                    namespace: "shop".into(),
                    others: vec![],
                },
                "there is no PrometheusMirror a in namespace shop; there is none at all; kubectl pmirror list -A lists those of all namespaces",
            ),
        ];
        for (problem, expected) in table {
            assert_eq!(problem.to_string(), expected);
        }
    }
}
