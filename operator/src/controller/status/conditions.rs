//! From findings to conditions: what is found out by a reconcile, and the times of the status
//! before.

use crds::{ConditionType, PrometheusMirrorStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition before its times are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) type_: ConditionType,
    pub(super) status: Truth,
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn new(
        type_: ConditionType,
        status: Truth,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            type_,
            status,
            reason,
            message: message.into(),
        }
    }
}

/// Makes conditions from findings, with the times of a status before.
pub(super) struct Conditions<'a> {
    pub(super) previous: &'a PrometheusMirrorStatus,
    pub(super) generation: Option<i64>,
    pub(super) now: Timestamp,
}

impl Conditions<'_> {
    pub(super) fn condition(&self, found: Finding) -> Condition {
        let Finding {
            type_,
            status,
            reason,
            message,
        } = found;
        let before = self.previous.condition(type_);
        let before = before.filter(|before| before.status == status.as_str());
        Condition {
            type_: type_.as_str().to_owned(),
            status: status.as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            message: shortened(message, 4096),
            observed_generation: self.generation,
            last_transition_time: before.map_or_else(
                || Time(whole_second(self.now)),
                |before| before.last_transition_time.clone(),
            ),
        }
    }

    /// The condition of the finding's type as it was, or the finding if there was none: this
    /// reconcile found out nothing about it.
    pub(super) fn kept(&self, otherwise: Finding) -> Condition {
        match self.previous.condition(otherwise.type_) {
            Some(before) => Condition {
                observed_generation: self.generation,
                ..before.clone()
            },
            None => self.condition(otherwise),
        }
    }
}

/// Times are stored in whole seconds; what is compared must be what comes back.
pub(super) fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

pub(super) fn shortened(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        text
    } else {
        text.chars().take(most - 1).chain(['…']).collect()
    }
}
