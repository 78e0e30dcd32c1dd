//! When a resource is reconciled again, if no watch reports a change before. Pure.

use std::time::Duration;

use crds::{ConditionType, PrometheusMirrorStatus, Reason};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;

use super::restart::Restart;
use super::status::{Conclusion, reconciling_for};

/// Between two checks of a mirror in which everything is fine.
const STEADY: Duration = Duration::from_secs(30);
/// Between two checks while something is wrong that no watch reports.
const UNEASY: Duration = Duration::from_secs(10);
/// Between two checks while pods read a new configuration; longer the longer it takes, up to
/// [`UNEASY`].
const CHANGING: Duration = Duration::from_secs(1);

/// The next reconcile. `wait` is how long the present status has to wait until it is written.
pub(super) fn next(
    conclusion: &Conclusion,
    status: &PrometheusMirrorStatus,
    wait: Option<Duration>,
    now: Timestamp,
) -> Action {
    if let Some(wait) = wait {
        return Action::requeue(wait.min(while_changing(status, now)));
    }
    match conclusion {
        // What a resource refers to is watched, except what the API server thinks.
        Conclusion::Invalid(invalid, _)
            if matches!(
                invalid.reason,
                Reason::Refused | Reason::Denied | Reason::Forbidden
            ) =>
        {
            Action::requeue(STEADY)
        }
        Conclusion::Invalid(..) | Conclusion::Paused => Action::await_change(),
        // Never asked for: a failure has its own delay.
        Conclusion::Failing(_) => Action::requeue(UNEASY),
        Conclusion::Applied(_) if status.has(ConditionType::Reconciling) => {
            Action::requeue(while_changing(status, now))
        }
        Conclusion::Applied(progress)
            if progress.restart == Restart::Nothing
                && status.has(ConditionType::Ready)
                && (status.has(ConditionType::TargetsReachable)
                    // Its pods do not say what they reach.
                    || status.is_because(ConditionType::Ready, Reason::ServingUnchecked)) =>
        {
            Action::requeue(STEADY)
        }
        Conclusion::Applied(_) => Action::requeue(UNEASY),
    }
}

/// A tenth of how long it has been reconciling.
fn while_changing(status: &PrometheusMirrorStatus, now: Timestamp) -> Duration {
    let seconds = reconciling_for(status, now);
    Duration::from_secs(u64::try_from(seconds / 10).unwrap_or_default()).clamp(CHANGING, UNEASY)
}

/// The delay after so many failures in a row.
pub(super) fn after_failures(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::controller::validate::Invalid;

    fn status(conditions: &[(&str, &str)]) -> PrometheusMirrorStatus {
        let condition = |(type_, status): &(&str, &str)| json!({"type": type_, "status": status, "reason": "R", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"});
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        serde_json::from_value(json!({ "conditions": conditions })).unwrap()
    }

    fn invalid(reason: Reason) -> Conclusion {
        let message = String::new();
        Conclusion::Invalid(Invalid { reason, message }, None)
    }

    #[test]
    fn what_the_api_server_thinks_is_asked_again_and_the_rest_is_watched() {
        let next =
            |conclusion: Conclusion| next(&conclusion, &status(&[]), None, Timestamp::UNIX_EPOCH);
        assert_eq!(next(invalid(Reason::Refused)), Action::requeue(STEADY));
        assert_eq!(next(invalid(Reason::Forbidden)), Action::requeue(STEADY));
        assert_eq!(next(invalid(Reason::SecretMissing)), Action::await_change());
        assert_eq!(next(Conclusion::Paused), Action::await_change());
    }

    #[test]
    fn the_longer_pods_take_the_rarer_they_are_asked() {
        let reconciling = status(&[("Reconciling", "True")]);
        let seconds = |since: i64| {
            let now = Timestamp::from_second(since).unwrap();
            while_changing(&reconciling, now).as_secs()
        };
        assert_eq!([0, 15, 20, 99, 1_000].map(seconds), [1, 1, 2, 9, 10]);
    }

    #[test]
    fn a_failure_doubles_the_delay_up_to_a_minute() {
        let seconds = |failures: u32| after_failures(failures).as_secs();
        let delays = [1, 2, 3, 6, 7, 1_000].map(seconds);
        assert_eq!(delays, [1, 2, 4, 32, 60, 60]);
    }
}
