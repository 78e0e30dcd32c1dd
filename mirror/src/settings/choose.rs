//! Which target a request asks: connection details against the declared targets. Pure.

mod details;

use std::time::Duration;

use url::Url;

use self::details::Asked;
pub use self::details::{ConnectionDetails, DetailsError};
use super::undeclared::TIMEOUT as UNDECLARED_TIMEOUT;
use super::{NanInterpretation, Settings};

/// What a request asks, and on which terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The target.
    pub target: ChosenTarget,
    /// The longest that the request may take.
    pub timeout: Duration,
    /// What a NaN becomes.
    pub nan: NanInterpretation,
}

/// A declared target or another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChosenTarget {
    /// An index into [`Settings::targets`].
    Declared(usize),
    /// A server that `spec.requestTargets` allows.
    Undeclared {
        /// Its base URL.
        url: Url,
    },
}

/// Why no target answers a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// Nothing is declared under this name or address, and it is not allowed undeclared.
    #[error("{asked} is not a target of this mirror; it has: {}", .targets.join(", "))]
    Unknown {
        /// What was asked for.
        asked: String,
        /// The names of the targets.
        targets: Vec<String>,
    },
    /// `{}`, but several targets and no default.
    #[error("the connection details name no target and this mirror has no default; it has: {0}; write for example {{\"target\": \"{first}\"}}", .targets.join(", "), first = .targets.first().map_or("", String::as_str))]
    NoDefault {
        /// The names of the targets.
        targets: Vec<String>,
    },
}

/// Which target a request asks.
///
/// # Errors
/// If it is none of this mirror's.
pub fn choose(settings: &Settings, details: &ConnectionDetails) -> Result<Choice, ChooseError> {
    let target = target(settings, &details.asked)?;
    let (timeout, nan) = match &target {
        ChosenTarget::Declared(index) => {
            let declared = settings.targets.get(*index);
            declared.map_or(
                (UNDECLARED_TIMEOUT, NanInterpretation::default()),
                |target| (target.request_timeout, target.nan_interpretation),
            )
        }
        ChosenTarget::Undeclared { .. } => (UNDECLARED_TIMEOUT, NanInterpretation::default()),
    };
    Ok(Choice {
        target,
        timeout: details
            .timeout
            .map_or(timeout, |shorter| shorter.min(timeout)),
        nan: details.nan.unwrap_or(nan),
    })
}

fn target(settings: &Settings, asked: &Asked) -> Result<ChosenTarget, ChooseError> {
    let names = || {
        settings
            .targets
            .iter()
            .map(|target| target.name.to_string())
            .collect()
    };
    let unknown = |asked: &str| ChooseError::Unknown {
        asked: asked.to_owned(),
        targets: names(),
    };
    Ok(match asked {
        Asked::Default => {
            let default = settings
                .default_target
                .ok_or_else(|| ChooseError::NoDefault { targets: names() })?;
            ChosenTarget::Declared(default)
        }
        Asked::Name(name) => {
            let declared = settings
                .targets
                .iter()
                .position(|target| *target.name.0 == **name);
            ChosenTarget::Declared(declared.ok_or_else(|| unknown(name))?)
        }
        Asked::Server(server) => match settings
            .targets
            .iter()
            .position(|target| target.servers.urls().any(|url| server.is(url)))
        {
            Some(declared) => ChosenTarget::Declared(declared),
            None => {
                let allowed = settings
                    .request_targets
                    .as_ref()
                    .filter(|allowed| server.is_allowed(allowed));
                let url = allowed
                    .and_then(|_| server.url())
                    .ok_or_else(|| unknown(&server.shown))?;
                ChosenTarget::Undeclared { url }
            }
        },
    })
}
